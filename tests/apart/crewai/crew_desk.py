"""A desk of CrewAI's agents, for tests: a scripted model, tools that the world counts, and what was recorded."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM
from crewai.tools import tool as make_tool
from pydantic import PrivateAttr

from seawall.core.events import Event, RunStarted, StepIntended
from seawall.run.outcome import Outcome
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.seawall import Seawall

Reply = str | Sequence[tuple[str, dict[str, Any]]]
"""An answer, or calls: names and arguments."""
Script = Sequence[Reply] | Callable[[list[Any]], Reply]
ASKED = "Refund order 1042"
ANSWER = "Order 1042 was refunded."
REFUND: Sequence[Reply] = (
    [("find_order", {"order": 1042})],
    [("refund", {"order": 1042, "amount": 5})],
    ANSWER,
)


class PlayedLLM(BaseLLM):
    """Gives the next reply of its script. It counts its calls, and makes new ids for the calls of tools each time.

    With `written` it has no calls of tools, so that CrewAI has it write them as text.
    """

    written: bool = False
    prefix: str = "call"
    _script: Any = PrivateAttr(default=())
    _lock: Any = PrivateAttr(default_factory=threading.Lock)
    _requests: list[list[Any]] = PrivateAttr(default_factory=list)

    @property
    def requests(self) -> list[list[Any]]:
        """The messages of each call."""
        return self._requests

    def play(self, script: Script) -> PlayedLLM:
        """Sets the script."""
        self._script = script
        return self

    def supports_function_calling(self) -> bool:
        return not self.written

    def supports_stop_words(self) -> bool:
        return False

    def get_context_window_size(self) -> int:
        return 10**6

    def get_input_tokens_count(self, *arguments: Any, **options: Any) -> int:
        return 1

    def call(
        self,
        messages: Any,
        tools: Any = None,
        callbacks: Any = None,
        available_functions: Any = None,
        from_task: Any = None,
        from_agent: Any = None,
        response_model: Any = None,
    ) -> Any:
        with self._lock:
            self._requests.append(list(messages))
            number = len(self._requests)
        self._track_token_usage_internal({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
        reply = self._reply(list(messages))
        if isinstance(reply, str):
            if response_model is not None:
                return response_model.model_validate_json(reply)
            return f"Thought: I know.\nFinal Answer: {reply}" if self.written else reply
        if self.written:
            name, arguments = reply[0]
            return f"Thought: I look.\nAction: {name}\nAction Input: {json.dumps(arguments)}"
        return [
            {
                "id": f"{self.prefix}-{number}-{index}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for index, (name, arguments) in enumerate(reply)
        ]

    async def acall(self, messages: Any, *arguments: Any, **options: Any) -> Any:
        return self.call(messages, *arguments, **options)

    def _reply(self, messages: list[Any]) -> Reply:
        script: Any = self._script
        if callable(script):
            return cast("Reply", script(messages))
        answered = sum(each["role"] == "assistant" for each in messages)
        return script[min(answered, len(script) - 1)]


class Desk:
    """What the model was asked, and what the tools did."""

    def __init__(self, script: Script = REFUND, *, written: bool = False) -> None:
        self.llm = PlayedLLM(model="scripted", written=written).play(script)
        self.refunds: list[tuple[int, int]] = []
        self.reads: list[Any] = []

    @property
    def model_calls(self) -> int:
        """How often the model was called."""
        return len(self.llm.requests)

    def make_tools(self) -> list[Any]:
        """Returns the desk's tools."""

        @make_tool("refund")
        def refund(order: int, amount: int) -> str:
            """Refunds an order."""
            self.refunds.append((order, amount))
            return f"refund {len(self.refunds)} of {order}"

        @make_tool("Find order")
        def find_order(order: int) -> dict[str, Any]:
            """Finds an order."""
            self.reads.append(order)
            return {"order": order, "state": "paid"}

        return [refund, find_order]

    def make_agent(self, role: str = "clerk", *, tools: list[Any] | None = None, **options: Any) -> Any:
        """Returns an agent of the desk. Some versions of CrewAI have a cache of results by default."""
        return Agent(
            role=role,
            goal="Help.",
            backstory="You are at a desk.",
            llm=self.llm,
            tools=self.make_tools() if tools is None else tools,
            **{"cache": False, **options},
        )

    def make_crew(self, *, asked: str = ASKED, tools: list[Any] | None = None, **options: Any) -> Any:
        """Returns a crew of one agent with one task. `options` are the agent's."""
        agent = self.make_agent(tools=tools, **options)
        return make_crew([agent], [make_task(agent, asked)])


def make_task(agent: Agent | None, asked: str = ASKED, **options: Any) -> Task:
    """Returns a task."""
    return Task(description=asked, expected_output="What was done.", agent=agent, **options)


def make_crew(agents: Sequence[Any], tasks: Sequence[Task], **options: Any) -> Any:
    """Returns a crew that tells nobody of itself, and has no cache of results."""
    return Crew(agents=list(agents), tasks=list(tasks), tracing=False, **{"cache": False, **options})


def kick_off(crew: Any, way: str = "sync", inputs: dict[str, Any] | None = None) -> Any:
    """Kicks a crew off: `sync`, in a `thread` that an event loop waits for, or `async`."""
    if way == "sync":
        return crew.kickoff(inputs=inputs)
    if way == "thread":
        return asyncio.run(crew.kickoff_async(inputs=inputs))
    return asyncio.run(crew.akickoff(inputs=inputs))


# ---- what was recorded


def find_run(engine: Engine, request_id: str, tenant: str = "") -> str:
    """Returns the id of the run of a request."""
    found = engine.call(lambda sea: sea.journal.run_of_request(tenant, request_id))
    assert found is not None
    return found


def read_outcome(engine: Engine, request_id: str) -> Outcome[Any]:
    """Returns the outcome of a request."""
    run = find_run(engine, request_id)

    async def read(sea: Seawall) -> Outcome[Any]:
        return await (await sea.attach(run)).outcome()

    return engine.call(read)


def read_events(engine: Engine, request_id: str) -> Sequence[Event]:
    """Returns the record of a request."""
    run = find_run(engine, request_id)
    return engine.call(lambda sea: sea.journal.events(run))


def read_request(engine: Engine, request_id: str, tenant: str = "") -> str:
    """Returns what was asked for in a request."""
    run = find_run(engine, request_id, tenant)
    started = engine.call(lambda sea: sea.journal.events(run))[0]
    assert isinstance(started, RunStarted)
    bodies = engine.call(lambda sea: sea.journal.bodies(tenant, [started.intent]))
    return bodies[started.intent].decode()


def list_intents(engine: Engine, request_id: str) -> list[StepIntended]:
    """Returns what was intended in a request."""
    return [each for each in read_events(engine, request_id) if isinstance(each, StepIntended)]
