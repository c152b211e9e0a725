"""Restores what a model was sent at one step of a recorded run: every message, why it is there, and what was left out.

It uses only the record: the run's events and bodies, and its session's conversation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

import msgspec

from seawall.core.canonical import Ref
from seawall.core.errors import Misused, SeawallBug
from seawall.core.events import ContextFolded, Event, Folded, Judged, RunStarted, StepDone, StepIntended
from seawall.models.protocol import Assistant, Message
from seawall.run.bodies import Bodies
from seawall.run.fold import apply, begin
from seawall.run.frame import Frame, MessageRef
from seawall.run.requests import read_request, show_message
from seawall.run.state import RunState
from seawall.team.context import bound_tokens, read_message
from seawall.team.survey import Item, Survey, read_folded


class SentMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a context, as it was sent."""

    place: str
    """The step whose result the message is; `s3`: its place in the session's conversation; "" for other messages."""
    role: Literal["system", "user", "assistant", "tool"]
    why: str
    """Why the message is there, and why it has this form."""
    text: str
    calls: tuple[tuple[str, str], ...] = ()
    """(tool, arguments) of the calls in an assistant's message."""
    size_bytes: int
    whole_bytes: int
    """Bytes of the messages that this one replaces; the same as `size_bytes` if it was not shortened."""
    junk: str = ""
    """`failed`, `repeated` or `stale`; "" if the message is not junk."""
    pinned: bool = False
    """True if the message is never shortened."""


class SentContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was sent at one step."""

    run: str
    step: int
    agent: str
    model: str
    version: str
    """The fingerprint of the agent's prompt, model and tools; the tools' schemas are not recorded."""
    messages: tuple[SentMessage, ...]
    left_out: tuple[SentMessage, ...]
    """Messages that were not sent; a line before them says that they exist."""
    folded: ContextFolded | None
    """The folds that were made right before this step."""
    size_bytes: int
    """Bytes of the messages."""
    whole_bytes: int
    """Bytes of the messages without any folds."""
    junk: float
    """The recorded share of junk."""
    input_tokens: int
    """Input tokens that the provider counted; 0 if it counted none."""
    read_result: bool
    """Whether the agent had the tool that reads a shortened result again."""


def find_sent(
    events: Sequence[Event], step: int, bodies: Bodies, history: Sequence[MessageRef] = ()
) -> SentContext:
    """Returns what was sent at a model step; `history` is the session's conversation before the run.

    Raises `Misused` for a step that does not exist or is not a model call.
    """
    started, intent = _find_intent(events, step)
    if started.loop:
        raise Misused(
            f"the messages of run {started.run} are in the requests of {started.loop}: use `find_asked`"
        )
    state = _fold_to(events, intent)
    frame = state.frames[intent.frame]
    effects = {each.name for each in events if isinstance(each, StepIntended) and each.effect}
    survey = Survey(bodies, started.run, frame.folds, effects)
    if frame.kind == "root":
        survey.add_history(history)
    survey.add(frame.messages)
    sent, left_out = _list_messages(survey, frame, state, bodies)
    system = bodies.text(intent.input)
    if system:
        size = len(system.encode())
        sent.insert(
            0,
            SentMessage(
                place="",
                role="system",
                why="instructions",
                text=system,
                size_bytes=size,
                whole_bytes=size,
                pinned=True,
            ),
        )
    done = next((each for each in events if isinstance(each, StepDone) and each.step == step), None)
    return SentContext(
        run=started.run,
        step=step,
        agent=intent.agent,
        model=intent.name,
        version=intent.version,
        messages=tuple(sent),
        left_out=tuple(left_out),
        folded=next((each for each in events if isinstance(each, ContextFolded) and each.step == step), None),
        size_bytes=sum(each.size_bytes for each in sent),
        whole_bytes=sum(each.whole_bytes for each in sent),
        junk=intent.junk,
        input_tokens=0 if done is None else done.input_tokens,
        read_result=survey.has_folds,
    )


def _find_intent(events: Sequence[Event], step: int) -> tuple[RunStarted, StepIntended]:
    started = events[0]
    if not isinstance(started, RunStarted):
        raise SeawallBug(f"a run's first event is {type(started).__name__}, not RunStarted")
    intents = {event.step: event for event in events if isinstance(event, StepIntended)}
    intent = intents.get(step)
    if intent is None:
        raise Misused(
            f"run {started.run} has no step {step}; it has {len(intents)}: seawall show {started.run}"
        )
    if intent.kind != "model" or not intent.perform:
        models = [str(event.step) for event in intents.values() if event.kind == "model" and event.perform]
        raise Misused(
            f"step {step} of run {started.run} is not a call of a model; these are: {', '.join(models) or 'none'}"
        )
    return started, intent


async def find_asked(
    events: Sequence[Event], step: int, read: Callable[[Ref], Awaitable[bytes | None]]
) -> SentContext:
    """Returns what a framework's loop sent to a model; `read` returns the bytes of a body. Raises as `find_sent` does."""
    started, intent = _find_intent(events, step)
    request = None if intent.input is None else await read_request(intent.input, read)
    if request is None:
        raise Misused(
            f"step {step} of run {started.run}: its request was erased, so what was sent is not known"
        )
    messages: list[SentMessage] = []
    for ref in request.messages:
        data = await read(ref)
        shown = show_message("[erased]" if data is None else data.decode("utf-8", "replace"))
        messages.append(
            SentMessage(
                place="",
                role=shown.role,
                why=f"as {started.loop} has sent it",
                text=shown.text,
                calls=shown.calls,
                size_bytes=len(data or b""),
                whole_bytes=len(data or b""),
            )
        )
    size = sum(each.size_bytes for each in messages)
    done = next((each for each in events if isinstance(each, StepDone) and each.step == step), None)
    return SentContext(
        run=started.run,
        step=step,
        agent=intent.agent,
        model=intent.name,
        version=intent.version,
        messages=tuple(messages),
        left_out=(),
        folded=None,
        size_bytes=size,
        whole_bytes=size,
        junk=intent.junk,
        input_tokens=0 if done is None else done.input_tokens,
        read_result=False,
    )


def _fold_to(events: Sequence[Event], intent: StepIntended) -> RunState:
    """Returns the state in which a step was performed, with the guards' advice, which is recorded right after its intent."""
    first = events[0]
    assert isinstance(first, RunStarted)
    state, begun = begin(first), False
    for event in events[1:]:
        if begun and not (
            isinstance(event, Judged) and event.step == intent.step and event.stage == "before"
        ):
            break
        state = apply(state, event)
        begun = begun or event is intent
    return state


def _list_messages(
    survey: Survey, frame: Frame, state: RunState, bodies: Bodies
) -> tuple[list[SentMessage], list[SentMessage]]:
    sent: list[SentMessage] = []
    left_out: list[SentMessage] = []
    facts = len(state.facts) if frame.kind == "root" else 0
    for item in survey.items:
        whole = read_message(item.ref, bodies, state.started.run)
        size = bound_tokens(whole)
        if item.fold is None:
            why, pinned = _explain(item, facts, whole)
            sent.append(_describe(item, whole, why, size, pinned=pinned))
            continue
        message = read_folded(item.ref, item.fold, bodies)
        if message is None:
            left_out.append(_describe(item, whole, _WHY[item.fold.why], size))
            if sent:
                sent[-1] = msgspec.structs.replace(sent[-1], whole_bytes=sent[-1].whole_bytes + size)
        else:
            sent.append(_describe(item, message, _explain_fold(item, item.fold), size))
    return sent, left_out


def _describe(item: Item, message: Message, why: str, whole: int, *, pinned: bool = False) -> SentMessage:
    calls = (
        tuple((call.name, call.arguments) for call in message.calls) if isinstance(message, Assistant) else ()
    )
    is_result = item.ref.role == "tool"
    return SentMessage(
        place=item.label if item.place < 0 or is_result else "",
        role=message.role,
        why=why,
        text=message.content or "",
        calls=calls,
        size_bytes=bound_tokens(message),
        whole_bytes=whole,
        junk=item.junk if item.fold is None else "",
        pinned=pinned,
    )


def _explain(item: Item, facts: int, message: Message) -> tuple[str, bool]:
    """Returns why an unshortened message is there, and whether it is pinned."""
    ref = item.ref
    if item.place < 0:
        kind = {"user": "a request", "assistant": "an answer", "tool": f"a result of {item.name}"}[ref.role]
        if isinstance(message, Assistant) and message.calls:
            kind = "calls"
        is_open = item.exchange is not None and item.exchange.is_open
        return f"earlier in the session: {kind}{', an open question' if is_open else ''}", is_open
    if ref.role == "user":
        if item.place < facts:
            return "a fact of the session", True
        return (
            ("the request", True) if item.place == facts else (f"told the agent before step {ref.step}", True)
        )
    if ref.role == "assistant":
        return f"the reply of step {ref.step}", False
    junk = {
        "": "",
        "failed": f"; failed, as a later call did in step {item.because}"
        if item.because_failed
        else f"; failed, and succeeded in step {item.because}",
        "repeated": f"; it repeats step {item.because}",
        "stale": f"; the same call gave another result in step {item.because}",
    }[item.junk]
    return f"the result of {item.name}, step {ref.step}{junk}", False


_WHY: Mapping[str, str] = {
    "failed": "failed, and called again",
    "repeated": "a repeat",
    "stale": "out of date",
    "large": "large and old",
    "exchange": "earlier calls",
    "turn": "earlier turns",
}


def _explain_fold(item: Item, fold: Folded) -> str:
    how = "a reference" if fold.how == "reference" else "a line"
    return f"shortened to {how}: {_WHY[fold.why]}"
