"""The middleware for LangChain's agents. Its place is next to the model and the tools, last in the list."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from threading import Lock
from typing import Annotated, Any, NamedTuple, NotRequired, TypeVar, cast
from weakref import WeakSet

from langchain.agents.middleware.types import (
    AgentMiddleware,
    AgentState,
    ModelRequest,
    ModelResponse,
    PrivateStateAttr,
    ToolCallRequest,
)
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command, TracePolicy, omit_payload
from langsmith.utils import tracing_is_enabled  # pyright: ignore[reportUnknownVariableType] -- of a dict of anything

from seawall.adapters.langchain.neighbours import has_models, list_middleware
from seawall.adapters.langchain_core.messages import (
    RecordedModel,
    ToolDescriptions,
    describe_way,
    find_limit,
    find_model_name,
    leave_out_tools,
    list_hosted,
    list_said,
    make_reply,
    name_model,
    read_answer,
    read_reply,
    read_request,
    tell_notes,
)
from seawall.adapters.langchain_core.places import (
    PLACE_KEY,
    PRINCIPAL_KEY,
    REQUEST_KEY,
    TENANT_KEY,
    GraphPlace,
    SeawallHalted,
    count_depth,
    enter_model,
    find_config_around,
    find_nodes,
    find_place,
    find_tasks,
    is_streamed,
    open_frame,
    open_frame_async,
    pass_gate,
    pass_gate_async,
    translate_errors,
)
from seawall.adapters.langchain_core.questions import CHECKPOINTER_KEY
from seawall.adapters.langchain_core.tools import gate_tool_call, gate_tool_call_async
from seawall.core.canonical import digest_of
from seawall.core.errors import Misused
from seawall.core.limits import Limits
from seawall.runtime.foreign.asks import Settled, Turn
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.session import Session
from seawall.runtime.foreign.tools import Effects

T = TypeVar("T")
LOOP = "langchain"
_ANOTHER = "_chain_"
"""How the names of the functions begin by which LangChain calls the next middleware, and not the model or the tool."""
MAX_PLACES = 10_000
"""Invocations of one middleware that are remembered at once. Beyond this the middleware detaches from the oldest, and reads it
from the journal if it is needed again."""


class SeawallState(AgentState[Any]):
    """The state of an agent, with the id of the request that the invocation answers. The checkpoint keeps the id."""

    seawall_request: NotRequired[Annotated[str, PrivateStateAttr]]


class _Key(NamedTuple):
    """What identifies an invocation of an agent in this process."""

    above: Session | None
    request: str


class SeawallMiddleware(AgentMiddleware[Any, Any, Any]):
    """Takes an agent's models and tools through the gate of an `Engine`. See the package.

    `effects`, `reads` and `polls` are those of this agent's tools, as in `Engine.begin`. `limits` are those of each request.
    `not_done` are errors of tools which say that nothing has happened. The request id of an invocation is
    `config["configurable"]["seawall_request_id"]`. If that is missing and there is a checkpointer, the id is made from the
    thread and its messages, so that the same invocation after a crash is the same request. The session is the `thread_id`.
    """

    state_schema = SeawallState
    trace_policy = TracePolicy(process_inputs=omit_payload, process_outputs=omit_payload)
    """The spans of its hooks say nothing: what is in them is in those of the models and tools, and a request has the model in
    it, with all of its fields."""

    def __init__(
        self,
        engine: Engine,
        *,
        effects: Effects | None = None,
        reads: Sequence[str] = (),
        polls: Sequence[str] = (),
        limits: Limits | None = None,
        name: str = "",
        not_done: tuple[type[BaseException], ...] = (),
    ) -> None:
        super().__init__()
        self.tools = []
        self._seen: WeakSet[Any] = WeakSet()
        """The nodes of the agents whose middleware was looked at."""
        self._engine, self._effects = engine, effects
        self._reads, self._polls = tuple(reads), tuple(polls)
        self._limits, self._name, self._not_done = limits, name, not_done
        self._declared = engine.tools.find_own(effects, reads, polls)
        self._places: OrderedDict[_Key, GraphPlace] = OrderedDict()
        self._lock = Lock()
        self._described = ToolDescriptions()
        self._form = _Form(None, [])
        if not tracing_is_enabled():
            self._skip_spans()

    def _skip_spans(self) -> None:
        """Makes LangChain's spans around the hooks cheap. It is called if LangSmith's tracing is off.

        `create_agent` makes a span of each hook. For a hook that is a coroutine function LangSmith switches to another thread
        and back twice a call, even if it records nothing; for a function that returns a coroutine it does not.
        """
        for name in ("awrap_model_call", "awrap_tool_call"):
            setattr(self, name, _make_plain(getattr(self, name)))

    # ---- the invocation

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Notes whose request this invocation answers."""
        request = self._make_request_id(state)
        left = self._take_left(request)
        if left is not None:
            with translate_errors():
                left.session.detach_sync()
        return {"seawall_request": request}

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """As `before_agent`."""
        request = self._make_request_id(state)
        left = self._take_left(request)
        if left is not None:
            with translate_errors():
                await left.session.detach()
        return {"seawall_request": request}

    def _take_left(self, request: str) -> GraphPlace | None:
        """Removes the place of an earlier invocation that has left its request unanswered. The new invocation continues from
        the record. Returns the place if its session is its own, and None if there is none.
        """
        above = find_place()
        key = _Key(None if above is None else above.session, request)
        with self._lock:
            place = self._places.get(key)
            if place is None or (above is None and place.session.is_busy):
                return None
            place = self._places.pop(key)
        return place if above is None else None

    def after_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Ends the run with the agent's answer."""
        key, above = self._identify(state)
        place = self._forget(key)
        if place is None:  # no step was made, or a gated graph around the agent ends the run
            return None
        with translate_errors():
            if above is None:
                place.session.end_sync(read_answer(state))
            else:
                place.session.close_frame_sync(place.frame, read_answer(state))
        return None

    async def aafter_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """As `after_agent`."""
        key, above = self._identify(state)
        place = self._forget(key)
        if place is None:
            return None
        with translate_errors():
            if above is None:
                await place.session.end(read_answer(state))
            else:
                await place.session.close_frame(place.frame, read_answer(state))
        return None

    def _note_neighbours(self, config: Mapping[str, Any]) -> None:
        """Notes which other middleware of this agent calls models by itself, once for each agent."""
        nodes = find_nodes(config)
        first = next(iter(nodes.values()), None)
        if first is None or first in self._seen:
            return
        self._seen.add(first)
        if PLACE_KEY in config.get("configurable", {}):
            return  # the callbacks of a gated graph gate them
        self._engine.note_not_gated(
            *(
                f"models that {type(each).__name__} calls by itself: a middleware can't gate those of another one; "
                "gate_graph(sea, agent) does"
                for each in list_middleware(nodes.values())
                if has_models(each)
            )
        )

    def _make_request_id(self, state: Any) -> str:
        config = get_config()
        self._note_neighbours(config)
        configurable = config.get("configurable", {})
        said = list_said(state["messages"])
        above = find_place()
        # an agent inside a tool or a graph: its request is a part of what happens there
        if above is not None:
            return above.make_inner(self._name_agent(config), said, find_config_around(config))
        given, thread = configurable.get(REQUEST_KEY), configurable.get("thread_id")
        path = find_tasks(find_config_around(config)).path
        if given is not None:
            # a graph that is not gated may have several agents, and ask each of them again and again
            return f"{given}/{digest_of([path, said])[:16]}" if path else str(given)
        if thread is None or configurable.get(CHECKPOINTER_KEY) is None:
            return self._engine.make_request_id()
        return digest_of([LOOP, str(thread), said, *path])

    def _identify(self, state: Any) -> tuple[_Key, GraphPlace | None]:
        """Returns what identifies an invocation, and the place above it."""
        above = find_place()
        request = self._read_request_id(state, above)
        if not request:  # the checkpoint was written before the middleware was added
            request = f"thread/{get_config().get('configurable', {}).get('thread_id')}"
        return _Key(None if above is None else above.session, request), above

    def _read_request_id(self, state: Any, above: GraphPlace | None) -> str:
        """Returns the request id of this invocation: that of the config, if it has one and is the agent's own, before that of
        the checkpoint.
        """
        config = get_config()
        own = above is None and count_depth(config) == 1
        given = config.get("configurable", {}).get(REQUEST_KEY) if own else None
        return str(given or state.get("seawall_request") or "")

    def _find_place(self, key: _Key) -> GraphPlace | None:
        """Returns the place of an invocation that this process knows."""
        with self._lock:
            place = self._places.get(key)
            if place is not None:
                self._places.move_to_end(key)
            return place

    def _keep_place(self, key: _Key, place: GraphPlace) -> tuple[GraphPlace, Session | None]:
        """Keeps a new place, unless another thread was faster. Returns the place that is kept, and the session to detach from
        because there are too many places; None if there are not.
        """
        with self._lock:
            place = self._places.setdefault(key, place)
            older = self._places.popitem(last=False)[1] if len(self._places) > MAX_PLACES else None
        return place, None if older is None or older.frame else older.session

    def _forget(self, key: _Key) -> GraphPlace | None:
        with self._lock:
            return self._places.pop(key, None)

    def _enter(self, state: Any) -> GraphPlace:
        """Returns the place of an invocation. After a restart the run is continued from the journal."""
        key, above = self._identify(state)
        place = self._find_place(key) or self._find_own(above)
        if place is not None:
            return place
        if above is None:
            place = self._begin(state)
        else:
            agent = self._name_agent(get_config())
            said = read_request(state["messages"])
            place = open_frame(above, agent, said, key.request, self._declared)
        place, left = self._keep_place(key, place)
        if left is not None:
            left.detach_sync()
        return place

    async def _enter_async(self, state: Any) -> GraphPlace:
        """As `_enter`."""
        key, above = self._identify(state)
        place = self._find_place(key) or self._find_own(above)
        if place is not None:
            return place
        if above is None:
            place = self._begin(state)
        else:
            agent = self._name_agent(get_config())
            said = read_request(state["messages"])
            place = await open_frame_async(above, agent, said, key.request, self._declared)
        place, left = self._keep_place(key, place)
        if left is not None:
            await left.detach()
        return place

    def _find_own(self, above: GraphPlace | None) -> GraphPlace | None:
        """Returns the place above if the gated graph there is this agent itself."""
        return above if above is not None and above.depth == count_depth(get_config()) - 1 else None

    def _begin(self, state: Any) -> GraphPlace:
        config = get_config()
        configurable = config.get("configurable", {})
        thread, request_id = configurable.get("thread_id"), self._read_request_id(state, None)
        agent = self._name_agent(config)
        session = self._engine.begin(
            read_request(state["messages"]),
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
            polls=self._polls,
            resume=not request_id,
            answers=True,
            not_done=self._not_done,
            passes=(GraphBubbleUp,),
        )
        return GraphPlace(engine=self._engine, session=session, agent=agent)

    def _name_agent(self, config: Mapping[str, Any]) -> str:
        named = config.get("metadata", {}).get("lc_agent_name")
        return str(named or self._name or "agent")

    # ---- models

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Takes a call of the model through the gate."""
        place = self._enter(request.state)
        self._note_order(handler)

        def perform(turn: Turn) -> tuple[Any, Any]:
            with enter_model():
                response = handler(_advise(request, turn))
            return read_reply(_find_reply(response), delivered=is_streamed()), response

        done = pass_gate(place, _ask_model(place, request, self._describe_tools(request)), perform)
        if done.value is not None:
            return done.value
        with enter_model():
            return handler(_recall(request, done.settled))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`."""
        place = await self._enter_async(request.state)
        self._note_order(handler)

        async def perform(turn: Turn) -> tuple[Any, Any]:
            with enter_model():
                response = await handler(_advise(request, turn))
            return read_reply(_find_reply(response), delivered=is_streamed()), response

        done = await pass_gate_async(
            place, _ask_model(place, request, self._describe_tools(request)), perform
        )
        if done.value is not None:
            return done.value
        with enter_model():
            return await handler(_recall(request, done.settled))

    def _describe_tools(self, request: ModelRequest[Any]) -> list[Any]:
        """Returns the tools of a request and the form of its structured answer, as JSON values."""
        tools, form = [self._described.describe(tool) for tool in request.tools], request.response_format
        self._engine.note_not_gated(*list_hosted(request.tools))
        if form is None:
            return tools
        known = self._form  # read and set as a whole, because requests in several threads may share it
        if known.form is not form:
            known = self._form = _Form(form, _describe_form(form))
        return [*tools, *known.schemas]

    # ---- tools

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Takes a call of a tool through the gate."""
        place = self._enter(request.state)
        self._check_order(place, request, handler)
        brought = gate_tool_call(place, request, handler)
        if _leaves_graph(brought) and (left := self._take_handed_over(request.state)) is not None:
            with translate_errors():
                left.session.end_sync(describe_way(brought))
        return brought

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """As `wrap_tool_call`."""
        place = await self._enter_async(request.state)
        self._check_order(place, request, handler)
        brought = await gate_tool_call_async(place, request, handler)
        if _leaves_graph(brought) and (left := self._take_handed_over(request.state)) is not None:
            with translate_errors():
                await left.session.end(describe_way(brought))
        return brought

    def _note_order(self, handler: Callable[..., Any]) -> bool:
        """Returns whether the model or the tool comes next, and notes if another middleware does."""
        if not getattr(handler, "__qualname__", "").startswith(_ANOTHER):
            return True
        self._engine.note_not_gated(
            "calls that middleware after SeawallMiddleware makes or makes again: they are a part of one step; put "
            "SeawallMiddleware last"
        )
        return False

    def _check_order(self, place: GraphPlace, request: ToolCallRequest, handler: Callable[..., Any]) -> None:
        """Raises `SeawallHalted` before an effect that another middleware could make again within one step."""
        name = request.tool_call["name"]
        if not self._note_order(handler) and place.find_kind(name, self._declared) == "effect":
            raise SeawallHalted(
                Misused(
                    f"effect {name!r} was not made: middleware after SeawallMiddleware could make it again within one step. Put "
                    "SeawallMiddleware last in the list"
                )
            )

    def _take_handed_over(self, state: Any) -> GraphPlace | None:
        """Removes and returns the place of an agent whose run ends with a command to the graph around it, after which no hook
        is called. None if a run or a graph around the agent ends it, or if the reply has asked for other calls, too.
        """
        key, above = self._identify(state)
        alone = len(getattr(state["messages"][-1], "tool_calls", ())) == 1
        return self._forget(key) if above is None and alone else None


def _make_plain(hook: Callable[..., T]) -> Callable[..., T]:
    """Returns a function that returns the hook's coroutine and is not a coroutine function itself."""

    def call(request: Any, handler: Any) -> T:
        return hook(request, handler)

    call.__dict__["__signature__"] = inspect.signature(call)  # LangSmith inspects it at each call
    return call


# ---- what passes the gate


def _leaves_graph(brought: Any) -> bool:
    """Returns whether a tool's value ends the agent, because the graph around it goes on elsewhere."""
    commands = cast("list[Any]", brought if isinstance(brought, list) else [brought])
    return any(isinstance(each, Command) and each.graph == Command.PARENT for each in commands)


class _Form(NamedTuple):
    """The newest form of a structured answer, and the schemas in which a model is sent it."""

    form: Any
    schemas: list[Any]


def _describe_form(form: Any) -> list[Any]:
    """Returns the schemas of a structured answer, of which LangChain makes tools or an option after the gate."""
    if isinstance(form, ProviderStrategy):
        specs: list[Any] = [cast("Any", form).schema_spec]
    else:
        schema = getattr(form, "schema", form)
        specs = cast("Any", form if isinstance(form, ToolStrategy) else ToolStrategy(schema)).schema_specs
    return [
        {"name": each.name, "description": each.description, "parameters": each.json_schema} for each in specs
    ]


def _ask_model(place: GraphPlace, request: ModelRequest[Any], tools: list[Any]) -> Any:
    messages = [*([] if request.system_message is None else [request.system_message]), *request.messages]
    return place.session.model(
        place.agent,
        name_model(request.model),
        place.written.write(messages),
        tools=tools,
        max_output_tokens=find_limit(request.model, request.model_settings),
        frame=place.frame,
    )


def _advise(request: ModelRequest[Any], turn: Turn) -> ModelRequest[Any]:
    """Returns a request with the guards' advice. In the last reply that a limit allows it has no tools but those by which the
    model writes a structured answer.
    """
    if turn.last:
        tools = {"tools": request.tools, "tool_choice": request.tool_choice, **request.model_settings}
        left = leave_out_tools(request.model, tools, in_form=request.response_format is not None)
        changed: Any = {"tools": left.pop("tools", []), "tool_choice": left.pop("tool_choice", None)}
        request = request.override(**changed, model_settings=left)
    if not turn.notes:
        return request
    return request.override(messages=[*request.messages, *cast("Any", tell_notes(turn.notes))])


def _find_reply(response: ModelResponse[Any]) -> AIMessage | None:
    return next((each for each in response.result if isinstance(each, AIMessage)), None)


def _recall(request: ModelRequest[Any], settled: Settled) -> ModelRequest[Any]:
    """Returns a request whose model gives the recorded reply, or a guard's replacement."""
    model = RecordedModel(
        reply=make_reply(settled),
        profile=getattr(request.model, "profile", None),
        model_name=find_model_name(request.model),
        cache=False,  # LangChain's cache may hold another reply to the same request
    )
    return request.override(model=model)
