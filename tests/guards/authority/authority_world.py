"""A desk whose clerk pays, and what came of a run of it: at the gate, with scripted models and a world that counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from seawall import Agent, Approve, Authority, Effect, Outcome, Seawall, Team, Waiting, tool
from seawall.core.events import Event, Judged, StepDone
from seawall.testing import ScriptedModel


class Played(NamedTuple):
    """What came of one run."""

    rest: Outcome[Any] | Waiting
    paid: list[Any]
    events: list[Event]

    @property
    def verdicts(self) -> list[tuple[str, str]]:
        """Verdict and stage of the guard `authority`, in order."""
        return [(each.verdict, each.stage) for each in self.judged]

    @property
    def judged(self) -> list[Judged]:
        """What the guard `authority` said."""
        return [each for each in self.events if isinstance(each, Judged) and each.guard == "authority"]

    def text_of(self, *parts: str) -> bool:
        """Returns whether a verdict's reason has all these parts."""
        return any(all(part in each.reason for part in parts) for each in self.judged)

    @property
    def statuses(self) -> list[str]:
        """How the steps ended, in order."""
        return [each.status for each in self.events if isinstance(each, StepDone)]


class Counting(Protocol):
    """A world that counts what was done in it."""

    paid: list[Any]


class World:
    """What tools read and do."""

    def __init__(self, news: str = "It is on its way.", approve: Sequence[Approve] = ()) -> None:
        self.paid: list[Any] = []

        @tool
        async def find_order(order: str) -> str:
            """Find an order."""
            return news

        @tool(effect=Effect(unique_by=("order",), amount="amount", currency="EUR", approve=tuple(approve)))
        async def refund(order: str, amount: float) -> str:
            """Pay money back."""
            self.paid.append((order, amount))
            return f"{amount} EUR paid for {order}, approved by the bank"

        @tool(effect=True)
        async def close_account(note: str = "") -> str:
            """Close the account of the user."""
            self.paid.append(("account", 0.0))
            return "closed"

        self.tools = [find_order, refund, close_account]

    def clerk(self, entries: Sequence[Any], name: str = "clerk", **options: Any) -> Agent:
        """Returns an agent with the tools."""
        return Agent(name, model=ScriptedModel(entries, name=f"model of {name}"), tools=self.tools, **options)


async def play(
    world: Counting,
    team: Team | Agent,
    request: str,
    *,
    sea: Seawall | None = None,
    then: Callable[[Seawall, Waiting], Any] | None = None,
    **options: Any,
) -> Played:
    """Runs a team on one request."""
    opened = sea or await Seawall().open()
    try:
        run = await opened.start(team, request, **options)
        rest = await run.rest()
        if then is not None and isinstance(rest, Waiting):
            await then(opened, rest)
            rest = await run.outcome()
        return Played(rest, world.paid, await opened.journal.events(run.id))
    finally:
        if sea is None:
            await opened.close()


def team_of(agent: Agent, authority: Authority | None = None, **options: Any) -> Team:
    """Returns a team of one, with an authority."""
    return Team("desk", agent, authority=authority, **options)
