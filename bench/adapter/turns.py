"""What every framework plays: a clerk who looks up ten things, one after another, and then answers.

That is eleven model calls and ten tool calls: 21 steps. A reply follows from how many results the clerk has seen, so the
model holds no state, and any number of runs share it. Every text names the order, and so differs from run to run.
"""

from __future__ import annotations

import re

from teams.script import Call, Reply

TURNS = 10
STEPS = 2 * TURNS + 1
PROMPT = (
    "You are the clerk. Look up each parcel of the order that you are asked about, one after another, and report what was "
    "bought, where it is and when it was last seen."
)
_ORDER = re.compile(r"order (\d+)")


def make_request(number: int) -> str:
    """Returns what a user asks for in run `number`."""
    return f"Where are the {TURNS} parcels of order {number}?"


def make_answer(number: int) -> str:
    """Returns what the clerk answers in run `number`."""
    return f"The {TURNS} parcels of order {number} are on their way."


class Turns:
    """The script, and what really happened, counted where it happened."""

    def __init__(self) -> None:
        self.models, self.tools = 0, 0

    async def reply(self, agent: str, seen: int, first: str) -> Reply:
        """Returns the model's reply after `seen` results."""
        self.models += 1
        found = _ORDER.search(first)
        assert found is not None
        order = int(found.group(1))
        if seen < TURNS:
            call = Call(f"call_{order}_{seen}", "find_parcel", {"order": str(order), "parcel": str(seen)})
            return Reply("", (call,))
        return Reply(make_answer(order))

    def count_tool(self) -> None:
        """Counts a call of the tool."""
        self.tools += 1


def describe_parcel(order: str, parcel: str) -> str:
    """Returns what the tool finds."""
    number = int(order) * TURNS + int(parcel)
    return (
        f"parcel {parcel} of order {order}: {1 + number % 7} books, weight {200 + number % 900} g, left depot "
        f"{number % 40} at {6 + number % 12}:{number % 60:02d}, shelf {number % 400}"
    )
