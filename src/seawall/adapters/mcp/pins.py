"""Pins: the accepted definition of each tool. A person accepts it, or the first use does. Pure; `pin_store.py` keeps pins."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from seawall.adapters.mcp.definitions import ToolDefinition, list_changes
from seawall.core.errors import Misused

FIRST_USE = "first use"
"""The value of `Pin.by` for a definition that was accepted because its server was used for the first time."""
LEAST_HASH_CHARS = 8
"""Characters of a hash that a person must give at least, to name the definition that they decide on."""

PinState = Literal["pinned", "quarantined", "rejected"]


class Pin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The accepted definition of one tool of one server, and the definition that waits for a person, if any."""

    server: str
    tool: str
    digest: str = ""
    """The digest of the definition that was accepted; "" if none was."""
    definition: dict[str, Any] = {}
    """The definition that was accepted."""
    by: str = ""
    """Who accepted it."""
    at: float = 0.0
    """The time at which it was accepted, in wall seconds."""
    why: str = ""
    waiting: str = ""
    """The digest of another definition, which waits for a person; "" if none does."""
    offered: dict[str, Any] = {}
    """The definition that waits."""
    offered_at: float = 0.0
    """The time at which the waiting definition was first seen, in wall seconds."""
    reasons: tuple[str, ...] = ()
    """Why the definition waits."""
    rejected: str = ""
    """The digest of a definition that a person rejected. No person is asked about it again."""
    rejected_by: str = ""
    """Who rejected it."""
    rejected_why: str = ""

    @property
    def state(self) -> PinState:
        """The state of the tool: only a pinned tool may be called."""
        if self.waiting:
            return "quarantined"
        return "pinned" if self.digest else "rejected"


class FirstLook(NamedTuple):
    """What happens to tools without an accepted definition."""

    accepts: bool
    """Whether the definitions that the server offers are accepted."""
    by: str = ""
    """Who accepts them."""
    reasons: tuple[str, ...] = ()
    """Why they wait for a person, if they are not accepted."""


def look(pin: Pin | None, server: str, seen: ToolDefinition, *, first: FirstLook, now: float) -> Pin:
    """Returns a tool's pin after its server has offered the definition `seen`.

    At the server's first use the definition is accepted, unless its name or a text is misleading. A definition that differs
    from the accepted one waits for a person, and continues to wait if the server offers the accepted one again.
    """
    pin = pin or Pin(server=server, tool=seen.name)
    if seen.problem:
        return pin if pin.waiting == seen.digest else _quarantine(pin, seen.digest, {}, [seen.problem], now)
    if seen.digest in (pin.digest, pin.rejected):
        return pin
    if not pin.digest and first.accepts and not seen.odd:
        return Pin(
            server=server, tool=seen.name, digest=seen.digest, definition=seen.document, by=first.by, at=now
        )
    if seen.digest == pin.waiting:
        return pin
    if pin.digest:
        changed = ", ".join(list_changes(pin.definition, seen.document))
        reasons = [f"the server has changed its {changed}", *seen.odd]
    else:
        reasons = [*first.reasons, *seen.odd]
    return _quarantine(pin, seen.digest, seen.document, reasons, now)


def _quarantine(pin: Pin, digest: str, document: dict[str, Any], reasons: Sequence[str], now: float) -> Pin:
    return replace(pin, waiting=digest, offered=document, offered_at=now, reasons=tuple(reasons))


def accept(pin: Pin, hash_: str, *, by: str, why: str, now: float) -> Pin:
    """Returns the pin after a person has accepted the definition with this hash. Raises `Misused` if no definition with this
    hash waits.
    """
    _check_hash(pin, hash_)
    if not pin.offered:
        raise Misused(f"{pin.server}.{pin.tool} can't be accepted: {'; '.join(pin.reasons)}")
    return Pin(
        server=pin.server, tool=pin.tool, digest=pin.waiting, definition=pin.offered, by=by, at=now, why=why
    )


def reject(pin: Pin, hash_: str, *, by: str, why: str) -> Pin:
    """Returns the pin after a person has rejected the definition with this hash. The accepted definition stays accepted."""
    _check_hash(pin, hash_)
    return replace(
        pin,
        waiting="",
        offered={},
        offered_at=0.0,
        reasons=(),
        rejected=pin.waiting,
        rejected_by=by,
        rejected_why=why,
    )


def _check_hash(pin: Pin, hash_: str) -> None:
    name = f"{pin.server}.{pin.tool}"
    if not pin.waiting:
        raise Misused(f"nothing of {name} waits for a decision: it is {pin.state}")
    if len(hash_) < LEAST_HASH_CHARS or not pin.waiting.startswith(hash_):
        raise Misused(
            f"{name}: the definition that waits has the hash {pin.waiting[:LEAST_HASH_CHARS]}, not {hash_!r}: look at it "
            f"with seawall mcp diff {shlex.quote(name)}"
        )


def explain_refusal(pin: Pin | None, live: str | None) -> str | None:
    """Returns why a tool may not be called; None if it may. `live` is the digest of the definition that its server offers now;
    None if it does not offer the tool.
    """
    if pin is None:
        return "it is not pinned"
    name = f"{pin.server}.{pin.tool}"
    if live is None:
        return "its server does not offer it any more"
    if pin.waiting:
        why = "; ".join(pin.reasons)
        return (
            f"it is quarantined until a person has looked at it ({why}): seawall mcp diff {shlex.quote(name)}"
        )
    if live == pin.rejected:
        why = f": {pin.rejected_why}" if pin.rejected_why else ""
        return f"{pin.rejected_by} has rejected the definition that its server offers now{why}"
    if live != pin.digest:
        return f"its server offers another definition than the accepted one: seawall mcp diff {shlex.quote(name)}"
    return None
