"""The state of a run is a fold over its events: `apply(state, event) -> state`, and nothing else.

`apply` reads no clock, no random source, no database and no global. States are values: folding an event
gives a new one and leaves the old one as it was. A fold of n events takes time proportional to n.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.errors import SeawallBug
from seawall.core.events import (
    CommandTaken,
    EffectMoved,
    EffectState,
    Event,
    GuardSet,
    Judged,
    Mode,
    Paused,
    RunEnded,
    RunStarted,
    RunTaken,
    StepDone,
    StepIntended,
    StoppedBy,
)
from seawall.core.log import Log
from seawall.run.frame import (
    Frame,
    Line,
    approval_done,
    call_done,
    close_turn,
    effect_state,
    model_done,
    review_done,
    with_slot,
)
from seawall.run.guard import Guard
from seawall.run.ledger import Ledger, reserve, settle
from seawall.run.plan import Plan, follow
from seawall.run.verdict import Halt, said


class EffectChange(msgspec.Struct, frozen=True):
    """An effect came into a state. A second attempt after a crash has the same key and another step."""

    key: str
    step: int
    tool: str
    state: EffectState


class Stood(msgspec.Struct, frozen=True):
    """A brake that held the run for a while."""

    what: str
    by: str
    why: str
    seconds: float
    """By the wall clock, from the moment in which the run was parked; 0 for one that holds it still."""


class FoldFailed(msgspec.Struct, frozen=True):
    """Stands where a guard's memory would be: its fold raised, so it can judge nothing more of this run."""

    guard: str
    error: str

    @property
    def verdict(self) -> Halt:
        """Fail closed."""
        return Halt(f"guard {self.guard!r} raised while it took in an event: {self.error}")


class RunState(msgspec.Struct, frozen=True):
    """Everything that `decide` may look at."""

    started: RunStarted
    seq: int = 0
    """Events folded: the next one's seq."""
    steps: int = 0
    """Steps so far; ids count from 1."""
    frames: dict[int, Frame] = {}
    open: dict[int, StepIntended] = {}
    """Steps without a result: in flight, waiting, or hand-offs whose frame is at work."""
    ledger: Ledger = Ledger()
    modes: dict[str, Mode] = {}
    halted: Judged | None = None
    cancelled: CommandTaken | None = None
    ended: RunEnded | None = None
    inbox: int = -1
    epoch: int = 0
    history: Ref | None = None
    """The session's conversation before this run."""
    left_s: float = 0.0
    effects: Log[EffectChange] = Log()
    """What became of effects, oldest first; the last change of a key holds."""
    paused: tuple[Paused, ...] = ()
    """The brakes under which the run is parked."""
    stood: tuple[Stood, ...] = ()
    """Brakes that held it before."""
    memos: dict[str, Any] = {}
    """What each guard remembers, by its name."""
    plan: Plan = Plan()

    @property
    def pruned(self) -> tuple[str, ...]:
        """What the planner left out, because it did not fit the time."""
        return self.plan.pruned

    @property
    def approvals(self) -> list[StepIntended]:
        """Approval steps that wait for a person."""
        return [step for step in self.open.values() if step.kind == "approval"]

    @property
    def waits(self) -> bool:
        """Whether nothing can go on before a person decides, or lifts a brake."""
        return self.ended is None and not self.in_flight and bool(self.approvals or self.paused)

    @property
    def in_flight(self) -> list[StepIntended]:
        """Steps that are being performed."""
        return [step for step in self.open.values() if step.kind in ("model", "tool") and step.perform]

    def effect_states(self) -> list[EffectChange]:
        """The newest change of each effect."""
        return list({change.key: change for change in self.effects}.values())


def begin(started: RunStarted, guards: Sequence[Guard] = ()) -> RunState:
    """The state after a run's first event. `guards` are today's."""
    root = Frame(
        id=0,
        kind="root",
        agent=started.agent,
        depth=1,
        parent=0,
        call=None,
        messages=Log([Line("user", started.intent)]),
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
        return FoldFailed(guard.name, said(error))


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
    memos, plan = _remember(state, event, guards), follow(state, event)
    match event:
        case StepIntended():
            state = _intended(state, event)
        case StepDone():
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
            Stood(brake.what, brake.by, brake.why, round(max(0.0, event.at - brake.at), 3))
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
            new = FoldFailed(guard.name, said(error))
        if new is not memo:
            changed = dict(state.memos) if changed is None else changed
            changed[guard.name] = new
    return state.memos if changed is None else changed


def _moved(effects: Log[EffectChange], event: EffectMoved) -> Log[EffectChange]:
    change = next((change for change in effects if change.step == event.step), None)
    return effects if change is None else effects.append(replace(change, state=event.state))


def effect_key(state: RunState, frame: int, call: str | None) -> str:
    """What makes an attempt the same effect within a run: the reply that asked for it, and its call."""
    asked = state.frames.get(frame)
    return f"{0 if asked is None else asked.said}:{call}"


def _with_frame(state: RunState, frame: Frame, **changes: Any) -> RunState:
    return replace(state, frames={**state.frames, frame.id: frame}, **changes)


def _intended(state: RunState, step: StepIntended) -> RunState:
    ledger = reserve(state.ledger, step) if step.perform else state.ledger
    effects = state.effects
    if step.effect and step.perform:
        effects = effects.append(
            EffectChange(effect_key(state, step.frame, step.call), step.step, step.name, "attempting")
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
        frame = with_slot(frame, step.call, step=step.step)
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
            messages=Log([Line("user", step.input)]),
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
        change = EffectChange(
            effect_key(state, step.frame, step.call), step.step, step.name, effect_state(done)
        )
        effects = effects.append(change)
    state = replace(state, open=remaining, ledger=ledger, effects=effects, left_s=done.left_s or state.left_s)
    if step.kind in ("handoff", "review") and done.step in state.frames:
        frames = {number: frame for number, frame in state.frames.items() if number != done.step}
        state = replace(state, frames=frames)
    frame = state.frames.get(step.frame)
    if frame is None:
        return state
    if step.kind == "model":
        frame = model_done(frame, step, done)
    elif step.kind == "review":
        frame = review_done(frame, done)
    elif step.kind == "approval":
        frame = approval_done(frame, step, done)
    elif step.call is not None:
        frame = call_done(frame, step, done)
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
        line = Line("user", event.note, event.step)
        return _with_frame(state, replace(frame, messages=frame.messages.append(line)))
    slot = next((slot for slot in frame.turn if slot.call.id == step.call), None)
    if slot is None or event.note in slot.notes:
        return state
    return _with_frame(state, with_slot(frame, step.call, notes=(*slot.notes, event.note)))
