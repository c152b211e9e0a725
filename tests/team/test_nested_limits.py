"""The limits of a nested team bound its part of the run, and nothing else."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from seawall import (
    ALLOW,
    Agent,
    Guard,
    Hold,
    Limits,
    Price,
    Refused,
    Seawall,
    Team,
    Tool,
    ToolContext,
    Waiting,
    tool,
)
from seawall.core.events import Planned, StepDone, StepIntended
from seawall.models.protocol import ModelRequest, Usage
from seawall.models.scripted import calls
from seawall.run.fold import fold
from seawall.testing import ManualClock, ScriptedModel, call, hang, say, slow
from team.nesting import AtMost, Never, boss_of, inner, outer
from team.play import Played, World, play, sent

# ---- limits


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_model_calls_of_a_nested_team_are_exact_and_its_caller_is_told(limit: int) -> None:
    world = World()
    nested = inner(world, 9, limits=Limits(model_calls=limit))
    team = outer(nested)

    run = play(team)

    assert run.outcome.answer == "Done."
    assert sum(step.agent == "lead_of_inner" and step.perform for step in run.steps("model")) == limit
    told = f"Not finished: team 'inner' used up model_calls={limit} before 'lead_of_inner' had an answer."
    assert sent(boss_of(team))[-1].splitlines()[0] == told
    planned = [each for each in run.events if isinstance(each, Planned)]
    assert [(each.action, each.limit, each.value) for each in planned] == [
        ("close", f"model_calls={limit}", str(limit + 1)),
        ("cut", f"model_calls={limit}", str(limit + 1)),
    ]
    assert run.outcome.pruned == ("limits:inner",)


def test_a_nested_teams_limits_hold_for_all_hand_offs_to_it_together() -> None:
    world = World()
    script = [*[call("ask_inner", task=f"look {n}") for n in range(3)], say("Done.")]

    run = play(outer(inner(world, 1, limits=Limits(model_calls=3)), script=script))

    assert sum(step.agent == "lead_of_inner" and step.perform for step in run.steps("model")) == 3
    assert run.outcome.status == "completed"


def test_tool_calls_of_a_nested_team_are_refused_and_its_agent_goes_on() -> None:
    world = World()

    run = play(outer(inner(world, 3, limits=Limits(tool_calls=1))))

    assert len(world.calls) == run.outcome.tool_calls == 1
    assert run.outcome.status == "completed"


def test_the_callers_own_calls_do_not_count_in_a_nested_teams_limits() -> None:
    world, own = World(), World()
    script = [*[call("look", what=str(n)) for n in range(4)], call("ask_inner", task="x"), say("Done.")]

    play(outer(inner(world, 2, limits=Limits(tool_calls=2)), script=script, tools=[own.reads()]))

    assert (len(own.calls), len(world.calls)) == (4, 2)


@pytest.mark.parametrize("limit", ["tokens", "usd"])
def test_tokens_and_money_of_a_nested_team_are_never_above(limit: str) -> None:
    world = World()

    def script(request: ModelRequest) -> Any:
        return call("look", what=str(len(request.messages)))

    model = ScriptedModel(script, price=Price(1, 1), usage=Usage(100, 100))
    lead = Agent("lead", model=model, tools=[world.reads()], max_output_tokens=500)
    limits = Limits(tokens=2_000) if limit == "tokens" else Limits(usd=Decimal("0.002"))
    nested = Team("inner", lead, limits=limits)

    run = play(outer(nested))

    spent = sum(
        each.input_tokens + each.output_tokens
        for each in run.events
        if isinstance(each, StepDone) and each.usd
    )
    assert run.outcome.status == "completed"
    assert 400 <= spent <= 2_000


def test_siblings_in_a_nested_team_wait_for_what_others_have_reserved() -> None:
    models = [ScriptedModel(["found"], usage=Usage(10, 1)) for _ in range(4)]
    clerks = [Agent(f"c{n}", model=model, max_output_tokens=1_000) for n, model in enumerate(models)]
    asks = calls(*(call(f"ask_c{n}", task="x") for n in range(4)))
    lead = Agent("lead", model=ScriptedModel([asks, say("ok")], usage=Usage(10, 1)), max_output_tokens=1_000)
    nested = Team("inner", lead, specialists=clerks, limits=Limits(tokens=3_000))

    run = play(outer(nested))

    assert [model.request_count for model in models] == [1] * 4
    assert not [each for each in run.judged if each[0] == "limits"]


def test_no_more_steps_of_a_nested_team_are_in_flight_than_its_parallel_allows() -> None:
    most = now = 0

    async def look(what: str) -> str:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return what

    lead = Agent(
        "lead",
        model=ScriptedModel([calls(*(call("look", what=str(n)) for n in range(9))), say("ok")]),
        tools=[Tool(look)],
    )

    run = play(outer(Team("inner", lead, limits=Limits(parallel=2))))

    assert most == 2
    assert run.outcome.tool_calls == 9


@pytest.mark.parametrize(("depth", "made"), [(1, 0), (2, 1), (3, 2)])
def test_the_depth_of_a_nested_team_counts_from_its_own_coordinator(depth: int, made: int) -> None:
    world = World()
    fourth = Agent("fourth", model=ScriptedModel([call("look", what="4"), say("4")]), tools=[world.reads()])
    third = Team(
        "third",
        Agent(
            "third",
            model=ScriptedModel([call("look", what="3"), call("ask_fourth", task="x"), say("3")]),
            tools=[world.reads()],
        ),
        specialists=[fourth],
    )
    second = Team(
        "second",
        Agent("second", model=ScriptedModel([call("ask_third", task="x"), say("2")])),
        specialists=[third],
        limits=Limits(depth=depth),
    )

    run = play(outer(second))

    assert len(world.calls) == made
    assert run.outcome.status == "completed"


def test_hand_offs_of_a_nested_team_are_exact() -> None:
    clerk = ScriptedModel(["found"] * 9)
    lead = Agent(
        "lead", model=ScriptedModel([*[call("ask_clerk", task=f"find {n}") for n in range(4)], say("ok")])
    )
    nested = Team("inner", lead, specialists=[Agent("clerk", model=clerk)], limits=Limits(handoffs=2))

    run = play(outer(nested))

    assert clerk.request_count == 2
    assert run.outcome.handoffs == 3


def test_the_inner_of_two_nested_limits_holds_and_so_does_the_outer() -> None:
    world = World()
    for second, third, made in ((9, 2, 2), (2, 9, 2)):
        world.calls.clear()
        deep = inner(world, 5, name="third", limits=Limits(tool_calls=third))
        lead = Agent("lead", model=ScriptedModel([call("ask_third", task="x"), say("ok")]))
        play(outer(Team("second", lead, specialists=[deep], limits=Limits(tool_calls=second))))
        assert len(world.calls) == made


def test_the_outer_runs_limits_hold_within_a_nested_team_with_wider_ones() -> None:
    world = World()

    run = play(outer(inner(world, 9, limits=Limits(tool_calls=8)), limits=Limits(tool_calls=3)))

    assert len(world.calls) == 3
    assert (run.outcome.status, run.outcome.pruned) == ("completed", ("limits",))


def test_a_nested_team_without_limits_has_those_of_the_run_only() -> None:
    world = World()

    run = play(outer(inner(world, 45), limits=Limits(tool_calls=50)))

    assert run.outcome.status == "completed"
    assert len(world.calls) == 45


def test_the_mode_of_the_limits_holds_for_a_nested_team_too() -> None:
    world = World()

    run = play(outer(inner(world, 3, limits=Limits(tool_calls=1))), options={"modes": {"limits": "observe"}})

    assert len(world.calls) == 3
    assert [each for each in run.judged if each[0] == "limits"] == [("limits", "refuse", "observe")] * 2


def test_money_of_a_nested_team_needs_a_price_for_its_models_and_no_others() -> None:
    priced = Agent("lead", model=ScriptedModel(["ok"], price=Price(1, 1)))
    bare = Agent("lead", model=ScriptedModel(["ok"]))

    assert play(outer(Team("inner", priced, limits=Limits(usd=Decimal(1))))).outcome.status == "completed"
    with pytest.raises(Refused, match="the price for agent 'lead'"):
        play(outer(Team("inner", bare, limits=Limits(usd=Decimal(1)))))


def test_a_report_above_its_reservation_halts_the_run_where_a_nested_team_limits_tokens() -> None:
    model = ScriptedModel([call("look", what="x"), say("ok")], usage=Usage(10, 9_000))
    world = World()
    lead = Agent("lead", model=model, tools=[world.reads()], max_output_tokens=100)

    run = play(outer(Team("inner", lead, limits=Limits(tokens=50_000))))

    assert run.outcome.stopped_by and run.outcome.stopped_by.value == "9010"
    assert world.calls == []


# ---- active time


def test_a_nested_teams_time_is_up_while_its_model_is_at_work_and_its_caller_is_told() -> None:
    clock = ManualClock()
    nested = Team("inner", Agent("lead", model=ScriptedModel([hang()])), limits=Limits(active_s=5))
    team = outer(nested)

    run = play(team, clock=clock)

    assert run.outcome.answer == "Done."
    assert "team 'inner' used up its 5 active seconds" in sent(boss_of(team))[-1]
    assert 5 <= run.outcome.active_s < 5.1


def test_a_nested_teams_time_is_that_of_all_its_hand_offs_and_passes_only_while_it_works() -> None:
    clock = ManualClock()
    lead = ScriptedModel([slow(3, "one"), slow(3, "two")], clock=clock)
    script = [
        call("ask_inner", task="first"), slow(20, call("ask_inner", task="then something else")), say("Done."),
    ]  # fmt: skip
    model = ScriptedModel(script, clock=clock)
    nested = Team("inner", Agent("lead", model=lead), limits=Limits(active_s=5))

    run = play(Team("outer", Agent("boss", model=model), specialists=[nested]), clock=clock)

    assert 25 <= run.outcome.active_s < 25.1
    assert "used up its 5 active seconds" in sent(model)[-1]
    assert "one" in sent(model, 1)[-1]


def test_an_effect_in_flight_goes_on_when_a_nested_teams_time_is_up() -> None:
    clock = ManualClock()
    paid: list[str] = []

    @tool(effect=True)
    async def pay(what: str) -> str:
        """Pay."""
        await clock.sleep(8)
        paid.append(what)
        return "paid"

    lead = Agent("lead", model=ScriptedModel([call("pay", what="x"), say("never")]), tools=[pay])

    run = play(outer(Team("inner", lead, limits=Limits(active_s=5))), clock=clock)

    assert paid == ["x"]
    assert [each.state for each in run.outcome.effects] == ["committed"]
    assert run.outcome.status == "completed"
    assert 8 <= run.outcome.active_s < 8.1


class Down(ConnectionError):
    """A service that wants to be left alone for a while."""

    retry_after_s = 4.0


def test_a_nested_team_that_waits_for_its_next_try_when_its_time_is_up_does_not_make_it() -> None:
    clock = ManualClock()
    tries = 0

    @tool(retries=5)
    async def look(what: str) -> str:
        """Look."""
        nonlocal tries
        tries += 1
        raise Down

    lead = Agent("lead", model=ScriptedModel([call("look", what="x"), say("never")]), tools=[look])

    run = play(outer(Team("inner", lead, limits=Limits(active_s=6))), clock=clock)

    assert tries == 2
    assert run.outcome.status == "completed"
    assert run.outcome.active_s < 6.1


def test_a_tool_and_a_model_of_a_nested_team_are_told_the_time_that_it_has() -> None:
    seen: list[float] = []

    async def look(context: ToolContext) -> str:
        seen.append(context.remaining_s)
        return "x"

    model = ScriptedModel([call("look"), say("ok")])
    lead = Agent("lead", model=model, tools=[Tool(look)])

    play(outer(Team("inner", lead, limits=Limits(active_s=5))), clock=ManualClock())

    assert [round(each) for each in seen] == [5]
    assert round(model.requests[0].timeout_s or 0) == 5


# ---- with everything else


def test_its_ledger_is_a_fold_so_a_resumed_run_has_spent_what_it_had_spent(tmp_path: Path) -> None:
    class Asking(Guard):
        name = "asking"

        def before(self, step: Any, run: Any, memory: Any) -> Any:
            return Hold("may it?") if step.kind == "tool" and step.arguments["what"] == "2" else ALLOW

    def team(world: World) -> Team:
        return outer(
            inner(world, 9, guards=[Asking(), AtMost(4)], limits=Limits(tool_calls=5, model_calls=6))
        )

    async def main() -> tuple[Played, list[str], Any]:
        before, after = World(), World()
        async with Seawall(tmp_path / "j.db", environment={}) as sea:
            run = await sea.start(team(before), "go")
            rest = await run.rest()
            assert isinstance(rest, Waiting)
        async with Seawall(tmp_path / "j.db", environment={}) as sea:
            await sea.decide(run.id, rest.step, approve=True, by="ops")
            again = await sea.resume(run.id, team(after))
            outcome = await again.outcome()
            events = await sea.journal.events(run.id)
            replayed = await sea.replay(run.id, team(World()))
        return Played(outcome, events), before.calls + after.calls, replayed.differences

    run, made, differences = asyncio.run(main())
    assert made == ["0", "1", "2", "3"]
    assert sum(step.agent == "lead_of_inner" and step.perform for step in run.steps("model")) == 6
    assert run.outcome.status == "completed"
    assert differences == ()


def test_the_active_time_of_a_nested_team_goes_on_after_a_wait_that_is_not_counted() -> None:
    class Asking(Guard):
        name = "asking"

        def before(self, step: Any, run: Any, memory: Any) -> Any:
            return Hold("may it?") if step.kind == "tool" else ALLOW

    async def main() -> tuple[Any, list[str]]:
        clock = ManualClock()
        script = [slow(3, call("look", what="x")), slow(3, "never")]

        def team() -> Team:
            model = ScriptedModel(script, clock=clock, by="position")
            lead = Agent("lead", model=model, tools=[World().reads()])
            return outer(Team("inner", lead, guards=[Asking()], limits=Limits(active_s=5)))

        mine = team()
        async with Seawall(environment={}, clock=clock) as sea:
            run = await sea.start(mine, "go")
            rest = await clock.until(run.rest())
            assert isinstance(rest, Waiting)
            await clock.advance(600)
            await sea.decide(run.id, rest.step, approve=True, by="ops")
            outcome = await clock.until(run.outcome())
        return outcome, sent(boss_of(mine))

    outcome, told = asyncio.run(main())
    assert "team 'inner' used up its 5 active seconds" in told[-1]
    assert 5 <= outcome.active_s < 5.1


def test_a_replay_names_what_a_nested_teams_new_guard_and_limit_would_change() -> None:
    async def main() -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        async with Seawall(environment={}) as sea:
            run = await sea.start(outer(inner(World(), 3)), "go")
            await run.outcome()
            changes: list[dict[str, Any]] = [{}, {"guards": [Never()]}, {"limits": Limits(tool_calls=2)}]
            for options in changes:
                result = await sea.replay(run.id, outer(inner(World(), 3, **options)))
                found.append(tuple(each.today for each in result.differences))
        return found

    none, guard, limit = asyncio.run(main())
    assert none == ()
    assert guard[0].startswith("halt by 'never'")
    assert limit[0].startswith("refuse by 'limits': team 'inner'")


def test_a_replay_of_a_run_whose_nested_teams_time_was_up_is_the_same() -> None:
    async def main() -> Any:
        clock = ManualClock()
        async with Seawall(environment={}, clock=clock) as sea:

            def team() -> Team:
                lead = Agent(
                    "lead",
                    model=ScriptedModel([call("look", what="x"), hang()], clock=clock),
                    tools=[World().reads()],
                )
                return outer(Team("inner", lead, limits=Limits(active_s=5)))

            run = await sea.start(team(), "go")
            await clock.until(run.outcome())
            return (await sea.replay(run.id, team())).differences

    assert asyncio.run(main()) == ()


def test_a_fork_within_a_nested_team_has_spent_what_it_inherits() -> None:
    async def main() -> tuple[int, int]:
        async with Seawall(environment={}) as sea:
            run = await sea.start(outer(inner(World(), 5, limits=Limits(tool_calls=3))), "go")
            await run.outcome()
            events = await sea.journal.events(run.id)
            second = [each.step for each in events if isinstance(each, StepIntended) and each.kind == "tool"][
                1
            ]
            world = World()
            fork = await sea.fork(run.id, outer(inner(world, 5, limits=Limits(tool_calls=3))), at=second)
            await fork.outcome()
            return len(world.calls), len(fold(await sea.journal.events(fork.id)).memories)

    assert asyncio.run(main()) == (1, 0)
