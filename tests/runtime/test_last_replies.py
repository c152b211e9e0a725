"""What is kept of tokens and money for the last replies of a hand-off and of its callers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.test_closing import PRICE, eager
from seawall import Agent, Limits, Loops, Team
from seawall.models.protocol import ModelRequest
from seawall.models.scripted import calls
from seawall.testing import ScriptedModel, call, say
from team.play import World, play


def desk(world: World, limits: Limits, *, clerks: int, levels: int, most: int) -> Team:
    """Returns a team whose coordinator asks all clerks at once, each of whom looks things up as long as it can."""
    names = [f"clerk-{number}" for number in range(clerks)]
    agents: list[Any] = [
        Agent(name, model=eager(name), tools=[world.reads()], max_output_tokens=most) for name in names
    ]

    def ask(request: ModelRequest) -> Any:
        asks = [each.name for each in request.tools if each.name.startswith("ask_")]
        new = not any(each.content and "last words" in each.content for each in request.messages)
        return calls(*[call(name, task="Look.") for name in asks]) if asks and new else say("Done.")

    for level in range(levels - 1):
        lead = Agent(f"lead-{level}", model=ScriptedModel(ask, price=PRICE), max_output_tokens=most)
        agents = [Team(f"team-{level}", lead, specialists=agents)]
    boss = Agent("boss", model=ScriptedModel(ask, price=PRICE), max_output_tokens=most)
    return Team("desk", boss, specialists=agents, limits=limits, guards=[Loops(no_news=999)])


@settings(max_examples=20, deadline=None)
@given(
    tokens=st.integers(6_000, 14_000),
    levels=st.integers(1, 2),
    most=st.sampled_from([100, 300, 4_096]),
    money=st.booleans(),
)
def test_a_limit_that_is_used_up_within_a_hand_off_still_brings_the_coordinators_own_answer(
    tokens: int, levels: int, most: int, money: bool
) -> None:
    usd = Decimal(tokens) * 3 / 1_000_000
    limits = Limits(
        tool_calls=999, model_calls=999, tokens=None if money else tokens, usd=usd if money else None
    )

    outcome = play(desk(World(), limits, clerks=1, levels=levels, most=most)).outcome

    assert (outcome.status, outcome.answer, outcome.pruned) == ("completed", "Done.", ("limits",))
    assert outcome.tokens <= (limits.tokens or outcome.tokens)
    assert outcome.usd <= (limits.usd or outcome.usd)


def test_a_specialist_has_a_last_reply_of_its_own_where_one_is_at_work() -> None:
    team = desk(World(), Limits(tokens=6_000, tool_calls=999, model_calls=999), clerks=1, levels=1, most=300)

    run = play(team)

    assert [step.agent for step in run.steps("model") if step.last] == ["clerk-0", "boss"]
