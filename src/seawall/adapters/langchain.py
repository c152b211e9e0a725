"""LangChain: a middleware that takes the models and tools of `create_agent` through the gate.

    sea = seawall.Engine("desk.db", effects=["refund"])
    agent = create_agent(model, tools, middleware=[…, SeawallMiddleware(sea)], checkpointer=saver)

It belongs last in the list: then it is next to the model and the tools, and what the others retry or shorten passes it.
What it can't gate: models that other middleware calls itself (a summary, for example) and models called inside tools.
"""

from __future__ import annotations

import contextlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from threading import Lock
from typing import Annotated, Any, NamedTuple, NotRequired, cast

from seawall.adapters.versions import check_version

check_version("langchain", lowest="1.0", below="2.0", extra="langchain")

from langchain.agents.middleware.types import (
    AgentMiddleware,
    AgentState,
    ModelRequest,
    ModelResponse,
    PrivateStateAttr,
    ToolCallRequest,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    message_to_dict,
    messages_from_dict,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command, interrupt

from seawall.core.canonical import digest_of
from seawall.core.errors import Broken, Refused
from seawall.core.limits import Limits
from seawall.models.protocol import Usage
from seawall.run.outcome import Outcome
from seawall.run.step import Result
from seawall.runtime.foreign.asks import Halted, Held, Settled, Turn
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.results import NO_USAGE, ModelResult, make_tool_result
from seawall.runtime.foreign.session import Performed, Session
from seawall.runtime.foreign.tools import Effects

LOOP = "langchain"
MAX_SESSIONS = 10_000
"""Invocations of one middleware that are remembered at once. An older one is let go of, and found in the journal again."""
REQUEST_KEY, TENANT_KEY, PRINCIPAL_KEY = "seawall_request_id", "seawall_tenant", "seawall_principal"
"""Where `config["configurable"]` says whose request an invocation is."""


class SeawallHalted(GraphBubbleUp):
    """The run has ended, and the graph ends with it: no error handler of LangGraph takes this for a tool's error.

    `outcome` says how it ended; None: it was refused, or broke, before it could end.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.outcome: Outcome[Any] | None = error.outcome if isinstance(error, Halted) else None


class SeawallHeld(GraphBubbleUp):
    """A step waits for a person, and the graph has no checkpointer to be interrupted with. Ask again after the decision."""

    def __init__(self, held: Held) -> None:
        super().__init__(str(held))
        self.held = held


class SeawallState(AgentState[Any]):
    """The state of an agent, with the request that the invocation answers: it survives in the checkpoint."""

    seawall_request: NotRequired[Annotated[str, PrivateStateAttr]]


class _Place(NamedTuple):
    """Where something happens: the session of the outermost agent, and the frame in it."""

    session: Session
    agent: str
    frame: int
    call: str = ""
    """The tool's call that is performed there."""


_current: ContextVar[_Place | None] = ContextVar("seawall_langchain_place", default=None)
"""Set while a tool is performed: an agent that runs inside of it works in a frame of its own."""


class _Recorded(BaseChatModel):
    """Gives a recorded reply, so that the framework reads it as it did the first time."""

    reply: AIMessage
    profile: Any = None

    @property
    def _llm_type(self) -> str:
        return "seawall-recorded"

    def _generate(self, messages: list[BaseMessage], *arguments: Any, **options: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.reply)])

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Any:
        """Returns itself: the reply is known."""
        return self


class SeawallMiddleware(AgentMiddleware[Any, Any, Any]):
    """Takes an agent's models and tools through the gate of an `Engine`. See the module.

    `effects` and `reads` are those of this agent's tools, in place of the engine's. `limits` are those of each request.
    `not_done` are errors of tools which say that nothing has happened. The request id of an invocation is
    `config["configurable"]["seawall_request_id"]`; with a `thread_id` and without that it is made from the thread and its
    messages, so that the same invocation after a crash is the same request. The session is the `thread_id`.
    """

    state_schema = SeawallState

    def __init__(
        self,
        engine: Engine,
        *,
        effects: Effects | None = None,
        reads: Sequence[str] = (),
        limits: Limits | None = None,
        name: str = "",
        not_done: tuple[type[BaseException], ...] = (),
    ) -> None:
        super().__init__()
        self.tools = []
        self._engine, self._effects, self._reads = engine, effects, tuple(reads)
        self._limits, self._name, self._not_done = limits, name, not_done
        self._sessions: OrderedDict[str, _Place] = OrderedDict()
        self._lock = Lock()

    # ---- the invocation

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Notes whose request this invocation answers."""
        return {"seawall_request": self._make_request_id(state)}

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """As `before_agent`."""
        return self.before_agent(state, runtime)

    def after_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Ends the run with the agent's answer."""
        place = self._find_place(state)
        with _translated():
            if place.frame:
                place.session.close_frame_sync(place.frame, _read_answer(state))
            else:
                place.session.end_sync(_read_answer(state))
        self._forget(state)
        return None

    async def aafter_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """As `after_agent`."""
        place = self._find_place(state)
        with _translated():
            if place.frame:
                await place.session.close_frame(place.frame, _read_answer(state))
            else:
                await place.session.end(_read_answer(state))
        self._forget(state)
        return None

    def _make_request_id(self, state: Any) -> str:
        configurable = get_config().get("configurable", {})
        given = configurable.get(REQUEST_KEY)
        above = _current.get()
        if above is not None:  # an agent inside a tool: its request is a part of that call's
            said = [[message.type, message.content] for message in state["messages"]]
            return f"{above.session.run}/{above.frame}/{above.call}/{digest_of(said)[:16]}"
        if given is not None:
            return str(given)
        thread = configurable.get("thread_id")
        if thread is None:
            return self._engine.make_request_id()
        said = [[message.type, message.content] for message in state["messages"]]
        return digest_of([LOOP, str(thread), said])

    def _find_place(self, state: Any) -> _Place:
        """Returns the session of an invocation. After a restart it is begun again from the journal."""
        request_id = cast("str", state.get("seawall_request") or "")
        with self._lock:
            place = self._sessions.get(request_id)
            if place is not None:
                self._sessions.move_to_end(request_id)
                return place
        above = _current.get()
        place = (
            self._begin(request_id, state) if above is None else self._open_frame(above, request_id, state)
        )
        with self._lock:
            self._sessions[request_id] = place
            older = self._sessions.popitem(last=False)[1] if len(self._sessions) > MAX_SESSIONS else None
        if older is not None and not older.frame:
            older.session.detach_sync()
        return place

    def _begin(self, request_id: str, state: Any) -> _Place:
        config = get_config()
        configurable = config.get("configurable", {})
        thread = configurable.get("thread_id")
        agent = self._name_agent(config)
        session = self._engine.begin(
            _read_request(state),
            loop=LOOP,
            name=self._name or agent,
            agent=agent,
            session=None if thread is None else str(thread),
            tenant=str(configurable.get(TENANT_KEY) or ""),
            principal=str(configurable.get(PRINCIPAL_KEY) or ""),
            request_id=request_id or None,
            limits=self._limits,
            effects=self._effects,
            reads=self._reads,
            not_done=self._not_done,
            passes=(GraphBubbleUp,),
        )
        return _Place(session, agent, 0)

    def _open_frame(self, above: _Place, request_id: str, state: Any) -> _Place:
        agent = self._name_agent(get_config())
        asked = above.session.handoff(
            above.agent, agent, _read_request(state), call_id=request_id, frame=above.frame
        )
        with _translated():
            frame = above.session.open_frame_sync(asked)
        return _Place(above.session, agent, frame)

    def _name_agent(self, config: Mapping[str, Any]) -> str:
        named = config.get("metadata", {}).get("lc_agent_name")
        return str(named or self._name or "agent")

    def _forget(self, state: Any) -> None:
        with self._lock:
            self._sessions.pop(cast("str", state.get("seawall_request") or ""), None)

    # ---- models

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Takes a call of the model through the gate."""
        place = self._find_place(request.state)

        def perform(turn: Turn) -> tuple[ModelResult, ModelResponse[Any]]:
            response = handler(_add_notes(request, turn.notes))
            return _read_response(response), response

        with _translated():
            done = place.session.step_sync(self._ask_model(place, request), perform)
        return done.value if done.value is not None else handler(_recall(request, done.settled))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`."""
        place = self._find_place(request.state)

        async def perform(turn: Turn) -> tuple[ModelResult, ModelResponse[Any]]:
            response = await handler(_add_notes(request, turn.notes))
            return _read_response(response), response

        with _translated():
            done = await place.session.step(self._ask_model(place, request), perform)
        return done.value if done.value is not None else await handler(_recall(request, done.settled))

    def _ask_model(self, place: _Place, request: ModelRequest[Any]) -> Any:
        messages = [*([] if request.system_message is None else [request.system_message]), *request.messages]
        return place.session.model(
            place.agent,
            _name_model(request.model),
            [message_to_dict(message) for message in messages],
            tools=[_read_schema(tool) for tool in request.tools],
            max_output_tokens=_find_limit(request),
            frame=place.frame,
        )

    # ---- tools

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Takes a call of a tool through the gate."""
        place = self._find_place(request.state)

        def perform(turn: Turn) -> tuple[Result, Any]:
            with _inside(place, request):
                brought = handler(_edit(request, turn))
            return _read_tool_result(brought), brought

        while True:
            try:
                with _translated():
                    done = place.session.step_sync(_ask_tool(place, request), perform)
            except Held as held:
                _interrupt(self._engine, held)
                continue
            return _write_tool_message(request, done)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """As `wrap_tool_call`."""
        place = self._find_place(request.state)

        async def perform(turn: Turn) -> tuple[Result, Any]:
            with _inside(place, request):
                brought = await handler(_edit(request, turn))
            return _read_tool_result(brought), brought

        while True:
            try:
                with _translated():
                    done = await place.session.step(_ask_tool(place, request), perform)
            except Held as held:
                deciding = partial(_decide, held=held, decision=_ask_person(held))
                await self._engine.call_async(deciding)
                continue
            return _write_tool_message(request, done)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Raises what ends a run as what ends a graph. `Held` passes: a tool's call interrupts the graph."""
    try:
        yield
    except Held:
        raise
    except (Refused, Broken) as error:
        raise SeawallHalted(error) from error


@contextlib.contextmanager
def _inside(place: _Place, request: ToolCallRequest) -> Iterator[None]:
    """An agent that runs in this block works in a frame below `place`."""
    token = _current.set(place._replace(call=str(request.tool_call["id"] or "")))
    try:
        yield
    finally:
        _current.reset(token)


# ---- people


def _ask_person(held: Held) -> Any:
    """Interrupts the graph. Returns what it is resumed with: `Command(resume={"approve": True, "by": "dana"})`."""
    question = {
        "seawall": held.proposal,
        "run": held.run,
        "step": held.step,
        "tool": held.name,
        "reason": held.reason,
        "decide": f"seawall approve {held.proposal}",
    }
    try:
        return interrupt(question)
    except RuntimeError as error:  # no checkpointer: nothing to be interrupted with
        raise SeawallHeld(held) from error


def _interrupt(engine: Engine, held: Held) -> None:
    engine.call(partial(_decide, held=held, decision=_ask_person(held)))


async def _decide(sea: Any, held: Held, decision: Any) -> None:
    """Decides as whoever has resumed the graph. What somebody else has decided meanwhile stands."""
    given: Mapping[str, Any] = decision if isinstance(decision, Mapping) else {"approve": bool(decision)}
    found = next((each for each in await sea.approvals(run=held.run) if each.id == held.proposal), None)
    if found is None:
        return
    await sea.decide(
        held.run,
        held.step,
        approve=bool(given.get("approve")),
        by=str(given.get("by") or ""),
        credential=given.get("credential"),
        reason=str(given.get("reason") or ""),
    )


# ---- reading and writing LangChain's messages


def _read_request(state: Any) -> str:
    """Returns the newest text of a person in the conversation."""
    humans = [message for message in state["messages"] if isinstance(message, HumanMessage)]
    return str(humans[-1].text) if humans else ""


def _read_answer(state: Any) -> str:
    """Returns the text of the last message, or the structured answer."""
    structured = state.get("structured_response")
    if structured is not None:
        dump = getattr(structured, "model_dump", None)
        return json.dumps(dump(mode="json") if callable(dump) else structured, default=str)
    messages = state["messages"]
    return str(messages[-1].text) if messages else ""


def _name_model(model: Any) -> str:
    """Returns a model's name as the list of prices has it: `provider:name`."""
    name = next(
        (str(found) for each in ("model_name", "model", "model_id") if (found := getattr(model, each, None))),
        "",
    )
    try:
        provider = str(model._get_ls_params().get("ls_provider") or "")  # noqa: SLF001 -- the one place that says it
    except Exception:  # noqa: BLE001 -- a model class of the user's own may do anything
        provider = ""
    return f"{provider or type(model).__name__}:{name or 'unnamed'}"


def _read_schema(tool: Any) -> Any:
    if isinstance(tool, Mapping):
        return dict(cast("Mapping[str, Any]", tool))
    return convert_to_openai_tool(tool) if isinstance(tool, BaseTool) else {"name": str(tool)}


def _find_limit(request: ModelRequest[Any]) -> int | None:
    given = request.model_settings.get("max_tokens") or getattr(request.model, "max_tokens", None)
    return given if isinstance(given, int) and given > 0 else None


def _add_notes(request: ModelRequest[Any], notes: tuple[str, ...]) -> ModelRequest[Any]:
    if not notes:
        return request
    told: list[Any] = [HumanMessage(f"[Not from the user: {note}]") for note in notes]
    return request.override(messages=[*request.messages, *told])


def _read_response(response: ModelResponse[Any]) -> ModelResult:
    reply = next((each for each in response.result if isinstance(each, AIMessage)), None)
    if reply is None:
        return ModelResult("", raw="null")
    calls = [(str(call["id"] or ""), call["name"], json.dumps(call["args"])) for call in reply.tool_calls]
    calls += [
        (str(call["id"] or ""), call["name"] or "", call["args"] or "") for call in reply.invalid_tool_calls
    ]
    return ModelResult(
        str(reply.text), calls, usage=_read_usage(reply), raw=json.dumps(message_to_dict(reply), default=str)
    )


def _read_usage(reply: AIMessage) -> Usage:
    usage = reply.usage_metadata
    if not usage:
        return NO_USAGE
    details = usage.get("input_token_details") or {}
    return Usage(
        usage["input_tokens"],
        usage["output_tokens"],
        cache_read_tokens=details.get("cache_read") or 0,
        cache_write_tokens=details.get("cache_creation") or 0,
    )


def _recall(request: ModelRequest[Any], settled: Settled) -> ModelRequest[Any]:
    """Returns a request that a recorded reply answers, or what a guard says in its place."""
    if settled.raw is not None and settled.raw != "null":
        reply = messages_from_dict([json.loads(settled.raw)])[0]
    else:
        reply = AIMessage(
            str(json.loads(settled.text).get("content") or "")
            if settled.text.startswith("{")
            else settled.text
        )
    model = _Recorded(reply=cast("AIMessage", reply), profile=getattr(request.model, "profile", None))
    return request.override(model=model)


def _ask_tool(place: _Place, request: ToolCallRequest) -> Any:
    call = request.tool_call
    return place.session.tool(
        place.agent, call["name"], call["args"], call_id=str(call["id"] or ""), frame=place.frame
    )


def _edit(request: ToolCallRequest, turn: Turn) -> ToolCallRequest:
    if dict(turn.arguments) == request.tool_call["args"]:
        return request
    return request.override(tool_call={**request.tool_call, "args": dict(turn.arguments)})


def _read_tool_result(brought: ToolMessage | Command[Any]) -> Result:
    if isinstance(brought, ToolMessage):
        content = brought.content
        text = content if isinstance(content, str) else json.dumps(content, default=str)
        return make_tool_result(text, failed=brought.status == "error")
    return make_tool_result(json.dumps({"command": repr(brought)}))


def _write_tool_message(request: ToolCallRequest, done: Performed) -> ToolMessage | Command[Any]:
    """Returns the tool's own message with what guards advise, or what stands for it."""
    settled, call = done.settled, request.tool_call
    if isinstance(done.value, Command):
        return cast("Command[Any]", done.value)
    if isinstance(done.value, ToolMessage):
        if not settled.notes:
            return done.value
        content = done.value.content
        if isinstance(content, str):
            return done.value.model_copy(update={"content": "\n\n".join((content, *settled.notes))})
        return done.value.model_copy(update={"content": [*content, *settled.notes]})
    status = "success" if settled.status in ("ok", "replaced", "simulated") else "error"
    return ToolMessage(content=settled.told, name=call["name"], tool_call_id=str(call["id"]), status=status)
