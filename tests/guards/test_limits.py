"""No run takes more than it was given: counted by the world, not by the ledger."""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal
from typing import Any

import pytest

from guards.metered import FREE, PRICE, Metered, wide
from guards.verdicts import Says
from seawall import Advise, Agent, Limits, Loops, Misused, Outcome, Refused, Team
from seawall.models.protocol import Usage
from seawall.models.scripted import calls
from seawall.testing import ScriptedModel, call, fail, say
from team.play import World, play, played


def stopped(outcome: Outcome) -> str:
    """Returns the limit that was used up: it has brought the run to its end, or halted it."""
    if outcome.stopped_by is not None:
        assert outcome.stopped_by.guard == "limits"
        return (outcome.stopped_by.limit or "").partition("=")[0]
    assert outcome.pruned[0] == "limits", outcome
    found = re.search(r": (\w+) (?:would be|could reach) ", outcome.lacks[0])
    assert found is not None, outcome.lacks
    return found[1]


def test_sixty_four_children_fit_where_there_is_room_for_them() -> None:
    model = Metered()

    run = play(wide(64, model, tokens=1_000_000, usd=Decimal(10)))

    assert run.outcome.status == "completed"
    assert model.calls == 64
    assert run.outcome.tokens == model.tokens + 22


@pytest.mark.parametrize("limit", [1, 2, 7, 63, 64])
def test_model_calls_are_exact_under_fan_out(limit: int) -> None:
    model, boss = (
        Metered(),
        ScriptedModel([calls(*[call(f"ask_c{i}", task="x") for i in range(64)]), say(".")]),
    )

    run = play(wide(64, model, boss=boss, model_calls=limit))

    assert model.calls + boss.request_count <= limit
    assert model.calls + boss.request_count == run.outcome.model_calls
    assert stopped(run.outcome) == "model_calls"


@pytest.mark.parametrize("limit", [1, 5, 63])
def test_handoffs_are_exact(limit: int) -> None:
    run = play(wide(64, Metered(), handoffs=limit))

    assert run.outcome.handoffs <= limit
    assert stopped(run.outcome) == "handoffs"


@pytest.mark.parametrize("limit", [1, 2, 5, 63])
@pytest.mark.parametrize("effect", [False, True])
def test_tool_calls_are_exact_under_fan_out(limit: int, effect: bool) -> None:
    world = World()
    model = ScriptedModel([calls(*[call("look", what=str(i)) for i in range(64)]), say(".")])
    look = world.writes("look") if effect else world.reads()

    agent = Agent("clerk", model=model, tools=[look])
    run = play(Team(agent, limits=Limits(tool_calls=limit)), guards=[Loops(writes=64)])

    assert len(world.calls) <= limit
    assert len(world.calls) == run.outcome.tool_calls
    assert stopped(run.outcome) == "tool_calls"


def test_failed_attempts_count_as_calls() -> None:
    model = Metered(fails=100)
    agent = Agent("clerk", model=ScriptedModel([fail("overloaded")] * 9), retries=0)

    run = play(Team(agent, limits=Limits(model_calls=1)))

    assert run.outcome.model_calls == 1
    assert model.calls == 0


@pytest.mark.parametrize(
    ("failure", "stream", "charged"),
    [
        (fail("overloaded"), False, False),
        (fail("rate_limited"), False, False),
        (fail("timeout"), False, True),
        (fail("incomplete"), False, True),
        (fail("overloaded", after="It was"), True, True),
    ],
)
def test_a_call_that_was_turned_away_costs_nothing_and_any_other_its_bound(
    failure: Any, stream: bool, charged: bool
) -> None:
    agent = Agent("clerk", model=ScriptedModel([failure]), retries=0)

    run = play(Team(agent), options={"stream": stream})

    assert run.outcome.status == "failed"
    assert (run.outcome.tokens > 0) is charged


@pytest.mark.parametrize("tokens", [15_300, 16_000, 18_000, 20_000])
def test_tokens_are_never_above_with_sixty_four_children_in_parallel(tokens: int) -> None:
    model = Metered()

    run = play(wide(64, model, tokens=tokens))

    assert model.tokens <= tokens
    assert run.outcome.tokens <= tokens
    assert stopped(run.outcome) == "tokens"


@pytest.mark.parametrize("usd", ["0.001", "0.002", "0.005"])
def test_money_is_never_above_with_sixty_four_children_in_parallel(usd: str) -> None:
    model = Metered()

    run = play(wide(64, model, usd=Decimal(usd)))

    assert model.usd <= Decimal(usd)
    assert run.outcome.usd <= Decimal(usd)
    assert stopped(run.outcome) == "usd"


def test_a_sibling_waits_for_a_reservation_to_settle_instead_of_being_refused() -> None:
    model = Metered(said=10, price=FREE)
    boss = ScriptedModel(
        [calls(*[call(f"ask_c{i}", task=f"find {i}") for i in range(8)]), say("Done.")],
        usage=Usage(10, 1),
        price=FREE,
    )
    # The boss reserves some 5,000 tokens for its own reply; one or two of its children fit beside each other.
    team = wide(8, model, boss=boss, tokens=8_000)

    run = play(team)

    assert run.outcome.status == "completed"
    assert model.calls == 8
    assert run.outcome.tokens <= 8_000


def test_no_more_steps_are_in_flight_than_parallel_allows() -> None:
    model = Metered()

    run = play(wide(20, model, parallel=3))

    assert run.outcome.status == "completed"
    assert model.most_at_once == 3
    assert model.calls == 20


def test_what_failed_without_a_count_is_booked_at_its_upper_bound() -> None:
    model = Metered(fails=1)
    agent = Agent("clerk", model=model, max_output_tokens=1_000)

    run = play(Team(agent, limits=Limits(tokens=100_000)))

    assert run.outcome.status == "failed"
    assert run.outcome.tokens >= 1_000


@pytest.mark.parametrize(("depth", "made"), [(1, 0), (2, 1), (3, 2)])
def test_depth_is_exact_through_nested_teams(depth: int, made: int) -> None:
    world = World()
    third = Agent("third", model=ScriptedModel([call("look", what="3"), say("3")]), tools=[world.reads()])
    second = Agent(
        "second",
        model=ScriptedModel([calls(call("look", what="2"), call("ask_third", task="x")), say("2")]),
        tools=[world.reads()],
    )
    first = Agent("first", model=ScriptedModel([call("ask_inner", task="x"), say("1")]))
    inner = Team("inner", second, specialists=[third])

    run = play(Team("outer", first, specialists=[inner], limits=Limits(depth=depth)))

    assert len(world.calls) == made
    assert run.outcome.status == "completed"
    assert run.outcome.pruned == (() if depth == 3 else ("limits",))
    assert len(run.outcome.lacks) == (0 if depth == 3 else 1)


def test_a_review_is_a_frame_of_its_own_and_counts_towards_depth() -> None:
    auditor = ScriptedModel([call("review", approved=True)])
    team = Team(
        "desk",
        Agent("boss", model=ScriptedModel(["Done."])),
        reviewer=Agent("auditor", model=auditor),
        limits=Limits(depth=1),
    )

    run = play(team)

    assert auditor.request_count == 0
    assert (run.outcome.status, run.outcome.answer) == ("completed", "Done.")
    assert run.outcome.reviewed is False
    assert run.outcome.pruned == ("limits", "review")
    assert run.outcome.lacks == ("'auditor' would work at depth 2 (limit 1)",)


def test_an_unknown_price_is_refused_where_money_is_limited() -> None:
    team = Team(Agent("clerk", model=ScriptedModel(["hi"], name="mystery")), limits=Limits(usd=Decimal(1)))

    with pytest.raises(Refused, match="'mystery'") as refused:
        asyncio.run(played(team))
    assert refused.value.guard == "limits"

    run = asyncio.run(played(team, prices={"mystery": PRICE}))
    assert run.outcome.status == "completed"


BAD: list[tuple[str, Any]] = [
    *[
        (name, bad)
        for name in Limits.__struct_fields__
        if name != "count_failed"
        for bad in (0, -1, True, float("nan"), float("inf"), "1")
        if name != "at_limit" or bad != 1
    ],
    *[("count_failed", bad) for bad in (0, 1, None, "no")],
    ("tool_calls", 1.5),
    ("tool_calls", None),
    ("active_s", None),
    ("usd", Decimal("NaN")),
    ("usd", Decimal("sNaN")),
    ("usd", Decimal("Infinity")),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_limit_that_is_none_names_itself_and_its_value(name: str, value: Any) -> None:
    with pytest.raises(Misused, match=rf"limits: {name} is "):
        Limits(**{name: value})


def test_advice_is_reserved_for_before_it_is_sent() -> None:

    team = Team(Agent("clerk", model=ScriptedModel(["hi"]), max_output_tokens=10), limits=Limits(tokens=500))

    run = play(team, guards=[Says(Advise("r", "x" * 1_000), of="model")])

    assert stopped(run.outcome) == "tokens"


def test_budget_observed_counts_and_lets_pass() -> None:
    world = World()
    model = ScriptedModel([calls(*[call("look", what=str(i)) for i in range(5)]), say("Done.")])
    team = Team(Agent("clerk", model=model, tools=[world.reads()]), limits=Limits(tool_calls=2))

    run = play(team, modes={"limits": "observe"})

    assert run.outcome.status == "completed"
    assert len(world.calls) == 5
    assert run.judged == [("limits", "halt", "observe")] * 3
