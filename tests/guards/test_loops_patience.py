"""The guard `loops`: what speaks for one more call, though the same came again.

Time has passed, the question is one whose answer changes, a receipt says how far something has come, or a tool brought
something new between two hand-offs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count, cycle, permutations, repeat
from typing import Any

import pytest

from guards.loop_world import World, advised, counting, one_agent, stopped
from seawall import Agent, Limits, Loops, Team, Tool
from seawall.models.scripted import slow
from seawall.testing import ManualClock, ScriptedModel, call, say
from team.play import Played, play

WORDS = ("amber", "birch", "cedar", "delta", "ember")
DOWN = ConnectionError("503 service unavailable")


def alone(tools: Sequence[Tool], script: Sequence[Any], *, clock: ManualClock | None = None) -> Played:
    """One agent with so much time that no limit ends it."""
    clock = clock or ManualClock()
    model = ScriptedModel([*script, say("Done.")], clock=clock)
    team = Team(Agent("clerk", model=model, tools=tools), limits=Limits(active_s=10_000))
    return play(team, guards=[Loops()], clock=clock)


def spaced(tool: Tool, times: int, gap_s: float) -> Played:
    """One agent that makes the same call so often, and lets so much time pass before each."""
    return alone([tool], [slow(gap_s, call(tool.name))] * times)


# ---- time that passes


@pytest.mark.parametrize("answer", ["out of stock", DOWN])
def test_who_waits_before_each_call_may_ask_a_few_times_more(answer: Any) -> None:
    world = World()
    shop = world.tool("shop", lambda what: answer if len(world.made) < 8 else "3 left")

    assert stopped(spaced(shop, 8, 30.0)) is None


@pytest.mark.parametrize(("gap_s", "made", "rule"), [(29.9, 4, "no_news"), (30.0, 17, "unfinished")])
def test_who_waits_for_what_never_comes_is_stopped_too(gap_s: float, made: int, rule: str) -> None:
    world = World()

    run = spaced(world.tool("shop", lambda what: "out of stock"), 20, gap_s)

    assert len(world.made) == made
    assert stopped(run) == rule
    assert advised(run) == [rule] * (made - 1)


@pytest.mark.parametrize(
    ("text", "gap_s", "made", "rule"),
    [
        ("no such name", 29.9, 9, "errors"),
        ("no such name", 30.0, 16, "failures"),
        ("no answer of {}", 29.9, 10, "failures"),
        ("no answer of {}", 30.0, 16, "failures"),
    ],
)
def test_who_waits_before_each_call_may_meet_more_errors(
    text: str, gap_s: float, made: int, rule: str
) -> None:
    world = World()
    fetch = world.tool("fetch", lambda what: LookupError(text.format(what)))

    run = alone([fetch], [slow(gap_s, call("fetch", what=f"host-{number}")) for number in range(30)])

    assert len(world.made) == made
    assert stopped(run) == rule


def test_errors_between_most_of_which_no_time_passed_count_as_ever() -> None:
    world = World()
    dig = world.tool("dig", lambda what: LookupError("no such name"))
    asks = [call("dig", what=f"host-{number}") for number in range(30)]

    run = alone([dig], [slow(60.0, ask) if number % 3 == 0 else ask for number, ask in enumerate(asks)])

    assert len(world.made) == 9
    assert stopped(run) == "errors"


def test_calls_in_quick_succession_count_as_ever_beside_those_after_a_wait() -> None:
    world = World()
    ask = call("shop")
    script = [ask, slow(60.0, ask), ask, slow(60.0, ask), ask, slow(60.0, ask), ask, ask]

    run = alone([world.tool("shop", lambda what: "out of stock")], script)

    assert len(world.made) == 7
    assert stopped(run) == "no_news"


def sleeper(clock: ManualClock, seconds: float, name: str = "sleep", says: str = "slept") -> Tool:
    async def function() -> str:
        await clock.sleep(seconds)
        return says

    return Tool(function, name=name, description="Take some time.")


@pytest.mark.parametrize(("seconds", "rule"), [(120.0, None), (10.0, None), (9.9, "no_news")])
def test_a_call_that_takes_long_lets_time_pass(seconds: float, rule: str | None) -> None:
    world, clock = World(), ManualClock()
    look = world.tool("look", lambda what: "epoch 1" if len(world.made) < 8 else "finished")

    run = alone([sleeper(clock, seconds), look], [call("sleep"), call("look")] * 8, clock=clock)

    assert stopped(run) == rule


def test_a_hand_off_that_takes_long_lets_no_time_pass_because_its_agent_was_at_work() -> None:
    world, clock = World(), ManualClock()
    look = world.tool("look", lambda what: "nothing")
    clerk = Agent("clerk", model=ScriptedModel(lambda request: slow(99.0, say("None.")), clock=clock))
    boss = ScriptedModel([call("look"), call("ask_clerk", task="Find it")] * 9, clock=clock)
    team = Team(
        "desk",
        Agent("boss", model=boss, tools=[look]),
        specialists=[clerk],
        limits=Limits(active_s=10_000),
    )

    run = play(team, guards=[Loops()], clock=clock)

    assert stopped(run) == "no_news"
    assert len(world.made) == 4


@pytest.mark.parametrize(("gap_s", "made"), [(1.0, 9), (60.0, 17)])
def test_a_write_after_a_wait_may_be_due_again(gap_s: float, made: int) -> None:
    world = World()

    run = spaced(world.tool("reload", lambda what: "loaded", effect=True), 20, gap_s)

    assert len(world.made) == made
    assert stopped(run) == "again"


# ---- questions whose answer changes


def answers(*parts: Iterable[str]) -> Callable[[str], str]:
    row: Iterator[str] = chain(*parts)
    return lambda what: next(row)


def test_a_question_whose_answer_has_changed_twice_may_bring_the_same_more_often() -> None:
    world = World()
    coin = world.tool("toss", answers(["heads", "tails", "heads"], ["heads"] * 7, ["tails"]))

    assert stopped(one_agent([coin], [call("toss")] * 11)) is None


@pytest.mark.parametrize(
    ("first", "made", "rule"), [(["red"], 5, "no_news"), (["red", "green"], 19, "unfinished")]
)
def test_the_first_change_may_be_the_end_of_what_was_waited_for(
    first: list[str], made: int, rule: str
) -> None:
    world = World()
    light = world.tool("light", answers(first, repeat("off", 40)))

    run = one_agent([light], [call("light")] * 30)

    assert len(world.made) == made
    assert stopped(run) == rule


def test_what_may_be_noise_is_no_change() -> None:
    world = World()
    ids = count()
    look = world.tool("look", lambda what: f"job {min(next(ids), 5):08x}-0000-4000-8000-000000000000")

    run = one_agent([look], [call("look")] * 12)

    assert stopped(run) == "no_news"
    assert len(world.made) == 5 + 4


# ---- receipts that say how far it has come


@pytest.mark.parametrize(
    "receipt",
    [
        "ok, {left} left",
        "moved 500 rows, {left} rows remain",
        '{{"done": true, "remaining": {left}}}',
        "page {n} of 20",
        "{n}/20 uploaded",
        "now at {n}%",
    ],
)
def test_a_receipt_that_says_how_far_it_has_come_speaks_for_the_next_one(receipt: str) -> None:
    world = World()
    move = world.tool(
        "move", lambda what: receipt.format(n=len(world.made), left=20 - len(world.made)), effect=True
    )

    works = one_agent([move], [call("move", what="rows")] * 15)
    world.made.clear()
    stuck = one_agent([move], [call("move", what="rows")] * 20, Loops(writes=100))

    assert stopped(works) is None
    assert stopped(stuck) == "again"
    assert len(world.made) == 17


@pytest.mark.parametrize("receipt", ["order {n} is placed", "2026/01/{n} booked", "page 3 of 20"])
def test_a_new_number_or_one_that_stays_does_not(receipt: str) -> None:
    world = World()
    order = world.tool("order", lambda what: receipt.format(n=10 + len(world.made)), effect=True)

    run = one_agent([order], [call("order", what="green tea")] * 20)

    assert stopped(run) == "again"
    assert len(world.made) == 5


# ---- news between hand-offs


def planned(read: Callable[[str], str], **options: Any) -> tuple[ScriptedModel, Played]:
    """A coordinator that asks a planner in the same words for each step, and reads something after it."""
    world, steps = World(), counting("Read part")
    planner = ScriptedModel(lambda request: say(steps("")))
    turns = chain.from_iterable(
        (call("ask_planner", task="What is the next step?"), call("read", what=" ".join(words)))
        for words in permutations(WORDS, 2)
    )
    boss = Agent("boss", model=ScriptedModel([*turns, say("Done.")]), tools=[world.tool("read", read)])
    team = Team("desk", boss, specialists=[Agent("planner", model=planner)])
    return planner, play(team, guards=[Loops(**options)])


@pytest.mark.parametrize(
    ("read", "asked"), [(counting("words"), 10), (lambda what: "noted", 5)], ids=["news", "noted"]
)
def test_the_same_task_may_be_handed_out_more_often_where_a_tool_brings_news(
    read: Callable[[str], str], asked: int
) -> None:
    planner, run = planned(read)

    assert planner.request_count == asked
    assert stopped(run) == "delegations"


def test_what_another_agent_has_read_before_is_no_news_between_hand_offs() -> None:
    known = cycle(["held", "no reason is given"])
    world, told = World(), counting("It is held")
    look = world.tool("look", lambda what: next(known))
    clerk = ScriptedModel(
        lambda request: (
            say(told("")) if len(request.messages) > 3 else call("look", what=str(len(request.messages)))
        )
    )
    boss = Agent(
        "boss", model=ScriptedModel([*[call("ask_clerk", task="Why is it held?")] * 9, say("Done.")])
    )

    run = play(Team("desk", boss, specialists=[Agent("clerk", model=clerk, tools=[look])]), guards=[Loops()])

    assert stopped(run) == "delegations"
    assert len(run.steps("handoff")) == 5
