"""A worker that runs an agent of the framework, with the saved state of its session beside Seawall's journal.

`python -m apart.agent_framework.agents_worker` is a server of such workers, see `crash.forking`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_framework import (
    Agent,
    AgentSession,
    BaseChatClient,
    ChatContext,
    ChatMiddleware,
    ChatMiddlewareLayer,
    ChatResponse,
    Content,
    FunctionInvocationLayer,
    InMemoryHistoryProvider,
    Message,
)

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
from seawall.adapters.agent_framework import MiddlewareHeld, gate
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.engine import Engine


class DeskClient(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):
    """The model's server: it makes new ids for the calls each time."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.model = "m"
        self._world = world

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **kwargs: Any
    ) -> Awaitable[ChatResponse[Any]]:
        return self._answer(messages)

    async def _answer(self, messages: Sequence[Message]) -> ChatResponse[Any]:
        replies = sum(each.role == "assistant" for each in messages)
        self._world.happen("model", "model", str(replies))
        results = [str(content.result) for each in messages for content in each.contents]
        if any("refunded" in each or "the bank has it already" in each for each in results):
            contents = [Content.from_text(ANSWER)]
        else:
            contents = [
                Content.from_function_call(f"call-{secrets.token_hex(4)}", name, arguments=json.dumps(given))
                for name, given in SCRIPT[
                    min(replies, len(SCRIPT) - 1)
                ]  # what was not done is asked for again
            ]
        usage: Any = {"input_token_count": 10, "output_token_count": 5}
        return ChatResponse(messages=Message("assistant", contents), usage_details=usage)


class Desk:
    """The agent, its tools, and its session."""

    def __init__(self, job: ForeignJob, world: World) -> None:
        self._job, self._world = job, world
        self.session = AgentSession(session_id="thread-1")
        if job.saved.exists():
            self.session = AgentSession.from_dict(json.loads(job.saved.read_text()))

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

    def save(self) -> None:
        """Saves the session, in one step."""
        if self._job.checkpoint != "none":
            part = self._job.saved.with_suffix(".part")
            part.write_text(json.dumps(self.session.to_dict()))
            part.replace(self._job.saved)

    def make_agent(self, engine: Engine) -> Agent[Any]:
        """Returns the agent. Without a saved session the request is found by its id.

        With the checkpoint `each` the framework keeps each message of the conversation as it comes; with `late` it does so
        at the end of a run, and only the session's own state is saved before that.
        """
        keeps = self._job.checkpoint == "each"
        return Agent(
            DeskClient(self._world),
            name="clerk",
            tools=[self.find_order, self.find_customer, self.refund],
            context_providers=[InMemoryHistoryProvider()],
            require_per_service_call_history_persistence=keeps,
            middleware=[
                gate(engine, request_id="request-1" if self._job.checkpoint == "none" else None),
                Saving(self),
            ],
        )

    async def run(self, agent: Agent[Any], given: Any) -> Any:
        """Runs the agent, and saves its session."""
        if self._job.checkpoint == "none":
            self.session = AgentSession()
        response = await agent.run(given, session=self.session)
        self.save()
        return response


class Saving(ChatMiddleware):
    """Saves the session after each reply."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def process(self, context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
        await call_next()
        self._desk.save()


def work(job: ForeignJob) -> ForeignReport:
    """Runs the agent until it has answered. The worker plays the person, too."""
    journal = open_journal(Path(job.directory), job.death)
    desk, asked, given = Desk(job, open_world(job.world, job.death)), 0, REQUEST
    with Engine(journal, effects=["refund"], environment={}) as engine:
        agent = desk.make_agent(engine)
        while True:
            try:
                response = asyncio.run(desk.run(agent, given))
                questions = list(response.user_input_requests)
                if not questions:
                    return ForeignReport(answer=response.text, status="completed", asked=asked)
                given = Message("user", [each.to_function_approval_response(True) for each in questions])
                helds = [_read_question(each.additional_properties) for each in questions]
            except MiddlewareHeld as error:
                helds = [error.held]
            asked += 1
            for held in helds:
                engine.call(lambda sea, held=held: tell_fate(sea, held, count_refunds(job)))


def _read_question(told: Mapping[str, Any]) -> Held:
    return Held(told["run"], told["step"], told["tool"], told["seawall"], told["reason"])


def run_worker(job: ForeignJob) -> None:
    """Does the job, and writes a report."""
    report_work(job.report, lambda: work(job), ForeignReport)


if __name__ == "__main__":
    serve(ForeignJob, run_worker)
