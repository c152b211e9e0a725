"""A tool of a framework's that is declared as a poll is asked as often as a native one, and no other is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from runtime.foreign.scripted_loop import ScriptedLoop
from seawall import Agent, Effect, Engine, Halted, Loops, Misused, Seawall, Team, tool
from seawall.runtime.foreign.tools import ToolDeclarations
from seawall.testing import ScriptedModel, call

GUARDS = (Loops(polls=6, poll_wait_s=0),)


def ask_natively(*, poll: bool) -> int:
    """Returns how often the tool of an agent is called that waits for what never happens."""
    made: list[str] = []

    @tool(poll=poll)
    def job_state(job: str) -> str:
        """Says what a job does."""
        made.append(job)
        return "step 3 of 9"

    async def run() -> None:
        model = ScriptedModel(lambda request: call("job_state", job="7"))
        async with Seawall(guards=GUARDS) as sea:
            started = await sea.start(Team(Agent("clerk", model=model, tools=[job_state])), "Wait for job 7")
            assert (await started.outcome()).status == "halted"

    asyncio.run(run())
    return len(made)


def ask(engine: Engine, **declared: Any) -> int:
    """The same of a framework's loop."""
    loop = ScriptedLoop(
        lambda messages: [(f"c{len(messages)}", "job_state", {"job": "7"})],
        {"job_state": lambda job: "step 3 of 9"},
    )
    with engine.begin("Wait for job 7", loop="own", **declared) as session, pytest.raises(Halted) as halted:
        loop.run_sync(session, "Wait for job 7")
    stopped = halted.value.outcome.stopped_by
    assert stopped is not None
    assert stopped.guard == "loops"
    return len(loop.tool_calls)


def test_a_poll_is_asked_as_often_as_a_native_one() -> None:
    with Engine(guards=GUARDS, polls=["job_*"]) as engine:
        assert ask(engine) == ask_natively(poll=True)
        assert engine.coverage().reads == {"job_state": ask_natively(poll=True)}
    with Engine(guards=GUARDS) as engine:
        assert ask(engine, polls=["job_state"]) == ask_natively(poll=True)
        assert ask(engine) == ask_natively(poll=False) < ask_natively(poll=True)


@pytest.mark.parametrize(
    ("effects", "reads", "polls", "found"),
    [
        (["job_*"], [], ["job_state"], "poll"),
        (["job_state"], [], ["job_*"], "effect"),
        ({"job_state": False}, [], ["job_state"], "poll"),
        ([], ["job_state"], ["job_*"], "read"),
        ([], ["job_*"], ["job_state"], "poll"),
        ([], ["*"], ["job_*"], "poll"),
        ([], "find", "job_state", "poll"),
        ([], [], ["Job_state"], "undeclared"),
    ],
)
def test_an_exact_name_counts_before_a_pattern(
    effects: Sequence[str] | Mapping[str, bool], reads: Sequence[str], polls: Sequence[str], found: str
) -> None:
    tools = ToolDeclarations(effects, reads, polls)
    declared = tools.find_tool("job_state")
    assert (declared.effect, declared.poll) == (found == "effect", found == "poll")
    assert tools.find_kind("job_state") == ("read" if found == "poll" else found)


@pytest.mark.parametrize("effects", [["job_*"], {"job_*": Effect()}])
def test_what_is_an_effect_is_no_poll(effects: Any) -> None:
    with pytest.raises(Misused, match="'job_\\*' is among the effects and among the polls"):
        Engine(effects=effects, polls=["job_*"])
    with Engine(effects=effects) as engine, pytest.raises(Misused, match="among the polls"):
        engine.begin("Wait", loop="own", polls=["job_*"])


def test_polls_of_a_run_come_beside_the_engines_effects() -> None:
    with Engine(guards=GUARDS, effects=["refund", "pay"], polls=["mail_state"]) as engine:
        assert ask(engine, polls=["job_state", "jbo_*"]) == ask_natively(poll=True)
        with engine.begin("Refund", loop="own", reads=["find"]) as session:
            session.step_sync(session.tool("clerk", "refund", {"order": 1}), lambda turn: ("done", None))
        report = engine.coverage()

    assert report.effects == {"refund": 1}
    assert report.uncalled == ("pay", "mail_state", "jbo_*", "find")


def test_a_single_name_may_be_given_as_text() -> None:
    tools = ToolDeclarations("refund", "find").declare(None, "look", "job_state")
    kinds = [tools.find_kind(name) for name in ("refund", "find", "look", "job_state", "f")]
    assert kinds == ["effect", "read", "read", "read", "undeclared"]
    assert tools.find_tool("job_state").poll


def test_effects_of_a_run_take_the_place_of_all_that_the_engine_declares() -> None:
    tools = ToolDeclarations(["refund"], ["find"], ["job_state"]).declare(["pay"], [], [])
    assert [tools.find_kind(name) for name in ("pay", "refund", "find", "job_state")] == [
        "effect",
        "undeclared",
        "undeclared",
        "undeclared",
    ]
