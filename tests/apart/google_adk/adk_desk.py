"""A desk of ADK's agents, for tests: a scripted model, tools that the world counts, and what was recorded."""

from __future__ import annotations

import json
import warnings
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode  # pyright: ignore[reportPrivateImportUsage] -- as ADK's pages do
from google.adk.apps import App, ResumabilityConfig
from google.adk.events import Event as AdkEvent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.runners import Runner
from google.adk.sessions import BaseSessionService, InMemorySessionService
from google.adk.workflow import BaseNode
from google.genai import types

from seawall.adapters.google_adk import SeawallPlugin
from seawall.core.events import Event, StepIntended
from seawall.journal.protocol import RunRow
from seawall.run.outcome import Outcome
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.seawall import Seawall

Reply = str | Sequence[tuple[str, dict[str, Any]]] | Exception
"""An answer, calls (names and arguments), or what the model's client raises."""
Script = Sequence[Reply] | Callable[[LlmRequest], Reply]
ASKED = "Refund order 1042"
ANSWER = "Order 1042 was refunded."
REFUND: Sequence[Reply] = (
    [("find_order", {"order": 1042})],
    [("refund", {"order": 1042, "amount": 5})],
    ANSWER,
)
APP, USER, SESSION = "desk", "kim", "s-1"


class ScriptedLlm(BaseLlm):
    """Replies as a script says, by how many replies the request has in it."""

    model: str = "scripted"
    script: Any = REFUND
    requests: list[LlmRequest] = []  # noqa: RUF012 -- a field, which each model has a copy of

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Replies. A stream comes a word at a time, and then as a whole."""
        self.requests.append(
            llm_request.model_copy(deep=False, update={"contents": list(llm_request.contents)})
        )
        script: Script = self.script
        answered = sum(each.role == "model" for each in llm_request.contents)
        reply = script(llm_request) if callable(script) else script[min(answered, len(script) - 1)]
        if isinstance(reply, Exception):
            raise reply
        usage = types.GenerateContentResponseUsageMetadata(prompt_token_count=10, candidates_token_count=5)
        if isinstance(reply, str):
            if stream:
                for word in reply.split():
                    yield LlmResponse(content=_say([types.Part(text=word + " ")]), partial=True)
            yield LlmResponse(content=_say([types.Part(text=reply)]), usage_metadata=usage)
            return
        calls = [types.Part.from_function_call(name=name, args=arguments) for name, arguments in reply]
        yield LlmResponse(content=_say(calls), usage_metadata=usage)


def _say(parts: list[types.Part]) -> types.Content:
    return types.Content(role="model", parts=parts)


class Desk:
    """What the model was asked, and what the tools did."""

    def __init__(self, script: Script = REFUND) -> None:
        self.llm = ScriptedLlm(script=script)
        self.refunds: list[tuple[int, int]] = []
        self.reads: list[Any] = []
        self.sessions: BaseSessionService = InMemorySessionService()

    @property
    def model_calls(self) -> int:
        """How often the model was called."""
        return len(self.llm.requests)

    def refund(self, order: int, amount: int) -> str:
        """Refunds an order."""
        self.refunds.append((order, amount))
        return f"refund {len(self.refunds)} of {order}"

    def find_order(self, order: int) -> dict[str, Any]:
        """Finds an order."""
        self.reads.append(order)
        return {"order": order, "state": "paid"}

    def make_agent(self, **options: Any) -> LlmAgent:
        """Returns the clerk."""
        given = {"name": "clerk", "model": self.llm, "tools": [self.refund, self.find_order], **options}
        return LlmAgent(**given)

    def make_runner(
        self,
        engine: Engine | None,
        *,
        agent: BaseNode | None = None,
        before: Sequence[BasePlugin] = (),
        after: Sequence[BasePlugin] = (),
        resumable: bool = False,
        **options: Any,
    ) -> Runner:
        """Returns a runner, with the plugin between `before` and `after` if there is an engine."""
        gate = [] if engine is None else [SeawallPlugin(engine, **options)]
        app = App(
            name=APP,
            root_agent=agent or self.make_agent(),
            plugins=[*before, *gate, *after],
            resumability_config=make_resumable() if resumable else None,
        )
        return Runner(app=app, session_service=self.sessions, auto_create_session=True)


def make_resumable() -> ResumabilityConfig:
    """Returns ADK's own way to go on with an invocation, which it says is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return ResumabilityConfig(is_resumable=True)


async def ask(
    runner: Runner,
    what: str | types.Content | None = ASKED,
    *,
    request_id: str | None = None,
    session: str = SESSION,
    stream: bool = False,
    invocation_id: str | None = None,
    **config: Any,
) -> list[AdkEvent]:
    """Asks, and returns all events."""
    message = types.Content(role="user", parts=[types.Part(text=what)]) if isinstance(what, str) else what
    metadata = None if request_id is None else {"seawall_request_id": request_id}
    run_config = RunConfig(
        custom_metadata=metadata, streaming_mode=StreamingMode.SSE if stream else StreamingMode.NONE, **config
    )
    return [
        event
        async for event in runner.run_async(
            user_id=USER,
            session_id=session,
            new_message=message,
            run_config=run_config,
            invocation_id=invocation_id,
        )
    ]


def read_answer(events: Sequence[AdkEvent]) -> str:
    """Returns the text of the last event that has one."""
    texts = [
        "".join(part.text or "" for part in event.content.parts or [])
        for event in events
        if event.content is not None and not event.partial
    ]
    return next((text for text in reversed(texts) if text), "")


def read_results(events: Sequence[AdkEvent]) -> list[Any]:
    """Returns what the tools have answered."""
    return [each.response for event in events for each in event.get_function_responses()]


def read_rows(engine: Engine) -> Sequence[RunRow]:
    """Returns the runs, the newest first."""
    return engine.call(lambda sea: sea.journal.runs())


def read_outcome(engine: Engine, run: str | None = None) -> Outcome[Any]:
    """Returns the outcome of a run, by default of the only one."""
    if run is None:
        (row,) = read_rows(engine)
        run = row.run

    async def read(sea: Seawall) -> Outcome[Any]:
        return await (await sea.attach(run)).outcome()

    return engine.call(read)


def read_events(engine: Engine, run: str | None = None) -> Sequence[Event]:
    """Returns the record of a run, by default of the only one."""
    if run is None:
        (row,) = read_rows(engine)
        run = row.run
    return engine.call(lambda sea: sea.journal.events(run))


def read_arguments(engine: Engine, tool: str) -> list[Any]:
    """Returns the recorded arguments of the calls of a tool."""
    (row,) = read_rows(engine)
    steps = [each for each in read_events(engine) if isinstance(each, StepIntended) and each.name == tool]
    refs = [each.input for each in steps if each.input is not None]
    found = engine.call(lambda sea: sea.journal.bodies(row.tenant, refs))
    return [json.loads(found[ref]) for ref in refs]
