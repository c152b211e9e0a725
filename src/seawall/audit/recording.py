"""What a recorded run is, whatever system has recorded it: its messages, and the calls in them with their results."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from seawall.models.protocol import Usage

MessageRole = Literal["system", "user", "assistant", "tool"]


class AskedCall(msgspec.Struct, frozen=True):
    """A call as an assistant's message asks for it."""

    id: str
    """"" if the recording has none."""
    tool: str
    arguments: str
    """See `RecordedCall.arguments`."""


class RecordedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a recorded conversation."""

    role: MessageRole
    text: str = ""
    calls: tuple[AskedCall, ...] = ()
    """Of an assistant: what it asks for."""
    call_id: str = ""
    """Of a tool: the call that this is the result of."""
    tool: str = ""
    """Of a tool: its name, if the message says it."""
    failed: bool = False
    agent: str = ""
    """Whose conversation it is in; "": the run has one."""
    line: int = 0
    """Where it stands in its file."""
    model: str = ""
    """Of an assistant: the model that wrote it."""
    usage: Usage | None = None
    """Of an assistant: what the provider counted."""


class RecordedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a recording."""

    tool: str
    arguments: str
    """Canonical JSON if it was JSON, otherwise the text as it is."""
    result: str
    failed: bool = False
    agent: str = ""
    turn: str | None = None
    """Calls of one agent in a row with the same turn come from one reply. None: the recording does not say."""
    reply: int | None = None
    """The message of the run that asks for it; None: it is not recorded."""
    line: int = 0


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a recording."""

    id: str
    calls: tuple[RecordedCall, ...]
    """Those that have a result. If none has one, all."""
    line: int = 0
    """Where it begins in its file."""
    file: str = ""
    format: str = ""
    """The name of the format that it was read as."""
    messages: tuple[RecordedMessage, ...] = ()
    """In the order in which they were written; empty if only the calls were recorded."""
    unanswered: int = 0
    """Calls that were left out, because the recording has no result of them."""
    left_out: int = 0
    """Rows of the run that are not read, because it is too large to be held."""
    row: dict[str, Any] = {}
    """The row's other fields, as they are; only of recorded calls (`formats/calls.py`)."""
    lacks: tuple[str, ...] = ()
    """`arguments` or `result`, if none of its calls has this field. Then the audit of the run may be wrong."""
    fields: tuple[str, ...] = ()
    """The fields that its calls have."""


class BadLine(NamedTuple):
    """A line, or a whole file, that can't be audited."""

    where: str
    """`file:line`."""
    why: str
    is_json: bool = True
    is_unknown: bool = False
    """It is JSON, and of no format that is known."""

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"
