"""Reads questions of older versions: approval steps without a proposal, which are decided as steps of their runs."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from seawall.core.events import Event, Judged, StepIntended
from seawall.history.recorded import fold_in_slices
from seawall.journal.protocol import Journal, Proposal, ProposalFilter, Reason, RunRow
from seawall.run.commands import find_effect_in_doubt
from seawall.run.state import RunState
from seawall.runtime.approval_views import Approval, build_approvals

MAX_RUNS = 1_000
"""How many of the oldest waiting runs of older versions are read. After a decision, a further run is read."""


async def list_older_approvals(journal: Journal, wanted: ProposalFilter, limit: int) -> list[Approval]:
    """Returns the undecided questions of older versions, oldest first. People of any role may decide on them."""
    if wanted.state not in ("open", None):
        return []
    run, _, step = wanted.after.partition(" ")
    since = (await journal.row(run)).started_at if run else 0.0
    found: list[Approval] = []
    for row in await journal.older_waits(limit=MAX_RUNS):
        if row.started_at < since:  # it was on an earlier page
            continue
        if wanted.run in (None, row.run) and wanted.tenant in (None, row.tenant):
            asked = await _read_run(journal, row)
            found += [
                each for each in asked if row.run != run or not step.isdecimal() or each.step > int(step)
            ]
        if len(found) >= limit:
            break
    return found[:limit]


async def _read_run(journal: Journal, row: RunRow) -> list[Approval]:
    """Returns the questions of a run that have no proposal."""
    events = await journal.events(row.run)
    if not events:  # pruned meanwhile
        return []
    state = await fold_in_slices(events)
    decided = {item.command.step for item in await journal.inbox(row.run, after=state.inbox)}
    asked = [
        step
        for step in state.asked
        if not step.proposal and step.step not in decided and find_effect_in_doubt(state, step) is None
    ]
    proposals = [_describe(step, state, events) for step in sorted(asked, key=lambda step: step.step)]
    approvals = await build_approvals(journal, proposals)
    from seawall.core.odd_text import find_odd_text  # noqa: PLC0415 -- 5 ms to import, and few runs ask a person

    return [replace(each, flags=find_odd_text(each.arguments)) for each in approvals]


def _describe(step: StepIntended, state: RunState, events: Sequence[Event]) -> Proposal:
    """Returns a proposal made from an approval step that has none."""
    started = state.started
    return Proposal(
        id=f"{started.run} {step.step}",
        hash="",
        tenant=started.tenant,
        run=started.run,
        step=step.step,
        team=started.team,
        app=started.app,
        agent=step.agent,
        session=started.session,
        requester=started.principal,
        kind="model" if step.call is None else "tool",
        name=step.name,
        version=step.version,
        arguments=None if step.call is None else step.input,
        reasons=tuple(
            Reason(guard=event.guard, reason=event.reason, limit=event.limit, value=event.value)
            for event in events
            if isinstance(event, Judged) and event.step == step.step
            if event.verdict == "hold" and event.mode == "enforce"
        ),
        declared=False,
        created_at=step.at,
    )
