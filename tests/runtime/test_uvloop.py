"""The runtime on the event loop of uvloop, which servers bring."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

from seawall import Agent, Effect, Engine, Outcome, Principal, Seawall, Team, Waiting, always, tool
from seawall.events import TextDelta
from seawall.runtime.foreign.results import make_tool_result
from seawall.testing import ScriptedModel, call


def run_on_uvloop(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def test_a_held_effect_is_approved_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    paid: list[int] = []

    @tool(effect=Effect(approve=always()))
    def pay(eur: int) -> str:
        """Pays, in a thread."""
        paid.append(eur)
        return "paid"

    def make_team() -> Team:
        model = ScriptedModel([call("pay", eur=5), "Done."], by="position")
        return Team(Agent("clerk", model=model, tools=[pay]))

    async def main() -> None:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        async with Seawall(str(tmp_path / "desk.db")) as sea:
            run = await sea.start(make_team(), "Pay 5 EUR.")
            assert isinstance(await run.rest(), Waiting)
        async with Seawall(str(tmp_path / "desk.db"), authenticate=Principal) as sea:
            (approval,) = await sea.approvals()
            await sea.approve(approval.id, hash=approval.hash, credential="ann")
            outcome = await (await sea.resume(run.id, make_team())).outcome()
            assert isinstance(outcome, Outcome)
            assert outcome.answer == "Done."

    run_on_uvloop(main())
    assert paid == [5]


def test_an_answer_is_streamed() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            words = "one two three four"
            run = await sea.start(Team(Agent("clerk", model=ScriptedModel([words]))), "go", stream=True)
            assert (
                "".join([event.text async for event in run.events() if isinstance(event, TextDelta)]) == words
            )

    run_on_uvloop(main())


def test_an_engine_serves_callers_on_its_own_loop_and_on_theirs() -> None:
    async def look(turn: object) -> tuple[Any, None]:
        return make_tool_result("seen"), None

    async def main(thread: bool) -> None:
        async with Engine(thread=thread) as engine, engine.begin("Look", loop="own") as session:
            asked = session.tool("clerk", "look", {}, call_id="c1")
            assert (await session.step(asked, look)).settled.text == "seen"

    for thread in (True, False):
        run_on_uvloop(main(thread))
