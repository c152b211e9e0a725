"""A worker that runs an agent of Pydantic AI, with the framework's message history beside Seawall's journal.

`python -m crash.pydantic_ai_worker` is a server of such workers, see `crash.forking`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from crash.foreign_worker import (
    ANSWER,
    REQUEST,
    SCRIPT,
    ForeignJob,
    ForeignReport,
    count_refunds,
    make_bank,
    open_journal,
    report_work,
    tell_fate,
)
from crash.forking import serve
from crash.job import open_world
from crash.world import World
from seawall.adapters.pydantic_ai import SeawallCapability
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.engine import Engine

CONVERSATION = "thread-1"


class Desk:
    """The agent, its model's server, and its tools."""

    def __init__(self, job: ForeignJob, world: World) -> None:
        self._job, self._world = job, world

    def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        """The model's server: it makes new ids for the calls each time."""
        replies = sum(isinstance(each, ModelResponse) for each in messages)
        self._world.happen("model", "model", str(replies))
        usage = RequestUsage(input_tokens=10, output_tokens=5)
        results = [
            part.content for each in messages for part in each.parts if isinstance(part, ToolReturnPart)
        ]
        if "refunded" in results:
            return ModelResponse([TextPart(ANSWER)], usage=usage)
        wanted = SCRIPT[min(replies, len(SCRIPT) - 1)]  # what was not done is asked for again
        calls = [
            ToolCallPart(name, arguments, tool_call_id=f"call-{secrets.token_hex(4)}")
            for name, arguments in wanted
        ]
        return ModelResponse(calls, usage=usage)

    def find_order(self, id: int) -> dict[str, Any]:  # noqa: A002 -- as the script has it
        """Finds an order."""
        self._world.happen("read", "find_order", json.dumps(id))
        return {"id": id, "state": "paid"}

    def find_customer(self, id: int) -> str:  # noqa: A002 -- as above
        """Finds a customer."""
        self._world.happen("read", "find_customer", json.dumps(id))
        return "known"

    def refund(self, id: int, amount: int) -> str:  # noqa: A002 -- as above
        """Refunds an order: the bank's table counts refunds."""
        return make_bank(self._job, self._world)(id, amount)

    def make_agent(self, engine: Engine) -> Agent[None, Any]:
        """Returns the agent. With a history the request is found by the conversation, without one by its id."""
        request_id = "request-1" if self._job.checkpoint == "none" else None
        return Agent(
            FunctionModel(self.answer, model_name="m"),
            name="clerk",
            tools=[self.find_order, self.find_customer, self.refund],
            output_type=[str, DeferredToolRequests],
            capabilities=[SeawallCapability(engine, request_id=request_id)],
        )

    # ---- the framework's history

    def load(self) -> list[ModelMessage]:
        """Returns the saved history."""
        saved = self._job.saved
        return ModelMessagesTypeAdapter.validate_json(saved.read_bytes()) if saved.exists() else []

    def save(self, messages: list[ModelMessage]) -> None:
        """Saves the history, in one step."""
        kept = {"none": [], "each": messages, "late": messages[:-1], "inputs": messages[:1]}[
            self._job.checkpoint
        ]
        if kept:
            part = self._job.saved.with_suffix(".part")
            part.write_bytes(ModelMessagesTypeAdapter.dump_json(kept))
            part.replace(self._job.saved)

    async def run(self, agent: Agent[None, Any]) -> Any:
        """Goes on from the saved history until there is an output, and saves after each node."""
        history = self.load()
        asked = None if history else REQUEST
        async with agent.iter(asked, message_history=history or None, conversation_id=CONVERSATION) as steps:
            async for _ in steps:
                self.save(steps.all_messages())
        assert steps.result is not None
        self.save(steps.result.all_messages())
        return steps.result.output


def work(job: ForeignJob) -> ForeignReport:
    """Runs the agent until it has answered. The worker plays the person, too."""
    journal = open_journal(Path(job.directory), job.death)
    desk, asked = Desk(job, open_world(job.world, job.death)), 0
    with Engine(journal, effects=["refund"], environment={}) as engine:
        agent = desk.make_agent(engine)
        while True:
            output = asyncio.run(desk.run(agent))
            if not isinstance(output, DeferredToolRequests):
                return ForeignReport(answer=str(output), status="completed", asked=asked)
            asked += 1
            for each in output.metadata.values():
                held = Held(each["run"], each["step"], each["tool"], each["seawall"], each["reason"])
                engine.call(lambda sea, held=held: tell_fate(sea, held, count_refunds(job)))


def run_worker(job: ForeignJob) -> None:
    """Does the job, and writes a report."""
    report_work(job.report, lambda: work(job), ForeignReport)


if __name__ == "__main__":
    serve(ForeignJob, run_worker)
