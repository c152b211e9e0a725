"""Conversations that are recorded in every shape."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Row = Any
MODEL = "gpt-5.2"
START_NS = 1_760_000_000_000_000_000


@dataclass(frozen=True)
class Turn:
    """One reply of a model: calls with their results, or an answer."""

    calls: tuple[tuple[str, dict[str, Any], str, bool], ...] = ()
    """(tool, arguments, result, failed)."""
    text: str = ""
    user: str = ""
    """What the user says before it."""
    tokens: tuple[int, int] = (100, 10)


@dataclass(frozen=True)
class Conversation:
    """What is recorded."""

    id: str
    turns: tuple[Turn, ...]
    system: str = "You are a clerk."
    with_ids: bool = True
    """Calls have ids."""
    extra: dict[str, Any] = field(default_factory=dict[str, Any])

    def name_call(self, turn: int, place: int) -> str:
        return f"call_{self.id}_{turn}_{place}" if self.with_ids else ""


def make_loop(name: str = "c-1", repeats: int = 9) -> Conversation:
    """A conversation that asks the same again and again, and then answers with a value that nobody has shown."""
    order = json.dumps({"id": 1042, "state": "lost", "note": "no news from the carrier since Monday"})
    first = Turn(user="Where is order 1042?", calls=(("get_order", {"id": 1042}, order, False),))
    again = [Turn(calls=(("get_order", {"id": 1042}, order, False),)) for _ in range(repeats - 1)]
    return Conversation(name, (first, *again, Turn(text="Order 1042 arrives on 2031-04-17.")))


def make_work(name: str = "c-2") -> Conversation:
    """A conversation in which each call brings something new."""
    turns = [
        Turn(
            user="Compare orders 1 to 3." if n == 1 else "",
            calls=(("get_order", {"id": n}, f"order {n}: {'abc'[n - 1]}", n == 3),),
        )
        for n in (1, 2, 3)
    ]
    return Conversation(name, (*turns, Turn(text="Two arrived, and one failed.")))
