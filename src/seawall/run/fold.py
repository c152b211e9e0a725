"""The fold: `apply(state, event) -> state`, and nothing else makes a state.

`apply` reads no clock, no random source, no database and no global variable. States are values: folding an event
gives a new state and leaves the old one as it was. A fold of n events takes time proportional to n.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.errors import SeawallBug
from seawall.core.events import (
    PERFORMED,
    Call,
    CommandTaken,
    ContextFolded,
    EffectMoved,
    Errand,
    Event,
    GuardSet,
    Judged,
    LimitsRaised,
    MemoryCut,
    MemoryRead,
    MemoryWritten,
    Paused,
    Planned,
    RunEnded,
    RunStarted,
    RunTaken,
    StepDeferred,
    StepDone,
    StepIntended,
    StepStatus,
    StoppedBy,
)
from seawall.core.frozen import EMPTY, FrozenDict
from seawall.core.persistent import Log
from seawall.run.branch import add_write, join
from seawall.run.commands import find_effect_in_doubt
from seawall.run.frame import (
    Frame,
    MessageRef,
    PendingCall,
    ReviewState,
    add_ask,
    apply_approval_done,
    apply_call_done,
    apply_folded,
    apply_foreign_reply,
    apply_model_done,
    apply_review_done,
    effect_state,
    find_call,
    replace_call,
    tell_frame,
)
from seawall.run.guard import FoldFailed, Guard
from seawall.run.ledger import Ledger, describe_usage_problem, find_overrun, reserve, settle
from seawall.run.lifted import answers_at_limit, is_lifted, is_raisable, leave_out_limits
from seawall.run.plan import OF_ANSWER
from seawall.run.state import BEFORE, EffectChange, PastPause, RunState, may_have_happened
from seawall.run.waste import WasteState, note_done, note_intent, note_taken

_NO_USD = Decimal(0)
ERRAND = "errand"
"""The id of an errand's call, which no model has given an id."""

Changes = dict[str, Any]
"""Fields of a `RunState` that an event changes, by name."""


def begin(started: RunStarted, guards: Sequence[Guard] = ()) -> RunState:
    """Returns the state after a run's first event. `guards` are those of the team as it is defined now."""
    root = Frame(
        id=0,
        kind="root",
        agent=started.agent,
        depth=1,
        parent=0,
        call=None,
        messages=Log([MessageRef("user", started.intent)]),
        turn=() if started.errand is None else _begin_errand(started.errand),
        fresh=(0,),
        foreign=bool(started.loop),
    )
    return RunState(
        started=replace(started, guards=FrozenDict(started.guards)),
        seq=1,
        frames=MappingProxyType({0: root}),
        modes=MappingProxyType(dict(started.guards)),
        left_s=started.limits.active_s,
        memories=MappingProxyType({guard.memory_key: _start(guard) for guard in guards}),
    )


def _begin_errand(errand: Errand) -> tuple[PendingCall, ...]:
    """Returns the one call that an errand begins with."""
    return (PendingCall(Call(ERRAND, errand.tool, errand.arguments, errand.seal)),)


def _start(guard: Guard) -> Any:
    try:
        return guard.start()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- fail closed: the gate halts a run that this guard can't judge
        return FoldFailed(guard.name, error)


def fold(events: Iterable[Event], guards: Sequence[Guard] = ()) -> RunState:
    """Returns the state after `events`, the first of which is `RunStarted`. Raises `SeawallBug` if it is not."""
    iterator = iter(events)
    first = next(iterator, None)
    if not isinstance(first, RunStarted):
        raise SeawallBug(f"a run's first event is {type(first).__name__}, not RunStarted")
    state = begin(first, guards)
    for event in iterator:
        state = apply(state, event, guards)
    return state


def apply(state: RunState, event: Event, guards: Sequence[Guard] = ()) -> RunState:
    """Returns the state after `event`. Pure; an event that comes late or that this fold does not know changes only
    `seq`.
    """
    if isinstance(event, LimitsRaised):
        return _apply_raised(state, event, guards)
    changes = _compute_changes(state, event)
    if state.before_halt is not None:
        changes["before_halt"] = _apply_behind(state.before_halt, event, guards)
    memories = _fold_guards(state, event, guards)
    if memories is not state.memories:
        changes["memories"] = memories
    changes["seq"] = state.seq + 1
    return replace(state, **changes)


def _apply_behind(before: RunState, event: Event, guards: Sequence[Guard]) -> RunState:
    """Returns the run as if it had not been halted, with all later events except for the halt and the end."""
    return before if is_lifted(event) else apply(before, event, guards)


def _apply_raised(state: RunState, event: LimitsRaised, guards: Sequence[Guard]) -> RunState:
    """Returns the run with other limits. A halted run goes on from before the halt. Steps that were in flight then are
    closed as after a crash. If an effect was settled since then, its new state holds.
    """
    went_on = state if state.before_halt is None else state.before_halt
    for step in () if went_on is state else sorted(went_on.open.values(), key=lambda step: step.step):
        for done in _close_cut(went_on, step, event):
            went_on = apply(went_on, done, guards)
    if event.note is not None:
        merged = state.ended is not None and bool(state.ended.memory)
        if has_answered(state):
            went_on = _ask_to_go_on(went_on, event.note, merged=merged)
        else:
            went_on = _lift_closing(went_on, event.note)
        if state.started.loop:  # the outside loop asks again for steps that were not made
            went_on = replace(went_on, plan=replace(went_on.plan, skipped=EMPTY, cut=EMPTY))
    limits, before = event.limits, state.started.limits
    return replace(
        went_on,
        started=replace(state.started, limits=limits),
        seq=state.seq + 1,
        left_s=state.left_s + limits.active_s - before.active_s,
        raised=(*state.raised, event),
        memories=_fold_guards(went_on, event, guards),
    )


def has_answered(state: RunState) -> bool:
    """Returns whether a run has ended with an answer, or has nothing left to do except to end with its answer."""
    if state.ended is not None:
        return state.ended.status == "completed"
    root = state.frames[0]
    return root.answer is not None and not root.turn and root.own_step is None


def _ask_to_go_on(state: RunState, note: Ref, *, merged: bool) -> RunState:
    """Returns a run that had answered at its limit, in which the coordinator is asked to go on after its answer."""
    root, plan = state.frames[0], state.plan
    earlier = root.answer if plan.course == "team" else plan.earlier
    root = replace(
        root,
        own_step=None,
        turn=(),
        answer=None,
        failure=None,
        has_replied_last=False,
        review=ReviewState(),
        messages=root.messages.append(MessageRef("user", note)),
        memory={} if merged else root.memory,
    )
    plan = replace(
        plan,
        course="team",
        pruned=tuple(name for name in leave_out_limits(plan.pruned) if name not in OF_ANSWER),
        unreviewed=frozenset(),
        answer=None,
        earlier=earlier,
        made_of=(),
        closing=EMPTY,
        lacks=(),
    )
    frames = {**state.frames, 0: root} if state.started.loop else {0: root}
    return replace(state, frames=MappingProxyType(frames), plan=plan)


def _lift_closing(state: RunState, note: Ref) -> RunState:
    """Returns a run in which no frame has to answer with what it has. Agents that were told to do so are told that they
    may go on.
    """
    frames, plan = dict(state.frames), state.plan
    for number, frame in state.frames.items():
        if state.is_closing(number):
            frames[number] = replace(tell_frame(frame, (note,)), has_replied_last=False)
    reasons = {closed.reason for closed in plan.closing.values()}
    lacks = tuple(reason for reason in plan.lacks if reason not in reasons)
    plan = replace(
        plan, closing=EMPTY, lacks=lacks, pruned=plan.pruned if lacks else leave_out_limits(plan.pruned)
    )
    return replace(state, frames=MappingProxyType(frames), plan=plan)


def _close_cut(state: RunState, step: StepIntended, event: LimitsRaised) -> Iterator[StepDone]:
    """Yields the result of a step that a halt cut off. Hand-offs and reviews get none, because they go on."""
    done = StepDone(at=event.at, step=step.step, status="withdrawn", left_s=state.left_s)
    if step.kind == "approval":  # its proposal became void with the end, and is made again
        effect = find_effect_in_doubt(state, step)
        yield done if effect is None else _settle_cut(state, effect, done)
    elif step.kind in PERFORMED and step.perform:
        lost = not step.effect or step.step in event.again
        settled = _settle_cut(state, step.step, replace(done, status="unknown", error="unknown"))
        yield replace(done, status="lost", error="lost") if lost and settled.status == "unknown" else settled


def _settle_cut(state: RunState, effect: int, done: StepDone) -> StepDone:
    """Returns `done` or, if the effect was settled since, the result with its final state."""
    change = state.find_effect(effect)
    if change is not None and change.state == "committed":
        return replace(done, status="ok", error=None, output=change.receipt)
    if change is not None and change.state == "failed":
        status: StepStatus = "refused" if done.status == "withdrawn" else "error"
        return replace(done, status=status, error="not_done", output=change.receipt)
    return done


def _compute_changes(state: RunState, event: Event) -> Changes:
    match event:
        case StepIntended():
            return _apply_intended(state, event)
        case StepDone():
            return _apply_done(state, event)
        case Judged():
            return _apply_judged(state, event)
        case RunTaken():
            return _apply_taken(state, event)
        case CommandTaken():
            cancelled = event if event.command == "cancel" else state.cancelled
            stopped = event if event.stop and event.approved is False else state.stopped
            return {"inbox": event.inbox, "cancelled": cancelled, "stopped": stopped}
        case EffectMoved():
            return _move_effect(state, event)
        case MemoryRead() | MemoryWritten() | MemoryCut():
            return _apply_memory(state, event)
        case ContextFolded():
            return _apply_folded(state, event)
        case GuardSet() | Planned() | StepDeferred():
            return _apply_steering(state, event)
        case Paused():
            return {"paused": (*state.paused, event), "left_s": event.left_s}
        case RunEnded():
            ended: Changes = {
                "ended": event,
                "frames": EMPTY,
                "open": EMPTY,
                "deferred": EMPTY,
                "left_s": event.left_s,
            }
            return {**ended, "before_halt": state} if answers_at_limit(event) else ended
        case _:  # `RunStarted` made the state, and a late result changes nothing
            return {}


def _apply_steering(state: RunState, event: GuardSet | Planned | StepDeferred) -> Changes:
    """Returns the changes by events that steer a run: a guard's mode, the planner's decision, or a step that waits for
    an endpoint.
    """
    if isinstance(event, StepDeferred):
        return {"deferred": MappingProxyType(state.deferred | {(event.frame, event.call): event})}
    if isinstance(event, GuardSet):
        return {"modes": MappingProxyType(state.modes | {event.guard: event.mode})}
    if event.mode != "enforce":
        return {}
    changes: Changes = {"plan": state.plan.with_pruning(event, state.call_key(event.frame, event.call))}
    if event.action in ("fallback", "partial") and state.deferred:
        changes["deferred"] = EMPTY
    if event.action == "close" and event.note is not None:
        changes["frames"] = _tell_below(state, event.frame, event.note)
    return changes


def _tell_below(state: RunState, top: int, note: Ref) -> MappingProxyType[int, Frame]:
    """Tells a frame, and the frames below it, that they can answer only once more."""
    frames = {
        number: tell_frame(frame, (note,)) if top in state.walk_up(number) else frame
        for number, frame in state.frames.items()
    }
    return MappingProxyType(frames)


def _apply_folded(state: RunState, event: ContextFolded) -> Changes:
    frame = state.frames.get(event.frame)
    if frame is None:
        return {}
    return {"frames": MappingProxyType(state.frames | {frame.id: apply_folded(frame, event)})}


def _apply_taken(state: RunState, event: RunTaken) -> Changes:
    """Begins a new segment. The pauses that held the run are over; a pause that still holds is recorded again."""
    past = tuple(
        PastPause(pause.what, pause.by, pause.why, round(max(0.0, event.at - pause.at), 3))
        for pause in state.paused
    )
    return {
        "epoch": event.epoch,
        "left_s": event.left_s,
        "history": event.history or state.history,
        "paused": (),
        "past_pauses": state.past_pauses + past,
        "memory": event.memory or state.memory,
        "waste": note_taken(state.waste, event, state.steps),
        **({"reads": MappingProxyType(state.reads | {BEFORE: event.read})} if event.read else {}),
        **(_tell_facts(state, event) if event.facts or event.behind else {}),
        **(_tell_changes(state, event) if event.changed else {}),
    }


def _tell_changes(state: RunState, event: RunTaken) -> Changes:
    """Tells every agent at work about changes of the memory that the run has read."""
    frames = {
        number: frame if frame.kind == "review" else tell_frame(frame, event.changed)
        for number, frame in state.frames.items()
    }
    return {"frames": MappingProxyType(frames)}


def _apply_memory(state: RunState, event: MemoryRead | MemoryWritten | MemoryCut) -> Changes:
    match event:
        case MemoryRead():
            return _apply_read(state, event)
        case MemoryWritten():
            return _apply_written(state, event)
        case MemoryCut():
            return _apply_cut(state, event)


def _apply_read(state: RunState, event: MemoryRead) -> Changes:
    before = state.reads.get(event.step, ())
    numbers = tuple(dict.fromkeys((*before, *event.entries)))
    changes: Changes = {"reads": MappingProxyType(state.reads | {event.step: numbers})}
    step = state.open.get(event.step)
    frame = None if step is None else state.frames.get(step.frame)
    if frame is not None and event.written:
        frame = replace(frame, seen=frame.seen.union(event.written))
        changes["frames"] = MappingProxyType(state.frames | {frame.id: frame})
    return changes


def _apply_written(state: RunState, event: MemoryWritten) -> Changes:
    step = state.open.get(event.step)
    frame = None if step is None else state.frames.get(step.frame)
    if step is None or frame is None:
        return {}
    frame = replace(frame, memory=add_write(frame.memory, event, step.agent))
    return {"frames": MappingProxyType(state.frames | {frame.id: frame})}


def _apply_cut(state: RunState, event: MemoryCut) -> Changes:
    """Drops all approvals and open questions, because memory that the run has read was reverted after they were
    asked.
    """
    frames = {number: _void_grants(frame) for number, frame in state.frames.items()}
    return {
        "cut": tuple(dict.fromkeys((*state.cut, *event.entries))),
        "cut_texts": tuple(dict.fromkeys((*state.cut_texts, *event.told))),
        "frames": MappingProxyType(frames),
        "holds": MappingProxyType(dict.fromkeys(state.holds, ())),
    }


def _void_grants(frame: Frame) -> Frame:
    return replace(frame, grant=None, turn=tuple([replace(each, grant=None) for each in frame.turn]))


def _tell_facts(state: RunState, event: RunTaken) -> Changes:
    """Adds, before the request, the texts about what has happened since the session's conversation."""
    root = state.frames[0]
    told = [MessageRef("user", ref) for ref in event.facts]
    root = replace(root, messages=Log([*told, *root.messages]))
    frames = MappingProxyType(state.frames | {0: root})
    return {"facts": event.facts, "behind": MappingProxyType(dict(event.behind)), "frames": frames}


def _fold_guards(state: RunState, event: Event, guards: Sequence[Guard]) -> MappingProxyType[str, Any]:
    """Returns the memories of the guards after `event`; the same mapping if nothing changed."""
    if isinstance(event, (RunTaken, RunEnded)) and event.handover:
        event = replace(event, handover=FrozenDict(event.handover))
    changed: dict[str, Any] | None = None
    for guard in guards:
        key = guard.memory_key
        memory = state.memories.get(key)
        if isinstance(memory, FoldFailed):
            continue
        try:
            new = guard.fold(memory, event, state)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 -- the run's own state must fold on; the gate halts it
            new = FoldFailed(guard.name, error)
        if new is not memory:
            changed = state.memories.copy() if changed is None else changed
            changed[key] = new
    return state.memories if changed is None else MappingProxyType(changed)


def _move_effect(state: RunState, event: EffectMoved) -> Changes:
    change = next((change for change in state.effects if change.step == event.step), None)
    if change is None:
        return {}
    return _note_effect(state, replace(change, state=event.state, at=event.at, receipt=event.receipt))


def _note_effect(state: RunState, change: EffectChange) -> Changes:
    return {"effects": state.effects.append(change), "attempts": state.attempts.put(change.key, change)}


def _apply_intended(state: RunState, step: StepIntended) -> Changes:
    changes: Changes = {
        "steps": max(state.steps, step.step),
        "open": MappingProxyType(state.open | {step.step: step}),
        "plan": state.plan.with_intent(step),
    }
    if step.effect:
        changes["waste"] = note_intent(state.waste, step)
    if step.perform:
        changes["ledger"] = reserve(state.ledger, step)
    if (step.frame, step.call) in state.deferred:
        changes["deferred"] = _drop_deferred(state, step.frame, step.call)
    if step.perform and step.effect:
        key = state.call_key(step.frame, step.call)
        change = EffectChange(
            key,
            step.step,
            step.name,
            "attempting",
            step.at,
            None,
            step.identity,
            step.key,
            step.input,
            step.seal,
        )
        changes |= _note_effect(state, change)
    frame = state.frames.get(step.frame)
    if frame is None:
        return changes
    if frame.foreign and step.call is not None:
        fresh = () if step.kind == "model" else frame.fresh
        call = Call(step.call, step.name, step.input or Ref(""), step.seal)
        frame = add_ask(frame, call, step.step, fresh)
    elif step.kind == "model":
        frame = replace(frame, own_step=step.step, fresh=(), grant=None)
    elif step.kind == "review":
        frame = replace(frame, own_step=step.step, grant=None)
    elif step.call is not None:
        frame = replace_call(frame, step.call, step=step.step)
    elif step.kind == "approval":
        frame = replace(frame, own_step=step.step)
    frames = state.frames | {frame.id: frame}
    if step.perform and step.kind in ("handoff", "review") and step.input is not None:
        frames[step.step] = Frame(
            id=step.step,
            kind="handoff" if step.kind == "handoff" else "review",
            agent=step.name,
            depth=step.depth,
            parent=step.frame,
            call=step.call,
            messages=Log([MessageRef("user", step.input)]),
            fresh=(step.step,),
            foreign=frame.foreign,
        )
    changes["frames"] = MappingProxyType(frames)
    return changes


def _apply_done(state: RunState, done: StepDone) -> Changes:
    step = state.open.get(done.step)
    if step is None:  # the step has a result already: the first one counts
        return {}
    remaining = state.open.copy()
    del remaining[done.step]
    changes: Changes = {
        "open": MappingProxyType(remaining),
        "plan": state.plan.with_result(done, step),
        "left_s": done.left_s or state.left_s,
    }
    ledger = state.ledger
    if step.perform:
        ledger = changes["ledger"] = settle(ledger, step, done)
        if step.kind == "model":
            changes |= _note_report(state, step, done)
    changes["waste"] = _note_waste(state, step, done, ledger)
    if step.perform and step.effect:
        key = state.call_key(step.frame, step.call)
        fate = effect_state(done)
        if fate == "failed" and may_have_happened(state, step.frame, step.call):
            fate = "unknown"
        receipt = done.output if fate == "committed" else None
        change = EffectChange(
            key, step.step, step.name, fate, done.at, receipt, step.identity, step.key, step.input, step.seal
        )
        changes |= _note_effect(state, change)
    if step.step in state.holds:
        changes["holds"] = MappingProxyType({n: held for n, held in state.holds.items() if n != step.step})
    frames = state.frames.copy()
    below = frames.pop(done.step, None) if step.kind in ("handoff", "review") else None
    frame = frames.get(step.frame)
    if frame is not None:
        if below is not None and below.memory and done.status == "ok":
            frame = replace(frame, memory=join(frame.memory, below.memory), seen=frame.seen | below.seen)
        frames[frame.id] = _answer_frame(frame, step, done, state.holds.get(step.step, ()))
        if state.started.errand is not None and frame.id == 0 and not frames[0].turn:
            changes["answered"] = done
        if below is not None and state.deferred:
            changes["deferred"] = _drop_deferred(state, below.id)
    changes["frames"] = MappingProxyType(frames)
    return changes


def _note_waste(state: RunState, step: StepIntended, done: StepDone, ledger: Ledger) -> WasteState:
    frame, before = state.frames.get(step.frame), state.ledger
    books = step.kind == "model"  # nothing else costs tokens or dollars
    return note_done(
        state.waste,
        step,
        done,
        tokens=ledger.tokens - before.tokens if books else 0,
        usd=ledger.usd - before.usd if books else _NO_USD,
        parent=0 if frame is None else frame.parent,
        steps=state.steps,
    )


def _drop_deferred(
    state: RunState, frame: int, call: str | None = None
) -> MappingProxyType[Any, StepDeferred]:
    """Returns the deferred steps without the step of one call or, if a frame has ended, without all of its steps."""
    left = {
        key: event
        for key, event in state.deferred.items()
        if key[0] != frame or (call is not None and key[1] != call)
    }
    return MappingProxyType(left)


def _note_report(state: RunState, step: StepIntended, done: StepDone) -> Changes:
    """Returns the changes by what is reported of a model call, besides those of the ledger: none, if its usage report is
    in order and its text was not passed on early.
    """
    changes: Changes = {}
    if done.delivered:
        changes["delivered"] = True
    if problem := describe_usage_problem(step, done):
        text = f"step {step.step}, model {step.name!r}: {problem}"
        changes["overrun"] = state.overrun or find_overrun(step, done)
        changes["usage_problems"] = state.usage_problems.append(text)
    return changes


def _answer_frame(frame: Frame, step: StepIntended, done: StepDone, held_by: tuple[str, ...]) -> Frame:
    """Returns the frame with the result of one of its steps, which the guards `held_by` held."""
    if step.kind == "model":
        return (apply_foreign_reply if frame.foreign else apply_model_done)(frame, step, done)
    if step.kind == "review":
        return apply_review_done(frame, done)
    if step.kind == "approval":
        return apply_approval_done(frame, step, done, held_by)
    return frame if step.call is None else apply_call_done(frame, step, done)


def _apply_judged(state: RunState, event: Judged) -> Changes:
    if event.mode != "enforce":
        return {}
    if event.verdict == "halt":
        if state.halted is not None:
            return {}
        return {"halted": event, "before_halt": state if is_raisable(event) else None}
    step = state.open.get(event.step)
    frame = None if step is None else state.frames.get(step.frame)
    if step is None or frame is None:
        return {}
    if event.verdict == "hold" and step.kind == "approval":
        held = (*state.holds.get(event.step, ()), event.guard)
        return {"holds": MappingProxyType(state.holds | {event.step: held})}
    if event.verdict == "refuse" and event.stage == "before" and step.call is None:
        refusal = StoppedBy(event.guard, event.reason, event.step, event.limit, event.value)
        frame = replace(frame, refusal=refusal)
    elif event.verdict != "advise" or event.note is None or step.kind == "approval":
        return {}  # a held step is judged again once it may go on, and advice is given then
    elif step.call is None:
        message = MessageRef("user", event.note, event.step)
        advised = frame.advised | {(event.guard, event.limit)}
        frame = replace(frame, messages=frame.messages.append(message), advised=advised)
    else:
        pending = find_call(frame, step.call)
        if pending is None or event.note in pending.notes:
            return {}
        frame = replace_call(frame, step.call, notes=(*pending.notes, event.note))
    return {"frames": MappingProxyType(state.frames | {frame.id: frame})}
