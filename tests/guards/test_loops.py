"""Which call is not made. Counted by the world."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from seawall import Agent, Loops, Misused, NotDone, Replace, Seawall, Team, Tool, tool
from seawall.models.protocol import ModelRequest
from seawall.models.scripted import calls
from seawall.run.step import Step
from seawall.testing import ManualClock, ScriptedModel, call, say, slow
from team.play import Played, play, sent

BOOM = ValueError("boom")


class World:
    """Tools that answer what a table says, call by call."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def tool(self, name: str, answers: Iterator[Any], *, effect: bool = False, retries: int = 0) -> Tool:
        async def function(what: str = "") -> Any:
            self.calls.append(name)
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return Tool(function, name=name, description="d", effect=effect, retries=retries)


def looped(table: Sequence[tuple[str, str, Any]], *guards: Any, effects: str = "") -> tuple[World, Played]:
    """One agent that makes these calls (tool, argument, what the world answers), one a reply."""
    world = World()
    answers = {name: iter([answer for n, _, answer in table if n == name]) for name, _, _ in table}
    model = ScriptedModel([*[call(name, what=what) for name, what, _ in table], say("Done.")])
    tools = [world.tool(name, each, effect=name in effects) for name, each in answers.items()]
    run = play(Team(Agent("clerk", model=model, tools=tools)), guards=guards or [Loops()])
    return world, run


SAME, ERROR = ("a", "x", "same"), ("a", "x", BOOM)
NEVER = None

TABLE = [
    ("the same result for the same question", [SAME] * 9, 4),
    ("the same error", [ERROR] * 9, 4),
    ("the same error whatever is asked", [("a", str(i), BOOM) for i in range(12)], 9),
    ("another error each time", [("a", "x", ValueError(f"boom {i}")) for i in range(9)], NEVER),
    ("another answer to the same question", [("a", "x", f"{i}") for i in range(9)], NEVER),
    ("the same answer to other questions", [("a", str(i), "none") for i in range(9)], NEVER),
    ("the same but for white space", [("a", "x", "same" + " " * i) for i in range(9)], 4),
    ("the same JSON in another order", [("a", "x", '{"a": 1, "b": 2}'), ("a", "x", '{"b":2,"a":1}')] * 4, 4),
    ("ping-pong of two tools", [("a", "x", "1"), ("b", "x", "2")] * 5, 8),
    ("a cycle of three tools", [("a", "x", "1"), ("b", "x", "2"), ("c", "x", "3")] * 5, 9),
    ("news between", [SAME, SAME, SAME, ("b", "x", "new"), SAME, SAME, SAME, SAME], 7),
    ("something else in the end", [SAME, SAME, SAME, SAME, ("b", "x", "new")], NEVER),
    ("an answer that comes back", [("a", "x", "up"), ("b", "x", "1"), ("a", "x", "down")] * 2, NEVER),
    ("answer and error in turn", [SAME, ERROR] * 8, 10),
]


@pytest.mark.parametrize(("why", "table", "made"), TABLE, ids=[row[0] for row in TABLE])
def test_a_call_that_has_brought_the_same_too_often_is_not_made(
    why: str, table: list[tuple[str, str, Any]], made: int | None
) -> None:
    world, run = looped(table)

    assert len(world.calls) == (len(table) if made is NEVER else made)
    assert run.outcome.status == ("completed" if made is NEVER else "halted")
    if made is not NEVER:
        assert run.outcome.stopped_by is not None
        assert run.outcome.stopped_by.guard == "loops"
        assert run.outcome.stopped_by.limit is not None
        assert run.outcome.stopped_by.limit.partition("=")[0] in ("no_news", "stretch", "errors", "cycles")


def test_a_novel_write_makes_everything_worth_asking_again() -> None:
    row: list[tuple[str, str, Any]] = []
    for number in range(4):
        row += [SAME, SAME, SAME, ("w", str(number), "written")]
    world, run = looped(row, effects="w")

    assert run.outcome.status == "completed"
    assert len(world.calls) == 16


def test_the_same_write_again_is_a_change_of_the_world_and_has_a_limit_of_its_own() -> None:
    world, run = looped([("w", "x", "written"), SAME] * 9, effects="w")

    assert world.calls == ["w", "a"] * 5
    assert run.outcome.stopped_by is not None
    assert run.outcome.stopped_by.limit in ("again=4", "cycles=4")
    assert run.outcome.status == "halted"


def test_a_write_that_fails_makes_nothing_worth_asking_again() -> None:
    world, run = looped([("w", "x", NotDone("no"))] * 9, effects="w")

    assert len(world.calls) == 4
    assert run.outcome.status == "halted"


def test_the_first_call_without_news_is_advised_on_with_what_was_known() -> None:
    model = ScriptedModel([call("a"), call("a"), say("Done.")])
    world = World()

    run = play(Team(Agent("clerk", model=model, tools=[world.tool("a", iter(["same", "same"]))])))

    assert run.judged == [("loops", "advise", "enforce")]
    assert "what you already know from step 2: nothing new" in sent(model)[-1]
    assert "again before the run is stopped: 2" in sent(model)[-1]


def test_an_echo_of_replace_counts_as_nothing() -> None:
    class Echo(Loops):
        name = "echo"

        def before(self, step: Step, run: Any, memory: Any) -> Any:
            return Replace("fresh", "same") if step.kind == "tool" else super().before(step, run, memory)

    world, run = looped([SAME] * 9, Loops(), Echo())

    assert world.calls == []
    assert run.outcome.status == "completed"


def test_calls_of_one_reply_are_made_together_and_the_next_is_not() -> None:
    world = World()
    model = ScriptedModel([calls(*[call("a", what="x")] * 5), call("a", what="x"), say("Done.")])

    run = play(Team(Agent("clerk", model=model, tools=[world.tool("a", iter(["same"] * 9))])))

    assert len(world.calls) == 5
    assert run.outcome.status == "halted"


@pytest.mark.parametrize("reply", [say(""), say("   "), "[1, 2", call("final_answer", n="many")])
def test_three_replies_that_are_no_use_and_the_model_is_not_asked_again(reply: Any) -> None:
    model = ScriptedModel([reply] * 9)

    run = play(Team(Agent("clerk", model=model, output=dict[str, int])))

    assert model.request_count == 3
    assert run.outcome.status == "halted"
    assert run.outcome.stopped_by is not None
    assert "3 replies in a row" in run.outcome.stopped_by.reason


def test_the_same_failed_retry_is_one_call_and_not_a_loop() -> None:
    world = World()
    model = ScriptedModel([call("a"), say("Done.")])

    run = play(
        Team(Agent("clerk", model=model, tools=[world.tool("a", iter([BOOM] * 3 + ["fine"]), retries=3)])),
        clock=ManualClock(),
    )

    assert len(world.calls) == 4
    assert run.judged == []


# ---- scope


def test_each_agent_learns_for_itself() -> None:
    world = World()

    def agent(name: str) -> Agent:
        model = ScriptedModel([call("a"), call("a"), call("a"), say("Found.")])
        return Agent(name, model=model, tools=[world.tool("a", iter(["same"] * 9))])

    boss = Agent(
        "boss", model=ScriptedModel([calls(*[call(f"ask_c{i}", task="find") for i in range(3)]), say(".")])
    )
    run = play(Team("desk", boss, specialists=[agent(f"c{i}") for i in range(3)]))

    assert run.outcome.status == "completed"
    assert len(world.calls) == 9


def test_a_hand_off_begins_with_an_empty_context_so_what_another_one_saw_is_news_to_it() -> None:
    world = World()

    def clerk(request: ModelRequest) -> Any:
        return call("a") if len(request.messages) == 2 else say(f"Found {len(world.calls)}.")

    boss = Agent(
        "boss",
        model=ScriptedModel([*[call("ask_clerk", task=f"find {i}") for i in range(6)], say("All found.")]),
    )
    specialist = Agent("clerk", model=ScriptedModel(clerk), tools=[world.tool("a", iter(["same"] * 6))])

    run = play(Team("desk", boss, specialists=[specialist]))

    assert len(world.calls) == 6
    assert run.outcome.answer == "All found."
    assert run.judged == []


def test_the_same_task_with_the_same_answer_is_no_news() -> None:
    boss = Agent("boss", model=ScriptedModel([call("ask_clerk", task="find")] * 9))
    clerk = ScriptedModel(lambda request: say("Nothing found."))

    run = play(Team("desk", boss, specialists=[Agent("clerk", model=clerk)]))

    assert clerk.request_count == 4
    assert run.outcome.status == "halted"


# ---- the literal rule


def test_literal_the_fourth_call_of_one_tool_by_one_agent_is_not_made() -> None:
    table: list[tuple[str, str, Any]] = [("a", str(i), str(i)) for i in range(9)]
    world, run = looped(table, Loops(literal=True))

    assert len(world.calls) == 3
    assert run.outcome.stopped_by is not None
    assert run.outcome.stopped_by.limit == "literal_calls=3"
    assert run.outcome.stopped_by.value == "4"


def test_literal_counts_each_tool_and_each_agent_for_itself() -> None:
    world = World()

    def agent(name: str) -> Agent:
        script = [call(tool, what=str(i)) for i in range(3) for tool in ("a", "b")]
        tools = [world.tool(each, iter(map(str, range(9)))) for each in ("a", "b")]
        return Agent(name, model=ScriptedModel([*script, say("Found.")]), tools=tools)

    boss = Agent(
        "boss", model=ScriptedModel([calls(call("ask_c0", task="1"), call("ask_c1", task="2")), say(".")])
    )
    run = play(Team("desk", boss, specialists=[agent("c0"), agent("c1")]), guards=[Loops(literal=True)])

    assert run.outcome.status == "completed"
    assert len(world.calls) == 12


def test_literal_counts_calls_of_one_reply_too() -> None:
    world = World()
    model = ScriptedModel([calls(*[call("a", what=str(i)) for i in range(9)]), say("Done.")])

    run = play(
        Team(Agent("clerk", model=model, tools=[world.tool("a", iter(map(str, range(9))))])),
        guards=[Loops(literal=True)],
    )

    assert len(world.calls) <= 3
    assert run.outcome.status == "halted"


def test_literal_does_not_count_calls_that_were_never_made() -> None:
    @tool
    def a(n: int) -> int:
        """Count."""
        return n

    model = ScriptedModel([*[call("a", n="none")] * 3, *[call("a", n=i) for i in range(3)], say("Done.")])

    run = play(Team(Agent("clerk", model=model, tools=[a])), guards=[Loops(literal=True)])

    assert run.outcome.status == "completed"


@pytest.mark.parametrize(
    "options",
    [
        {"no_news": 0},
        {"no_news": -1},
        {"literal_calls": 0},
        {"similar": 1.5},
        {"polls": 0},
        {"poll_wait_s": -1},
    ],
)
def test_an_option_that_can_not_be_meant_is_misuse(options: dict[str, float]) -> None:
    with pytest.raises(Misused, match=next(iter(options))):
        Loops(**options)  # pyright: ignore[reportArgumentType] -- each is an int


def test_observed_loops_are_counted_and_let_pass() -> None:
    _, run = looped([SAME] * 9)
    model = ScriptedModel([call("a")] * 6 + [say("Done.")])
    free = World()
    observed = play(
        Team(Agent("clerk", model=model, tools=[free.tool("a", iter(["same"] * 9))])),
        modes={"loops": "observe"},
    )

    assert run.outcome.status == "halted"
    assert observed.outcome.status == "completed"
    assert len(free.calls) == 6
    assert ("loops", "halt", "observe") in observed.judged


def test_nothing_is_fresh_while_something_is_written_nor_after_a_write_whose_fate_is_unknown() -> None:
    asked: list[float] = []

    async def main() -> None:
        clock = ManualClock()

        @tool(fresh_s=60)
        async def balance() -> str:
            """Look the balance up."""
            asked.append(clock.monotonic_s())
            return "10 EUR"

        @tool(effect=True)
        async def pay() -> str:
            """Pay, and lose the line."""
            await clock.sleep(4.5)
            raise ConnectionError("the line went dead")

        looks = [slow(2.0, call("balance")) for _ in range(5)]
        reader = Agent("reader", model=ScriptedModel([*looks, say("10 EUR.")], clock=clock), tools=[balance])
        payer = Agent("payer", model=ScriptedModel([slow(3.0, call("pay"))], clock=clock), tools=[pay])
        both = calls(call("ask_reader", task="look"), call("ask_payer", task="pay"))
        boss = Agent("boss", model=ScriptedModel([both], clock=clock))
        async with Seawall(clock=clock) as sea:
            run = await sea.start(Team("desk", boss, specialists=[reader, payer]), "Pay, and look.")
            await clock.until(run.rest())

    asyncio.run(main())

    # it was being paid from 3.0 to 7.5; at 10.0 what was read at 8.0 is fresh
    assert asked == [
        2.0,
        4.0,
        6.0,
        8.0,
    ]
