"""Model calls from which nothing comes: useless replies, calls that can't be made, and what is refused or rejected."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.verdicts import Says
from seawall import (
    ALLOW,
    Agent,
    Effect,
    Guard,
    Hold,
    Loops,
    Misused,
    Refuse,
    Replace,
    Seawall,
    Team,
    Waiting,
    tool,
)
from seawall.core.events import Judged
from seawall.models.protocol import Usage
from seawall.testing import ScriptedModel, call, calls, say
from team.play import Played, World, play


@tool
async def look(what: str) -> str:
    """Look."""
    return f"{what} is closed"


@tool(poll=True)
async def ready(what: str) -> str:
    """Whether it is ready."""
    return "no"


@tool(effect=Effect(unique_by=("order",)))
async def refund(order: str, amount: int, note: str = "") -> str:
    """Pay."""
    return "paid"


INVALID = {
    "an unknown tool": call("nope"),
    "no JSON": call("look", '{"what": '),
    "no object": call("look", "[1]"),
    "a missing argument": call("look"),
    "an unknown argument": call("look", what="x", wat=1),
    "a poll that is wrong": call("ready"),
    "an effect that is wrong": call("refund", order="1", amount="much"),
    "a value that is not plainly written": call("refund", order="1 ", amount=1),
    "an empty hand-off": call("ask_b", task=" "),
    "a hand-off to itself": call("ask_a", task="t"),
    "a hand-off to nobody": call("ask_zoe", task="t"),
    "two final answers": calls(call("final_answer", value=1), call("final_answer", value=2)),
    "an answer beside a call that is wrong": calls(call("nope"), call("final_answer", value=1)),
}
USELESS = {
    "empty": say(""),
    "cut": say("zz", finish="length"),
    "prose": say("I think it is about 7"),
    "a wrong value": call("final_answer", value="x"),
    "no value": call("final_answer"),
}


def play_script(script: Callable[[int], Any], *guards: Any, allowed: Sequence[Any] = ()) -> Played:
    """Plays an agent that gives the reply that `script` returns for its number."""
    count = itertools.count()
    tools = [look, ready, refund, *allowed]
    agent = Agent("a", model=ScriptedModel(lambda request: script(next(count))), tools=tools, output=int)
    other = Agent("b", model=ScriptedModel([]))
    return play(Team("desk", agent, specialists=[other]), guards=guards or [Loops()])


def advice(run: Played) -> list[Judged]:
    return [each for each in run.events if isinstance(each, Judged) and each.verdict == "advise"]


@pytest.mark.parametrize("what", INVALID)
def test_a_call_that_cant_be_made_is_judged_like_one_that_fails(what: str) -> None:
    run = play_script(lambda number: INVALID[what])

    stop = run.outcome.stopped_by
    assert (run.outcome.status, run.outcome.model_calls) == ("halted", 4)
    assert stop is not None
    assert (stop.guard, stop.limit, stop.value) == ("loops", "no_news=3", "3")
    calls_made = sorted({each.step for each in run.steps("tool") + run.steps("handoff")})
    replies = [step for step in calls_made if run.done(step).status == "invalid"]
    # of two calls in a reply that are wrong in two ways, each is advised on
    assert len(advice(run)) in (3, 6)
    assert {each.step for each in advice(run)} <= set(replies[1:])


@given(st.lists(st.sampled_from([*INVALID.values(), *USELESS.values()]), min_size=6, max_size=6))
def test_no_mixture_of_what_cant_be_used_goes_on(replies: list[Any]) -> None:
    run = play_script(lambda number: replies[number % 6])

    assert run.outcome.stopped_by is not None
    assert run.outcome.stopped_by.guard == "loops"
    assert run.outcome.model_calls <= 4
    assert advice(run)


@given(
    st.lists(st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=9), min_size=5, max_size=5)
)
def test_other_values_are_the_same_mistake(values: list[str]) -> None:
    def reply(number: int) -> Any:
        return call("final_answer", value=f"x{values[number % 5]}")

    run = play_script(reply)

    assert run.outcome.model_calls == 3
    assert run.outcome.stopped_by is not None
    assert run.outcome.stopped_by.limit == "replies=3"


@pytest.mark.parametrize(
    ("reply", "most"),
    [
        (lambda number: call("final_answer", value="xy"[number % 2]), 3),
        (lambda number: say(f"I think it is about {number} or so"), 3),
        (lambda number: say("zz", finish="length", usage=Usage(10, 4_000 + number)), 3),
        (lambda number: calls(*[call("nope")] * (65 + number)), 3),
        (lambda number: say("" if number % 2 else "zz", finish="stop" if number % 2 else "length"), 4),
        (lambda number: say("") if number % 2 else call("final_answer", value="x"), 4),
        (lambda number: say("") if number % 2 else call("nope"), 4),
    ],
    ids=[
        "two in turn",
        "other prose",
        "other counts",
        "too many calls",
        "empty and cut",
        "empty and wrong",
        "mixed",
    ],
)
def test_useless_replies_are_counted_by_what_is_wrong(reply: Callable[[int], Any], most: int) -> None:
    run = play_script(reply)

    assert run.outcome.model_calls == most
    assert run.outcome.status == "halted"
    assert advice(run)


def test_the_agent_is_told_before_its_model_is_called_again() -> None:
    model = ScriptedModel([say(""), say("zz", finish="length"), call("final_answer", value=7)])

    run = play(Team(Agent("a", model=model, output=int)))

    assert run.outcome.output == 7
    told = model.requests[2].messages[-1].content or ""
    assert "Your last 2 replies could not be used" in told
    assert "before the run is stopped: 2" in told


def test_a_reviewer_that_calls_something_else_is_stopped() -> None:
    agent = Agent("a", model=ScriptedModel(lambda request: say("x")))
    reviewer = Agent("r", model=ScriptedModel(lambda request: call("approve")))

    run = play(Team("desk", agent, reviewer=reviewer))

    assert (run.outcome.status, run.outcome.model_calls) == ("halted", 5)


def test_one_mistake_in_many_calls_of_a_reply_is_one() -> None:
    model = ScriptedModel([calls(*[call("look", wat=number) for number in range(20)]), say("Done.")])

    run = play(Team(Agent("a", model=model, tools=[look])))

    assert run.outcome.status == "completed"
    assert advice(run) == []


def test_other_arguments_that_are_wrong_in_the_same_way_are_a_known_error() -> None:
    """Also with another call between, so that each reply by itself is of use."""
    script = [call("look", what="x") if number % 2 else call("look", wat=number) for number in range(60)]

    run = play(Team(Agent("a", model=ScriptedModel(script), tools=[look])))

    assert run.outcome.status == "halted"
    assert run.outcome.model_calls <= 12


def test_a_call_that_is_made_or_an_answer_ends_the_count() -> None:
    script = [
        *[call("nope")] * 2,
        call("look", what="x"),
        *[call("nope")] * 1,
        call("look", what="y"),
        say("Done."),
    ]

    run = play(Team(Agent("a", model=ScriptedModel(script), tools=[look])))

    assert run.outcome.status == "completed"


class No(Guard):
    """Refuses each call in other words."""

    name = "no"

    def before(self, step: Any, run: Any, memory: Any) -> Any:
        return Refuse(f"not {'now' * step.number}") if step.kind == "tool" else ALLOW


def test_a_bound_needs_nothing_to_be_equal() -> None:
    run = play_script(lambda number: call("look", what=f"w{number}"), No(), Loops())

    assert (run.outcome.model_calls, run.outcome.tool_calls) == (8, 0)
    assert run.outcome.stopped_by is not None
    assert (run.outcome.stopped_by.limit, run.outcome.stopped_by.value) == ("barren=8", "8")
    assert (
        play_script(lambda number: call("look", what=f"w{number}"), No(), Loops(barren=3)).outcome.model_calls
        == 3
    )
    with pytest.raises(Misused, match="barren is 0; it must be at least 1"):
        Loops(barren=0)


def test_what_a_guard_answers_is_something() -> None:
    guard = Says(Replace("a copy", "an answer"), of="tool")

    run = play_script(
        lambda number: call("look", what=f"w{number}") if number < 20 else call("final_answer", value=1),
        guard,
        Loops(),
    )

    assert run.outcome.status == "completed"


def test_a_guard_is_not_asked_about_a_call_that_cant_be_made_unless_it_wants_to_be() -> None:
    seen: list[str | None] = []

    class Sees(Guard):
        name = "sees"

        def before(self, step: Any, run: Any, memory: Any) -> Any:
            if step.kind == "tool":
                seen.append(step.invalid)
            return ALLOW

    class SeesAll(Sees):
        name = "sees all"
        judges_invalid = True

    def team() -> Team:
        return Team(Agent("a", model=ScriptedModel([call("nope"), say("Done.")])))

    play(team(), guards=[Sees()])
    assert seen == []
    play(team(), guards=[SeesAll()])
    assert seen == ["Error: there is no tool 'nope'; there are: none."]


@pytest.mark.parametrize("again", ["(attempt {})", "- retry #{}", "[try {}/30]", "; attempt {} of 30."])
def test_a_hand_off_that_says_which_attempt_it_is_is_the_same_task(again: str) -> None:
    count = itertools.count()
    tasks = [call("ask_b", task=f"Look at order 17 {again.format(number)}") for number in range(30)]
    found = ScriptedModel(lambda request: say(f"Found after {next(count)} looks."))
    desk = Agent("a", model=ScriptedModel([*tasks, say("Done.")]))

    run = play(Team("desk", desk, specialists=[Agent("b", model=found)]))

    assert (run.outcome.status, run.outcome.handoffs) == ("halted", 4)


# ---- what people reject


class Ask(Guard):
    name = "ask"

    def before(self, step: Any, run: Any, memory: Any) -> Any:
        asks = step.kind in ("tool", "handoff") and step.name != "fetch"
        return Hold("a person has to say so") if asks else ALLOW


def reject_all(reply: Callable[[int], Any], *tools: Any) -> tuple[int, str]:
    """How often a person is asked who always says no, in other words each time, and what stops the run."""

    async def main() -> tuple[int, str]:
        count = itertools.count()
        agent = Agent("a", model=ScriptedModel(lambda request: reply(next(count))), tools=tools)
        team = Team("desk", agent, specialists=[Agent("b", model=ScriptedModel([]))], guards=[Ask()])
        async with Seawall(environment={}) as sea:
            run = await sea.start(team, "go")
            asked = 0
            while isinstance(waiting := await run.rest(), Waiting):
                asked += 1
                await sea.decide(run.id, waiting.step, approve=False, by="ann", reason=f"no, {asked}")
            stop = (await run.outcome()).stopped_by
            return asked, "" if stop is None else f"{stop.guard} {stop.limit}"

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("reply", "asked", "stopped_by"),
    [
        (lambda number: call("look", what="x"), 4, "loops no_news=3"),
        (lambda number: call("ask_b", task="Look at it."), 4, "loops no_news=3"),
        (lambda number: call("ask_b", task=f"Look at it (attempt {number})."), 4, "loops no_news=3"),
        (lambda number: call("refund", order="1", amount=5), 1, "loops no_news=3"),
        (
            lambda number: call("refund", order="1", amount=5, note=" " * number + "as asked"),
            1,
            "loops no_news=3",
        ),
        (
            lambda number: call("refund", order="1", amount=5, note=f"asked at 10:11:1{number}"),
            1,
            "loops no_news=3",
        ),
        (lambda number: call("refund", order="1", amount=5 + number), 8, "loops barren=8"),
        (
            lambda number: call("refund", order="1", amount=5, note=f"for {'abcdefghij'[number]}"),
            8,
            "loops barren=8",
        ),
        (lambda number: call("refund", order=str(number % 2), amount=5), 2, "loops barren=8"),
    ],
    ids=[
        "a read",
        "a hand-off",
        "attempts",
        "an effect",
        "white space",
        "a time",
        "amounts",
        "notes",
        "two in turn",
    ],
)
def test_what_a_person_has_rejected_is_not_asked_for_ever(
    reply: Callable[[int], Any], asked: int, stopped_by: str
) -> None:
    assert reject_all(reply, look, refund) == (asked, stopped_by)


def test_a_look_alike_value_is_another_proposal_if_it_is_all_that_is_said() -> None:
    """A time within a sentence means nothing; a time by itself is what is proposed."""
    reply = [call("refund", order="1", amount=5, note=f"10:11:1{number}") for number in range(10)]

    assert reject_all(lambda number: reply[number], refund)[0] == 8


def test_a_proposal_that_is_approved_ends_the_count() -> None:
    world = World()

    async def main() -> str:
        script = [*[call("look", what=f"w{number}") for number in range(12)], say("Done.")]
        team = Team(Agent("a", model=ScriptedModel(script), tools=[world.reads()]), guards=[Ask()])
        async with Seawall(environment={}) as sea:
            run = await sea.start(team, "go")
            asked = itertools.count()
            while isinstance(waiting := await run.rest(), Waiting):
                await sea.decide(run.id, waiting.step, approve=next(asked) % 6 == 5, by="ann")
            return (await run.outcome()).status

    assert asyncio.run(main()) == "completed"
    assert world.calls == ["w5", "w11"]


# ---- among calls that bring something new


@tool
async def fetch(page: int) -> str:
    """Read a page: something new each time."""
    return f"page {'abcdefghijklmnopqrstuvwxyz'[page // 2 % 26]} of the book"


def among_news(reply: Callable[[int], Any]) -> Callable[[int], Any]:
    return lambda number: reply(number) if number % 2 == 0 else call("fetch", page=number)


@pytest.mark.parametrize(
    "reply",
    [
        lambda number: call("nope", attempt=number),
        lambda number: call("look"),
        lambda number: call("look", what="x", wat=number),
        lambda number: call("refund", order=str(number), amount="much"),
        lambda number: call("ask_zoe", task=f"Look at {number}."),
    ],
    ids=["an unknown tool", "a missing argument", "an unknown argument", "a wrong value", "nobody"],
)
def test_a_call_that_cant_be_made_fails_like_any_other_among_calls_that_bring_something(
    reply: Callable[[int], Any],
) -> None:
    run = play_script(among_news(reply), allowed=[fetch])

    stop = run.outcome.stopped_by
    assert stop is not None
    assert (stop.guard, stop.limit, stop.value) == ("loops", "failures=15", "15")
    assert run.outcome.tool_calls == 15
    assert len(advice(run)) >= 8


def test_a_call_that_is_made_after_it_was_wrong_ends_the_row() -> None:
    def reply(number: int) -> Any:
        return call("look", what=f"w{number}") if number % 10 == 0 else call("look", wat=number)

    run = play_script(
        lambda number: call("final_answer", value=1) if number > 50 else among_news(reply)(number),
        allowed=[fetch],
    )

    assert run.outcome.status == "completed"


class NotLook(Guard):
    """Refuses one tool, always for the same reason."""

    name = "not look"

    def before(self, step: Any, run: Any, memory: Any) -> Any:
        return Refuse("look is switched off") if step.name == "look" else ALLOW


def test_what_a_guard_refuses_again_and_again_is_advised_on_and_stopped() -> None:
    run = play_script(
        among_news(lambda number: call("look", what=f"w{number}")), NotLook(), Loops(), allowed=[fetch]
    )

    stop = run.outcome.stopped_by
    assert stop is not None
    assert (stop.guard, stop.limit, stop.value) == ("loops", "failures=15", "15")
    told = [each.reason for each in advice(run)]
    assert told[0] == "'look' was refused for the same kind of reason 8 times in a row"
    assert len(told) == 8
    few = play_script(
        lambda number: (
            call("final_answer", value=1)
            if number > 14
            else among_news(lambda n: call("look", what=f"w{n}"))(number)
        ),
        NotLook(),
        Loops(),
        allowed=[fetch],
    )
    assert (few.outcome.status, len(advice(few))) == ("completed", 1)


def test_a_person_is_not_asked_for_the_same_for_ever_whatever_is_read_in_between() -> None:
    asked, stopped_by = reject_all(
        lambda number: call("ask_b", task="Look at it.") if number % 2 == 0 else call("fetch", page=number),
        fetch,
    )

    assert (asked, stopped_by) == (15, "loops failures=15")
