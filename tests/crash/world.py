"""The world outside of Seawall: every call that reaches it is counted here, in a file that outlives processes."""

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


def seen(path: Path) -> list[Call]:
    """Everything that has happened in a world, in order; nothing if it never began."""
    if not path.exists():
        return []
    return [Call(**json.loads(line)) for line in path.read_text().splitlines()]


def times(path: Path, name: str) -> Counter[str]:
    """How often each identity of `name` happened."""
    return Counter(call.identity for call in seen(path) if call.name == name)


class World:
    """Appends a line a call; process death loses none of them. `on_call` is told before and after each."""

    def __init__(self, path: Path, on_call: Callable[[int, bool], None] = lambda number, done: None) -> None:
        self._path = path
        self._on_call = on_call
        self._lock = threading.Lock()  # sync tools call from threads
        self._number = len(self.calls())
        self._begun = self._number

    def happen(self, kind: str, name: str, identity: str, **more: Any) -> int:
        """Count one call; its number, from 1."""
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
        """What has happened so far, in order."""
        return [call for call in seen(self._path) if kind in (None, call.kind)]
