"""Fork: begins another run with the first steps of a recorded run, perhaps with one result changed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from seawall.core.canonical import Ref
from seawall.core.errors import Misused, SeawallBug
from seawall.core.events import (
    PERFORMED,
    CommandTaken,
    Event,
    Fork,
    Judged,
    MemoryRead,
    RunEnded,
    RunStarted,
    StepDone,
    StepIntended,
)
from seawall.memory.access import RECALL
from seawall.run.fingerprint import compute_fingerprints
from seawall.run.lifted import leave_out_lifted
from seawall.run.step import Result, restore_step


def fork_events(
    events: Sequence[Event],
    at: int,
    *,
    run: str,
    now: float,
    result: tuple[Ref, str] | None,
    live_effects: bool,
) -> list[Event]:
    """Returns the first events of a fork: up to the result of step `at`, under the new id `run`.

    `result`, an address and its text, replaces the result of that step; the fork drops the guards' verdicts on the
    recorded result. Effects in flight at that moment keep the receipts that they got later. Reads and model calls in
    flight are made again. Receipts can't be changed. The fork does not inherit approvals that were not used yet: it asks
    people again in its own name. It belongs to no session, and goes on live on a branch that never merges.
    Raises `Misused` if there is no such step, if it has no result, or if it is an effect whose receipt would change.
    """
    started = events[0]
    if not isinstance(started, RunStarted):
        raise SeawallBug(f"a run's first event is {type(started).__name__}, not RunStarted")
    _check_no_probe(started)
    intents = {event.step: event for event in events if isinstance(event, StepIntended)}
    held = {id(event) for event in leave_out_lifted(events)}
    results = [i for i, e in enumerate(events) if isinstance(e, StepDone) and e.step == at]
    done_index = next((i for i in results if id(events[i]) in held), results[0] if results else None)
    intent = intents.get(at)
    if intent is None:
        raise Misused(
            f"run {started.run} has no step {at}; it has {len(intents)}: seawall show {started.run}"
        )
    if done_index is None:
        raise Misused(f"step {at} of run {started.run} has no result to fork after")
    if result is not None:
        _check_changeable(intent, started.run)
    inherited = [*events[: done_index + 1], *_list_receipts(events, done_index)]
    inherited += _mark_lost(inherited, now)
    used = {event.grant for event in inherited if isinstance(event, StepIntended)}
    before = started.fork or Fork(started.run, at, origin=started.run, session=started.session)
    fork = Fork(started.run, at, live_effects, before.origin or before.run, before.session)
    begin: list[Event] = [
        msgspec.structs.replace(started, run=run, at=now, session=None, request_id=None, fork=fork)
    ]
    for event in inherited[1:]:
        if isinstance(event, CommandTaken | RunEnded):
            continue
        if isinstance(event, Judged) and event.step == at and event.stage == "after" and result is not None:
            continue
        if isinstance(event, MemoryRead) and event.step == at and result is not None:
            continue
        if isinstance(event, StepDone):
            step = intents[event.step]
            if step.kind == "approval" and event.status == "ok" and event.step not in used:
                continue
            if event.step == at and result is not None:
                begin.append(_replace_result(event, step, *result))
                continue
        begin.append(event)
    return [*begin, *_withdraw_questions(begin, now)]


def is_same_fork(begin: Sequence[Event], known: Sequence[Event]) -> bool:
    """Returns whether the run `known` was begun as the fork `begin`: at the same step, and with the same result of it."""
    new, old = begin[0], known[0]
    if not isinstance(new, RunStarted) or not isinstance(old, RunStarted) or new.fork is None:
        return False
    return new.fork == old.fork and _find_output(begin, new.fork.at_step) == _find_output(
        known, new.fork.at_step
    )


def _find_output(events: Sequence[Event], at: int) -> Ref | None:
    return next((e.output for e in events if isinstance(e, StepDone) and e.step == at), None)


def find_last_result(events: Sequence[Event]) -> int:
    """Returns the last step that had a result before the run was halted, or ended. Raises `Misused` if none had one."""
    last: int | None = None
    for event in leave_out_lifted(events):
        if isinstance(event, RunEnded) or (
            isinstance(event, Judged) and (event.verdict, event.mode) == ("halt", "enforce")
        ):
            break
        if isinstance(event, StepDone) and event.status != "withdrawn":
            last = event.step
    if last is None:
        raise Misused("no step of the run had a result before it ended: there is nothing to fork after")
    return last


def _withdraw_questions(begin: Sequence[Event], now: float) -> list[Event]:
    """Returns an end for each open approval step whose proposal, or wait, belongs to the recorded run."""
    done = {event.step for event in begin if isinstance(event, StepDone)}
    return [
        StepDone(at=now, step=event.step, status="withdrawn")
        for event in begin
        if isinstance(event, StepIntended) and event.kind == "approval" and event.step not in done
        if event.proposal or event.waits_for
    ]


def _list_receipts(events: Sequence[Event], cut: int) -> list[Event]:
    """Returns the later results of effects that were in flight at the cut."""
    done = {event.step for event in events[: cut + 1] if isinstance(event, StepDone)}
    begun = {
        event.step
        for event in events[: cut + 1]
        if isinstance(event, StepIntended) and event.effect and event.perform and event.step not in done
    }
    return [event for event in events[cut + 1 :] if isinstance(event, StepDone) and event.step in begun]


def _mark_lost(inherited: Sequence[Event], now: float) -> list[Event]:
    """Returns a `lost` result for each read and model call without one.

    Without it the fork would book what the recorded run had reserved.
    """
    done = {event.step for event in inherited if isinstance(event, StepDone)}
    return [
        StepDone(at=now, step=event.step, status="lost", error="lost")
        for event in inherited
        if isinstance(event, StepIntended) and event.perform and event.kind in PERFORMED
        if not event.effect and event.step not in done
    ]


def _replace_result(done: StepDone, step: StepIntended, ref: Ref, text: str) -> StepDone:
    result = Result(status="ok", output=text)
    found = compute_fingerprints(restore_step(step), result, done.at)
    return msgspec.structs.replace(
        done,
        status="ok",
        error=None,
        retry=False,
        retry_after_s=None,
        output=ref,
        reasoning=None,
        output_bytes=len(text),
        fingerprint=found.exact,
        loose_fingerprint=found.loose,
        answer_fingerprint=found.answer,
    )


def _check_no_probe(started: RunStarted) -> None:
    if started.fork is not None and started.fork.probe:
        origin = started.fork.run
        raise Misused(
            f"run {started.run} is a probe: its answer was planted. Fork run {origin}, from which it branches off"
        )


def _check_changeable(intent: StepIntended, run: str) -> None:
    what = f"step {intent.step} of run {run} ({intent.kind} {intent.name!r})"
    if intent.effect:
        raise Misused(f"{what} is an effect: its receipt says what happened, and can't be changed")
    if intent.kind not in ("tool", "handoff") and (intent.kind, intent.name) != ("memory", RECALL):
        raise Misused(f"{what}: only the result of a tool or a hand-off, or of `recall`, can be changed")
