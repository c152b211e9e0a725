"""A sync tool has a bounded number of threads. A call that finds none free is not made, and its agent learns why."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from seawall import Agent, Seawall, Team, Tool
from seawall.models.protocol import ModelRequest, User
from seawall.testing import ManualClock, ScriptedModel, call, say
from team.play import sent


def obliging(request: ModelRequest) -> Any:
    """Calls `read` with the request, and answers whatever the result is."""
    last = request.messages[-1]
    return call("read", what=last.content) if isinstance(last, User) else say("Without it.")


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize(
    ("threads", "text"),
    [
        (2, "Error: not done: all 2 threads of 'read' are held by calls that have not returned"),
        (1, "Error: not done: the one thread of 'read' is held by a call that has not returned"),
    ],
)
def test_a_call_that_finds_no_thread_in_time_is_not_made_and_its_agent_learns_why(
    threads: int, text: str, effect: bool
) -> None:
    async def main() -> None:
        clock, made = ManualClock(), list[str]()
        release, begun = threading.Event(), asyncio.Queue[None]()
        loop = asyncio.get_running_loop()

        def read(what: str) -> str:
            """Blocks its thread."""
            made.append(what)
            loop.call_soon_threadsafe(begun.put_nowait, None)
            release.wait(30)
            return what

        model = ScriptedModel(obliging)
        item = Tool(read, threads=threads, timeout_s=5, effect=effect)
        team = Team(Agent("clerk", model=model, tools=[item]))
        async with Seawall(clock=clock, environment={}) as sea:
            for number in range(threads):
                await sea.start(team, f"holder {number}")
                await begun.get()
            await clock.advance(5)  # these calls are given up and keep their threads
            run = await sea.start(team, "late")
            outcome = await clock.until(run.outcome())
            told = sent(model)[-1]
            release.set()

        assert outcome.answer == "Without it."
        assert told == text
        assert made == [f"holder {number}" for number in range(threads)]
        assert [each.state for each in outcome.effects] == (["failed"] if effect else [])

    asyncio.run(main())


def test_a_call_that_has_begun_and_takes_too_long_is_a_timeout_of_its_own() -> None:
    async def main() -> None:
        clock = ManualClock()
        release, begun = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def read(what: str) -> str:
            """Blocks its thread."""
            loop.call_soon_threadsafe(begun.set)
            release.wait(30)
            return what

        model = ScriptedModel(obliging)
        team = Team(Agent("clerk", model=model, tools=[Tool(read, threads=1, timeout_s=5)]))
        async with Seawall(clock=clock, environment={}) as sea:
            run = await sea.start(team, "go")
            await begun.wait()
            await clock.until(run.outcome())
            release.set()

        assert sent(model)[-1] == "tool 'read' did not answer within 5 s"

    asyncio.run(main())
