"""`gate_graph`: a compiled graph whose tools, models and sub-graphs pass the gate."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig, RunnableSequence
from langchain_core.runnables.config import ensure_config
from langgraph.errors import GraphInterrupt
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.pregel import Pregel  # pyright: ignore[reportMissingTypeStubs] - a namespace package without a mark
from langgraph.pregel.protocol import PregelProtocol  # pyright: ignore[reportMissingTypeStubs] - the same

from seawall.adapters.langchain_core.places import GraphPlace, find_place, performs_tool
from seawall.adapters.langchain_core.questions import SeawallHeld
from seawall.adapters.langchain_core.tools import gate_tool_call, gate_tool_call_async
from seawall.adapters.langchain_core.used import find_parts, list_used
from seawall.adapters.langgraph.invocation import GraphOptions, Invocation
from seawall.adapters.langgraph.model import GATED_TAG
from seawall.core.errors import Misused
from seawall.core.limits import Limits
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.tools import Effects

GraphT = TypeVar("GraphT", bound=Pregel[Any, Any, Any, Any])
MAX_CLASSES = 1000
"""Classes of gated graphs that are cached. LangGraph has three classes of graphs."""


def gate_graph(
    engine: Engine,
    graph: GraphT,
    *,
    effects: Effects | None = None,
    reads: Sequence[str] = (),
    polls: Sequence[str] = (),
    limits: Limits | None = None,
    name: str = "",
    not_done: tuple[type[BaseException], ...] = (),
) -> GraphT:
    """Returns a copy of a compiled graph that passes the gate. The graph itself stays as it is.

    `effects`, `reads` and `polls` are those of this graph's tools, as in `Engine.begin`. `limits` are those of each invocation.
    `not_done` are errors of tools which say that nothing has happened. `engine.coverage()` names what can't be gated.
    The request id of an invocation is `config["configurable"]["seawall_request_id"]`. If that is missing and there is a
    checkpointer, the id is made from the thread's newest checkpoint and from the input. An input of `None` or
    `Command(resume=…)` continues the thread's newest run.
    Raises `Misused` for a graph that is not compiled.
    """
    if not isinstance(graph, Pregel):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without types
        raise Misused(f"gate_graph takes a compiled graph, not {type(graph).__name__}: graph.compile(…)")
    options = GraphOptions(
        engine=engine,
        name=name or graph.get_name(),
        effects=effects,
        reads=tuple(reads),
        polls=tuple(polls),
        limits=limits,
        not_done=not_done,
    )
    return _gate(graph, options)


def _gate(graph: GraphT, options: GraphOptions) -> GraphT:
    gated = copy.copy(graph)
    gated.__class__ = _make_class(type(graph))
    cast("_GatedGraph", gated).seawall_options = options
    in_full = "model" if _has_middleware(graph) else ""  # the middleware gates an agent's own model
    gated.nodes = {
        name: node if name == in_full else _gate_node(name, node, options)
        for name, node in graph.nodes.items()
    }
    for name, branches in getattr(getattr(graph, "builder", None), "branches", {}).items():
        for branch in branches.values():
            where = f"in a branch after node {name!r} of {options.name!r}"
            options.engine.note_not_gated(*_list_models(where, branch.path))
    return gated


@functools.lru_cache(MAX_CLASSES)
def _make_class(kind: type[Any]) -> type[Any]:
    return type(f"Gated{kind.__name__}", (_GatedGraph, kind), {"__module__": __name__})


class _GatedGraph(Pregel[Any, Any, Any, Any]):
    """Every way to run a graph goes through `stream` or `astream`."""

    seawall_options: GraphOptions

    def copy(self, update: dict[str, Any] | None = None) -> Any:
        """See LangGraph: `with_config` and others make copies."""
        made = copy.copy(self)
        for name, value in (update or {}).items():
            setattr(made, name, value)
        return made

    def _begin(self, given: Any, config: RunnableConfig | None) -> Invocation:
        own: Any = self
        return Invocation(self.seawall_options, given, ensure_config(config), own.checkpointer)

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:  # noqa: A002 -- LangGraph's name
        """See LangGraph. The run ends with the iterator."""
        invocation = self._begin(input, config)
        run = cast("Any", super()).stream
        try:
            yield from run(input, invocation.begin(), **options)
        except BaseException as error:
            invocation.end(error)
            raise
        invocation.end(None)

    async def astream(
        self,
        input: Any,  # noqa: A002 -- LangGraph's name
        config: RunnableConfig | None = None,
        **options: Any,
    ) -> AsyncIterator[Any]:
        """As `stream`."""
        invocation = self._begin(input, config)
        run = cast("Any", super()).astream
        try:
            async for chunk in run(input, await invocation.begin_async(), **options):
                yield chunk
        except BaseException as error:
            await invocation.end_async(error)
            raise
        await invocation.end_async(None)


# ---- nodes


def _gate_node(name: str, node: Any, options: GraphOptions) -> Any:
    bound = node.bound
    if isinstance(bound, ToolNode):
        return node.copy({"bound": _gate_tools(bound, options)})
    if isinstance(bound, Pregel) and not isinstance(bound, _GatedGraph):
        inner = _gate(cast("Any", bound), _name(options, name))
        return node.copy({"bound": inner, "subgraphs": [inner]})
    if isinstance(bound, PregelProtocol) and not isinstance(bound, Pregel):
        options.engine.note_not_gated(f"node {name!r} of {options.name!r}: it runs in another process")
    elif not isinstance(bound, Pregel):
        options.engine.note_not_gated(*_list_inside(name, bound, options))
    if isinstance(
        bound, RunnableSequence
    ):  # LangGraph would run its parts but the first without the task's context
        return node.copy({"bound": cast("Any", bound).with_config()})
    return node


def _name(options: GraphOptions, name: str) -> GraphOptions:
    return GraphOptions(
        engine=options.engine,
        name=name,
        effects=options.effects,
        reads=options.reads,
        polls=options.polls,
        limits=options.limits,
        not_done=options.not_done,
    )


def _list_inside(name: str, bound: Any, options: GraphOptions) -> Iterator[str]:
    """Yields the models, graphs and tools of a node that pass the gate by callbacks alone, each with the consequence."""
    where = f"in node {name!r} of {options.name!r}"
    yield from _list_models(where, bound)
    for used, part in _list_parts(bound):
        if isinstance(part, Pregel) and not isinstance(part, _GatedGraph) and not _has_middleware(part):
            yield (
                f"results of graph {used!r} {where}: its calls are gated, but recorded results are "
                "not returned after a crash, and it has no frame of its own; gate_graph removes both limits"
            )
        elif isinstance(part, ToolNode):
            yield (
                f"results of {used!r} {where}: its calls are gated, but recorded results are "
                "not returned after a crash; add it to the graph as a node of its own"
            )


def _list_models(where: str, work: Any) -> Iterator[str]:
    """As `_list_inside`, for the models of a node or of the function of a branch."""
    told = set[int]()
    for used, part in _list_parts(work):
        if isinstance(part, BaseChatModel) and GATED_TAG not in (part.tags or []) and id(part) not in told:
            told.add(id(part))
            yield (
                f"replies of model {used!r} {where}: its calls are counted and can be refused, "
                "but it is not told the guards' advice, and is asked again after a crash; gate_model removes both limits"
            )


def _list_parts(work: Any) -> Iterator[tuple[str, Any]]:
    yield from ((used, part) for used, value in list_used(work) for part in find_parts(value))


def _has_middleware(graph: Any) -> bool:
    """Returns whether an agent of LangChain passes the gate by `SeawallMiddleware`."""
    return any(name.startswith("SeawallMiddleware.") for name in graph.nodes)


def _gate_tools(tools: ToolNode, options: GraphOptions) -> ToolNode:
    """Returns a copy of a tool node whose calls pass the gate, inside of the application's own wrappers."""
    gated: Any = copy.copy(tools)
    theirs_parse = gated._parse_input  # noqa: SLF001 -- the only place that knows which calls a task makes
    together: ContextVar[_Together] = ContextVar("seawall_calls_together")

    def parse(given: Any) -> Any:
        calls, kind = theirs_parse(given)
        together.set(_Together(calls))
        return calls, kind

    gated._parse_input = parse  # noqa: SLF001 -- as above
    theirs, theirs_async = gated._wrap_tool_call, gated._awrap_tool_call  # noqa: SLF001 -- no public attribute holds them

    def wrap(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Any]) -> Any:
        def ours(request: ToolCallRequest) -> Any:
            place = _find_place(request)
            if place is None:
                return execute(request)
            return gate_tool_call(
                place, request, execute, beside=_count_effects(place, options, together.get().calls) > 1
            )

        return ours(request) if theirs is None else theirs(request, ours)

    async def wrap_async(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Any]) -> Any:
        async def ours(request: ToolCallRequest) -> Any:
            place = _find_place(request)
            if place is None:
                return await execute(request)
            return await gate_tool_call_async(
                place, request, execute, beside=_count_effects(place, options, together.get().calls) > 1
            )

        if theirs_async is None and theirs is not None:
            raise Misused(
                f"tool node {tools.get_name()!r} has a wrap_tool_call and no awrap_tool_call: give it both to run async"
            )
        async with together.get().wait_for_others():
            return await (ours(request) if theirs_async is None else theirs_async(request, ours))

    gated._wrap_tool_call, gated._awrap_tool_call = wrap, wrap_async  # noqa: SLF001 -- as above
    gated.func, gated.afunc = gated._func, gated._afunc  # noqa: SLF001 -- they were bound to the original
    return gated


class _Together:
    """The calls that one task of a tool node makes at the same time, if the node is async."""

    def __init__(self, calls: Sequence[Any]) -> None:
        self.calls, self._left = calls, len(calls)
        self._ended = asyncio.Event()

    def __repr__(self) -> str:
        return f"<_Together {len(self.calls)} calls, {self._left} under way>"

    @contextlib.asynccontextmanager
    async def wait_for_others(self) -> AsyncGenerator[None]:
        """Encloses one of the calls. A question that it raises for a person waits until the other calls have ended or ask, too.

        `ToolNode` ends with the first question, and what is then under way would be cut off with the graph's event loop. (If
        it is not async, it waits by itself.)
        """
        asks = False
        try:
            yield
        except (GraphInterrupt, SeawallHeld):
            asks = True
            raise
        finally:
            self._left -= 1
            if self._left <= 0:
                self._ended.set()
            if asks:
                await self._ended.wait()


def _count_effects(place: GraphPlace, options: GraphOptions, calls: Sequence[Any]) -> int:
    own = options.own
    return sum(place.find_kind(call["name"], own) == "effect" for call in calls)


def _find_place(request: ToolCallRequest) -> GraphPlace | None:
    """Returns the place where a call is made; None if an agent's middleware has taken the call through the gate already.

    Raises `Misused` outside of a gated graph.
    """
    turn, runtime = performs_tool.get(), cast("Any", request).runtime
    if turn is not None and turn.runtime is runtime:
        return None
    place = find_place(runtime.config)
    if place is None:
        raise Misused("a gated tool node was called outside of its graph")
    return place
