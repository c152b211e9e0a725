"""The pins of a journal. They are shared records in the journal's chain, so every process on the journal has the same pins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import msgspec

from seawall.adapters.mcp.definitions import ToolDefinition
from seawall.adapters.mcp.pins import FIRST_USE, FirstLook, Pin, look
from seawall.core.clock import Clock
from seawall.core.errors import Misused
from seawall.journal.protocol import Journal

MAX_PINS = 1_000
"""Pins of one server: more than a real server has tools. The bound keeps a server that invents names from filling the
journal."""
_PREFIX = "mcp/"
_MAX_KEY_CHARS = 200
_decoder = msgspec.json.Decoder(Pin)


class _FirstUse(msgspec.Struct, frozen=True, kw_only=True):
    """Records that all tools of a server were compared with the pins once: a tool that it offers later is new."""

    at: float
    by: str
    """Who accepted the tools; "" if nobody has yet."""


_first_use_decoder = msgspec.json.Decoder(_FirstUse)


def _make_key(server: str, tool: str) -> str:
    if len(tool) > _MAX_KEY_CHARS or not tool.isascii() or not tool.isprintable():
        tool = "#" + hashlib.sha256(tool.encode("utf-8", "backslashreplace")).hexdigest()
    return f"{_PREFIX}{server}/{tool}"


class PinStore:
    """Reads and changes the pins of one journal."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    async def read(self, server: str) -> dict[str, Pin]:
        """Returns the pins of a server's tools by name."""
        found = await self._journal.shared(f"{_PREFIX}{server}/")
        pins = [_decoder.decode(value) for value in found.values()]
        return {pin.tool: pin for pin in pins}

    async def read_one(self, server: str, tool: str) -> Pin | None:
        """Returns the pin of one tool."""
        key = _make_key(server, tool)
        value = (await self._journal.shared(key)).get(key)
        return None if value is None else _decoder.decode(value)

    async def list_servers(self) -> list[str]:
        """Returns the names of the servers that have records."""
        names = [key.removeprefix(_PREFIX).partition("/")[0] for key in await self._journal.shared(_PREFIX)]
        return list(dict.fromkeys(names))

    async def is_known(self, server: str) -> bool:
        """Returns whether a server's tools were compared with the pins before."""
        return await self._read_first_use(server) is not None

    async def judge_first_use(self, server: str, *, trust: bool, by: str) -> FirstLook:
        """Returns whether the tools of a server that have no accepted definition yet are accepted now.

        `by` is a person who wants to accept them, or "". Without a person, they are accepted at the server's first use if
        `trust` is True, and never later.
        """
        known = await self._read_first_use(server)
        if by and (known is None or not known.by):
            return FirstLook(True, by)
        if known is None and trust:
            return FirstLook(True, FIRST_USE)
        if known is not None and known.by:
            return FirstLook(False, reasons=("the server offers it since it was pinned",))
        return FirstLook(False, reasons=("nobody has accepted it yet",))

    async def note_first_use(self, server: str, by: str) -> None:
        """Records that the tools of a server were compared with the pins. `by`: who accepted them; "" if nobody has."""
        record = msgspec.json.encode(_FirstUse(at=self._clock.wall_s(), by=by))

        def note(old: bytes | None) -> bytes:
            return record if old is None or not _first_use_decoder.decode(old).by else old

        await self._journal.change(f"{_PREFIX}{server}", note)

    async def _read_first_use(self, server: str) -> _FirstUse | None:
        key = f"{_PREFIX}{server}"
        value = (await self._journal.shared(key)).get(key)
        return None if value is None else _first_use_decoder.decode(value)

    async def look(
        self,
        server: str,
        offered: Sequence[ToolDefinition],
        *,
        first: FirstLook,
        known: Mapping[str, Pin],
    ) -> None:
        """Compares the tools that a server offers with its pins, and records the differences."""
        names, now = set(known), self._clock.wall_s()
        for definition in offered:
            if definition.name not in names and len(names) >= MAX_PINS:
                continue
            names.add(definition.name)

            def change(old: bytes | None, seen: ToolDefinition = definition) -> bytes:
                pin = None if old is None else _decoder.decode(old)
                return msgspec.json.encode(look(pin, server, seen, first=first, now=now))

            before = known.get(definition.name)
            if look(before, server, definition, first=first, now=now) != before:
                # Another process may have changed the pin meanwhile, so `change` looks at the recorded pin again.
                await self._journal.change(_make_key(server, definition.name), change)

    async def decide(self, server: str, tool: str, change: Callable[[Pin], Pin]) -> Pin:
        """Changes a pin, and returns it. Raises `Misused` if there is no such pin, and the errors of `change`."""

        def write(old: bytes | None) -> bytes:
            if old is None:
                raise Misused(
                    f"there is no tool {server}.{tool} in this journal: seawall mcp list names them"
                )
            return msgspec.json.encode(change(_decoder.decode(old)))

        value = await self._journal.change(_make_key(server, tool), write)
        assert value is not None
        return _decoder.decode(value)
