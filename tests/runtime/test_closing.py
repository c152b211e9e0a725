"""Runs that use up a limit: they answer with what they have, say what they lack, and never take more than they may."""

from __future__ import annotations

import asyncio
import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from seawall import Agent, Limits, Loops, Misused, Outcome, Price, Seawall, Team
from seawall.core.events import Judged, Planned, StepIntended
from seawall.models.protocol import ModelRequest, ToolResult, User
from seawall.models.scripted import Reply, calls
from seawall.testing import ScriptedModel, call, fail, hang, say
from team.play import NO_GUARDS, Played, World, play, sent

PRICE = Price("1", "10")
LAST = "so this is your last reply"


def eager(what: str = "x", last: Any = "These are my last words.") -> ScriptedModel:
    """Returns a model that looks something up as long as it can, and answers once it has no tools."""
    numbers = itertools.count()

    def reply(request: ModelRequest) -> Any:
        looks = any(each.name == "look" for each in request.tools)
        return call("look", what=f"{what}{next(numbers)}") if looks else last

    return ScriptedModel(reply, price=PRICE)


def alone(model: ScriptedModel, world: World, limits: Limits, **options: Any) -> Played:
    agent = Agent("clerk", model=model, tools=[world.reads()], max_output_tokens=500)
    return play(Team(agent, limits=limits, **options), guards=[Loops(no_news=90)])


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(tool_calls=3), "tool_calls"),
        (Limits(model_calls=4), "model_calls"),
        (Limits(tokens=6_000, tool_calls=999, model_calls=999), "tokens"),
        (Limits(usd=Decimal("0.03"), tool_calls=999, model_calls=999), "usd"),
    ],
)
def test_a_run_that_uses_up_a_limit_answers_in_a_last_call_without_tools(limits: Limits, name: str) -> None:
    world, model = World(), eager()

    run = alone(model, world, limits)

    outcome = run.outcome
    assert (outcome.status, outcome.answer) == ("completed", "These are my last words.")
    assert outcome.pruned == ("limits",) and outcome.stopped_by is None
    assert len(outcome.lacks) == 1 and f": {name} " in outcome.lacks[0]
    assert len(world.calls) == outcome.tool_calls <= limits.tool_calls
    assert model.request_count == outcome.model_calls <= limits.model_calls
    assert outcome.tokens <= (limits.tokens or outcome.tokens)
    assert outcome.usd <= (limits.usd or outcome.usd)
    assert model.requests[-1].tools == () and model.requests[0].tools != ()
    assert [step.last for step in run.steps("model")] == [False] * (model.request_count - 1) + [True]
    notes = [each.content for each in model.requests[-1].messages if isinstance(each, User)]
    assert LAST in notes[-1] and f"({name}=" in notes[-1]


def test_calls_that_are_not_made_any_more_are_answered_and_the_agent_is_told() -> None:
    world = World()
    five = calls(*[call("look", what=str(number)) for number in range(5)])
    model = ScriptedModel([five, say("Three of five.")])

    run = alone(model, world, Limits(tool_calls=3))

    assert world.calls == ["0", "1", "2"]
    results = [each for each in model.requests[-1].messages if isinstance(each, ToolResult)]
    told = "Not done: tool 'look': tool_calls would be 4 (limit 3)."
    assert [each.content for each in results] == ["0", "1", "2", told, told]
    assert isinstance(model.requests[-1].messages[-1], User)
    assert run.outcome.lacks == ("tool 'look': tool_calls would be 4 (limit 3)",)


def test_a_run_may_still_be_halted_without_an_answer() -> None:
    world, model = World(), eager()

    run = alone(model, world, Limits(tool_calls=3, at_limit="halt"))

    assert run.outcome.status == "halted" and run.outcome.stopped_by is not None
    assert (run.outcome.stopped_by.limit, run.outcome.answer) == ("tool_calls=3", None)
    assert len(world.calls) == 3 and not [each for each in run.events if isinstance(each, Planned)]


def test_near_a_limit_an_agent_is_told_once_what_is_left() -> None:
    model = eager()
    alone(model, World(), Limits(tool_calls=10, model_calls=20))
    notes = [each.content for each in model.requests[-1].messages if isinstance(each, User)]
    assert [note for note in notes if "tool_calls" in note and LAST not in note] == [
        (
            "[Not from the user: of the tool_calls that this run may use, 2 of 10 are left. Do what matters most, and "
            "answer before they are used up.]"
        )
    ]
    assert len(model.requests[8].messages) == len(model.requests[7].messages) + 3, "before its ninth call"

    model = eager()
    alone(model, World(), Limits(tool_calls=10, warn_at=1.0))
    notes = [each.content for each in model.requests[-1].messages if isinstance(each, User)]
    assert len(notes) == 2, "the request, and that it is the last reply"


@pytest.mark.parametrize("more", [(), (call("look", what="2"),), (call("look", what="2"), call("nothing"))])
def test_a_structured_answer_is_given_with_the_only_tool_that_is_left(more: tuple[Reply, ...]) -> None:
    class Found(BaseModel):
        orders: list[str]

    world = World()

    def reply(request: ModelRequest) -> Any:
        if "look" in [each.name for each in request.tools]:
            return call("look", what="1")
        assert [each.name for each in request.tools] == ["final_answer"]
        return calls(call("final_answer", orders=["1"]), *more)

    agent = Agent("clerk", model=ScriptedModel(reply), tools=[world.reads()], output=Found)
    outcome: Outcome = play(Team(agent, limits=Limits(tool_calls=2))).outcome

    assert outcome.output == Found(orders=["1"])
    assert outcome.pruned == ("limits",)
    assert len(world.calls) == 2


def test_a_reply_is_shorter_where_there_is_no_room_for_the_longest_one() -> None:
    model = ScriptedModel([say("Hello.")], price=PRICE)
    agent = Agent("clerk", model=model)  # its replies may have 4,096 tokens

    outcome = play(Team(agent, limits=Limits(tokens=2_000))).outcome

    assert (outcome.status, outcome.pruned) == ("completed", ())
    (request,) = model.requests
    assert 1_500 < request.max_output_tokens < 2_000
    model = ScriptedModel([say("Hello.")], price=PRICE)
    assert (
        play(Team(Agent("clerk", model=model), limits=Limits(usd=Decimal("0.01")))).outcome.answer == "Hello."
    )
    assert 256 <= model.requests[0].max_output_tokens < 1_000


@pytest.mark.parametrize("limits", [Limits(tokens=300), Limits(usd=Decimal("0.0001"))])
def test_limits_that_no_call_can_fit_into_are_misused_at_the_start(limits: Limits) -> None:
    model = ScriptedModel([say("Hello.")], price=PRICE)
    name = "tokens" if limits.tokens else "usd"

    async def main() -> None:
        async with Seawall() as sea:
            with pytest.raises(Misused, match=rf"limits: {name} is .*the first call of 'clerk' can take "):
                await sea.start(Team(Agent("clerk", model=model), limits=limits), "Hello?")
            assert not await sea.journal.runs()
            run = await sea.start(
                Team(Agent("clerk", model=model), limits=limits), "Hello?", modes={"limits": "observe"}
            )
            assert (await run.outcome()).answer == "Hello."

    asyncio.run(main())
    assert model.request_count == 1


def test_a_last_reply_that_is_cut_is_the_answer_and_one_with_calls_has_no_calls() -> None:
    for last in (say("It was", finish="length"), calls(call("look", what="more"), text="It was")):
        outcome = alone(eager(last=last), World(), Limits(model_calls=3)).outcome
        assert (outcome.status, outcome.answer, outcome.pruned) == ("completed", "It was", ("limits",))


@pytest.mark.parametrize("last", [call("look", what="more"), fail("rejected", "401"), say("")])
def test_without_a_last_reply_the_recorded_results_are_the_answer(last: Any) -> None:
    run = alone(eager(last=last), World(), Limits(model_calls=3))

    outcome = run.outcome
    assert outcome.status == "completed" and outcome.pruned == ("limits", "answer:partial")
    assert "x0 (look, step 2)" in (outcome.answer or "") and "time was up" not in (outcome.answer or "")
    assert outcome.model_calls == 3


def test_with_nothing_to_answer_with_a_run_is_halted_or_fails_with_its_own_error() -> None:
    halted = alone(ScriptedModel([say(""), say(""), say("")]), World(), Limits(model_calls=2)).outcome
    assert halted.status == "halted" and halted.stopped_by is not None
    assert halted.stopped_by.limit == "model_calls=2"
    failed = alone(ScriptedModel([fail("rejected", "401")]), World(), Limits(model_calls=1)).outcome
    assert failed.status == "failed" and "401" in (failed.error or "")


# ---- limits of agents


def desk(clerk: Agent[None], *script: Any, limits: Limits | None = None, **options: Any) -> Team:
    boss = ScriptedModel(list(script) or [call("ask_clerk", task="Look."), say("Done.")], price=PRICE)
    return Team("desk", Agent("boss", model=boss), specialists=[clerk], limits=limits, **options)


@pytest.mark.parametrize(
    "own", [Limits(tool_calls=2), Limits(model_calls=3), Limits(tokens=4_000, tool_calls=999)]
)
def test_a_specialist_that_uses_up_its_own_limits_answers_and_the_run_goes_on(own: Limits) -> None:
    world = World()
    model = eager(last="Two were found.")
    clerk = Agent("clerk", model=model, tools=[world.reads()], limits=own, max_output_tokens=300)

    team = desk(clerk)
    run = play(team, guards=[Loops(no_news=90)])

    assert (run.outcome.status, run.outcome.answer) == ("completed", "Done.")
    assert run.outcome.pruned == ("limits:clerk",)
    assert run.outcome.lacks[0].startswith("agent 'clerk': ")
    assert sent(team.coordinator.model)[-1] == "Two were found."  # pyright: ignore[reportArgumentType] -- it is a scripted model
    steps = [each for each in run.events if isinstance(each, StepIntended) and each.agent == "clerk"]
    assert sum(each.kind == "tool" and each.perform for each in steps) == len(world.calls) <= own.tool_calls
    assert model.request_count <= own.model_calls


def test_a_specialist_that_can_not_even_answer_tells_what_it_has_found() -> None:
    world = World()
    clerk = Agent(
        "clerk",
        model=eager(last=call("look", what="more")),
        tools=[world.reads()],
        limits=Limits(model_calls=3),
    )
    team = desk(clerk)

    run = play(team)

    assert run.outcome.answer == "Done."
    assert sent(team.coordinator.model)[-1].splitlines() == [  # pyright: ignore[reportArgumentType] -- it is a scripted model
        "Not finished: agent 'clerk' used up model_calls=3 before 'clerk' had an answer.",
        "These results were recorded:",
        "- x0 (look, step 4)",
        "- x1 (look, step 6)",
    ]


def test_an_agents_limits_hold_for_all_hand_offs_to_it_and_for_no_other_agent() -> None:
    world = World()
    clerk = Agent("clerk", model=eager(), tools=[world.reads()], limits=Limits(tool_calls=3))
    other = Agent("other", model=ScriptedModel([call("look", what="o"), say("Seen.")]), tools=[world.reads()])
    script = [
        call("ask_clerk", task="Look."),
        call("ask_clerk", task="Look once more."),
        call("ask_other", task="Look."),
    ]
    boss = ScriptedModel([*script, say("Done.")])
    run = play(
        Team("desk", Agent("boss", model=boss), specialists=[clerk, other]), guards=[Loops(no_news=90)]
    )

    assert run.outcome.answer == "Done."
    assert [what[0] for what in world.calls] == ["x", "x", "x", "o"]


def test_the_runs_own_limits_hold_within_an_agents_wider_ones() -> None:
    world = World()
    clerk = Agent("clerk", model=eager(), tools=[world.reads()], limits=Limits(tool_calls=30))

    run = play(desk(clerk, limits=Limits(tool_calls=4)), guards=[Loops(no_news=90)])

    assert len(world.calls) == 4
    assert (run.outcome.status, run.outcome.pruned) == ("completed", ("limits",))
    assert run.outcome.answer == "Done."


def test_a_coordinators_own_limits_end_the_run() -> None:
    world = World()
    agent = Agent("clerk", model=eager(), tools=[world.reads()], limits=Limits(tool_calls=2))

    outcome = play(Team(agent)).outcome

    assert (outcome.answer, outcome.pruned) == ("These are my last words.", ("limits:clerk",))
    assert len(world.calls) == 2


def test_hand_offs_and_depth_that_are_used_up_are_told_to_the_agent_which_goes_on() -> None:
    world = World()
    clerk = Agent("clerk", model=ScriptedModel(lambda _: say("Nothing.")), tools=[world.reads()])
    script = [call("ask_clerk", task="One."), call("ask_clerk", task="Two."), say("One was done.")]
    for limits, asked in ((Limits(handoffs=1), 1), (Limits(depth=1), 0)):
        run = play(desk(clerk, *script, limits=limits))
        assert (run.outcome.status, run.outcome.answer) == ("completed", "One was done.")
        assert run.outcome.pruned == ("limits",) and run.outcome.handoffs == asked
        assert not [each for each in run.events if isinstance(each, Judged)]


# ---- reviews


def reviewed(world: World, limits: Limits, *, effect: bool = False) -> tuple[Team, ScriptedModel]:
    auditor = ScriptedModel(lambda _: call("review", approved=True, feedback=""))
    tools = [world.writes("look") if effect else world.reads()]
    lead = Agent("clerk", model=eager(), tools=tools)
    return Team("desk", lead, reviewer=Agent("auditor", model=auditor), limits=limits), auditor


def test_the_review_of_the_last_reply_is_kept_for_it() -> None:
    team, auditor = reviewed(World(), Limits(model_calls=5))

    outcome = play(team).outcome

    assert (outcome.answer, outcome.reviewed) == ("These are my last words.", True)
    assert (outcome.model_calls, auditor.request_count) == (5, 1)


def test_an_answer_whose_review_does_not_fit_is_given_and_marked() -> None:
    team, auditor = reviewed(World(), Limits(model_calls=1))

    outcome = play(team).outcome

    assert (outcome.answer, outcome.reviewed) == ("These are my last words.", False)
    assert outcome.pruned == ("limits", "review") and auditor.request_count == 0


def test_after_an_effect_no_agents_words_go_out_without_their_review() -> None:
    auditor = ScriptedModel([call("review", approved=False, feedback="No.")] * 9)
    world = World()
    lead = Agent("clerk", model=eager(), tools=[world.writes("look")])
    team = Team(
        "desk", lead, reviewer=Agent("auditor", model=auditor), limits=Limits(model_calls=4), review_rounds=9
    )

    outcome = play(team).outcome

    assert "last words" not in (outcome.answer or "")
    assert outcome.pruned == ("limits", "answer:partial") and outcome.reviewed is False
    assert "x0 (look, step 2)" in (outcome.answer or "")
    assert len(world.calls) == 2


# ---- crashes, and many runs


def test_a_run_that_dies_before_its_last_reply_gives_it_when_it_is_resumed(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "journal.db"

    def team(model: ScriptedModel) -> Team:
        return Team(Agent("clerk", model=model, tools=[world.reads()]), limits=Limits(tool_calls=2))

    async def main() -> Outcome:
        async with Seawall(path) as sea:
            model = eager(last=hang())
            run = await sea.start(team(model), "Look.")
            while model.request_count < 4:
                await asyncio.sleep(0)
        async with Seawall(path) as sea:
            model = eager(last="Said at last.")
            outcome = await (await sea.resume(run.id, team(model))).outcome()
            assert model.request_count == 1 and model.requests[0].tools == ()
            return outcome

    outcome = asyncio.run(main())

    assert (outcome.answer, outcome.pruned) == ("Said at last.", ("limits",))
    assert len(world.calls) == 2


REPLIES = st.sampled_from(["look", "two", "ask", "say", "empty", "fail", "cut", "bad"])


def make_reply(name: str, request: ModelRequest) -> Any:
    match name:
        case "look":
            return call("look", what="x")
        case "two":
            return calls(call("look", what="y"), call("ask_clerk", task="Look."))
        case "ask":
            return call("ask_clerk", task=f"Look {len(request.messages)}.")
        case "empty":
            return say("")
        case "fail":
            return fail("overloaded")
        case "cut":
            return say("cut", finish="length")
        case "bad":
            return call("nothing")
        case _:
            return say("Done.")


@given(
    script=st.lists(REPLIES, min_size=1, max_size=12),
    tool_calls=st.integers(1, 6),
    model_calls=st.integers(1, 9),
    handoffs=st.integers(1, 3),
    tokens=st.none() | st.integers(2_000, 9_000),
    own=st.none() | st.integers(1, 4),
    reviewer=st.booleans(),
)
def test_no_run_takes_more_than_it_may_and_one_that_found_something_answers(
    script: list[str],
    tool_calls: int,
    model_calls: int,
    handoffs: int,
    tokens: int | None,
    own: int | None,
    reviewer: bool,
) -> None:
    world, made = World(), itertools.count()

    def reply(request: ModelRequest) -> Any:
        return make_reply(script[next(made) % len(script)], request)

    limits = Limits(tool_calls=tool_calls, model_calls=model_calls, handoffs=handoffs, tokens=tokens)
    mine = None if own is None else Limits(tool_calls=own, model_calls=own)
    clerk = Agent(
        "clerk",
        model=ScriptedModel(reply),
        tools=[world.reads()],
        limits=mine,
        max_output_tokens=300,
        retries=0,
    )
    boss = Agent("boss", model=ScriptedModel(reply), tools=[world.reads()], max_output_tokens=300, retries=0)
    auditor = Agent(
        "auditor",
        model=ScriptedModel(lambda _: call("review", approved=True, feedback="")),
        max_output_tokens=300,
    )
    team = Team("desk", boss, specialists=[clerk], limits=limits, reviewer=auditor if reviewer else None)

    run = play(team, modes=NO_GUARDS)

    outcome = run.outcome
    assert len(world.calls) == outcome.tool_calls <= tool_calls
    assert outcome.model_calls <= model_calls and outcome.handoffs <= handoffs
    assert tokens is None or outcome.tokens <= tokens
    if mine is not None:
        steps = [
            each
            for each in run.events
            if isinstance(each, StepIntended) and each.agent == "clerk" and each.perform
        ]
        assert sum(each.kind == "model" for each in steps) <= mine.model_calls
        assert sum(each.kind == "tool" for each in steps) <= mine.tool_calls
    if world.calls and outcome.status != "failed":
        assert outcome.status == "completed" and outcome.answer, outcome
    if outcome.pruned:
        assert outcome.lacks
