"""The world outside of Seawall: it counts every call that reaches it, in a file that outlives processes."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple


class Call(NamedTuple):
    """One call that reached the world."""

    number: int
    kind: Literal["model", "read", "effect"]
    name: str
    identity: str
    """What makes two calls the same: an agent's whole conversation, or a tool's idempotency key."""
    step: int = 0
    tokens: int = 0
    depth: int = 0


def read_calls(path: Path) -> list[Call]:
    """Returns every call that reached a world, in order; none if the file does not exist."""
    if not path.exists():
        return []
    return [Call(**json.loads(line)) for line in path.read_text().splitlines()]


def count_times(path: Path, name: str) -> Counter[str]:
    """Returns how often each identity of `name` was called."""
    return Counter(call.identity for call in read_calls(path) if call.name == name)


class World:
    """Appends a line for each call; the death of a process loses none. `on_call` is called before and after each."""

    def __init__(self, path: Path, on_call: Callable[[int, bool], None] = lambda number, done: None) -> None:
        self._path = path
        self._on_call = on_call
        self._lock = threading.Lock()  # sync tools call from threads
        self._number = len(self.calls())
        self._begun = self._number

    def happen(self, kind: str, name: str, identity: str, **more: Any) -> int:
        """Counts one call; returns its number, from 1."""
        with self._lock:
            number = self._number + 1
            self._on_call(number - self._begun, False)
            line = {"number": number, "kind": kind, "name": name, "identity": identity, **more}
            with self._path.open("ab", buffering=0) as file:
                file.write(json.dumps(line).encode() + b"\n")
            self._number = number
            self._on_call(number - self._begun, True)
            return number

    def calls(self, kind: str | None = None) -> list[Call]:
        """Returns the calls so far, in order."""
        return [call for call in read_calls(self._path) if kind in (None, call.kind)]
