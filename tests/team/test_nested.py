"""The guards of a nested team judge its part of the run, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from seawall import (
    ALLOW,
    Advise,
    Agent,
    Authority,
    AuthorityGuard,
    EndpointOptions,
    Guard,
    Limits,
    May,
    Misused,
    Planner,
    Refuse,
    Seawall,
    Team,
    tool,
)
from seawall.models.scripted import calls
from seawall.testing import ManualClock, ScriptedModel, call, fail, say
from team.nesting import AtMost, Never, boss_of, inner, looking, outer
from team.play import Played, World, play, sent

# ---- guards


def test_a_guard_of_a_nested_team_halts_the_run_at_its_call() -> None:
    world = World()

    run = play(outer(inner(world, guards=[Never()])))

    assert run.outcome.stopped_by and run.outcome.stopped_by.guard == "never"
    assert world.calls == []


def test_it_judges_no_step_of_its_caller() -> None:
    world, own = World(), World()
    script = [call("look", what="own"), call("ask_inner", task="x"), say("Done.")]
    nested = inner(world, guards=[Never(Refuse("not here"))])

    run = play(outer(nested, script=script, tools=[own.reads()]))

    assert (own.calls, world.calls) == (["own"], [])
    assert run.outcome.status == "completed"


def test_it_judges_the_steps_of_the_teams_in_its_team_and_of_its_reviewer() -> None:
    world, own = World(), World()
    third = inner(world, name="third")
    auditor = Agent("auditor", model=looking(1), tools=[own.reads()])
    lead = Agent("lead", model=ScriptedModel([call("ask_third", task="x"), say("ok"), say("ok")]))
    second = Team("second", lead, specialists=[third], reviewer=auditor, guards=[Never(Refuse("not here"))])

    run = play(outer(second))

    assert world.calls == own.calls == []
    assert ("never", "refuse", "enforce") in run.judged


def test_its_memory_is_of_its_own_part_and_one_guard_serves_two_teams() -> None:
    worlds = World(), World(), World()
    guard = AtMost(2)
    teams = [inner(world, 4, name, guards=[guard]) for world, name in zip(worlds[:2], "ab", strict=True)]
    script = [
        *[call("look", what=str(n)) for n in range(4)],
        calls(*(call(f"ask_{n}", task="x") for n in "ab")),
        say("ok"),
    ]

    run = play(outer(*teams, script=script, tools=[worlds[2].reads()], guards=[AtMost(99)]))

    assert [len(world.calls) for world in worlds] == [2, 2, 3 + 1]
    assert run.outcome.tool_calls == 8


def test_the_outer_guard_counts_the_whole_run() -> None:
    world = World()

    play(outer(inner(world, 4, guards=[AtMost(3)]), guards=[AtMost(1)]))

    assert len(world.calls) == 1


def test_a_mode_holds_for_all_guards_of_a_name() -> None:
    world = World()

    run = play(
        outer(inner(world, 2, guards=[Never()]), guards=[Never()]), options={"modes": {"never": "observe"}}
    )

    assert len(world.calls) == 2
    assert [each for each in run.judged if each[0] == "never"] == [("never", "halt", "observe")] * 4


def test_guards_of_one_name_with_different_modes_are_misuse() -> None:
    nested = inner(World(), guards=[Never(mode="observe")])

    with pytest.raises(Misused, match="'never' with different modes"):
        play(outer(nested, guards=[Never()]))


@pytest.mark.parametrize("name", [5, "", "\ud800", ["never"]])
def test_a_guard_without_a_name_that_can_be_recorded_is_misuse(name: Any) -> None:
    guard = Never()
    guard.name = name

    with pytest.raises(Misused, match="guard"):
        play(outer(inner(World(), guards=[guard])))


def test_a_guard_that_would_take_the_memory_of_a_nested_teams_limits_is_misuse() -> None:
    nested = inner(World(), limits=Limits(model_calls=1))
    guard = Never()
    guard.name = f"{nested.coordinator.name}/limits"

    with pytest.raises(Misused, match="have one memory_key"):
        play(outer(nested, guards=[guard]))


def test_a_nested_guard_is_switched_live_by_its_name() -> None:
    async def main() -> Played:
        world = World()
        async with Seawall(environment={}) as sea:
            await sea.set_guard("never", "off", by="ops")
            run = await sea.start(outer(inner(world, 2, guards=[Never()])), "go")
            return Played(await run.outcome(), await sea.journal.events(run.id))

    run = asyncio.run(main())
    assert run.outcome.status == "completed"
    assert run.outcome.tool_calls == 2


@pytest.mark.parametrize("name", ["limits", "deadline", "budget"])
def test_a_nested_guard_can_not_take_a_name_of_seawalls_own(name: str) -> None:
    with pytest.raises(Misused, match="can't be named"):
        play(outer(inner(World(), guards=[Never(name=name)])))


class Broken(Guard):
    """Raises where it is told to."""

    name = "broken"

    def __init__(self, where: str) -> None:
        self._where = where

    def start(self) -> Any:
        return self._raise("start")

    def fold(self, memory: Any, event: Any, run: Any) -> Any:
        return self._raise("fold")

    def before(self, step: Any, run: Any, memory: Any) -> Any:
        return self._raise("before") or ALLOW

    def after(self, step: Any, result: Any, run: Any, memory: Any) -> Any:
        return self._raise("after") or ALLOW

    def _raise(self, where: str) -> None:
        if where == self._where:
            raise RuntimeError("boom")


@pytest.mark.parametrize("where", ["start", "fold", "before", "after"])
def test_a_nested_guard_that_raises_halts_the_run(where: str) -> None:
    world = World()

    run = play(outer(inner(world, guards=[Broken(where)])))

    assert run.outcome.stopped_by and run.outcome.stopped_by.guard == "broken"
    assert world.calls == []


def test_a_nested_guard_advises_and_judges_results_too() -> None:
    class Noting(Guard):
        name = "noting"

        def after(self, step: Any, result: Any, run: Any, memory: Any) -> Any:
            return Advise("note", f"noted {step.name}") if step.kind == "tool" else ALLOW

    world, own = World(), World()
    nested = inner(world, 1, guards=[Noting()])
    team = outer(
        nested, script=[call("look", what="x"), call("ask_inner", task="x"), say("ok")], tools=[own.reads()]
    )

    play(team)

    lead = nested.coordinator.model
    assert isinstance(lead, ScriptedModel)
    assert "noted look" in sent(lead)[-1]
    assert not any("noted" in text for text in sent(boss_of(team)))


class Carrying(AtMost):
    """Leaves its count to the session's next run."""

    def fold(self, memory: int, event: Any, run: Any) -> int:
        handover = getattr(event, "handover", {})
        return int(handover[self.name]) if self.name in handover else super().fold(memory, event, run)

    def carry(self, memory: int) -> str:
        return str(memory)


def test_what_a_nested_guard_leaves_is_for_itself_in_the_sessions_next_run() -> None:
    script: list[Any] = []
    for number in range(2):
        script += [call("look", what=str(number)), call("ask_inner", task=f"x{number}"), say("ok")]

    async def main() -> tuple[list[str], list[str]]:
        world, own = World(), World()
        async with Seawall(environment={}) as sea:
            for _ in range(2):
                nested = inner(world, 2, guards=[Carrying(3)])
                team = outer(nested, script=script, tools=[own.reads()], guards=[Carrying(99)])
                await (await sea.start(team, "go", session="s")).outcome()
        return world.calls, own.calls

    world, own = asyncio.run(main())
    assert len(own) == 2
    assert len(world) == 3


# ---- what has no use where it stands


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"planner": Planner()}, "its planner has no use"),
        ({"fallback": Agent("quick", model=ScriptedModel([]))}, "its fallback has no use"),
        ({"history": "answers"}, "its history has no use"),
    ],
)
def test_what_only_the_outermost_team_uses_is_misuse_in_a_nested_one(options: Any, told: str) -> None:
    with pytest.raises(Misused, match=f"{told}.*give .* to the outermost team"):
        outer(inner(World(), **options))


def test_two_specialists_of_one_name_are_misuse() -> None:
    clerk = Agent("clerk", model=ScriptedModel([]))
    nested = Team("clerk", Agent("lead", model=ScriptedModel([])))

    with pytest.raises(Misused, match="two specialists of the name 'clerk'"):
        Team("desk", Agent("boss", model=ScriptedModel([])), specialists=[clerk, nested])


def test_a_hand_off_goes_to_the_team_of_that_name_and_not_to_an_agent_in_it() -> None:
    clerk, lead = ScriptedModel(["clerk"]), ScriptedModel(["lead"])
    nested = Team("clerk", Agent("lead", model=lead), specialists=[Agent("clerk", model=clerk)])

    play(outer(nested))

    assert (lead.request_count, clerk.request_count) == (1, 0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"stream": "no"}, "stream is 'no'"),
        ({"modes": 5}, "modes is 5"),
        ({"modes": {"nobody": "off"}}, "no guard 'nobody'"),
    ],
)
def test_a_keyword_of_start_of_another_type_is_misuse(options: Any, told: str) -> None:
    with pytest.raises(Misused, match=told):
        play(outer(inner(World())), options=options)


# ---- what is honoured where it stands


def test_the_output_type_of_a_nested_teams_coordinator_holds() -> None:
    lead = ScriptedModel([say("five"), call("final_answer", value=5)])
    team = outer(Team("inner", Agent("lead", model=lead, output=int)))

    play(team)

    assert "does not fit" in sent(lead)[-1]
    assert sent(boss_of(team))[-1] == "5"


def test_the_retries_of_an_agent_and_of_a_tool_in_a_nested_team_hold() -> None:
    tries: list[str] = []

    @tool(retries=1)
    async def look(what: str) -> str:
        """Look."""
        tries.append(what)
        raise LookupError(what)

    lead = ScriptedModel([fail("overloaded"), call("look", what="x"), fail("overloaded"), fail("overloaded")])
    team = outer(Team("inner", Agent("lead", model=lead, tools=[look], retries=1)))

    endpoints = {"model": EndpointOptions(outlast=False)}  # otherwise it waits for the end of the outage
    run = play(team, clock=ManualClock(), endpoints=endpoints)

    assert tries == ["x", "x"]
    assert lead.request_count == 4
    assert "scripted failure" in sent(boss_of(team))[-1]
    assert run.outcome.status == "completed"


def test_the_time_of_a_tool_in_a_nested_team_holds() -> None:
    clock = ManualClock()

    @tool(timeout_s=2)
    async def look() -> str:
        """Look."""
        await clock.sleep(60)
        return "never"

    lead = ScriptedModel([call("look"), say("ok")])

    run = play(outer(Team("inner", Agent("lead", model=lead, tools=[look]))), clock=clock)

    assert "did not answer within 2 s" in sent(lead)[-1]
    assert run.outcome.active_s < 2.1


def test_the_review_rounds_of_a_nested_team_are_its_own() -> None:
    lead, auditor = ScriptedModel(["bad"] * 9), ScriptedModel([call("review", approved=False)] * 9)
    nested = Team(
        "inner", Agent("lead", model=lead), reviewer=Agent("auditor", model=auditor), review_rounds=3
    )

    play(outer(nested))

    assert auditor.request_count == 3


class OwnAuthority(AuthorityGuard):
    """Would judge something else."""

    def before(self, step: Any, run: Any, memory: Any) -> Any:
        return Refuse("never")


@pytest.mark.parametrize("where", ["seawall", "team", "nested"])
def test_an_authority_guard_that_would_not_be_asked_is_misuse(where: str) -> None:
    permit = team_of_permits().permits
    for guard, told in (
        (OwnAuthority(), "can't be named 'authority'"),
        (AuthorityGuard(permits=permit), "permits"),
        (AuthorityGuard(agents=("lead",)), "given agents"),
    ):
        given: dict[str, Any] = {"guards": [guard]}
        with pytest.raises(Misused, match=told):
            play(
                outer(
                    inner(World(), **(given if where == "nested" else {})),
                    **(given if where == "team" else {}),
                ),
                **(given if where == "seawall" else {}),
            )


def team_of_permits() -> Team:
    return Team("desk", Agent("lead", model=ScriptedModel([])), authority=Authority(agents={"lead": May()}))
