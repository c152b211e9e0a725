"""Pydantic AI: a conversation goes on after a run that an error, a halt or a cancellation has cut off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic_ai import Agent, capture_run_messages
from pydantic_ai.exceptions import ModelRetry

from adapters.pydantic_desk import ASKED, Desk
from seawall import Limits
from seawall.adapters.pydantic_ai import AgentHeld, SeawallCapability
from seawall.runtime.foreign.engine import Engine


def make_agent(engine: Engine, error: BaseException | None, **options: Any) -> tuple[Agent[Any, Any], Desk]:
    """Returns an agent whose first request looks an order up, where `error` is raised at the second time."""
    find: Any = [("find_order", {"order": 1})]

    def script(messages: Any) -> Any:
        prompts = sum(part.part_kind == "user-prompt" for message in messages for part in message.parts)
        return "Done." if prompts > 1 else find

    desk = Desk(script)

    def find_order(order: int) -> str:
        desk.reads.append(order)
        if error is not None and len(desk.reads) == 2:
            raise error
        return f"look {len(desk.reads)}"

    gate = SeawallCapability(engine, reads=["find_order"], **options)
    return Agent(desk.make_model(), name="clerk", tools=[find_order], capabilities=[gate], retries=0), desk


@pytest.mark.parametrize("again", [ASKED, "Is it done?"])
@pytest.mark.parametrize(
    ("error", "limits"),
    [
        (ConnectionError("down"), None),
        (ModelRetry("wrong"), None),
        (None, Limits(tool_calls=2, at_limit="halt")),
    ],
    ids=["error", "too many retries", "halt"],
)
def test_the_next_message_after_a_run_that_was_cut_off_is_a_new_request(
    error: Any, limits: Limits | None, again: str
) -> None:
    async def talk() -> None:
        with Engine(":memory:") as engine:
            agent, desk = make_agent(engine, error, limits=limits)
            with capture_run_messages() as messages, pytest.raises(Exception):  # noqa: B017, PT011 -- each has its own
                await agent.run(ASKED, conversation_id="c")
            assert len(desk.reads) == 2
            done = await agent.run(again, conversation_id="c", message_history=list(messages))
            assert done.output == "Done."
            rows = await engine.call_async(lambda sea: sea.journal.runs())
            assert [row.state for row in rows] == ["ended", "ended"]

    asyncio.run(talk())


def test_the_next_message_after_a_cancellation_goes_on_with_the_run() -> None:
    """An effect in it may have been made, so a person decides on a new call of it."""

    async def talk() -> None:
        with Engine(":memory:", effects=["refund"]) as engine:
            begun, refunds = asyncio.Event(), list[int]()

            async def refund(order: int) -> str:
                refunds.append(order)
                begun.set()
                await asyncio.Event().wait()
                return "never"

            desk = Desk(lambda messages: [("refund", {"order": 1})])
            gate = SeawallCapability(engine)
            agent = Agent(desk.make_model(), name="clerk", tools=[refund], capabilities=[gate])
            with capture_run_messages() as messages:
                asking = asyncio.create_task(agent.run(ASKED, conversation_id="c"))
                await begun.wait()
                asking.cancel()
                await asyncio.wait([asking])
            with pytest.raises(AgentHeld):
                await agent.run("Is it done?", conversation_id="c", message_history=list(messages))
            assert refunds == [1]

    asyncio.run(talk())
