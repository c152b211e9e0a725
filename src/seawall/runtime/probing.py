"""Probes a team's reviewer: it reviews recorded answers again, each with a planted contradiction.

A probe costs as much as a review, which is booked on the tenant of the original run. It leaves nothing but its record:
see `history/probes.py`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from seawall.core.errors import Misused
from seawall.core.events import Event, StepDone, StepIntended
from seawall.core.ids import Ids
from seawall.history.planting import KINDS, Planted, PlantKind, plant
from seawall.history.probes import (
    Judgement,
    Left,
    Probe,
    ProbeKind,
    ProbeReport,
    ReviewedAnswer,
    begin_probe,
    build_report,
    find_reviewed,
    lower_limits,
)
from seawall.history.record import RunRecord, build_record
from seawall.history.recorded import fold_in_slices
from seawall.journal.protocol import Journal, RunFilter
from seawall.run.ledger import Ledger
from seawall.run.outcome import Outcome
from seawall.run.traces import literals
from seawall.runtime.big_texts import put_apart
from seawall.runtime.raising import check_leads
from seawall.runtime.seawall import Seawall
from seawall.team.agent import Agent
from seawall.team.context import split_review_task
from seawall.team.decide import PROBE
from seawall.team.team import Team, as_team

MAX_LOOKED_AT = 1_000
"""How many runs are searched for runs with a review."""


LAST_RUNS = 5
"""How many runs are probed by default. With five contradictions each, the 95% interval of the caught share is 30% wide."""


class _Origin(NamedTuple):
    """A recorded run that can be probed."""

    run: str
    tenant: str
    events: Sequence[Event]
    reviewed: ReviewedAnswer
    answer: str
    request: str
    evidence: str


async def probe_reviewer(
    sea: Seawall,
    team: Team | Agent,
    runs: Sequence[str] | int = LAST_RUNS,
    *,
    tenant: str | None = None,
    kinds: Sequence[PlantKind] = KINDS,
    seed: int = 0,
    calls: int | None = None,
    usd: Decimal | None = None,
    app: str | None = None,
    rng: random.Random | None = None,
    on_probe: Callable[[Probe], None] | None = None,
) -> ProbeReport:
    """Has the team's reviewer judge recorded answers with planted contradictions, and returns how many it caught.

    `runs` are the ids of runs, or the number of the newest completed runs (of `tenant`) with a review.

    Each run's answer is first reviewed unchanged. If the reviewer rejects it today, a rejection of a changed answer proves
    nothing, and the run is skipped. Then each kind of contradiction that the answer has a place for is planted into it, one
    at a time. Only the reviewer is called, with its own tools; effects are simulated. `calls` and `usd` bound all model
    calls of all probes. The same `seed` plants the same contradictions. `on_probe` is called with each probe. Raises
    `Misused` for a team without a reviewer, limits that are not above zero, an unknown run, if there is no run to probe, and
    for `usd` if a price is not known.
    """
    team = as_team(team)
    if all(member.reviewer is None for member in team.members.values()):
        raise Misused(f"team {team.name!r} has no reviewer: there is nothing to probe")
    for name, value in (("calls", calls), ("usd", usd)):
        if value is not None and value <= 0:
            raise Misused(f"probe_reviewer: {name} is {value}; it must be above zero")
    if isinstance(runs, int):
        runs = await _list_reviewed(sea.journal, team.name, runs, tenant)
    prober = _Prober(sea, team, Left(calls, usd), app, rng or random.Random(os.urandom(16)), on_probe)
    skipped: dict[str, str] = {}
    unmade = 0
    for run in runs:
        origin = await _read_origin(sea.journal, team, run)
        if isinstance(origin, str):
            skipped[run] = origin
            continue
        planted = [_plant(origin, kind, seed) for kind in kinds]
        todo = [each for each in planted if each is not None]
        if not todo:
            skipped[run] = "its answer holds nothing of its evidence that could be contradicted"
            continue
        first = await prober.make(origin, None)
        if first is None or first.judgement != "approved":
            unmade += len(todo) if first is None else 0
            skipped[run] = _explain_unusable(first)
            continue
        for each in todo:
            unmade += await prober.make(origin, each) is None
    return build_report(team.name, seed, prober.made, skipped, unmade)


async def _list_reviewed(journal: Journal, team: str, last: int, tenant: str | None) -> list[str]:
    """Returns the newest `last` completed runs of a team that had an approving review, newest first. Forks are left out.

    Raises `Misused` if there is none.
    """
    found: list[str] = []
    rows = await journal.runs(RunFilter(team=team, status="completed", tenant=tenant), limit=MAX_LOOKED_AT)
    for row in rows:
        if len(found) >= last:
            break
        events = await journal.events(row.run) if row.events else []
        record = build_record(events) if events else None
        if record is not None and record.started.fork is None and find_reviewed(record) is not None:
            found.append(row.run)
    if not found:
        looked = f"the newest {len(rows):,} of its completed runs were looked at"
        raise Misused(
            f"there is no completed run of team {team!r} with a review that approved its answer; {looked}"
        )
    return found


def _explain_unusable(first: Probe | None) -> str:
    if first is None:
        return "the limit on calls or dollars was used up"
    if first.judgement == "rejected":
        return f"today the reviewer rejects its answer unchanged: {first.feedback}"
    return f"its answer was not judged: {first.feedback}"


def _plant(origin: _Origin, kind: PlantKind, seed: int) -> Planted | None:
    return plant(origin.answer, origin.evidence, origin.request, kind, f"{seed}:{origin.run}")


async def _read_origin(journal: Journal, team: Team, run: str) -> _Origin | str:
    """Returns the data of a run that its probes need, or why it can't be probed."""
    events = await journal.events(run)
    if not events:
        return "its events were pruned"
    record: RunRecord = build_record(events)
    if record.started.fork is not None:
        return "it is a fork itself"
    if record.ended is None or record.ended.status != "completed":
        return "it has not completed"
    reviewed = find_reviewed(record)
    if reviewed is None:
        return "it had no review that approved its answer"
    member = team.members.get(reviewed.agent)
    if member is None or member.reviewer is None:
        return f"agent {reviewed.agent!r} has no reviewer in team {team.name!r}"
    tenant = record.started.tenant
    found = await journal.bodies(tenant, [reviewed.answer, reviewed.task])
    if len(found) < len({reviewed.answer, reviewed.task}):
        return "its texts were erased"
    answer = found[reviewed.answer].decode("utf-8", "replace")
    task = split_review_task(found[reviewed.task].decode("utf-8", "replace"))
    return _Origin(run, tenant, events, reviewed, answer, task.request, task.evidence)


class _Prober:
    """Makes probes, one after another, within the limits on calls and dollars."""

    def __init__(
        self,
        sea: Seawall,
        team: Team,
        left: Left,
        app: str | None,
        rng: random.Random,
        on_probe: Callable[[Probe], None] | None,
    ) -> None:
        self._sea = sea
        self._team = team
        self._left = left
        self._app = app
        self._clock = sea.supervisor.clock
        self._ids = Ids(self._clock, rng)
        self._on_probe = on_probe
        self.made: list[Probe] = []

    async def make(self, origin: _Origin, planted: Planted | None) -> Probe | None:
        """Makes one probe; without `planted` the answer is unchanged. Returns None if no call is left."""
        if self._left.is_used_up:
            return None
        kind: ProbeKind = "unchanged" if planted is None else planted.kind
        run, used = await self._record(origin, kind, origin.answer if planted is None else planted.answer)
        handle = await self._sea.resume(run, self._team)
        rest = await handle.rest()
        if not isinstance(rest, Outcome):  # a probe must not wait, neither for a person nor for a pause
            await handle.cancel(by=PROBE, reason="a probe waits for nobody")
            rest = await handle.outcome()
        judgement = _read_judgement(rest)
        feedback = await self._read_feedback(run, rest, judgement)
        made = Probe(
            run=run,
            origin=origin.run,
            reviewer=origin.reviewed.reviewer,
            kind=kind,
            original="" if planted is None else planted.original,
            planted="" if planted is None else planted.planted,
            judgement=judgement,
            named=planted is not None and _names(feedback, planted),
            feedback=feedback,
            model_calls=rest.model_calls - used.model_calls,
            tokens=rest.tokens - used.tokens,
            usd=rest.usd - used.usd,
        )
        calls, usd = self._left
        self._left = Left(
            None if calls is None else calls - made.model_calls, None if usd is None else usd - made.usd
        )
        self.made.append(made)
        if self._on_probe is not None:
            self._on_probe(made)
        return made

    async def _record(self, origin: _Origin, kind: ProbeKind, answer: str) -> tuple[str, Ledger]:
        """Records a probe without driving it. Returns its id and what its origin had used up to that step."""
        sea, team = self._sea, self._team
        supervisor, run = sea.supervisor, self._ids.make_run_id()
        bodies = supervisor.make_bodies(origin.tenant)
        await put_apart(answer, bodies)
        ref = origin.reviewed.answer if kind == "unchanged" else bodies.put(answer)
        started, rest = begin_probe(
            origin.events,
            origin.reviewed.step,
            kind,
            ref,
            run=run,
            now=self._clock.wall_s(),
            app=self._app,
        )
        guards = supervisor.factory.get_guards(team)
        used = (await fold_in_slices([started, *rest], guards)).ledger
        limits = lower_limits(started.limits, used.model_calls, used.usd, self._left)
        started = replace(started, limits=limits)
        check_leads(team, await fold_in_slices([started, *rest], guards))
        supervisor.factory.check(team, limits, supervisor.budget.get_usd_cap(origin.tenant))
        await supervisor.journal.create(started, rest, bodies.take_unsaved(), take=False)
        return run, used

    async def _read_feedback(self, run: str, rest: Outcome, judgement: Judgement) -> str:
        """Returns the reviewer's feedback, or why there is none."""
        if judgement == "not judged":
            return str(rest)
        journal = self._sea.journal
        events = await journal.events(run)
        reviews = {each.step for each in events if isinstance(each, StepIntended) and each.kind == "review"}
        said = [each for each in events if isinstance(each, StepDone) and each.step in reviews]
        ref = said[-1].output if said else None
        if ref is None:
            return ""
        row = await journal.row(run)
        return (await journal.bodies(row.tenant, [ref])).get(ref, b"").decode("utf-8", "replace")


def _names(feedback: str, planted: Planted) -> bool:
    """Returns whether a reviewer's words contain the original value, the planted one, or a value of a planted sentence."""
    said = feedback.casefold()
    values = [each.casefold() for each in (planted.original, planted.planted) if each]
    return any(value in said for value in values) or bool(literals(planted.planted) & literals(feedback))


def _read_judgement(rest: Outcome) -> Judgement:
    """Returns the reviewer's judgement, which is the value of the probe's `stopped_by`."""
    stopped = rest.stopped_by
    if stopped is None or stopped.guard != PROBE:
        return "not judged"
    return (
        "approved"
        if stopped.value == "approved"
        else "rejected"
        if stopped.value == "rejected"
        else "not judged"
    )
