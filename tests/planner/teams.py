"""Teams in a hurry: a desk with ten seconds, and the agents that may be left out."""

from __future__ import annotations

from typing import Any

from seawall import Agent, Limits, Planner, Team
from seawall.models.scripted import Entry, calls
from seawall.testing import ManualClock, ScriptedModel, call, slow

ASK_BOTH = calls(call("ask_clerk", task="a"), call("ask_archivist", task="b"))
APPROVE = call("review", approved=True)


def model(clock: ManualClock, *script: Entry) -> ScriptedModel:
    return ScriptedModel(script, clock=clock)


def desk(clock: ManualClock, *script: Entry, **team: Any) -> Team:
    """A coordinator with a clerk and an optional archivist, ten seconds, and priors for all of them."""
    clerk: tuple[Entry, ...] = team.pop("clerk", (slow(2, "shipped on 3 May"),))
    archivist: tuple[Entry, ...] = team.pop("archivist", (slow(2, "no earlier case"),))
    priors = {"model:desk": 1.0, "agent:clerk": 2.0, "agent:archivist": 2.0, **team.pop("priors", {})}
    return Team(
        "desk",
        Agent("desk", model=model(clock, *script)),
        specialists=[
            Agent("clerk", model=model(clock, *clerk)),
            Agent("archivist", model=model(clock, *archivist), optional=True),
        ],
        limits=Limits(active_s=10),
        planner=Planner(priors=priors, **team.pop("options", {})),
        **team,
    )


def auditor(clock: ManualClock, *script: Entry) -> Agent:
    return Agent("auditor", model=model(clock, *script))


def quick(clock: ManualClock, *script: Entry) -> Agent:
    return Agent("quick", model=model(clock, *script))
