"""A team with a reviewer, and reviewers that read what they are shown, or do not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from seawall import Agent, Seawall, Team, tool
from seawall.models.protocol import ModelRequest
from seawall.testing import ManualClock, ScriptedModel, call, say

ORDER = {
    "id": "A-1042",
    "state": "lost",
    "amount": "80.00",
    "customer": "Ana Ferreira",
    "shipped": "2026-03-03",
}
ANSWER = "Order A-1042 of Mrs Ferreira was shipped on 2026-03-03 and lost. We pay back 80.00 EUR."
Reviewer = Callable[[ModelRequest], Any]


@tool
def find_order(order_id: str) -> dict[str, str]:
    """Look up one order."""
    return ORDER


def read_task(request: ModelRequest) -> tuple[str, str]:
    """Returns the answer and the results that a reviewer is shown."""
    task = request.messages[-1].content or ""
    answer, _, evidence = task.partition("Proposed answer:\n")[2].partition("Results that")
    return answer, evidence


def approve(request: ModelRequest) -> Any:
    """Approves everything, and says nothing."""
    return call("review", approved=True)


def praise(request: ModelRequest) -> Any:
    """Approves everything, in many words that name nothing."""
    return call("review", approved=True, feedback="A clear and friendly answer, well done by everybody.")


def reject(request: ModelRequest) -> Any:
    """Rejects everything."""
    return call("review", approved=False, feedback="No.")


def compare(request: ModelRequest) -> Any:
    """Compares each value and name of the answer with the results, and names what is not there."""
    answer, evidence = read_task(request)
    told = re.findall(r"[A-Z]?-?\d[\d.-]*\d|Mrs (\w+)", answer)
    values = {*re.findall(r"[A-Z]*-?\d[\d.-]*\d", answer), *(each for each in told if each)}
    wrong = sorted(value for value in values if value not in evidence)
    if wrong:
        return call("review", approved=False, feedback=f"{', '.join(wrong)} is in no result")
    return call("review", approved=True, feedback="A-1042 and 80.00 are in the order")


def desk(reviewer: Reviewer, *, answer: str = ANSWER, name: str = "desk") -> Team:
    """A team that looks up an order and answers, and has its answer reviewed."""
    script = [call("find_order", order_id="A-1042"), say(answer), say(answer)]
    clerk = Agent("clerk", model=ScriptedModel(script, by="position"), tools=[find_order])
    return Team(name, clerk, reviewer=Agent("auditor", model=ScriptedModel(reviewer)))


async def record(sea: Seawall, team: Team, runs: int = 1, **options: Any) -> list[str]:
    """Returns the ids of so many runs of the team, oldest first, each a second after the one before it."""
    found: list[str] = []
    for _ in range(runs):
        run = await sea.start(team, "Where is my order?", **options)
        await run.outcome()
        found.append(run.id)
        clock = sea.supervisor.clock
        if isinstance(clock, ManualClock):
            await clock.advance(1.0)
    return found
