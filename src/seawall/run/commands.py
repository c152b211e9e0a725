"""Turns the commands of a run's inbox into events: a cancellation, a person's decision, a late receipt. Pure."""

from __future__ import annotations

from seawall.core.events import REJECTED, CommandTaken, EffectMoved, Event, StepDone, StepIntended, StepStatus
from seawall.journal.protocol import InboxItem
from seawall.run.bodies import Bodies
from seawall.run.fingerprint import compute_rejection_fingerprint
from seawall.run.frame import find_call
from seawall.run.state import RunState


def take_command(item: InboxItem, state: RunState, bodies: Bodies, now: float, left_s: float) -> list[Event]:
    """Returns the events for a command from the inbox: that it was taken, and its immediate consequences."""
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
        proposal=command.proposal,
        edit=command.edit,
        stop=command.stop,
    )
    if command.kind in ("late", "settled"):
        return [event, *_apply_settled(item, state, bodies, now, left_s)]
    if command.kind != "decide":
        return [event]
    return [event, *_apply_decision(item, state, bodies, now, left_s)]


def _apply_settled(
    item: InboxItem, state: RunState, bodies: Bodies, now: float, left_s: float
) -> list[Event]:
    """Returns the events that follow when an effect was settled: an effect of the run, or one that it waits for."""
    command = item.command
    if command.step is None:
        return []
    waiting = state.open.get(command.step)
    if waiting is not None and waiting.waits_for:
        return [StepDone(at=now, step=waiting.step, status="withdrawn", left_s=left_s)]
    done = command.kind == "late" or bool(command.approved)
    output = command.output
    if output is None:
        what = "it happened" if done else "it did not happen"
        text = f"The fate of this effect was not known. {command.by or 'Somebody'} checked: {what}. {command.reason}"
        output = bodies.put(text.strip())
    moved = EffectMoved(at=now, step=command.step, state="committed" if done else "failed", receipt=output)
    asked = find_fate_approval(state, command.step)
    if asked is None:
        return [moved]
    status, error = ("ok", None) if done else ("refused", "not_done")
    return [moved, StepDone(at=now, step=asked, status=status, output=output, error=error, left_s=left_s)]


def _apply_decision(
    item: InboxItem, state: RunState, bodies: Bodies, now: float, left_s: float
) -> list[Event]:
    """Returns the events that follow from a person's decision for the approval step that waited for it."""
    command = item.command
    step = state.open.get(command.step or 0)
    if step is None or step.kind != "approval" or command.approved is None:
        return []
    if step.waits_for or step.proposal != command.proposal:  # no person is asked, or on another proposal
        return []
    settles = find_effect_in_doubt(state, step)
    by = command.by or "somebody"
    late = any(change.step == settles and change.state == "committed" for change in state.effect_states())
    approved = command.approved or late
    if late:  # a receipt that came meanwhile counts more than the person's decision
        text = f"The receipt of this effect came late: it happened. {command.reason}".strip()
    elif settles is not None:
        what = "it happened" if command.approved else "it did not happen"
        text = f"The fate of this effect was not known. {by} checked: {what}. {command.reason}".strip()
    elif command.approved and command.edit is not None:
        text = (
            f"{by} approved this call with other arguments, and it was made with these: "
            f"{bodies.text(command.edit)} {command.reason}"
        ).strip()
    elif command.proposal and not command.by:
        text = f"Not approved in time: {command.reason}."
    else:
        text = f"{'Approved' if command.approved else 'Refused'} by {by}. {command.reason}".strip()
    output = command.output or bodies.put(text)
    status: StepStatus = "ok" if approved else "refused"
    error = None if approved else REJECTED
    fingerprint = None
    if not approved and settles is None:
        fingerprint = compute_rejection_fingerprint(step.name, step.likeness)
    done = StepDone(
        at=now,
        step=step.step,
        status=status,
        output=output,
        fingerprint=fingerprint,
        error=error,
        proposal=command.proposal,
        edit=command.edit,
        left_s=left_s,
    )
    if settles is None:
        return [done]
    moved = EffectMoved(at=now, step=settles, state="committed" if approved else "failed", receipt=output)
    return [moved, done]


def find_effect_in_doubt(state: RunState, approval: StepIntended) -> int | None:
    """Returns the unknown effect step that this approval step asks about; None if it asks whether a step may be
    made.
    """
    frame = state.frames.get(approval.frame)
    pending = None if frame is None else find_call(frame, approval.call)
    return None if pending is None else pending.unknown


def find_fate_approval(state: RunState, effect: int) -> int | None:
    """Returns the approval step that asks what became of effect step `effect`; None if there is none."""
    for frame in state.frames.values():
        for pending in frame.turn:
            if pending.unknown == effect:
                open_ = (
                    step for step in state.approvals if (step.frame, step.call) == (frame.id, pending.call.id)
                )
                return next((step.step for step in open_), None)
    return None
