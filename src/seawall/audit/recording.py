"""The types of a recorded run of any system: its messages, and the calls in them with their results."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from seawall.models.protocol import Usage

MessageRole = Literal["system", "user", "assistant", "tool"]


class AskedCall(msgspec.Struct, frozen=True):
    """A call that an assistant's message asks for."""

    id: str
    """The id of the call; "" if the recording has none."""
    tool: str
    arguments: str
    """See `RecordedCall.arguments`."""


class RecordedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a recorded conversation."""

    role: MessageRole
    text: str = ""
    calls: tuple[AskedCall, ...] = ()
    """In an assistant's message: the calls that it asks for."""
    call_id: str = ""
    """In a tool's message: the id of the call whose result this is."""
    tool: str = ""
    """In a tool's message: the tool's name; "" if the message does not hold it."""
    failed: bool = False
    agent: str = ""
    """The agent in whose conversation the message is; "" if the run has one conversation."""
    line: int = 0
    """The line of the message in its file."""
    model: str = ""
    """In an assistant's message: the model that wrote it."""
    usage: Usage | None = None
    """In an assistant's message: the tokens that the provider counted; None if they are not recorded."""


class RecordedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a recording."""

    tool: str
    arguments: str
    """Canonical JSON if the arguments are JSON, otherwise the recorded text."""
    result: str
    failed: bool = False
    agent: str = ""
    turn: str | None = None
    """Consecutive calls of one agent with the same turn come from one reply. None: the recording does not say it."""
    reply: int | None = None
    """The index of the run's message that asks for the call; None if the message is not recorded."""
    line: int = 0


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a recording."""

    id: str
    calls: tuple[RecordedCall, ...]
    """The calls that have a result; all calls if none has one."""
    line: int = 0
    """The line in which the run begins in its file."""
    file: str = ""
    format: str = ""
    """The name of the format that the run was read as."""
    messages: tuple[RecordedMessage, ...] = ()
    """The messages in the order in which they were written; empty if only the calls were recorded."""
    unanswered: int = 0
    """Calls that were left out, because the recording has no result for them."""
    left_out: int = 0
    """Rows of the run that are not read, because the run is too large to be held in memory."""
    row: dict[str, Any] = {}
    """The other fields of the row, unchanged. Only `formats/calls.py` sets them."""
    lacks: tuple[str, ...] = ()
    """`arguments` or `result`, if no call of the run has this field. Then the audit of the run may be wrong."""
    fields: tuple[str, ...] = ()
    """The fields that the run's calls have."""


class BadLine(NamedTuple):
    """A line, or a whole file, that can't be audited."""

    where: str
    """`file:line`."""
    why: str
    is_json: bool = True
    is_unknown: bool = False
    """True if the line is JSON, but in no known format."""

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"
