"""Google ADK: runs that are cancelled, callers that go away, and handlers that never give up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents import BaseAgent, SequentialAgent
from google.adk.live.live_request_queue import LiveRequestQueue
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.genai import types

from apart.google_adk.adk_desk import (
    ANSWER,
    SESSION,
    USER,
    Desk,
    ScriptedLlm,
    ask,
    read_answer,
    read_events,
    read_outcome,
    read_results,
    read_rows,
)
from seawall import Limits
from seawall.adapters.google_adk import AdkHalted, SeawallPlugin, find_held, find_outcome
from seawall.core.events import StepIntended
from seawall.runtime.foreign.engine import Engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "desk.db", effects=["refund"]) as engine:
        yield engine


class Waiting:
    """A place where something waits until it is cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.was_cancelled = False

    async def wait(self) -> None:
        """Waits for ever."""
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


class WaitingLlm(ScriptedLlm):
    """Says a word, and then waits."""

    waiting: Any = None

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        if stream:
            content = types.Content(role="model", parts=[types.Part(text="Well, ")])
            yield LlmResponse(content=content, partial=True)
        await self.waiting.wait()
        raise AssertionError("it waits for ever")


async def cancel(engine: Engine) -> None:
    """Cancels the run, as `seawall cancel` does."""

    async def stop(sea: Any) -> None:
        (row,) = await sea.journal.runs()
        await (await sea.attach(row.run)).cancel(reason="the customer has gone")

    await engine.call_async(stop)


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_that_is_cancelled_ends_a_call_of_a_model(engine: Engine, stream: bool) -> None:
    async def run() -> AdkHalted:
        desk, waiting = Desk(), Waiting()
        agent = desk.make_agent(model=WaitingLlm(waiting=waiting))
        asking = asyncio.ensure_future(ask(desk.make_runner(engine, agent=agent), stream=stream))
        await waiting.begun.wait()
        await cancel(engine)
        with pytest.raises(AdkHalted) as halted:
            await asking
        assert waiting.was_cancelled
        return halted.value

    outcome = asyncio.run(run()).outcome
    assert outcome is not None
    assert outcome.status == "cancelled"


def test_a_run_that_is_cancelled_ends_a_call_of_a_tool(engine: Engine) -> None:
    async def run() -> AdkHalted:
        desk, waiting = Desk(), Waiting()

        async def find_order(order: int) -> str:
            """Finds an order, slowly."""
            await waiting.wait()
            return "paid"

        agent = desk.make_agent(tools=[find_order, desk.refund])
        asking = asyncio.ensure_future(ask(desk.make_runner(engine, agent=agent)))
        await waiting.begun.wait()
        await cancel(engine)
        with pytest.raises(AdkHalted) as halted:
            await asking
        assert waiting.was_cancelled
        return halted.value

    assert find_outcome(asyncio.run(run())) == read_outcome(engine)


@pytest.mark.parametrize("where", ["model", "tool"])
def test_a_caller_that_is_cancelled_goes_on_at_once_with_the_same_request(engine: Engine, where: str) -> None:
    async def run() -> str:
        desk, waiting = Desk(), Waiting()

        async def find_order(order: int) -> str:
            """Finds an order, slowly."""
            await waiting.wait()
            return "paid"

        agent = (
            desk.make_agent(model=WaitingLlm(waiting=waiting))
            if where == "model"
            else desk.make_agent(tools=[find_order, desk.refund])
        )
        asking = asyncio.ensure_future(ask(desk.make_runner(engine, agent=agent, request_id="r-1")))
        await waiting.begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        runner = Desk().make_runner(engine, request_id="r-1")
        return read_answer(await ask(runner))

    assert asyncio.run(run()) == ANSWER
    assert len(read_rows(engine)) == 1
    assert read_outcome(engine).status == "completed"


@pytest.mark.filterwarnings("ignore:.*is deprecated in favor of Workflow:DeprecationWarning")
def test_a_workflow_that_adk_resumes_goes_on_in_the_frame_of_its_agent(engine: Engine) -> None:
    desk, waiting = Desk(), Waiting()
    first = ScriptedLlm(model="first", script=["One."])

    def make_runner(second: Any) -> Any:
        agents: list[BaseAgent] = [
            desk.make_agent(name="first", model=first, tools=[]),
            desk.make_agent(name="second", model=second, tools=[]),
        ]
        return desk.make_runner(engine, agent=SequentialAgent(name="flow", sub_agents=agents), resumable=True)

    async def run() -> str:
        waiting.begun = asyncio.Event()
        asking = asyncio.ensure_future(ask(make_runner(WaitingLlm(waiting=waiting))))
        await waiting.begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        session = await desk.sessions.get_session(app_name="desk", user_id=USER, session_id=SESSION)
        assert session is not None
        runner = make_runner(ScriptedLlm(model="second", script=["Two."]))
        return read_answer(await ask(runner, None, invocation_id=session.events[0].invocation_id))

    assert asyncio.run(run()) == "Two."
    assert len(first.requests) == 1
    steps = [each for each in read_events(engine) if isinstance(each, StepIntended)]
    assert [each.name for each in steps if each.kind == "handoff"] == ["first", "second"]
    assert read_outcome(engine).status == "completed"


def test_the_sync_runner_is_gated_too(engine: Engine) -> None:
    desk = Desk()
    message = types.Content(role="user", parts=[types.Part(text="Refund order 1042")])
    events = list(desk.make_runner(engine).run(user_id=USER, session_id=SESSION, new_message=message))

    assert read_answer(events) == ANSWER
    assert read_outcome(engine).tool_calls == 2


def test_a_handler_that_answers_every_error_with_a_call_does_not_go_on_for_ever(engine: Engine) -> None:
    class Stubborn(BasePlugin):
        """Has the agent try again, whatever happens."""

        handled = 0

        async def on_model_error_callback(
            self, *, callback_context: Any, llm_request: Any, error: Exception
        ) -> LlmResponse:
            self.handled += 1
            part = types.Part.from_function_call(name="find_order", args={"order": 1})
            return LlmResponse(content=types.Content(role="model", parts=[part]))

        async def on_tool_error_callback(
            self, *, tool: Any, tool_args: Any, tool_context: Any, error: Exception
        ) -> dict[str, Any]:
            self.handled += 1
            return {"error": "try again"}

    desk, stubborn = Desk(), Stubborn(name="stubborn")
    runner = desk.make_runner(engine, before=[stubborn], limits=Limits(model_calls=1, at_limit="halt"))
    with pytest.raises(RuntimeError) as raised:
        asyncio.run(ask(runner))

    assert find_outcome(raised.value) == read_outcome(engine)
    assert stubborn.handled <= 3
    assert desk.model_calls == 1


def test_what_has_ended_agents_that_fail_together_is_found(engine: Engine) -> None:
    desk = Desk()
    with pytest.raises(AdkHalted) as halted:
        asyncio.run(ask(desk.make_runner(engine, limits=Limits(model_calls=1, at_limit="halt"))))

    together = BaseExceptionGroup("together", [ValueError("no"), halted.value])
    assert find_outcome(together) is halted.value.outcome
    assert find_held(together) is None
    assert find_outcome(ValueError("no")) is None


def test_live_mode_is_named_and_passes(engine: Engine) -> None:
    async def run() -> None:
        desk = Desk()
        runner = desk.make_runner(engine)
        queue = LiveRequestQueue()
        queue.close()
        with pytest.raises(NotImplementedError):
            async for _ in runner.run_live(user_id=USER, session_id=SESSION, live_request_queue=queue):
                pass

    asyncio.run(run())
    assert "live mode of application 'desk'" in engine.coverage().not_gated


def test_an_invocation_that_calls_nothing_leaves_no_run(engine: Engine) -> None:
    def answer(callback_context: Any) -> types.Content:
        return types.Content(role="model", parts=[types.Part(text="We are closed.")])

    desk = Desk()
    agent = desk.make_agent(before_agent_callback=answer)
    assert read_answer(asyncio.run(ask(desk.make_runner(engine, agent=agent)))) == "We are closed."
    assert read_rows(engine) == []


def test_a_result_that_came_with_advice_is_given_again_with_it(engine: Engine) -> None:
    look, refund = ("find_order", {"order": 1042}), ("refund", {"order": 1042, "amount": 5})
    script = [[look], [look], [look], [refund], [refund], ANSWER]
    desk, later = Desk(script), Desk(script)
    first = asyncio.run(ask(desk.make_runner(engine), request_id="r-1"))
    second = asyncio.run(ask(later.make_runner(engine), request_id="r-1"))

    words = "nothing new", "done 2 times"
    assert sum(any(word in str(each) for word in words) for each in read_results(first)) == 3
    assert read_results(second) == read_results(first)
    assert read_answer(second) == ANSWER
    assert (later.model_calls, later.refunds) == (0, [])


def test_a_runner_with_two_gates_performs_nothing(engine: Engine) -> None:
    desk = Desk()
    with Engine(":memory:") as other:
        second = SeawallPlugin(other, name="second")
        with pytest.raises(
            RuntimeError, match=r"2 SeawallPlugins \('seawall', 'second'\): leave one of them"
        ):
            asyncio.run(ask(desk.make_runner(engine, after=[second])))
    assert desk.model_calls == 0
