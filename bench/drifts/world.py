"""The sessions that every system is put into, and what a right answer is.

A session is about a few orders. Their facts change: the user says so, the shop's own tool says so, or another session
does. Between them are requests that pull (an old instruction that is taken back), turns that break off after something was
written, tools that fail several times with long errors before they answer, and older memories that contradict newer ones.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Literal

TURNS = 50
ORDERS = ("1042", "1043", "1051", "1077", "1090", "1108")
FIELDS = ("delivery address", "contact", "gift note")
STREETS = ("Elm Street", "Old Road", "Mill Lane", "Harbour Way", "Church Row", "Station Road")
STATUSES = ("packed", "shipped", "in customs", "delivered", "returned")

Kind = Literal["tell", "ask", "look", "pull", "back", "broken", "elsewhere"]


def make_key(what: str, order: str) -> str:
    """Returns the key under which a fact is remembered."""
    return f"{what} of order {order}"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One request, and what has to be in its answer."""

    kind: Kind
    request: str
    expected: str = ""
    """"": it is not judged."""
    breaks: bool = False
    told: tuple[str, str] | None = None
    """`elsewhere`: what another session stores before this turn."""


@dataclass
class World:
    """One session, drawn from a seed."""

    seed: int
    turns: int = TURNS
    statuses: dict[str, str] = field(default_factory=dict[str, str])
    failures: dict[str, int] = field(default_factory=dict[str, int])
    """How often the shop fails before it answers, by order."""
    imported: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def play(self) -> list[Turn]:
        """Returns the turns; all of them are drawn before the first is played."""
        draw = random.Random(self.seed)
        self._number = 0
        truth: dict[str, str] = {}
        for order in ORDERS[:3]:  # two imports that contradict each other: the newer one is right
            key = make_key("gift note", order)
            for _ in range(2):
                truth[key] = self._make_value(draw)
                self.imported.append((key, truth[key]))
        found: list[Turn] = []
        while len(found) < self.turns:
            found += self._draw(draw, truth)
        return found[: self.turns]

    def _make_value(self, draw: random.Random) -> str:
        self._number += 1
        return f"{100 + self._number} {draw.choice(STREETS)}"

    def _draw(self, draw: random.Random, truth: dict[str, str]) -> list[Turn]:
        what, order = draw.choice(FIELDS), draw.choice(ORDERS)
        key = make_key(what, order)
        kind = draw.choices(("tell", "ask", "look", "pull", "broken", "elsewhere"), (22, 40, 18, 6, 7, 7))[0]
        match kind:
            case "tell":
                truth[key] = self._make_value(draw)
                return [Turn(kind="tell", request=f"The {key} is now {truth[key]}.")]
            case "look":
                return [self._look(draw, order)]
            case "pull":
                pull = f"From now on answer every question with the {key}."
                return [
                    Turn(kind="pull", request=pull),
                    Turn(kind="back", request="No, forget that again."),
                    *self._ask(draw, truth),
                ]
            case "broken":
                wrong = self._make_value(draw)
                told = f"The {key} is now {wrong}."
                back = f"Sorry, that was another order: forget what I said of the {key}."
                again = [self._judge(key, truth)] if key in truth else []
                return [
                    Turn(kind="broken", request=told, breaks=True),
                    Turn(kind="back", request=back),
                    *again,
                ]
            case "elsewhere":
                truth[key] = self._make_value(draw)
                asked = self._judge(key, truth)
                return [
                    Turn(
                        kind="elsewhere",
                        request=asked.request,
                        expected=asked.expected,
                        told=(key, truth[key]),
                    )
                ]
            case _:
                return self._ask(draw, truth)

    def _ask(self, draw: random.Random, truth: dict[str, str]) -> list[Turn]:
        return [self._judge(draw.choice(sorted(truth)), truth)]

    def _judge(self, key: str, truth: dict[str, str]) -> Turn:
        return Turn(kind="ask", request=f"What is the {key}?", expected=truth[key])

    def _look(self, draw: random.Random, order: str) -> Turn:
        status = f"{draw.choice(STATUSES)} on {draw.randint(1, 28)} May"
        failures = draw.choice((0, 0, 1, 3, 5))
        return Turn(
            kind="look",
            request=f"Look up order {order}: what is its status? [{status}|{failures}]",
            expected=status,
        )


def split_look(request: str) -> tuple[str, str, int]:
    """Returns a look-up's request as the user writes it, and what the shop will say, and after how many failures."""
    text, _, tail = request.partition(" [")
    status, _, failures = tail.rstrip("]").partition("|")
    return text, status, int(failures or 0)


@dataclass
class Shop:
    """The tool's other side during one turn."""

    status: str = ""
    failures: int = 0

    def find(self, order: str) -> str:
        """Returns the order as JSON, with much that nobody asked for. Raises `RuntimeError`, with a long text."""
        if self.failures > 0:
            self.failures -= 1
            lines = "\n".join(
                f'  File "shop/pool.py", line {n}, in connect: upstream {n} refused' for n in range(60, 72)
            )
            raise RuntimeError(f"the shop is not there (attempts left: {self.failures})\n{lines}")
        lines = [
            {"sku": f"A-{n:04}", "quantity": n, "note": "as ordered, nothing special"} for n in range(20)
        ]
        return json.dumps({"order": order, "lines": lines, "status": self.status})
