"""What a model is sent: the system prompt, the session so far, and the frame's own conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from seawall.core.canonical import Ref
from seawall.core.persistent import Log
from seawall.models.protocol import Assistant, Message, System, ToolResult, User
from seawall.run.bodies import Bodies
from seawall.run.frame import Frame, MessageRef
from seawall.run.state import RunState

FRAMING_TOKENS = 16
"""Upper bound of what a message costs beside its text (role, separators, names)."""

NOT_MADE = "[no result: the run was stopped before this call was answered]"

NOT_KNOWN = "[no result: the run was stopped while this was attempted, and whether it happened is not known]"

_assistant = msgspec.json.Decoder(Assistant)
_encoder = msgspec.json.Encoder()


class Manifest(msgspec.Struct, frozen=True):
    """The end of a session's conversation: what a run added, and the manifest before it."""

    prev: Ref | None
    messages: tuple[MessageRef, ...]


_manifest = msgspec.json.Decoder(Manifest)


def encode_assistant(message: Assistant) -> str:
    """An assistant message as its body."""
    return _encoder.encode(message).decode()


def encode_manifest(manifest: Manifest) -> bytes:
    """A manifest as its body."""
    return _encoder.encode(manifest)


def decode_manifest(data: bytes) -> Manifest:
    """The manifest that `encode_manifest` wrote."""
    return _manifest.decode(data)


def message_of(line: MessageRef, bodies: Bodies) -> Message:
    """One line as a message. What was erased reads as `[erased]`."""
    text = bodies.text(line.ref)
    if line.role == "user":
        return User(text)
    if line.role == "assistant":
        try:
            return _assistant.decode(text)
        except msgspec.MsgspecError:
            return Assistant(content=text)
    for note in line.notes:
        text = f"{text}\n\n{bodies.text(note)}"
    return ToolResult(line.call, line.name, text)


class Context:
    """Messages of one run, decoded once each."""

    def __init__(self, bodies: Bodies, history: Sequence[MessageRef] = ()) -> None:
        self._bodies = bodies
        self._messages: dict[MessageRef, Message] = {}
        self._frames: dict[int, tuple[Log[MessageRef], list[Message]]] = {}
        """Of each frame what was assembled last: its conversation only grows."""
        self._history_lines = tuple(history)
        self._history: list[Message] | None = None
        self._history_bytes = 0

    def message(self, line: MessageRef) -> Message:
        """The message of a line."""
        message = self._messages.get(line)
        if message is None:
            message = self._messages[line] = message_of(line, self._bodies)
        return message

    def history(self) -> list[Message]:
        """The session's conversation before this run."""
        if self._history is None:
            self._history = [message_of(line, self._bodies) for line in self._history_lines]
            self._history_bytes = sum(bound_tokens(message) for message in self._history)
        return self._history

    def assemble(self, frame: Frame, system: str) -> list[Message]:
        """All that the frame's next model call is sent."""
        messages: list[Message] = [System(system)] if system else []
        if frame.kind == "root":
            messages += self.history()
        messages += self._said(frame)
        return messages

    def _said(self, frame: Frame) -> list[Message]:
        """The frame's own conversation. Only what was added since the last time is looked up."""
        lines = frame.messages
        known = self._frames.get(frame.id)
        messages: list[Message] = known[1] if known is not None and lines.continues(known[0]) else []
        messages += [self.message(line) for line in lines.since(len(messages))]
        self._frames[frame.id] = (lines, messages)
        return messages

    def bound(self, frame: Frame, system: str, schemas_bytes: int, version: str) -> int:
        """Upper bound of the tokens that the frame's context comes to.

        A token is at least one byte of text in every byte-level vocabulary. Once the provider has counted
        a context of this `version` of the agent, only what came after it is bounded that way.
        """
        counted = frame.counted.tokens if frame.counted.version == version else 0
        since = frame.counted.messages if counted else 0
        added = sum(bound_tokens(self.message(line)) for line in frame.messages.since(since))
        if counted:
            return counted + added
        if frame.kind == "root":
            self.history()
            added += self._history_bytes
        return added + len(system.encode()) + FRAMING_TOKENS + schemas_bytes


def bound_tokens(message: Message) -> int:
    """Upper bound of a message's tokens."""
    match message:
        case System() | User():
            return len(message.content.encode()) + FRAMING_TOKENS
        case ToolResult():
            return len(message.content.encode()) + len(message.name) + len(message.call_id) + FRAMING_TOKENS
        case Assistant():
            size = len((message.content or "").encode()) + FRAMING_TOKENS
            for call in message.calls:
                size += len(call.id) + len(call.name) + len(call.arguments.encode()) + FRAMING_TOKENS
            return size


def build_transcript(state: RunState, bodies: Bodies, *, answers_only: bool) -> Manifest | None:
    """What this run adds to its session's conversation; None if there is no session.

    A run that was stopped between calls and their answers leaves none unanswered: a provider would refuse
    the conversation, and what was done must not be forgotten.
    """
    frame = state.frames.get(0)
    if state.started.session is None or frame is None:
        return None
    lines = tuple(frame.messages)
    for pending in frame.turn:
        text = NOT_MADE if pending.unknown is None else NOT_KNOWN
        lines += (
            pending.answer or MessageRef("tool", bodies.put(text), 0, pending.call.id, pending.call.name),
        )
    answer = frame.answer if answers_only else None
    if answers_only:
        lines = lines[:1]
    if state.plan.course != "team":  # who answered was not the coordinator
        answer = state.plan.answer
    if answer is not None:
        said = encode_assistant(Assistant(content=bodies.text(answer)))
        lines += (MessageRef("assistant", bodies.put(said)),)
    return Manifest(state.history, lines)


def write_review_task(intent: str, answer: str, evidence: Sequence[tuple[str, str]]) -> str:
    """What a reviewer is asked: the request, the answer, and the results that it may rest on."""
    parts = [f"Request:\n{intent}", f"Proposed answer:\n{answer}"]
    if evidence:
        facts = "\n".join(f"- {name}: {text}" for name, text in evidence)
        parts.append(f"Results that the answer may rest on:\n{facts}")
    parts.append("Approve the answer if these results carry it; reject it and say what has to change if not.")
    return "\n\n".join(parts)


def parse_json(text: str) -> Any:
    """JSON text decoded. Raises `ValueError` that names what is wrong, for the model."""
    try:
        return msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"the arguments are no JSON: {error} (got {text[:200]!r})") from None
