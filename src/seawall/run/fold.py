"""The fold: `apply(state, event) -> state`, and nothing else makes a state.

`apply` reads no clock, no random source, no database and no global variable. States are values: folding an event
gives a new state and leaves the old one as it was. A fold of n events takes time proportional to n.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from seawall.core.errors import SeawallBug, describe_error
from seawall.core.events import (
    CommandTaken,
    EffectMoved,
    Event,
    GuardSet,
    Judged,
    Paused,
    Planned,
    RunEnded,
    RunStarted,
    RunTaken,
    StepDone,
    StepIntended,
    StoppedBy,
)
from seawall.core.persistent import Log
from seawall.run.frame import (
    Frame,
    MessageRef,
    apply_approval_done,
    apply_call_done,
    apply_model_done,
    apply_review_done,
    close_turn,
    effect_state,
    replace_call,
)
from seawall.run.guard import FoldFailed, Guard
from seawall.run.ledger import reserve, settle
from seawall.run.state import EffectChange, PastPause, RunState


def begin(started: RunStarted, guards: Sequence[Guard] = ()) -> RunState:
    """The state after a run's first event. `guards` are today's."""
    root = Frame(
        id=0,
        kind="root",
        agent=started.agent,
        depth=1,
        parent=0,
        call=None,
        messages=Log([MessageRef("user", started.intent)]),
        fresh=(0,),
    )
    return RunState(
        started=started,
        seq=1,
        frames={0: root},
        modes=dict(started.guards),
        left_s=started.limits.active_s,
        memos={guard.name: _started(guard) for guard in guards},
    )


def _started(guard: Guard) -> Any:
    try:
        return guard.start()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- fail closed: the gate halts what this guard can't judge
        return FoldFailed(guard.name, describe_error(error))


def fold(events: Iterable[Event], guards: Sequence[Guard] = ()) -> RunState:
    """The state after `events`, the first of which is `RunStarted`. Raises `SeawallBug` if it is not."""
    iterator = iter(events)
    first = next(iterator, None)
    if not isinstance(first, RunStarted):
        raise SeawallBug(f"a run's first event is {type(first).__name__}, not RunStarted")
    state = begin(first, guards)
    for event in iterator:
        state = apply(state, event, guards)
    return state


def apply(state: RunState, event: Event, guards: Sequence[Guard] = ()) -> RunState:
    """The state after `event`. Pure; an event that is late or unknown to this fold changes nothing but seq."""
    memos, plan = _remember(state, event, guards), state.plan
    match event:
        case StepIntended():
            plan = plan.with_intent(event)
            state = _intended(state, event)
        case StepDone():
            plan = plan.with_result(event, state.open.get(event.step))
            state = _done(state, event)
        case Judged():
            state = _judged(state, event)
        case RunTaken():
            state = _taken(state, event)
        case GuardSet():
            state = replace(state, modes={**state.modes, event.guard: event.mode})
        case CommandTaken():
            cancelled = event if event.command == "cancel" else state.cancelled
            state = replace(state, inbox=event.inbox, cancelled=cancelled)
        case EffectMoved():
            state = replace(state, effects=_moved(state.effects, event))
        case Planned():
            if event.mode == "enforce":
                plan = plan.with_pruning(event, state.call_key(event.frame, event.call))
        case Paused():
            state = replace(state, paused=(*state.paused, event), left_s=event.left_s)
        case RunEnded():
            state = replace(state, ended=event, frames={}, open={}, left_s=event.left_s)
        case _:
            pass
    return replace(state, seq=state.seq + 1, memos=memos, plan=plan)


def _taken(state: RunState, event: RunTaken) -> RunState:
    """A new segment begins. The brakes that held the run are lifted, or hold it anew at once."""
    stood = state.stood
    if state.paused:
        stood += tuple(
            PastPause(brake.what, brake.by, brake.why, round(max(0.0, event.at - brake.at), 3))
            for brake in state.paused
        )
    history = event.history or state.history
    return replace(state, epoch=event.epoch, left_s=event.left_s, history=history, paused=(), stood=stood)


def _remember(state: RunState, event: Event, guards: Sequence[Guard]) -> dict[str, Any]:
    changed: dict[str, Any] | None = None
    for guard in guards:
        memo = state.memos.get(guard.name)
        if isinstance(memo, FoldFailed):
            continue
        try:
            new = guard.fold(memo, event, state)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 -- the run's own state must fold on; the gate halts it
            new = FoldFailed(guard.name, describe_error(error))
        if new is not memo:
            changed = dict(state.memos) if changed is None else changed
            changed[guard.name] = new
    return state.memos if changed is None else changed


def _moved(effects: Log[EffectChange], event: EffectMoved) -> Log[EffectChange]:
    change = next((change for change in effects if change.step == event.step), None)
    return effects if change is None else effects.append(replace(change, state=event.state))


def _with_frame(state: RunState, frame: Frame, **changes: Any) -> RunState:
    return replace(state, frames={**state.frames, frame.id: frame}, **changes)


def _intended(state: RunState, step: StepIntended) -> RunState:
    ledger = reserve(state.ledger, step) if step.perform else state.ledger
    effects = state.effects
    if step.effect and step.perform:
        effects = effects.append(
            EffectChange(state.call_key(step.frame, step.call), step.step, step.name, "attempting")
        )
    state = replace(
        state,
        steps=max(state.steps, step.step),
        open={**state.open, step.step: step},
        ledger=ledger,
        effects=effects,
    )
    frame = state.frames.get(step.frame)
    if frame is None:
        return state
    if step.kind == "model":
        frame = replace(frame, model=step.step, fresh=(), grant=None)
    elif step.kind == "review":
        frame = replace(frame, review=step.step, grant=None)
    elif step.call is not None:
        frame = replace_call(frame, step.call, step=step.step)
    elif step.kind == "approval":
        frame = replace(frame, approval=step.step)
    state = _with_frame(state, frame)
    if step.perform and step.kind in ("handoff", "review") and step.input is not None:
        child = Frame(
            id=step.step,
            kind="handoff" if step.kind == "handoff" else "review",
            agent=step.name,
            depth=step.depth,
            parent=step.frame,
            call=step.call,
            messages=Log([MessageRef("user", step.input)]),
            fresh=(step.step,),
        )
        state = _with_frame(state, child)
    return state


def _done(state: RunState, done: StepDone) -> RunState:
    step = state.open.get(done.step)
    if step is None:  # it has a result already: the first one counts
        return state
    remaining = {number: other for number, other in state.open.items() if number != done.step}
    ledger = settle(state.ledger, step, done) if step.perform else state.ledger
    effects = state.effects
    if step.effect and step.perform:
        change = EffectChange(state.call_key(step.frame, step.call), step.step, step.name, effect_state(done))
        effects = effects.append(change)
    state = replace(state, open=remaining, ledger=ledger, effects=effects, left_s=done.left_s or state.left_s)
    if step.kind in ("handoff", "review") and done.step in state.frames:
        frames = {number: frame for number, frame in state.frames.items() if number != done.step}
        state = replace(state, frames=frames)
    frame = state.frames.get(step.frame)
    if frame is None:
        return state
    if step.kind == "model":
        frame = apply_model_done(frame, step, done)
    elif step.kind == "review":
        frame = apply_review_done(frame, done)
    elif step.kind == "approval":
        frame = apply_approval_done(frame, step, done)
    elif step.call is not None:
        frame = apply_call_done(frame, step, done)
    return _with_frame(state, close_turn(frame))


def _judged(state: RunState, event: Judged) -> RunState:
    if event.mode != "enforce":
        return state
    if event.verdict == "halt":
        return state if state.halted is not None else replace(state, halted=event)
    step = state.open.get(event.step)
    frame = None if step is None else state.frames.get(step.frame)
    if step is None or frame is None:
        return state
    if event.verdict == "refuse" and event.stage == "before" and step.call is None:
        refusal = StoppedBy(event.guard, event.reason, event.step, event.limit, event.value)
        return _with_frame(state, replace(frame, refusal=refusal))
    if event.verdict != "advise" or event.note is None or step.kind == "approval":
        return state  # what is held is judged again, and advised on, once it may go on
    if step.call is None:
        line = MessageRef("user", event.note, event.step)
        return _with_frame(state, replace(frame, messages=frame.messages.append(line)))
    slot = next((slot for slot in frame.turn if slot.call.id == step.call), None)
    if slot is None or event.note in slot.notes:
        return state
    return _with_frame(state, replace_call(frame, step.call, notes=(*slot.notes, event.note)))
