"""One agent at work: its conversation, its pending calls, and how results change both. Pure.

The run's own frame is the coordinator's; each hand-off and each review opens another.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.events import (
    Call,
    ContextFolded,
    EffectState,
    Folded,
    StepDone,
    StepIntended,
    StepStatus,
    StoppedBy,
)
from seawall.core.frozen import EMPTY
from seawall.core.persistent import Log
from seawall.run.branch import BranchEntry

FrameKind = Literal["root", "handoff", "review"]


TOO_LONG = "context_too_long"
"""The kind of failure of a model for which the conversation is too long."""
REVIEW_TOO_LONG = "review_too_long"
"""The kind of failure if a review is too long for the reviewer's model."""
_FAILED: frozenset[StepStatus] = frozenset({"error", "timeout", "invalid"})
"""Statuses that are failures. A refusal by a guard or a person is not a failure: it tells the agent what is allowed."""


class MessageRef(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One message of a frame's conversation; its text is the body `ref`."""

    role: Literal["user", "assistant", "tool"]
    ref: Ref
    step: int = 0
    """The step whose result this is; 0 for the request or task."""
    call: str = ""
    name: str = ""
    notes: tuple[Ref, ...] = ()
    reasoning: Ref = Ref("")
    """Reasoning data that goes back to the model's server with an assistant's message; "" if the server wants none."""
    run: str = ""
    """The earlier run of the session that the message comes from; "": this run. `step` is a step of that run."""
    failed: bool = False
    """Whether the message is the result of a failed call."""
    fold: Folded | None = None
    """For a message of an earlier run: the text that is sent in its place, because that run or a later one has
    shortened it."""


class Grant(msgspec.Struct, frozen=True):
    """A person's approval of a step, with these arguments and this version of the tool."""

    step: int
    """The approval step."""
    version: str
    input: Ref | None
    seal: str = ""
    guards: tuple[str, ...] = ()
    """The guards whose reasons the person was shown: the approval overrules these guards, and no others."""
    proposal: str = ""
    """The proposal that was approved; "" for a step that an earlier version held."""
    edited: bool = False
    """Whether the person has changed the arguments."""


class PendingCall(msgspec.Struct, frozen=True, gc=False):
    """One call of a model's reply that is not answered yet."""

    call: Call
    step: int | None = None
    """The step in flight for the call."""
    answer: MessageRef | None = None
    failures: int = 0
    """Failed tries that count against the tries that the tool allows."""
    spared: int = 0
    """Failed tries that do not count against them: see `StepDone.spared`."""
    retry_after_s: float | None = None
    grant: Grant | None = None
    unknown: int | None = None
    """The newest effect step of the call whose result is unknown."""
    doubtful: int | None = None
    """The newest attempt of this effect whose fate is unknown."""
    reconciled: int | None = None
    """The unknown effect step for which the external system was asked, without an answer that settles it."""
    notes: tuple[Ref, ...] = ()
    """Advice of guards that the agent gets together with the answer."""


class FrameFailure(msgspec.Struct, frozen=True):
    """The failure that ends a frame."""

    kind: str
    """The kind of failure, for example `rate_limited`, `timeout` or `refused`."""
    text: Ref | None


class Counted(msgspec.Struct, frozen=True):
    """The provider's own count of the newest reply's context and of the reply itself."""

    tokens: int = 0
    messages: int = 0
    """The number of messages of the frame that were counted."""
    version: str = ""
    """Version of the agent (prompt, model, tools) whose context was counted."""
    tokens_per_byte: float = 0.0
    """The ratio of the newest plausible count; 0: there is none."""


class ReviewState(msgspec.Struct, frozen=True):
    """How often the frame's answers were reviewed, and how the newest review ended."""

    rounds: int = 0
    approved: bool | None = None


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
    """The calls of the newest reply, while not all of them are answered."""
    own_step: int | None = None
    """The frame's own step in flight: its model call, the review of its answer, or the approval of either."""
    last_reply: int | None = None
    """The newest model step that returned a reply."""
    failures: int = 0
    """Model calls that failed in a row and count against the retries of the agent."""
    spared: int = 0
    """Model calls that failed in a row and do not count against them: see `StepDone.spared`."""
    retry_after_s: float | None = None
    failure: FrameFailure | None = None
    refusal: StoppedBy | None = None
    """The guard that refused this frame's model or review step."""
    grant: Grant | None = None
    answer: Ref | None = None
    review: ReviewState = ReviewState()
    counted: Counted = Counted()
    folds: Mapping[int, Folded] = EMPTY
    """Texts that are sent in the place of messages, by `Folded.message`."""
    budget: int = 0
    """Tokens that the frame's context may have, because its model accepted no more; 0: the model has set no bound."""
    fresh: tuple[int, ...] = ()
    """Steps whose results entered the context since the newest model step."""
    memory: MappingProxyType[tuple[str, Ref], BranchEntry] = EMPTY
    """The frame's writes to memory, by scope and key: its branch."""
    seen: frozenset[int] = frozenset()
    """The steps of this run whose writes to memory the frame was shown."""
    has_replied_last: bool = False
    """Whether the frame's last model call (`StepIntended.last`) has returned a reply. In a foreign frame: whether a
    guard has answered it in the model's place."""
    advised: frozenset[tuple[str, str | None]] = frozenset()
    """Advice that guards have given before the frame's model calls: the guards' names and limits."""
    told: tuple[Ref, ...] = ()
    """Texts that the agent is told as soon as the calls of its newest reply are answered."""
    foreign: bool = False
    """Whether a framework's own loop asks for the frame's steps. `turn` then holds all requests that are not answered,
    model calls included, and the framework holds the conversation."""


def find_call(frame: Frame, call: str | None) -> PendingCall | None:
    """Returns the pending call with the id `call`; None if the frame waits for no such call."""
    for pending in frame.turn:
        if pending.call.id == call:
            return pending
    return None


def replace_call(frame: Frame, call: str, **changes: Any) -> Frame:
    """Returns the frame with changed fields of the pending call `call`."""
    return replace(frame, turn=_replace_in(frame.turn, call, changes))


def add_ask(frame: Frame, call: Call, step: int, fresh: tuple[int, ...]) -> Frame:
    """Returns a foreign frame with the given `fresh` and one more request, which step `step` performs."""
    if find_call(frame, call.id) is not None:
        return replace(frame, fresh=fresh, turn=_replace_in(frame.turn, call.id, {"step": step}))
    return replace(frame, fresh=fresh, turn=(*frame.turn, PendingCall(call, step)))


def _replace_in(turn: tuple[PendingCall, ...], call: str, changes: dict[str, Any]) -> tuple[PendingCall, ...]:
    return tuple([replace(each, **changes) if each.call.id == call else each for each in turn])


def _leave_out(turn: tuple[PendingCall, ...], call: str | None) -> tuple[PendingCall, ...]:
    return tuple([each for each in turn if each.call.id != call])


def effect_state(done: StepDone) -> EffectState:
    """Returns the state of the attempted effect that follows from a result."""
    if done.status == "ok":
        return "committed"
    # Only an error that the tool itself reported proves that nothing happened (`NotDone`).
    return "failed" if done.error == "not_done" or done.status == "withdrawn" else "unknown"


def apply_model_done(frame: Frame, step: StepIntended, done: StepDone) -> Frame:
    """Returns the frame once its model step has a result."""
    if done.status in ("lost", "withdrawn"):
        return replace(frame, own_step=None, fresh=(done.step,))
    if done.status == "refused" and done.error == "rejected":  # a person rejected this model call
        return replace(frame, own_step=None, failure=FrameFailure("refused", done.output))
    if done.status == "replaced" and done.answer is not None:
        message = MessageRef("assistant", done.output or done.answer, done.step)
        return replace(
            frame,
            own_step=None,
            messages=frame.messages.append(message),
            answer=done.answer,
            last_reply=done.step,
        )
    if done.status != "ok" or done.output is None:
        if done.retry:
            failures, spared = frame.failures + (not done.spared), frame.spared + done.spared
            return replace(
                frame, own_step=None, failures=failures, spared=spared, retry_after_s=done.retry_after_s
            )
        return replace(frame, own_step=None, failure=FrameFailure(done.error or done.status, done.output))
    reasoning = done.reasoning or Ref("")
    messages = [MessageRef("assistant", done.output, done.step, reasoning=reasoning)]
    told = done.answer or done.problem
    turn: tuple[PendingCall, ...] = ()
    if told is None:
        turn = tuple(PendingCall(call) for call in done.calls)
    else:  # these are calls of the answer tool; a provider requires an answer to each
        messages += [MessageRef("tool", told, done.step, call.id, call.name) for call in done.calls]
        if done.problem is not None and not done.calls:
            messages.append(MessageRef("user", done.problem, done.step))
    # Advice on the reply itself stands before the reply, and the provider has not counted it.
    seen = len(frame.messages) + 1 if step.context == len(frame.messages) else step.context
    return replace(
        frame,
        own_step=None,
        messages=frame.messages.append(*messages),
        turn=turn,
        last_reply=done.step,
        fresh=(done.step,),
        failures=0,
        spared=0,
        retry_after_s=None,
        has_replied_last=step.last,
        answer=done.answer,
        review=ReviewState(frame.review.rounds, done.approved),
        counted=Counted(
            done.input_tokens + done.output_tokens, seen, step.version, _compare_count(frame, step, done)
        ),
    )


MIN_TOKENS_PER_BYTE = 0.125
"""Fewest tokens for a byte that are believed of a provider's count: no text of people has more than eight bytes for a
token."""


def _compare_count(frame: Frame, step: StepIntended, done: StepDone) -> float:
    """Returns the tokens that the provider counts for each byte that was sent; the earlier figure if it reported
    none.
    """
    if not step.context_bytes or not done.input_tokens or done.usage_problem:
        return frame.counted.tokens_per_byte
    return min(1.0, max(MIN_TOKENS_PER_BYTE, done.input_tokens / step.context_bytes))


def apply_folded(frame: Frame, event: ContextFolded) -> Frame:
    """Returns the frame after the messages that its model is sent were shortened."""
    folds = MappingProxyType({**frame.folds, **{each.message: each for each in event.folded}})
    counted = frame.counted
    if counted.tokens:  # the counted part has not grown, except by the new texts
        counted = replace(counted, tokens=counted.tokens + event.bound)
    failure = frame.failure
    if event.trigger == "too_long" and failure is not None and failure.kind == TOO_LONG:
        failure = None
    return replace(frame, folds=folds, counted=counted, failure=failure, budget=event.budget or frame.budget)


def apply_review_done(frame: Frame, done: StepDone) -> Frame:
    """Returns the frame once the review of its answer has a result."""
    if done.status == "lost":
        return replace(frame, own_step=None)
    if done.status not in ("ok", "replaced"):
        # Shortening the context of the reviewed agent would not make the review shorter.
        kind = REVIEW_TOO_LONG if done.error == TOO_LONG else done.error or done.status
        return replace(frame, own_step=None, failure=FrameFailure(kind, done.output))
    rounds = frame.review.rounds + 1
    if done.approved:
        return replace(frame, own_step=None, review=ReviewState(rounds, approved=True))
    messages = frame.messages
    if done.output is not None:
        messages = messages.append(MessageRef("user", done.output, done.step))
    return replace(
        frame,
        own_step=None,
        review=ReviewState(rounds, approved=False),
        answer=None,
        messages=messages,
        fresh=(*frame.fresh, done.step),
    )


def apply_approval_done(frame: Frame, step: StepIntended, done: StepDone, guards: tuple[str, ...]) -> Frame:
    """Returns the frame once a person has decided on one of its steps, which `guards` held."""
    if step.call is None:
        if done.status == "withdrawn":  # it is judged again
            return replace(frame, own_step=None)
        if done.status == "ok":
            return replace(frame, own_step=None, grant=_make_grant(step, done, guards, frame.grant))
        return replace(frame, own_step=None, failure=FrameFailure("refused", done.output))
    pending = find_call(frame, step.call)
    if pending is None:
        return frame
    if step.waits_for or done.status == "withdrawn":  # it is judged again
        return replace_call(frame, step.call, step=None)
    if pending.unknown is None and done.status == "ok":
        notes = pending.notes
        # so that the agent does not propose the original arguments again
        if done.edit is not None and done.output is not None:
            notes = (*notes, done.output)
        grant = _make_grant(step, done, guards, pending.grant)
        return replace_call(frame, step.call, step=None, grant=grant, notes=notes)
    return _answer_call(frame, pending, step.step, done)


def _make_grant(step: StepIntended, done: StepDone, guards: tuple[str, ...], before: Grant | None) -> Grant:
    """Returns the new approval. It also overrules the guards of an approval `before` of exactly the same call."""
    asked = step.input, step.seal, step.version
    if before is not None and done.edit is None and (before.input, before.seal, before.version) == asked:
        guards = tuple(dict.fromkeys((*before.guards, *guards)))
    return Grant(
        step=step.step,
        version=step.version,
        input=done.edit or step.input,
        seal="" if done.edit else step.seal,
        guards=guards,
        proposal=done.proposal,
        edited=done.edit is not None,
    )


def apply_call_done(frame: Frame, step: StepIntended, done: StepDone) -> Frame:
    """Returns the frame once a tool or hand-off step of it has a result."""
    pending = find_call(frame, step.call)
    if pending is None:
        return frame
    if step.reconciles is not None:
        return _apply_reconciled(frame, pending, step, done)
    call = pending.call.id
    attempted = step.effect and step.perform
    doubtful = step.step if attempted and effect_state(done) == "unknown" else pending.doubtful
    if done.status in ("lost", "withdrawn"):
        return replace_call(frame, call, step=None, doubtful=doubtful)
    if done.retry:
        return replace_call(
            frame,
            call,
            step=None,
            failures=pending.failures + (not done.spared),
            spared=pending.spared + done.spared,
            retry_after_s=done.retry_after_s,
            doubtful=doubtful,
        )
    # A guard that refuses another attempt does not settle the one before it: a person does.
    if doubtful is not None and done.status not in ("ok", "replaced"):
        return replace_call(frame, call, step=None, unknown=doubtful)
    return _answer_call(frame, pending, step.step, done)


def _apply_reconciled(frame: Frame, pending: PendingCall, step: StepIntended, done: StepDone) -> Frame:
    """Returns the frame once the external system was asked what became of an effect."""
    if done.status == "lost":  # it is asked again
        return replace_call(frame, pending.call.id, step=None)
    if done.status == "ok" or done.error == "not_done":
        return _answer_call(frame, pending, step.step, done)
    return replace_call(frame, pending.call.id, step=None, reconciled=step.reconciles)


def _answer_call(frame: Frame, pending: PendingCall, step: int, done: StepDone) -> Frame:
    """Returns the frame with one call answered. Once all are, the answers become messages in the calls' order."""
    if frame.foreign:
        turn = _leave_out(frame.turn, pending.call.id)
        return replace(frame, turn=turn, fresh=(*frame.fresh, step))
    call = pending.call
    failed = done.status in _FAILED
    message = MessageRef(
        "tool", done.output or Ref(""), step, call.id, call.name, pending.notes, failed=failed
    )
    turn = _replace_in(
        frame.turn, call.id, {"step": None, "unknown": None, "doubtful": None, "answer": message}
    )
    fresh = (*frame.fresh, step)
    answers = [each.answer for each in turn if each.answer is not None]
    if len(answers) < len(turn):
        return replace(frame, turn=turn, fresh=fresh)
    told = [MessageRef("user", ref) for ref in frame.told]
    return replace(frame, turn=(), told=(), fresh=fresh, messages=frame.messages.append(*answers, *told))


def apply_foreign_reply(frame: Frame, step: StepIntended, done: StepDone) -> Frame:
    """Returns a foreign frame once a model step of it has a result."""
    if done.status not in ("ok", "replaced"):
        return apply_call_done(frame, step, done)
    # a real last call stays possible as long as it fits
    replied_last = step.last and done.status == "replaced"
    return replace(
        frame,
        turn=_leave_out(frame.turn, step.call),
        last_reply=done.step,
        fresh=(done.step,),
        has_replied_last=replied_last,
    )


def tell_frame(frame: Frame, texts: tuple[Ref, ...]) -> Frame:
    """Returns the frame with texts that its agent is told before its next model call.

    No message may stand between a reply's calls and their answers, so the texts come after the answers.
    """
    if frame.turn:
        return replace(frame, told=(*frame.told, *texts))
    return replace(frame, messages=frame.messages.append(*[MessageRef("user", ref) for ref in texts]))


NOT_MADE = "[no result: the run was stopped before this call was answered]"

NOT_KNOWN = "[no result: the run was stopped while this was attempted, and whether it happened is not known]"


def describe_cut(step: StepIntended, frame: Frame | None) -> str:
    """Returns the text that answers a call if its run ends while its step is in flight; "" for other steps."""
    pending = None if frame is None or step.call is None else find_call(frame, step.call)
    if pending is None:
        return ""
    unknown = (
        pending.unknown is not None or pending.doubtful is not None or get_status_when_cut(step) == "unknown"
    )
    return NOT_KNOWN if unknown else NOT_MADE


def get_status_when_cut(step: StepIntended) -> StepStatus:
    """Returns the status of a step that is in flight when its run ends."""
    return "unknown" if step.effect and step.perform and step.kind == "tool" else "cancelled"
