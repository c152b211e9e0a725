"""Explains why a run ended as it did: a walk from the outcome back along recorded causes.

The walk follows value edges first: a literal of a result is in the input of a later step. If a step has no value edge,
except to the model step that wrote it, the walk goes on by exposure, through what that model was shown. So it ends at
the first step that recorded causes lead to. Look there first; it is not proved that the fault lies there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import (
    CALLED,
    EVERYTHING,
    PERFORMED,
    REQUESTED,
    Call,
    Cause,
    Judged,
    Status,
    StepKind,
    StepStatus,
    StoppedBy,
    Tie,
)
from seawall.history.record import RunRecord, StepRecord
from seawall.run.causes import is_shown_decision
from seawall.run.permission_claims import AUTHORITY
from seawall.run.sourcing import ShownValues

REQUEST = 0
"""The number that stands for the request itself."""
SPENDERS = 5
"""How many agents and tools are named when a limit has stopped a run."""


class CauseLink(msgspec.Struct, frozen=True):
    """One edge of the walk: `step` (None: the outcome) rests on `cause`."""

    step: int | None
    cause: int
    tie: Tie
    wrote: bool = False
    """True if the cause is the model step that wrote the input. It is named, but it is not the source of a value."""


class RepeatedCall(msgspec.Struct, frozen=True):
    """Calls with the same result. The newest of them were made right before the run was stopped."""

    agent: str
    name: str
    status: StepStatus
    steps: tuple[int, ...]
    input: Ref | None
    output: Ref | None
    """The input and output of the newest of these steps."""


class UnmadeCall(msgspec.Struct, frozen=True):
    """A call in a model's reply that was never made."""

    step: int
    """The number of the model step."""
    agent: str
    call: Call


class Spender(msgspec.Struct, frozen=True):
    """What one agent's model, or one tool of an agent, has used."""

    agent: str
    name: str
    kind: StepKind
    calls: int
    tokens: int
    usd: Decimal
    duration_s: float


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run ended as it did. The walk began at the steps `starts`; without any, at the outcome."""

    run: str
    status: Status | None
    """The run's status; None if it has not ended, and this explains what it is doing."""
    stopped_by: StoppedBy | None
    error: str | None
    starts: tuple[int, ...]
    links: tuple[CauseLink, ...]
    first: int | None
    """The first step that the causes lead to: a call if there is one, otherwise the request (0)."""
    path: tuple[int, ...]
    """The steps from `first` to the outcome, or to one of `starts`."""
    verdicts: tuple[Judged, ...]
    """All verdicts of the guard that stopped the run."""
    refusals: tuple[Judged, ...]
    """All steps that the guard `authority` has refused or held, whatever the run's end."""
    repeats: tuple[RepeatedCall, ...]
    wanted: tuple[UnmadeCall, ...]
    spent: tuple[Spender, ...]
    """What each agent and tool used, most calls first, if a limit or the deadline stopped the run."""
    given_up: tuple[int, ...] = ()
    """Steps in flight that the planner gave up to answer in time."""
    unsourced: tuple[str, ...] = ()
    """Literals of the answer, or of the steps that ended the run, that are in no result and not in the request."""


def explain(
    record: RunRecord, text: Callable[[Ref], str] | None = None, *, earlier: Iterable[str] = ()
) -> Explanation:
    """Explains a run. With `text`, which returns the text of a body, it finds unsourced values, too. `earlier` are the
    messages of the session before the run.
    """
    ended = record.ended
    stopped = None if ended is None else ended.stopped_by
    wanted = tuple(_list_unmade_calls(record))
    starts = _find_starts(record, wanted)
    links = _walk(record, starts)
    first = _find_first(record, links, starts)
    return Explanation(
        run=record.started.run,
        status=None if ended is None else ended.status,
        stopped_by=stopped,
        error=None if ended is None else ended.error,
        starts=starts,
        links=links,
        first=first,
        path=() if first is None else _find_path(links, starts, first),
        verdicts=() if stopped is None else tuple(_list_verdicts(record, stopped.guard)),
        refusals=tuple(
            [each for each in _list_verdicts(record, AUTHORITY) if each.verdict in ("refuse", "hold")]
        ),
        repeats=tuple(_find_repeats(record)) if stopped is not None else (),
        wanted=wanted,
        spent=_sum_spending(record)
        if stopped is not None and stopped.guard in ("limits", "deadline")
        else (),
        given_up=tuple(_list_given_up(record)),
        unsourced=() if text is None else _find_unsourced(record, starts, text, earlier),
    )


def find_way(record: RunRecord, step: int | None) -> tuple[int, ...]:
    """Returns the shortest way to `step`, or to the outcome (None), from the first step that recorded causes lead to."""
    starts = () if step is None else (step,)
    links = _walk(record, starts)
    first = _find_first(record, links, starts)
    return () if first is None else _find_path(links, starts, first)


# ---- where the walk begins


def _find_starts(record: RunRecord, wanted: tuple[UnmadeCall, ...]) -> tuple[int, ...]:
    """Returns the steps that caused the run's end; an empty tuple if the run gave an answer."""
    ended = record.ended
    if ended is None:
        waiting = [step.number for step in record.list_open_steps() if step.intent.kind == "approval"]
        return tuple(waiting or [s.number for s in record.list_open_steps() if s.intent.kind in PERFORMED])
    if ended.answer is not None and ended.stopped_by is None:
        return ()
    stopped = ended.stopped_by
    if stopped is not None and stopped.step in record.steps:
        return (stopped.step,)
    if ended.status == "refused":
        return _take_newest(step for step in record.steps.values() if step.intent.kind == "review")
    if stopped is None:
        return _take_newest(step for step in record.steps.values() if _has_failed(step))
    cut = [step.number for step in record.steps.values() if _was_cut_off(step)]
    if cut:
        return tuple(cut)
    if wanted:
        return tuple(dict.fromkeys(each.step for each in wanted))
    return _take_newest(step for step in record.steps.values() if step.done is not None)


def _take_newest(steps: Iterable[StepRecord]) -> tuple[int, ...]:
    newest = max((step.number for step in steps), default=None)
    return () if newest is None else (newest,)


def _has_failed(step: StepRecord) -> bool:
    return (
        step.done is not None and step.done.status in ("error", "timeout") and step.intent.kind != "handoff"
    )


def _was_cut_off(step: StepRecord) -> bool:
    """Returns whether the step was in flight when the run ended."""
    done = step.done
    return done is not None and done.status in ("cancelled", "unknown") and step.intent.kind in PERFORMED


def _list_unmade_calls(record: RunRecord) -> Iterable[UnmadeCall]:
    """Yields the calls of model replies that no step made."""
    for step in record.steps.values():
        if step.done is None or step.done.answer is not None or step.done.problem is not None:
            continue
        for call in step.done.calls:
            if not record.has_made(step.intent.frame, call.id):
                yield UnmadeCall(step.number, step.intent.agent, call)


# ---- the walk


def _list_causes(record: RunRecord, step: int | None) -> tuple[Cause, ...]:
    if step is None:
        return () if record.ended is None else record.ended.causes
    recorded = record.steps.get(step)
    if recorded is None:
        return ()
    causes = recorded.intent.causes
    if recorded.intent.kind in ("handoff", "review") and recorded.done is not None:
        replies = [each for each in record.list_steps(step) if each.done is not None and each.done.answer]
        if replies:  # the result of the step is the answer of its frame
            causes = (*causes, Cause(replies[-1].number, "value"))
    return causes


def _walk(record: RunRecord, starts: tuple[int, ...]) -> tuple[CauseLink, ...]:
    """Returns every edge that the walk follows, nearest first."""
    links: dict[tuple[int | None, int], CauseLink] = {}
    queue: deque[int | None] = deque(starts or (None,))
    seen: set[int | None] = set(queue)
    while queue:
        step = queue.popleft()
        sourced = everything = False
        wrote: list[int] = []
        exposed: list[int] = []
        for cause in _list_causes(record, step):
            if cause.step == EVERYTHING:
                everything = True
                continue
            model = cause.step in record.steps and record.steps[cause.step].intent.kind == "model"
            if cause.tie == "value" and not model:
                sourced = True
                links[step, cause.step] = CauseLink(step, cause.step, "value")
                _enqueue(queue, seen, cause.step)
            elif cause.tie == "value":
                wrote.append(cause.step)
                links[step, cause.step] = CauseLink(step, cause.step, "value", wrote=True)
            else:
                exposed.append(cause.step)
        if everything or not sourced:  # follow the model step that wrote it, and what that step was shown
            for number in (*wrote, *exposed):
                if (step, number) not in links:
                    links[step, number] = CauseLink(step, number, "exposure")
                _enqueue(queue, seen, number)
    return tuple(links.values())


def _enqueue(queue: deque[int | None], seen: set[int | None], step: int) -> None:
    if step not in seen and step != REQUEST:
        seen.add(step)
        queue.append(step)


def _find_first(record: RunRecord, links: tuple[CauseLink, ...], starts: tuple[int, ...]) -> int | None:
    """Returns the earliest call, hand-off or review; if there is none, the request or the earliest model step."""
    reached = {link.cause for link in links} | set(starts)
    kinds = (*CALLED, "handoff", "review")
    calls = [each for each in reached if each in record.steps and record.steps[each].intent.kind in kinds]
    if calls:
        return min(calls)
    if not record.steps and record.ended is not None:  # the run was stopped before its first step
        return REQUEST
    return REQUEST if REQUEST in reached else min(reached, default=None)


def _find_path(links: tuple[CauseLink, ...], starts: tuple[int, ...], first: int) -> tuple[int, ...]:
    """Returns the shortest path from `first` to the beginning of the walk."""
    towards: dict[int, int | None] = {}
    by_step: dict[int | None, list[int]] = {}
    for link in links:
        by_step.setdefault(link.step, []).append(link.cause)
    queue: deque[int | None] = deque(starts or (None,))
    while queue:
        step = queue.popleft()
        for cause in by_step.get(step, ()):
            if cause not in towards and cause not in starts:
                towards[cause] = step
                queue.append(cause)
    path = [first]
    while (step := towards.get(path[-1])) is not None:
        path.append(step)
    return tuple(path)


def _find_unsourced(
    record: RunRecord, starts: tuple[int, ...], text: Callable[[Ref], str], earlier: Iterable[str]
) -> tuple[str, ...]:
    texts = [text(ref) for ref in _list_shown(record) if ref is not None]
    texts += earlier
    shown = ShownValues(texts)
    ended = record.ended
    refs = [ended.answer] if ended is not None else []
    if starts:
        steps = [record.steps[number].intent for number in starts]
        refs = [each.input for each in steps if each.kind in (*CALLED, "approval", "handoff")]
    return tuple(sorted({each for ref in refs if ref for each in shown.find_unsourced(text(ref))}))


def _list_shown(record: RunRecord) -> Iterable[Ref | None]:
    """Yields the texts that the run's agents were shown, whose values have a source."""
    yield record.started.intent
    for segment in record.segments:
        yield from (*segment.taken.facts, *segment.taken.changed)
    for step in record.steps.values():
        intent, done = step.intent, step.done
        if intent.kind == "model":
            yield intent.input  # the instructions
        elif done is not None and (intent.kind != "approval" or is_shown_decision(intent, done)):
            yield done.output


# ---- what stopped it, or was given up


def _list_given_up(record: RunRecord) -> Iterable[int]:
    planned = [event for event in record.planned if event.mode == "enforce"]
    cut = {event.step for event in planned if event.action == "cut"}
    team = any(event.action in ("fallback", "partial") for event in planned)
    for step in record.steps.values():
        if step.number in cut or (team and _was_cut_off(step)):
            yield step.number


def _list_verdicts(record: RunRecord, guard: str) -> Iterable[Judged]:
    for step in record.steps.values():
        yield from (each for each in step.judged if each.guard == guard)
    yield from (each for each in record.unmade if each.guard == guard)


def _find_repeats(record: RunRecord) -> Iterable[RepeatedCall]:
    """Yields the groups of calls with the same result that contain the last calls of the last agent."""
    calls = [
        step
        for step in record.steps.values()
        if step.intent.kind in REQUESTED and step.done is not None and step.done.fingerprint is not None
    ]
    if not calls:
        return
    last_agent = calls[-1].intent.agent
    groups: dict[str, list[StepRecord]] = {}
    for step in calls:
        if step.intent.agent == last_agent and step.done is not None and step.done.fingerprint is not None:
            groups.setdefault(step.done.fingerprint, []).append(step)
    repeated = [group for group in groups.values() if len(group) > 1]
    # The streak that was stopped: from the newest call back, while each call repeats a known result.
    streak: set[int] = set()
    members = {step.number: number for number, group in enumerate(repeated) for step in group}
    for step in reversed([each for each in calls if each.intent.agent == last_agent]):
        if step.number not in members:
            break
        streak.add(members[step.number])
    for number in sorted(streak):
        group = repeated[number]
        newest = group[-1]
        assert newest.done is not None
        yield RepeatedCall(
            last_agent,
            newest.intent.name,
            newest.done.status,
            tuple(step.number for step in group),
            newest.intent.input,
            newest.done.output,
        )


def _sum_spending(record: RunRecord) -> tuple[Spender, ...]:
    totals: dict[tuple[str, str, StepKind], Spender] = {}
    for step in record.steps.values():
        intent, done = step.intent, step.done
        if intent.kind not in PERFORMED or not intent.perform:
            continue
        key = (intent.agent, intent.name, intent.kind)
        so_far = totals.get(key) or Spender(*key, 0, 0, Decimal(0), 0.0)
        totals[key] = Spender(
            *key,
            so_far.calls + 1,
            so_far.tokens + (0 if done is None else done.input_tokens + done.output_tokens),
            so_far.usd + (0 if done is None else done.usd),
            so_far.duration_s + (0 if done is None else _measure_duration_s(record, step)),
        )
    return tuple(sorted(totals.values(), key=lambda each: (-each.calls, each.agent, each.name)))


def _measure_duration_s(record: RunRecord, step: StepRecord) -> float:
    """Returns the seconds that a step took. For a step that was cut off, these are the seconds until it was cut off."""
    if step.done is None:
        return 0.0
    return step.done.duration_s or max(0.0, step.done.at - step.intent.at)
