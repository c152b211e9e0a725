"""Reads server-sent events in all forms that servers write, and writes them in one form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

_BOM = b"\xef\xbb\xbf"
DONE = b"[DONE]"
"""The data of the event with which chat completions end a stream."""


class WireEvent(NamedTuple):
    """One event of a stream: its `event:` line, if it has one, and its data."""

    name: str | None
    data: bytes


class EventReader:
    """Splits a stream into events, with any line ends, and wherever its packets are split.

    A byte order mark, comments, and a missing space behind the colon make no difference. Two events without a blank
    line between them are still two events. The watch bounds a line, and `max_event_bytes` the lines of one event.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self._max_bytes = max_event_bytes
        self._pending: list[bytes] = []
        self._begun = False
        self._after_cr = False
        self._name: str | None = None
        self._lines: list[bytes] = []
        self._size = 0

    def __repr__(self) -> str:
        return f"<EventReader {self._size}/{self._max_bytes} bytes of an event>"

    def feed(self, chunk: bytes) -> Iterator[WireEvent]:
        """Yields the events that end in this chunk. Raises `ValueError` for an event that is too large."""
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
        if chunk.endswith(b"\r"):
            self._after_cr = True
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._pending.append(line)
            whole, self._pending = b"".join(self._pending), []
            yield from self._read_line(whole)
        if rest:
            self._pending.append(rest)

    def finish(self) -> Iterator[WireEvent]:
        """Yields the last event, if no blank line ended it."""
        if self._pending:
            whole, self._pending = b"".join(self._pending), []
            yield from self._read_line(whole)
        yield from self._read_line(b"")

    def _read_line(self, line: bytes) -> Iterator[WireEvent]:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BOM)
        if not line:
            yield from self._end_event()
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode("utf-8", "replace").strip() or None
        elif field == b"data":
            self._size += len(value)
            if self._size > self._max_bytes:
                raise ValueError(f"sent an event of more than {self._max_bytes} bytes")
            self._lines.append(value)

    def _end_event(self) -> Iterator[WireEvent]:
        name, lines = self._name, self._lines
        self._name, self._lines, self._size = None, [], 0
        if not lines:
            return
        if len(lines) > 1 and all(line.strip() == DONE or _is_json(line) for line in lines):
            for line in lines:
                yield WireEvent(name, line)
        else:
            yield WireEvent(name, b"\n".join(lines))


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def write_event(name: str | None, data: dict[str, Any] | bytes) -> bytes:
    """Returns an event as bytes; each line begins with the name of its field."""
    lead = f"event: {name}\n".encode() if name else b""
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return lead + b"data: " + text.replace(b"\n", b"\ndata: ") + b"\n\n"
