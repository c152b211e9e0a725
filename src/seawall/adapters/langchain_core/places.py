"""The place in a run where LangChain or LangGraph makes a step, and how the step passes the gate there.

A *place* is a session and a frame in it. An agent or a graph that runs inside of another finds the place above it in a context
variable (set while a tool is performed) and in the graph's config; if both hold one, the deeper place counts.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

from langchain_core.tracers._streaming import _StreamingCallbackHandler  # LangChain's own test for streaming
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command

from seawall.adapters.langchain_core.messages import WrittenMessages
from seawall.adapters.langchain_core.questions import GraphQuestion, NotDecided
from seawall.core.canonical import digest_of
from seawall.core.errors import Refused, SeawallError
from seawall.run.outcome import Outcome
from seawall.runtime.foreign.asked import Asked, AskedFrom, HandoffAsk
from seawall.runtime.foreign.asks import Ask, Halted, Held, Settled, Turn
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.own_errors import OwnErrors
from seawall.runtime.foreign.session import Performed, Session
from seawall.runtime.foreign.tools import ToolDeclarations, ToolKind

T = TypeVar("T")
PLACE_KEY = "__seawall_place"
"""Key of a gated graph's place in `config["configurable"]`. LangGraph does not save keys with this prefix in checkpoints."""
REQUEST_KEY, TENANT_KEY, PRINCIPAL_KEY = "seawall_request_id", "seawall_tenant", "seawall_principal"
"""Keys in `config["configurable"]` that say whose request an invocation answers."""


class SeawallHalted(GraphBubbleUp):
    """The run has ended, and the graph ends with it. LangGraph's error handlers don't take this class for a tool's error.

    `outcome` says how the run ended; None if it was refused, or broke, before it could end.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.outcome: Outcome[Any] | None = error.outcome if isinstance(error, Halted) else None


class FrameRefused(GraphBubbleUp):
    """An agent inside a tool may not begin; the tool's call ends with the reason."""


Attempts = tuple[int, ...]
"""The attempt of each task around some code, innermost first."""


@dataclass(kw_only=True, eq=False)
class GraphPlace:
    """A session, and the frame in it in which an agent or a graph works."""

    engine: Engine
    session: Session
    agent: str
    frame: int = 0
    call: str = ""
    """The key of the tool's call that is performed here; "" if there is none."""
    level: int = 0
    """The number of places above this one."""
    depth: int = -1
    """How deep this place's graph is in LangGraph's nesting; -1 if it is not the place of a graph."""
    answer: str = ""
    """The newest reply that called no tools."""
    written: WrittenMessages = field(default_factory=WrittenMessages)
    """The newest conversation that a model was sent here."""
    begun: Counter[tuple[str, Attempts]] = field(default_factory=Counter[tuple[str, Attempts]])
    """How often each agent and graph was begun here in one attempt of one task, by name and input: an equal one that begins again
    gets another frame."""

    repeated: set[str] = field(default_factory=set[str])
    """The keys of agents and graphs that begin in a task or in a tool's call which is repeated."""

    def make_inner(self, name: str, said: Any, config: Mapping[str, Any]) -> str:
        """Returns a key for an agent or a graph that begins here, in the task of this config. The key is the same in another process,
        and after a checkpoint was lost.
        """
        tasks = find_tasks(config)
        call, attempt = self.read_call()
        attempts = attempt, *tasks.attempts
        key = f"{call}/{name}/{digest_of(said)[:16]}"
        at = digest_of(tasks.path)[:16]
        self.begun[key + at, attempts] += 1
        number = self.begun[key + at, attempts]
        since = "" if tasks.first is None else f"{digest_of(tasks.path_since_start)[:16]}/{number}"
        key = f"{key}@{at}/{number}@{since}"
        if max(attempts) > 1:
            self.repeated.add(key)
        return key

    def find_kind(self, name: str, own: ToolDeclarations | None = None) -> ToolKind:
        """Returns the kind of a tool that is called here. `own`: what is declared for this run alone, before its first step."""
        team = self.session.team
        declared = (own or self.engine.tools) if team is None else team.find_declarations(self.frame)
        return declared.find_kind(name)

    def read_call(self) -> tuple[str, int]:
        """Returns the key of the tool's call without the attempt, and which attempt it is if the framework repeats the call."""
        call, _, attempt = self.call.partition("~")
        return call, int(attempt or 1)


_CALL_KEY, _RUNTIME_KEY = "__pregel_call", "__pregel_runtime"
"""LangGraph's keys for the function by which a task begins another one in its graph, and for what a task is told of itself."""
_current: ContextVar[GraphPlace | None] = ContextVar("seawall_langchain_place", default=None)
"""Set while a tool is performed: an agent that runs inside of the tool works in a frame below this place."""


@dataclass(eq=False)
class ToolTurn:
    """A tool's call that has passed the gate and is performed."""

    runtime: object
    """LangGraph's runtime object, of which each call has its own."""
    name: str
    call_id: str
    begun: bool = False


performs_tool: ContextVar[ToolTurn | None] = ContextVar("seawall_langchain_tool", default=None)
"""Set while a tool that has passed the gate is called: nothing below takes the same call through the gate again."""
performs_model: ContextVar[bool] = ContextVar("seawall_langchain_model", default=False)
"""Set while a model that has passed the gate is called: nothing below takes the same call through the gate again."""


def find_place(config: Mapping[str, Any] | None = None) -> GraphPlace | None:
    """Returns the innermost place around this code. `config` is the graph's, by default that of the node that runs here."""
    inside = _current.get()
    if config is None:
        try:
            config = get_config()
        except RuntimeError:  # this code runs outside of any graph
            return inside
    around = config.get("configurable", {}).get(PLACE_KEY)
    if isinstance(around, GraphPlace) and (inside is None or around.level > inside.level):
        return around
    return inside


class GraphTasks(NamedTuple):
    """A task of a graph, and the tasks around it in which this graph and those around it run."""

    path: list[tuple[int, str]]
    """For each task, innermost first, LangGraph's step and path: what it is in its graph. Unlike LangGraph's ids of tasks they are
    the same after a checkpoint was lost."""
    first: int | None
    """The step with which the outermost graph has begun; None if it goes on from its checkpoint."""
    attempts: Attempts
    """Which attempt of each of these tasks this is, if its graph repeats it."""

    @property
    def path_since_start(self) -> list[tuple[int, str]]:
        """The path, with the steps of the outermost graph since it began: the same in another thread."""
        return [*self.path[:-1], *((step - (self.first or 0), at) for step, at in self.path[-1:])]


def find_tasks(config: Mapping[str, Any]) -> GraphTasks:
    """Returns the task that has this config, and those around it."""
    path, attempts, graph = list[tuple[int, str]](), list[int](), _find_graph(config)
    while "langgraph_step" in (metadata := cast("Mapping[str, Any]", config.get("metadata") or {})):
        path.append((metadata["langgraph_step"], str(metadata.get("langgraph_path"))))
        runtime: Any = config.get("configurable", {}).get(_RUNTIME_KEY)
        attempts.append(getattr(getattr(runtime, "execution_info", None), "node_attempt", 1))
        around = _find_graph(config)
        if around is None:
            break
        graph, config = around, around.config
    given = getattr(graph, "input", None)
    first = (
        None if given is None or isinstance(given, Command) else graph.stop - graph.config["recursion_limit"]
    )
    return GraphTasks(path, first, tuple(attempts))


def find_config_around(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the config with which the graph of this task runs: that of the task around it, if there is one."""
    graph = _find_graph(config)
    return {} if graph is None else graph.config


def find_nodes(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the nodes of the graph of this task."""
    return getattr(_find_graph(config), "nodes", None) or {}


def _find_graph(config: Mapping[str, Any]) -> Any:
    """Returns LangGraph's loop in which a task runs; None if it can't be found."""
    call = config.get("configurable", {}).get(_CALL_KEY)
    return getattr(getattr(call, "keywords", {}).get("schedule_task"), "__self__", None)


def count_depth(config: Mapping[str, Any]) -> int:
    """Returns how deep in LangGraph's nesting the code is that has this config: 0 for the outermost graph."""
    namespace = str(config.get("configurable", {}).get("checkpoint_ns") or "")
    # numbers count the graphs that one task has begun
    return sum(not part.isdigit() for part in namespace.split("|")) if namespace else 0


def is_streamed() -> bool:
    """Returns whether the caller is sent the pieces of a model's reply as they come, as with `stream_mode="messages"`."""
    try:
        manager: Any = get_config().get("callbacks")
    except RuntimeError:  # a thread of the application, without the task's context
        return False
    handlers = getattr(manager, "handlers", manager) or ()
    return any(isinstance(each, _StreamingCallbackHandler) for each in handlers)


# ---- a step


@contextlib.contextmanager
def translate_errors(own: OwnErrors | None = None) -> Generator[None]:
    """Turns an error that ends a run into `SeawallHalted`, which ends a graph. `Held` passes unchanged, and so do errors of the
    model or the tool itself (`own`).
    """
    try:
        yield
    except Held:
        raise
    except SeawallError as error:
        if own is not None and error in own:
            raise
        raise SeawallHalted(error) from error


@contextlib.contextmanager
def enter_tool(place: GraphPlace, call: str, turn: ToolTurn) -> Generator[None]:
    """Marks a block as a tool's work: an agent that runs in it works in a frame below `place`."""
    inner = GraphPlace(
        engine=place.engine,
        session=place.session,
        agent=place.agent,
        frame=place.frame,
        call=call,
        level=place.level + 1,
    )
    token, around = _current.set(inner), performs_tool.set(turn)
    try:
        yield
    finally:
        performs_tool.reset(around)
        _current.reset(token)


@contextlib.contextmanager
def enter_model() -> Generator[None]:
    """Marks a block as the work of a model that has passed the gate."""
    token = performs_model.set(True)
    try:
        yield
    finally:
        performs_model.reset(token)


def pass_gate(
    place: GraphPlace, asked: Asked, perform: Callable[[Turn], tuple[Any, Any]], *, beside: bool = False
) -> Performed:
    """Takes a step through the gate. If a person must decide, the graph is interrupted. `beside`: the graph's task calls
    other effects at the same time.

    Raises `SeawallHalted`, `SeawallHeld`, LangGraph's interrupt, and errors of `perform`.
    """
    own = OwnErrors()
    return _ask_until_decided(
        place, own, lambda: place.session.step_sync(asked, own.watch_sync(perform)), beside=beside
    )


async def pass_gate_async(
    place: GraphPlace,
    asked: Asked,
    perform: Callable[[Turn], Awaitable[tuple[Any, Any]]],
    *,
    beside: bool = False,
) -> Performed:
    """As `pass_gate`."""
    own = OwnErrors()
    return await _ask_until_decided_async(
        place, own, lambda: place.session.step(asked, own.watch(perform)), beside=beside
    )


def ask_gate(place: GraphPlace, asked: Asked) -> tuple[Ask, Turn] | Settled:
    """Asks for a step whose result comes later, by `give_result`. As `pass_gate`."""
    return _ask_until_decided(place, OwnErrors(), lambda: place.session.ask_sync(asked))


async def ask_gate_async(place: GraphPlace, asked: Asked) -> tuple[Ask, Turn] | Settled:
    """As `ask_gate`."""
    return await _ask_until_decided_async(place, OwnErrors(), lambda: place.session.ask(asked))


def _ask_until_decided(
    place: GraphPlace, own: OwnErrors, attempt: Callable[[], T], *, beside: bool = False
) -> T:
    """Repeats an attempt until it is not held any more. Each time it is held, a person is asked."""
    problem = ""
    while True:
        try:
            with translate_errors(own):
                return attempt()
        except Held as held:
            if held in own:
                raise
            question = GraphQuestion(held, problem, beside=beside)
        problem = ""
        try:
            with translate_errors():
                place.engine.call(partial(question.decide, question.ask()))
        except NotDecided as error:
            problem = str(error)


async def _ask_until_decided_async(
    place: GraphPlace, own: OwnErrors, attempt: Callable[[], Awaitable[T]], *, beside: bool = False
) -> T:
    problem = ""
    while True:
        try:
            with translate_errors(own):
                return await attempt()
        except Held as held:
            if held in own:
                raise
            question = GraphQuestion(held, problem, beside=beside)
        problem = ""
        try:
            with translate_errors():
                await place.engine.call_async(partial(question.decide, question.ask()))
        except NotDecided as error:
            problem = str(error)


# ---- frames


def open_frame(
    above: GraphPlace, agent: str, request: str, key: str, declared: ToolDeclarations | None
) -> GraphPlace:
    """Opens a frame below a place. `declared`: see `HandoffAsk`.

    Raises `SeawallHalted`, and `FrameRefused` if a guard or a limit refuses it.
    """
    with translate_errors(), _convert_refusal():
        frame = above.session.open_frame_sync(_ask_frame(above, agent, request, key, declared))
    _repeat(above, key, frame)
    return _make_below(above, agent, frame)


async def open_frame_async(
    above: GraphPlace, agent: str, request: str, key: str, declared: ToolDeclarations | None
) -> GraphPlace:
    """As `open_frame`."""
    with translate_errors(), _convert_refusal():
        frame = await above.session.open_frame(_ask_frame(above, agent, request, key, declared))
    _repeat(above, key, frame)
    return _make_below(above, agent, frame)


def _repeat(above: GraphPlace, key: str, frame: int) -> None:
    """Has what is recorded in a frame given again, if the task or the tool's call in which it was opened is repeated."""
    if key in above.repeated:
        above.repeated.discard(key)
        above.session.begin_again(frame)


def _ask_frame(
    above: GraphPlace, agent: str, request: str, key: str, declared: ToolDeclarations | None
) -> HandoffAsk:
    call, *places = key.rsplit("@", 2)
    asked = above.session.handoff(
        above.agent,
        agent,
        request or "(no request)",
        call_id=call,
        frame=above.frame,
        halts=not above.call,  # outside of a tool there is no model that could be told of the refusal
        declared=declared,
    )
    # the checkpoint of an earlier version holds a key without places
    return asked._replace(asked_from=AskedFrom(*places, repeats=key in above.repeated)) if places else asked


def _make_below(above: GraphPlace, agent: str, frame: int) -> GraphPlace:
    return GraphPlace(
        engine=above.engine, session=above.session, agent=agent, frame=frame, level=above.level + 1
    )


@contextlib.contextmanager
def _convert_refusal() -> Generator[None]:
    try:
        yield
    except Halted:
        raise
    except Refused as error:
        if error.guard != "handoff":
            raise
        raise FrameRefused(str(error)) from error
