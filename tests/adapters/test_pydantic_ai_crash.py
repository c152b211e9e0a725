"""Pydantic AI: after a crash, what several candidates for a model have answered is given again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent, RunContext
from pydantic_ai.capabilities import Hooks
from pydantic_ai.exceptions import ModelHTTPError, SkipModelRequest
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import FunctionModel

from adapters.pydantic_desk import ANSWER, ASKED, REFUND, Desk
from seawall.adapters.pydantic_ai import AgentHeld, SeawallCapability
from seawall.runtime.foreign.engine import Engine


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


def fail_to_serve(messages: Any, info: Any) -> Any:
    raise ModelHTTPError(503, "first")


def cut_once(desk: Desk, at: int) -> None:
    """Has a call of the desk's model break off the run, as a crash does."""
    script = desk.script

    def reply(messages: Any) -> Any:
        if desk.model_calls == at:
            raise asyncio.CancelledError
        answered = sum(message.kind == "response" for message in messages)
        return script[answered]  # type: ignore[index] # pyright: ignore[reportIndexIssue] -- a list of replies

    desk.script = reply


def test_after_a_crash_the_candidate_that_has_answered_is_given_again(journal: Path) -> None:
    desk = Desk()
    cut_once(desk, 3)
    for number in range(3):
        with Engine(journal, effects=["refund"]) as engine:
            first = FunctionModel(fail_to_serve, model_name="first")
            agent = Agent(
                FallbackModel(first, desk.make_model()),
                tools=[desk.refund, desk.find_order],
                capabilities=[SeawallCapability(engine, request_id="r-1")],
            )
            if number == 0:
                with pytest.raises(asyncio.CancelledError):
                    asyncio.run(agent.run(ASKED))
            else:
                assert asyncio.run(agent.run(ASKED)).output == ANSWER
    assert (desk.refunds, desk.reads, desk.model_calls) == ([(1042, 5)], [1042], 4)


def test_after_a_crash_another_candidates_answer_is_another_way(journal: Path) -> None:
    desk = Desk()
    cut_once(desk, 3)
    for first in (FunctionModel(fail_to_serve, model_name="first"), None):
        with Engine(journal, effects=["refund"]) as engine:
            healed = FunctionModel(Desk(REFUND).answer, model_name="first")
            agent = Agent(
                FallbackModel(first or healed, desk.make_model()),
                tools=[desk.refund, desk.find_order],
                capabilities=[SeawallCapability(engine, request_id="r-1")],
            )
            with pytest.raises(AgentHeld if first is None else asyncio.CancelledError):
                asyncio.run(agent.run(ASKED))
    assert desk.refunds == [(1042, 5)]


@pytest.mark.parametrize("kind", ["text", "values"])
def test_advice_on_a_result_is_given_again_with_it(journal: Path, kind: str) -> None:
    def look(order: int) -> Any:
        """Looks at an order."""
        return "paid" if kind == "text" else {"order": order, "state": "paid"}

    desk = Desk(
        [[("look", {"order": 7})], [("look", {"order": 7})], [("refund", {"order": 7, "amount": 5})], ANSWER]
    )
    cut_once(desk, 4)
    sent: list[bool] = []
    for number in range(3):
        with Engine(journal, effects=["refund"]) as engine:
            agent: Agent[Any, Any] = Agent(
                desk.make_model(),
                tools=[look, desk.refund],
                capabilities=[SeawallCapability(engine, request_id="r-1")],
            )
            if number == 0:
                with pytest.raises(asyncio.CancelledError):
                    asyncio.run(agent.run(ASKED))
            else:
                done = asyncio.run(agent.run(ASKED))
                assert done.output == ANSWER
                sent.append("nothing new" in done.all_messages_json().decode())

    assert sent == [True, True]
    assert (desk.refunds, desk.model_calls) == ([(7, 5)], 5)


def test_after_a_crash_a_call_that_a_hook_has_asked_for_is_given_again(journal: Path) -> None:
    desk = Desk([ANSWER, ANSWER])
    cut_once(desk, 1)
    for number in range(3):
        hooks: Hooks[Any] = Hooks()

        @hooks.on.before_model_request
        async def answer(ctx: RunContext[Any], context: ModelRequestContext) -> ModelRequestContext:
            if len(context.messages) == 1:  # the call has a new id each time
                call = ToolCallPart("refund", {"order": 7, "amount": 5})
                raise SkipModelRequest(ModelResponse([call]))
            return context

        with Engine(journal, effects=["refund"]) as engine:
            agent: Agent[Any, Any] = Agent(
                desk.make_model(),
                tools=[desk.refund],
                capabilities=[SeawallCapability(engine, request_id="r-1"), hooks],
            )
            if number == 0:
                with pytest.raises(asyncio.CancelledError):
                    asyncio.run(agent.run(ASKED))
            else:
                assert asyncio.run(agent.run(ASKED)).output == ANSWER
    assert desk.refunds == [(7, 5)]
