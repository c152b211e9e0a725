"""Turns the commands of a run's inbox into events: a cancellation, a person's decision, a late receipt. Pure."""

from __future__ import annotations

from seawall.core.events import CommandTaken, EffectMoved, Event, StepDone, StepIntended, StepStatus
from seawall.journal.protocol import InboxItem
from seawall.run.bodies import Bodies
from seawall.run.frame import find_call
from seawall.run.state import RunState


def take_command(item: InboxItem, state: RunState, bodies: Bodies, now: float, left_s: float) -> list[Event]:
    """Returns a command from the inbox, and what follows from it at once, as events."""
    command = item.command
    event = CommandTaken(
        at=now,
        inbox=item.number,
        command=command.kind,
        by=command.by,
        reason=bodies.redact(command.reason),
        step=command.step,
        approved=command.approved,
        output=command.output,
    )
    if command.kind == "late":
        return [event, *_apply_receipt(item, state, now, left_s)]
    if command.kind != "decide":
        return [event]
    return [event, *_apply_decision(item, state, bodies, now, left_s)]


def _apply_receipt(item: InboxItem, state: RunState, now: float, left_s: float) -> list[Event]:
    """A receipt that came late settles the effect, whatever a person decided about it meanwhile."""
    effect, output = item.command.step, item.command.output
    if effect is None:
        return []
    moved = EffectMoved(at=now, step=effect, state="committed", receipt=output)
    waits = find_fate_approval(state, effect)
    if waits is None:
        return [moved]
    return [moved, StepDone(at=now, step=waits, status="ok", output=output, left_s=left_s)]


def _apply_decision(
    item: InboxItem, state: RunState, bodies: Bodies, now: float, left_s: float
) -> list[Event]:
    """Returns what a person's decision does to the approval step that waited for it."""
    command = item.command
    step = state.open.get(command.step or 0)
    if step is None or step.kind != "approval" or command.approved is None:
        return []
    settles = find_effect_in_doubt(state, step)
    by = command.by or "somebody"
    late = any(change.step == settles and change.state == "committed" for change in state.effect_states())
    approved = command.approved or late
    if late:  # a receipt that came meanwhile knows better than whoever decides
        text = f"The receipt of this effect came late: it happened. {command.reason}".strip()
    elif settles is not None:
        what = "it happened" if command.approved else "it did not happen"
        text = f"The fate of this effect was not known. {by} checked: {what}. {command.reason}".strip()
    else:
        text = f"{'Approved' if command.approved else 'Refused'} by {by}. {command.reason}".strip()
    output = command.output or bodies.put(text)
    status: StepStatus = "ok" if approved else "refused"
    error = None if approved else "rejected"
    done = StepDone(at=now, step=step.step, status=status, output=output, error=error, left_s=left_s)
    if settles is None:
        return [done]
    moved = EffectMoved(at=now, step=settles, state="committed" if approved else "failed", receipt=output)
    return [moved, done]


def find_effect_in_doubt(state: RunState, approval: StepIntended) -> int | None:
    """Returns the effect step whose fate this approval step asks for; None if it asks whether a step may be made."""
    frame = state.frames.get(approval.frame)
    pending = None if frame is None else find_call(frame, approval.call)
    return None if pending is None else pending.unknown


def find_fate_approval(state: RunState, effect: int) -> int | None:
    """Returns the approval step that asks for the fate of effect step `effect`; None if there is none."""
    for frame in state.frames.values():
        for pending in frame.turn:
            if pending.unknown == effect:
                open_ = (
                    step for step in state.approvals if (step.frame, step.call) == (frame.id, pending.call.id)
                )
                return next((step.step for step in open_), None)
    return None
