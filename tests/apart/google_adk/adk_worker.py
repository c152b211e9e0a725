"""A worker that runs an application of Google ADK, with ADK's own sessions in SQLite beside Seawall's journal.

`python -m apart.google_adk.adk_worker` is a server of such workers, see `crash.forking`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import warnings
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, NamedTuple

from google.adk.agents import LlmAgent
from google.adk.apps import App, ResumabilityConfig
from google.adk.events import Event
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import BaseSessionService, InMemorySessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

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
from seawall.adapters.google_adk import SeawallPlugin
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.engine import Engine

QUESTION = "adk_request_confirmation"
PLACE: Any = {"user_id": "kim", "session_id": "s-1"}


class BankLlm(BaseLlm):
    """The model's server. It gives its calls no ids, so ADK makes them."""

    world: Any

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Looks, refunds, and answers. What was not done is asked for again."""
        contents = llm_request.contents
        replies = sum(each.role == "model" for each in contents)
        self.world.happen("model", "model", str(replies))
        results = [
            part.function_response.response
            for each in contents
            for part in each.parts or []
            if part.function_response is not None
        ]
        if {"result": "refunded"} in results:
            parts = [types.Part(text=ANSWER)]
        else:
            wanted = SCRIPT[min(replies, len(SCRIPT) - 1)]
            parts = [types.Part.from_function_call(name=name, args=arguments) for name, arguments in wanted]
        usage = types.GenerateContentResponseUsageMetadata(prompt_token_count=10, candidates_token_count=5)
        yield LlmResponse(content=types.Content(role="model", parts=parts), usage_metadata=usage)


class BankDesk:
    """The application, its model's server, and its tools."""

    def __init__(self, job: ForeignJob, world: World) -> None:
        self._job, self._world = job, world

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

    def make_runner(self, engine: Engine) -> Runner:
        """Returns the runner. With ADK's sessions the request is the invocation, without them it has an id."""
        agent = LlmAgent(
            name="clerk",
            model=BankLlm(model="m", world=self._world),
            tools=[self.find_order, self.find_customer, self.refund],
        )
        kept = self._job.checkpoint == "each"
        sessions: BaseSessionService = (
            SqliteSessionService(str(self._job.saved)) if kept else InMemorySessionService()
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # ADK calls this experimental
            resumability = ResumabilityConfig(is_resumable=True) if kept else None
        plugin = SeawallPlugin(engine, request_id=None if kept else "request-1")
        app = App(name="desk", root_agent=agent, plugins=[plugin], resumability_config=resumability)
        return Runner(app=app, session_service=sessions, auto_create_session=True)


class Asking(NamedTuple):
    """What has come of a request."""

    answer: str
    question: types.FunctionCall | None
    """What a person must decide on."""


async def ask(runner: Runner, answered: types.FunctionCall | None) -> Asking:
    """Asks, goes on with the invocation that ADK's session has, or brings what a person has answered."""
    session = await runner.session_service.get_session(app_name="desk", **PLACE)
    events = [] if session is None else session.events
    begun = next((each.invocation_id for each in events if each.author == "user"), None)
    message = types.Content(role="user", parts=[types.Part(text=REQUEST)])
    if answered is not None:
        response = types.FunctionResponse(id=answered.id, name=answered.name, response={"confirmed": True})
        message = types.Content(role="user", parts=[types.Part(function_response=response)])
        running = runner.run_async(new_message=message, **PLACE)
    elif begun is None:
        running = runner.run_async(new_message=message, **PLACE)
    else:
        running = runner.run_async(invocation_id=begun, **PLACE)
    async for _ in running:
        pass
    session = await runner.session_service.get_session(app_name="desk", **PLACE)
    assert session is not None
    return Asking(_find_answer(session.events), _find_question(session.events))


def _find_answer(events: list[Event]) -> str:
    texts = [
        part.text or ""
        for each in events
        if each.author != "user" and each.content is not None
        for part in each.content.parts or []
    ]
    return next((text for text in reversed(texts) if text), "")


def _find_question(events: list[Event]) -> types.FunctionCall | None:
    answered = {
        each.id for event in events if event.author == "user" for each in event.get_function_responses()
    }
    asked = [call for event in events for call in event.get_function_calls() if call.name == QUESTION]
    return next((call for call in asked if call.id not in answered), None)


def work(job: ForeignJob) -> ForeignReport:
    """Runs the application until it has answered. The worker plays the person, too."""
    journal = open_journal(Path(job.directory), job.death)
    desk, asked = BankDesk(job, open_world(job.world, job.death)), 0
    logging.disable()
    with Engine(journal, effects=["refund"], environment={}) as engine:
        runner, answered = desk.make_runner(engine), None
        while True:
            asking = asyncio.run(ask(runner, answered))
            answered = asking.question
            if answered is None:
                return ForeignReport(answer=asking.answer, status="completed", asked=asked)
            asked += 1
            assert answered.args is not None
            told = answered.args["toolConfirmation"]["payload"]
            held = Held(told["run"], told["step"], told["tool"], told["seawall"], told["reason"])
            engine.call(lambda sea, held=held: tell_fate(sea, held, count_refunds(job)))


def run_worker(job: ForeignJob) -> None:
    """Does the job, and writes a report."""
    report_work(job.report, lambda: work(job), ForeignReport)


if __name__ == "__main__":
    serve(ForeignJob, run_worker)
