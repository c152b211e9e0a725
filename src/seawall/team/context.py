"""Reads and writes the messages of a conversation, bounds their size, and builds what a session keeps of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from seawall.core.big_values import decode_in_pieces
from seawall.core.canonical import Ref, encode_text, measure_bytes
from seawall.core.events import Folded, Status
from seawall.models.protocol import Assistant, Message, Reasoning, System, ToolResult, User
from seawall.run.bodies import Bodies
from seawall.run.frame import NOT_KNOWN, NOT_MADE, Frame, MessageRef, PendingCall
from seawall.run.state import RunState
from seawall.team.problem import InvalidValue

MAX_FACT_CHARS = 20_000
"""The most characters of one receipt or answer that a session's next run is told. Ordinary results are not longer; the
run's record has the whole text."""
FRAMING_TOKENS = 16
"""Upper bound of a message's tokens beside its text (role, separators, names)."""

NOT_DECIDED = "[no result yet: this waits for a person's decision, and is not done]"
"""The result of a call that waits for a decision, in the conversation that the session's next run gets. A later run is
told the real result."""
NOT_SETTLED = "[no result yet: whether this happened is not known, and a person is asked]"
"""The result of a call whose fate a person must find out, in the conversation that the session's next run gets."""
NOT_ANSWERED = "[no answer yet: this request waits for a person's decision]"
"""The answer of a run that waits, in the conversation that the session's next run gets."""

_assistant = msgspec.json.Decoder(Assistant)
_reasoning: msgspec.json.Decoder[tuple[str, msgspec.Raw]] = msgspec.json.Decoder(tuple[str, msgspec.Raw])
_encoder = msgspec.json.Encoder(enc_hook=encode_text)


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of a session's conversation: the messages that a run added, and the manifest before it."""

    prev: Ref | None
    messages: tuple[MessageRef, ...]
    behind: dict[str, int] = {}
    """Earlier runs whose end is not in the conversation: see `RunTaken.behind`."""
    run: str = ""
    """The run that added the messages; "" in a conversation that an earlier version wrote."""
    folds: tuple[Folded, ...] = ()
    """The messages that the run has shortened. Places from 0 are in `messages`, places below zero in the conversation before."""
    before: int = 0
    """The number of messages that the conversation had before that run."""

    def add_to(self, conversation: list[MessageRef]) -> None:
        """Adds these messages to a conversation, each with its run and with the text that is sent in its place.

        If `conversation` differs from the one before the run, because parts were erased meanwhile, the run's folds in it are
        ignored.
        """
        first = len(conversation)
        conversation += [replace(message, run=self.run) for message in self.messages]
        for fold in self.folds:
            place = fold.message + first if fold.message >= 0 else ~fold.message
            if place < len(conversation) and (fold.message >= 0 or first == self.before):
                conversation[place] = replace(conversation[place], fold=replace(fold, message=~place))


_manifest = msgspec.json.Decoder(Manifest)


def encode_assistant(message: Assistant) -> str:
    """Returns the body of an assistant message."""
    return _encoder.encode(message).decode()


def encode_reasoning(reasoning: Reasoning) -> str:
    """Returns the body of the reasoning that is sent back to a model's server, as JSON text."""
    return f"[{_encoder.encode(reasoning.origin).decode()},{reasoning.parts}]"


def read_reasoning(ref: MessageRef, bodies: Bodies, run: str) -> Reasoning | None:
    """Returns the reasoning that is sent back with a message; None if there is none or it can't be sent back unchanged."""
    text = bodies.find_opaque(run, ref.reasoning) if ref.reasoning else None
    try:
        origin, parts = ("", None) if text is None else _reasoning.decode(text)
    except msgspec.MsgspecError:
        return None
    return None if parts is None else Reasoning(origin, bytes(parts).decode())


def encode_manifest(manifest: Manifest) -> bytes:
    """Returns the body of a manifest."""
    return _encoder.encode(manifest)


def decode_manifest(data: bytes) -> Manifest:
    """Returns the manifest of a body that `encode_manifest` wrote."""
    return _manifest.decode(data)


def read_assistant(text: str) -> Assistant:
    """Returns the assistant message of a body."""
    try:
        return _assistant.decode(text)
    except msgspec.MsgspecError:
        return Assistant(content=text)


def read_message(ref: MessageRef, bodies: Bodies, run: str = "") -> Message:
    """Returns the message of a reference. An erased text reads as `[erased]`."""
    text = bodies.text(ref.ref)
    if ref.role == "user":
        return User(text)
    if ref.role == "assistant":
        message = bodies.cache.compute(read_assistant, text)
        reasoning = read_reasoning(ref, bodies, run)
        return message if reasoning is None else replace(message, reasoning=reasoning)
    return ToolResult(ref.call, ref.name, add_notes(text, ref, bodies))


def add_notes(text: str, ref: MessageRef, bodies: Bodies) -> str:
    """Returns a result's text, or the text that replaces it, followed by the advice of guards on it."""
    return "\n\n".join([text, *(bodies.text(note) for note in ref.notes)])


def bound_tokens(message: Message) -> int:
    """Returns an upper bound of a message's tokens."""
    match message:
        case System() | User():
            return measure_bytes(message.content) + FRAMING_TOKENS
        case ToolResult():
            return measure_bytes(message.content) + len(message.name) + len(message.call_id) + FRAMING_TOKENS
        case Assistant():
            size = measure_bytes(message.content or "") + FRAMING_TOKENS
            if message.reasoning is not None:
                size += len(message.reasoning.parts)
            for call in message.calls:
                size += len(call.id) + len(call.name) + measure_bytes(call.arguments) + FRAMING_TOKENS
            return size


def build_transcript(
    state: RunState,
    bodies: Bodies,
    *,
    answers_only: bool,
    status: Status | None = None,
    before: int | None = None,
) -> Manifest | None:
    """Returns what this run adds to its session's conversation; None if there is no session.

    `before` is the number of messages that the conversation had before; with None, the run's folds are left out.
    `status` is the run's end; None if it waits. Of a run that does not complete, only facts stay: the user's request, and
    what the run has changed. The results of its tools and the replies to them do not reach the next run.

    If the run was stopped between calls and their results, or waits there, each call gets a result here that says so. A
    provider would reject a conversation with an unanswered call, and the next run must know which calls were made.
    """
    frame = state.frames.get(0)
    if state.started.session is None or frame is None:
        return None
    refs = list(frame.messages)
    if answers_only or status not in (None, "completed"):
        refs = refs[: len(state.facts) + 1]
    folds = tuple(frame.folds.values()) if before is not None else ()
    manifest = Manifest(
        prev=state.history,
        messages=(),
        behind=dict(state.behind),
        folds=tuple(fold for fold in folds if fold.message < len(refs)),
        before=before or 0,
    )
    if status not in (None, "completed"):
        refs.append(MessageRef("user", bodies.put(write_unfinished(state, status, bodies))))
    else:
        refs += _list_ends(state, frame, bodies, answers_only=answers_only)
    return replace(manifest, messages=tuple(refs))


def _list_ends(state: RunState, frame: Frame, bodies: Bodies, *, answers_only: bool) -> Iterator[MessageRef]:
    """Yields the messages after the messages of a run that completes or waits."""
    for pending in () if answers_only else frame.turn:
        text = _describe_unanswered(state, pending)
        yield pending.answer or MessageRef("tool", bodies.put(text), 0, pending.call.id, pending.call.name)
    answer = frame.answer if answers_only else None
    if state.approvals and (answers_only or not frame.turn):
        yield MessageRef("assistant", bodies.put(encode_assistant(Assistant(content=NOT_ANSWERED))))
        return
    if state.plan.course != "team":  # the answer is not the coordinator's
        answer = state.plan.answer
    if answer is not None:
        message = encode_assistant(Assistant(content=bodies.text(answer)))
        yield MessageRef("assistant", bodies.put(message))


def write_unfinished(state: RunState, status: Status, bodies: Bodies) -> str:
    """Returns what a session's next run is told about a run without an answer: what that run has changed."""
    head = f"[Not from the user: the request above ended as {status}, without an answer."
    lines: list[str] = []
    for change in state.effect_states():
        call = f"{change.tool}({bodies.text(change.input)})"
        if change.state == "committed":
            lines.append(f"{call} was done: {quote_text(bodies.text(change.receipt))}")
        elif change.state in ("unknown", "attempting"):
            lines.append(f"{call} may have been done or not: that is not known")
    if not lines:
        return f"{head} It has changed nothing.]"
    return "\n".join([f"{head} What it has changed:]", *(f"- {line}" for line in lines)])


def quote_text(text: str) -> str:
    """Returns a text on one line, in quotes, so that no part of it looks like a separate line."""
    cut = (
        "" if len(text) <= MAX_FACT_CHARS else f" (cut after {MAX_FACT_CHARS:,} of {len(text):,} characters)"
    )
    return _encoder.encode(text[:MAX_FACT_CHARS]).decode() + cut


def _describe_unanswered(state: RunState, pending: PendingCall) -> str:
    """Returns the text for a call that has no result, because the run was stopped, or waits."""
    if pending.unknown is not None or pending.doubtful is not None:
        return NOT_SETTLED if state.approvals else NOT_KNOWN
    return NOT_DECIDED if state.approvals else NOT_MADE


def cut_bytes(text: str, limit: int) -> str:
    """Returns the beginning of a text: as many whole characters as `limit` bytes hold."""
    return (
        text
        if measure_bytes(text) <= limit
        else text[:limit].encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
    )


_REQUEST = "Request:\n"
_ANSWER = "Proposed answer:\n"
_EVIDENCE = "Results that the answer may rest on:\n"
_NEXT = "\n- "


def write_review_task(intent: str, answer: str, evidence: Sequence[tuple[str, str]]) -> str:
    """Returns a reviewer's task: the request, the answer, and the results that the answer may rest on."""
    parts = [f"{_REQUEST}{intent}", f"{_ANSWER}{answer}"]
    if evidence:
        facts = "\n".join(f"- {name}: {text}" for name, text in evidence)
        parts.append(f"{_EVIDENCE}{facts}")
    parts.append("Approve the answer if these results carry it; reject it and say what has to change if not.")
    return "\n\n".join(parts)


class ReviewTask(NamedTuple):
    """The parts of a reviewer's task."""

    request: str
    answer: str
    evidence: str
    """The results, each with its name; "" if the reviewer was shown none."""


def split_review_task(task: str) -> ReviewTask:
    """Returns the parts of what `write_review_task` has written.

    A request that contains one of the headings is cut there. The parts are only compared, and never sent.
    """
    head, mark, rest = task.rpartition(_EVIDENCE)
    head, evidence = (head, rest.rpartition("\n\n")[0]) if mark else (task.rpartition("\n\n")[0], "")
    request, _, answer = head.partition(_ANSWER)
    return ReviewTask(request.removeprefix(_REQUEST).rstrip("\n"), answer.rstrip("\n"), evidence)


def shorten_review_task(task: str, limit: int) -> str:
    """Returns a reviewer's task with each result cut to its beginning, in `limit` bytes or as short as possible.

    The request and the answer stay whole.
    """
    head, mark, rest = task.rpartition(_EVIDENCE)
    if not mark:
        return task
    facts, _, ask = rest.rpartition("\n\n")
    pieces = facts.split(_NEXT)
    room = limit - (measure_bytes(task) - measure_bytes(facts))
    share = max(0, room) // len(pieces)
    cut = (_cut_result(piece, share) for piece in pieces)
    return f"{head}{mark}{_NEXT.join(cut)}\n\n{ask}"


def _cut_result(text: str, limit: int) -> str:
    """Returns the beginning of a result in at most `limit` bytes, with the number of characters of the whole."""
    if measure_bytes(text) <= limit:
        return text
    end = f"… [cut, of {len(text):,} characters]"
    return cut_bytes(text, max(0, limit - measure_bytes(end))) + end


def parse_json(text: str) -> Any:
    """Decodes JSON text. Raises `ValueError`, which tells the model what is wrong."""
    try:
        return decode_in_pieces(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidValue(f"the arguments are not JSON: {error} (got {text[:200]!r})", "json") from None
