"""One agent at work: its conversation, the calls that it waits for, and how results enter both. Pure.

The run's own frame is the coordinator's; each hand-off and each review opens another.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.events import Call, EffectState, StepDone, StepIntended, StepStatus, StoppedBy
from seawall.core.persistent import Log

FrameKind = Literal["root", "handoff", "review"]


class MessageRef(msgspec.Struct, frozen=True, array_like=True):
    """One message of a frame's conversation; its text is the body `ref`."""

    role: Literal["user", "assistant", "tool"]
    ref: Ref
    step: int = 0
    """The step whose result this is; 0 for the request or task."""
    call: str = ""
    name: str = ""
    notes: tuple[Ref, ...] = ()


class Grant(msgspec.Struct, frozen=True):
    """A person's approval of a step: of these arguments, for the tool as it was."""

    step: int
    """The approval step."""
    version: str
    input: Ref | None


class PendingCall(msgspec.Struct, frozen=True):
    """One call of a reply, until it is answered."""

    call: Call
    step: int | None = None
    """The step in flight for it."""
    line: MessageRef | None = None
    failures: int = 0
    retry_after_s: float | None = None
    grant: Grant | None = None
    unknown: int | None = None
    """The effect step whose fate nobody knows."""
    notes: tuple[Ref, ...] = ()


class Frame(msgspec.Struct, frozen=True):
    """One agent at work: the run's own frame, a hand-off's, or a review's."""

    id: int
    kind: FrameKind
    agent: str
    depth: int
    parent: int
    call: str | None
    messages: Log[MessageRef]
    turn: tuple[PendingCall, ...] = ()
    model: int | None = None
    """The model step in flight."""
    last_reply: int | None = None
    """The newest model step that replied."""
    failures: int = 0
    retry_after_s: float | None = None
    error: Ref | None = None
    error_kind: str | None = None
    grant: Grant | None = None
    approval: int | None = None
    """A model or review step of this frame waits for a person under this approval step."""
    answer: Ref | None = None
    fresh: tuple[int, ...] = ()
    """Steps whose results entered the context since the newest model step."""
    counted: int = 0
    """Tokens of the newest reply's context and of the reply itself, as the provider counted them."""
    counted_lines: int = 0
    counted_by: str = ""
    """Version of the agent (prompt, model, tools) that the provider counted."""
    review: int | None = None
    rounds: int = 0
    approved: bool | None = None
    refusal: StoppedBy | None = None
    """The guard that refused this frame's model or review step."""


def replace_call(frame: Frame, call: str, **changes: Any) -> Frame:
    """The frame with something changed of the call `call` of its turn."""
    turn = tuple(replace(slot, **changes) if slot.call.id == call else slot for slot in frame.turn)
    return replace(frame, turn=turn)


def effect_state(done: StepDone) -> EffectState:
    """What a result says of the effect that was attempted."""
    if done.status == "ok":
        return "committed"
    # Only an error that the tool itself reported says that nothing happened (`NotDone`).
    return "failed" if done.error == "not_done" or done.status == "withdrawn" else "unknown"


def apply_model_done(frame: Frame, step: StepIntended, done: StepDone) -> Frame:
    """A model step of the frame has a result."""
    frame = replace(frame, model=None)
    if done.status in ("lost", "withdrawn"):
        return replace(frame, fresh=(done.step,))
    if done.status == "refused" and done.error == "rejected":  # a person said no to this model call
        return replace(frame, error=done.output, error_kind="refused")
    if done.status == "replaced" and done.answer is not None:
        line = MessageRef("assistant", done.output or done.answer, done.step)
        return replace(frame, messages=frame.messages.append(line), answer=done.answer, last_reply=done.step)
    if done.status != "ok" or done.output is None:
        if done.retry:
            return replace(frame, failures=frame.failures + 1, retry_after_s=done.retry_after_s)
        return replace(frame, error=done.output, error_kind=done.error or done.status)
    lines = [MessageRef("assistant", done.output, done.step)]
    told = done.answer or done.problem
    turn: tuple[PendingCall, ...] = ()
    if told is None:
        turn = tuple(PendingCall(call) for call in done.calls)
    else:  # calls here are to the answer tool; a provider wants each of them answered
        lines += [MessageRef("tool", told, done.step, call.id, call.name) for call in done.calls]
        if done.problem is not None and not done.calls:
            lines.append(MessageRef("user", done.problem, done.step))
    # Advice on the reply itself stands before it, and was in nothing that the provider counted.
    seen = len(frame.messages) + 1 if step.context == len(frame.messages) else step.context
    return replace(
        frame,
        messages=frame.messages.append(*lines),
        turn=turn,
        last_reply=done.step,
        fresh=(done.step,),
        failures=0,
        retry_after_s=None,
        answer=done.answer,
        approved=done.approved,
        counted=done.input_tokens + done.output_tokens,
        counted_lines=seen,
        counted_by=step.version,
    )


def apply_review_done(frame: Frame, done: StepDone) -> Frame:
    """The review of what the frame answered has a result."""
    frame = replace(frame, review=None)
    if done.status == "lost":
        return frame
    if done.status not in ("ok", "replaced"):
        return replace(frame, error=done.output, error_kind=done.error or done.status)
    if done.approved:
        return replace(frame, approved=True, rounds=frame.rounds + 1)
    messages = frame.messages
    if done.output is not None:
        messages = messages.append(MessageRef("user", done.output, done.step))
    return replace(
        frame,
        approved=False,
        answer=None,
        rounds=frame.rounds + 1,
        messages=messages,
        fresh=(*frame.fresh, done.step),
    )


def apply_approval_done(frame: Frame, step: StepIntended, done: StepDone) -> Frame:
    """A person has decided on a step of the frame."""
    if step.call is None:
        frame = replace(frame, approval=None)
        if done.status == "ok":
            return replace(frame, grant=Grant(step.step, step.version, step.input))
        return replace(frame, error=done.output, error_kind="refused")
    slot = next((slot for slot in frame.turn if slot.call.id == step.call), None)
    if slot is None:
        return frame
    if slot.unknown is None and done.status == "ok":
        return replace_call(frame, step.call, step=None, grant=Grant(step.step, step.version, step.input))
    line = MessageRef("tool", done.output or Ref(""), step.step, step.call, slot.call.name, slot.notes)
    frame = replace_call(frame, step.call, step=None, unknown=None, line=line)
    return replace(frame, fresh=(*frame.fresh, step.step))


def apply_call_done(frame: Frame, step: StepIntended, done: StepDone) -> Frame:
    """A tool or hand-off step of the frame has a result."""
    call = step.call
    slot = next((slot for slot in frame.turn if slot.call.id == call), None)
    if call is None or slot is None:
        return frame
    if done.status in ("lost", "withdrawn"):
        return replace_call(frame, call, step=None)
    if done.retry:
        after = done.retry_after_s
        return replace_call(frame, call, step=None, failures=slot.failures + 1, retry_after_s=after)
    if step.effect and step.perform and effect_state(done) == "unknown":
        return replace_call(frame, call, step=None, unknown=step.step)
    line = MessageRef("tool", done.output or Ref(""), step.step, call, slot.call.name, slot.notes)
    frame = replace_call(frame, call, step=None, line=line)
    return replace(frame, fresh=(*frame.fresh, step.step))


def close_turn(frame: Frame) -> Frame:
    """Once every call is answered, the answers enter the conversation in the order of the calls."""
    if not frame.turn or any(slot.line is None for slot in frame.turn):
        return frame
    lines = [slot.line for slot in frame.turn if slot.line is not None]
    return replace(frame, messages=frame.messages.append(*lines), turn=())


def status_when_cut(step: StepIntended) -> StepStatus:
    """What a step in flight comes to when its run ends over it."""
    return "unknown" if step.effect and step.perform and step.kind == "tool" else "cancelled"
