"""Why a run ended as it did: from the outcome back along recorded causes.

Value edges are followed first: a literal of that result is in this input. Where a step has none (but the model
that wrote it), the walk goes on through what that model had been shown, by exposure. So it leads to the first
step that recorded causes lead to. That is where to look first; it is no proof that the fault lies there.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, cast

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import Call, Cause, Judged, Status, StepKind, StepStatus, StoppedBy, Tie
from seawall.history.record import RunRecord, StepRecord
from seawall.run.causes import MAX_INDEXED_CHARS, literals

REQUEST = 0
"""The request itself, as a step."""
SPENDERS = 5
"""Agents and tools that are named when a limit stopped a run."""


class Link(msgspec.Struct, frozen=True):
    """One edge of the walk: `step` (None: the outcome) rests on `cause`."""

    step: int | None
    cause: int
    tie: Tie
    wrote: bool = False
    """The cause is the model step that wrote it, which is told but not where a value comes from."""


class Repeat(msgspec.Struct, frozen=True):
    """Steps that brought the same knowledge, the newest of them right before the run was stopped."""

    agent: str
    name: str
    status: StepStatus
    steps: tuple[int, ...]
    input: Ref | None
    output: Ref | None
    """Those of the newest step."""


class Wanted(msgspec.Struct, frozen=True):
    """A call that a model asked for and that was not made any more."""

    step: int
    """The model step."""
    agent: str
    call: Call


class Spent(msgspec.Struct, frozen=True):
    """What one agent's model, or one tool in an agent's hands, took."""

    agent: str
    name: str
    kind: StepKind
    calls: int
    tokens: int
    usd: Decimal
    duration_s: float


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `starts` are where the walk began; without any it began at the outcome."""

    run: str
    status: Status | None
    """None: the run has not ended, and this tells what it is at."""
    stopped_by: StoppedBy | None
    error: str | None
    starts: tuple[int, ...]
    links: tuple[Link, ...]
    first: int | None
    """The first step that the causes lead to: a call if there is one, else the request (0)."""
    path: tuple[int, ...]
    """From `first` to the outcome, or to one of `starts`."""
    verdicts: tuple[Judged, ...]
    """Everything that the guard that stopped the run said."""
    repeats: tuple[Repeat, ...]
    wanted: tuple[Wanted, ...]
    spent: tuple[Spent, ...]
    """Who used most, if a limit or the deadline stopped the run."""
    given_up: tuple[int, ...] = ()
    """Steps in flight that the planner gave up, so that there was an answer in time."""
    unsourced: tuple[str, ...] = ()
    """Literals of the answer, or of what the run ended over, that are in no result and not in the request."""


def explain(record: RunRecord, text: Callable[[Ref], str] | None = None) -> Why:
    """Explain a run. Pure. With `text`, which gives the text of a body, unsourced values are found too."""
    ended = record.ended
    stopped = None if ended is None else ended.stopped_by
    wanted = tuple(_wanted(record))
    starts = _starts(record, wanted)
    links = _walk(record, starts)
    first = _first(record, links, starts)
    return Why(
        run=record.started.run,
        status=None if ended is None else ended.status,
        stopped_by=stopped,
        error=None if ended is None else ended.error,
        starts=starts,
        links=links,
        first=first,
        path=() if first is None else _path(links, starts, first),
        verdicts=() if stopped is None else tuple(_said(record, stopped.guard)),
        repeats=tuple(_repeats(record)) if stopped is not None else (),
        wanted=wanted,
        spent=_spent(record) if stopped is not None and stopped.guard in ("limits", "deadline") else (),
        given_up=tuple(_given_up(record)),
        unsourced=() if text is None else _unsourced(record, starts, text),
    )


# ---- where the walk begins


def _starts(record: RunRecord, wanted: tuple[Wanted, ...]) -> tuple[int, ...]:
    """The steps that the run ended over; none if it answered."""
    ended = record.ended
    if ended is None:
        waiting = [step.number for step in record.open() if step.intent.kind == "approval"]
        return tuple(waiting or [s.number for s in record.open() if s.intent.kind in ("model", "tool")])
    if ended.answer is not None and ended.stopped_by is None:
        return ()
    stopped = ended.stopped_by
    if stopped is not None and stopped.step in record.steps:
        return (stopped.step,)
    if ended.status == "refused":
        return _newest(step for step in record.steps.values() if step.intent.kind == "review")
    if stopped is None:
        return _newest(step for step in record.steps.values() if _failed(step))
    cut = [step.number for step in record.steps.values() if _cut(step)]
    if cut:
        return tuple(cut)
    if wanted:
        return tuple(dict.fromkeys(each.step for each in wanted))
    return _newest(step for step in record.steps.values() if step.done is not None)


def _newest(steps: Iterable[StepRecord]) -> tuple[int, ...]:
    found = max((step.number for step in steps), default=None)
    return () if found is None else (found,)


def _failed(step: StepRecord) -> bool:
    return (
        step.done is not None and step.done.status in ("error", "timeout") and step.intent.kind != "handoff"
    )


def _cut(step: StepRecord) -> bool:
    """Whether it was in flight when the run ended."""
    done = step.done
    return (
        done is not None and done.status in ("cancelled", "unknown") and step.intent.kind in ("model", "tool")
    )


def _wanted(record: RunRecord) -> Iterable[Wanted]:
    """Calls of replies that were never taken up, by the run's last replies."""
    made = {(step.intent.frame, step.intent.call) for step in record.steps.values()}
    for step in record.steps.values():
        if step.done is None or step.done.answer is not None or step.done.problem is not None:
            continue
        for call in step.done.calls:
            if (step.intent.frame, call.id) not in made:
                yield Wanted(step.number, step.intent.agent, call)


# ---- the walk


def _causes(record: RunRecord, step: int | None) -> tuple[Cause, ...]:
    if step is None:
        return () if record.ended is None else record.ended.causes
    found = record.steps.get(step)
    if found is None:
        return ()
    causes = found.intent.causes
    if found.intent.kind in ("handoff", "review") and found.done is not None:
        replies = [each for each in record.children(step) if each.done is not None and each.done.answer]
        if replies:  # what came back is what its frame answered
            causes = (*causes, Cause(replies[-1].number, "value"))
    return causes


def _walk(record: RunRecord, starts: tuple[int, ...]) -> tuple[Link, ...]:
    """Every edge that is followed, nearest first."""
    links: dict[tuple[int | None, int], Link] = {}
    queue: deque[int | None] = deque(starts or (None,))
    seen: set[int | None] = set(queue)
    while queue:
        step = queue.popleft()
        sourced = False
        wrote: list[int] = []
        exposed: list[int] = []
        for cause in _causes(record, step):
            model = cause.step in record.steps and record.steps[cause.step].intent.kind == "model"
            if cause.tie == "value" and not model:
                sourced = True
                links[step, cause.step] = Link(step, cause.step, "value")
                _enqueue(queue, seen, cause.step)
            elif cause.tie == "value":
                wrote.append(cause.step)
                links[step, cause.step] = Link(step, cause.step, "value", wrote=True)
            else:
                exposed.append(cause.step)
        if not sourced:  # nothing but its author, or what that one was shown, leads on
            for number in (*wrote, *exposed):
                if (step, number) not in links:
                    links[step, number] = Link(step, number, "exposure")
                _enqueue(queue, seen, number)
    return tuple(links.values())


def _enqueue(queue: deque[int | None], seen: set[int | None], step: int) -> None:
    if step not in seen and step != REQUEST:
        seen.add(step)
        queue.append(step)


def _first(record: RunRecord, links: tuple[Link, ...], starts: tuple[int, ...]) -> int | None:
    """The earliest call, hand-off or review; else the request; else the earliest model step."""
    reached = {link.cause for link in links} | set(starts)
    kinds = ("tool", "handoff", "review", "memory")
    calls = [each for each in reached if each in record.steps and record.steps[each].intent.kind in kinds]
    if calls:
        return min(calls)
    if not record.steps and record.ended is not None:  # it was stopped before its first step
        return REQUEST
    return REQUEST if REQUEST in reached else min(reached, default=None)


def _path(links: tuple[Link, ...], starts: tuple[int, ...], first: int) -> tuple[int, ...]:
    """The shortest way from `first` to where the walk began."""
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


def _values(text: str) -> str:
    """The values in a text; of an object the names of its fields are none."""
    try:
        value: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return "\n".join(_leaves(value))


def _leaves(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for each in cast("dict[str, Any]", value).values():
            yield from _leaves(each)
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _leaves(each)
    elif value is not None:
        yield str(value)


_NUMBER = re.compile(r"(?<![\w.])(?<!\w-)\d{1,30}(?:\.\d{1,30})?(?![\w-]|\.\d)")


def _number(literal: str) -> Decimal | str:
    """The value of a number, as 250, 250.0 and 250.00 are written of one amount; other literals are their own."""
    return Decimal(literal) if _NUMBER.fullmatch(literal) else literal


def _unsourced(record: RunRecord, starts: tuple[int, ...], text: Callable[[Ref], str]) -> tuple[str, ...]:
    texts = [text(record.started.intent)]
    for step in record.steps.values():
        done = step.done
        if step.intent.kind != "model" and done is not None and done.status == "ok" and done.output:
            texts.append(text(done.output))
    known = {literal for each in texts for literal in literals(each)}
    numbers = {_number(found[0]) for each in texts for found in _NUMBER.finditer(each, 0, MAX_INDEXED_CHARS)}
    ended = record.ended
    refs = [ended.answer] if ended is not None else []
    if starts:
        steps = [record.steps[number].intent for number in starts]
        refs = [each.input for each in steps if each.kind in ("tool", "approval", "handoff")]
    found = {literal for ref in refs if ref for literal in literals(_values(text(ref)))}
    return tuple(sorted(each for each in found if each not in known and _number(each) not in numbers))


# ---- what stopped it, or was given up


def _given_up(record: RunRecord) -> Iterable[int]:
    planned = [event for event in record.planned if event.mode == "enforce"]
    cut = {event.step for event in planned if event.action == "cut"}
    team = any(event.action in ("fallback", "partial") for event in planned)
    for step in record.steps.values():
        if step.number in cut or (team and _cut(step)):
            yield step.number


def _said(record: RunRecord, guard: str) -> Iterable[Judged]:
    for step in record.steps.values():
        yield from (each for each in step.judged if each.guard == guard)
    yield from (each for each in record.unmade if each.guard == guard)


def _repeats(record: RunRecord) -> Iterable[Repeat]:
    """Groups of calls that taught the same, among which is one of the newest agent's last calls."""
    calls = [
        step
        for step in record.steps.values()
        if step.intent.kind in ("tool", "handoff")
        and step.done is not None
        and step.done.fingerprint is not None
    ]
    if not calls:
        return
    last_agent = calls[-1].intent.agent
    groups: dict[str, list[StepRecord]] = {}
    for step in calls:
        if step.intent.agent == last_agent and step.done is not None and step.done.fingerprint is not None:
            groups.setdefault(step.done.fingerprint, []).append(step)
    repeated = [group for group in groups.values() if len(group) > 1]
    # The streak that was stopped: from the newest call back, as long as each taught what is repeated.
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
        yield Repeat(
            last_agent,
            newest.intent.name,
            newest.done.status,
            tuple(step.number for step in group),
            newest.intent.input,
            newest.done.output,
        )


def _spent(record: RunRecord) -> tuple[Spent, ...]:
    found: dict[tuple[str, str, StepKind], Spent] = {}
    for step in record.steps.values():
        intent, done = step.intent, step.done
        if intent.kind not in ("model", "tool") or not intent.perform:
            continue
        key = (intent.agent, intent.name, intent.kind)
        so_far = found.get(key) or Spent(*key, 0, 0, Decimal(0), 0.0)
        found[key] = Spent(
            *key,
            so_far.calls + 1,
            so_far.tokens + (0 if done is None else done.input_tokens + done.output_tokens),
            so_far.usd + (0 if done is None else done.usd),
            so_far.duration_s + (0 if done is None else _duration_s(record, step)),
        )
    return tuple(sorted(found.values(), key=lambda each: (-each.calls, each.agent, each.name)))


def _duration_s(record: RunRecord, step: StepRecord) -> float:
    """A step that was cut off has no duration of its own: it took what passed until it was."""
    if step.done is None:
        return 0.0
    return step.done.duration_s or max(0.0, step.done.at - step.intent.at)
