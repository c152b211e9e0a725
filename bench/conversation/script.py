"""What a conversation must come to, and the message lists that the model server insists on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from conversation.recorded import Call

CLOSING = "[The recording ends here.]"
"""Said by the server where the recording ends with a tool's result, so that its run ends too. Not compared."""

Message = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What one run must come to."""

    request: str
    batches: tuple[tuple[Call, ...], ...]
    """The calls that reach the world; those of one batch are in flight at once."""
    texts: tuple[str, ...]
    """What the user is told, in order; the last one is the answer, unless the run is halted."""
    advised: int
    """Steps that a guard advised on: calls that brought nothing new, and a request that claims a permission."""
    halted: bool
    """The loop guard stops it, and with it the conversation."""
    closed: bool
    """Its answer is `CLOSING`."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """One conversation, as it has to be played."""

    key: str
    success: bool
    """The label in the recording."""
    system: str
    runs: tuple[Expected, ...]
    owners: dict[str, tuple[str, ...]]
    """Agent → names of its tools."""
    rows: tuple[dict[str, Any], ...]
    """For the model server: {id, messages}."""


def said(text: str | None, calls: Iterable[Call] = ()) -> Message:
    """An assistant's message."""
    message: Message = {"role": "assistant", "content": text}
    made = [
        {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
        for one in calls
    ]
    return {**message, "tool_calls": made} if made else message


def told(call: Call, note: str | None) -> Message:
    """A tool's result, with advice below it."""
    content = call.result if note is None else f"{call.result}\n\n{note}"
    return {"role": "tool", "tool_call_id": call.id, "content": content}


def asked(request: str, note: str | None) -> Message:
    """A user's message, with what a guard says of it."""
    return {"role": "user", "content": request if note is None else f"{request}\n\n{note}"}


def names(calls: Iterable[Call]) -> tuple[str, ...]:
    """The tools of these calls, each once."""
    return tuple(sorted({call.name for call in calls}))
