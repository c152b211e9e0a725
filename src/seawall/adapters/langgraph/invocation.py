"""One invocation of a gated graph: a run, or a frame in the run around it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.errors import GraphBubbleUp, ParentCommand
from langgraph.types import Command
from msgspec import Struct

from seawall.adapters.langchain_core.places import (
    PLACE_KEY,
    PRINCIPAL_KEY,
    REQUEST_KEY,
    TENANT_KEY,
    GraphPlace,
    count_depth,
    find_place,
    open_frame,
    open_frame_async,
    translate_errors,
)
from seawall.adapters.langchain_core.questions import CHECKPOINTER_KEY
from seawall.adapters.langgraph.callbacks import CallsHandler, PendingCalls
from seawall.core.canonical import digest_of
from seawall.core.errors import describe_error
from seawall.core.limits import Limits
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.tools import Effects, ToolDeclarations

LOOP = "langgraph"
MAX_REQUEST_CHARS = 10_000
"""Characters that are kept of an input that is not a conversation, as the request of its run."""


class GraphOptions(Struct, frozen=True, kw_only=True):
    """How the runs of a gated graph begin."""

    engine: Engine
    name: str
    effects: Effects | None
    reads: Sequence[str]
    polls: Sequence[str]
    limits: Limits | None
    not_done: tuple[type[BaseException], ...]

    @property
    def own(self) -> ToolDeclarations | None:
        """The declarations of the graph's tools alone; None if there are none."""
        return self.engine.tools.find_own(self.effects, self.reads, self.polls)


class Invocation:
    """One invocation. It begins and ends with the graph."""

    def __init__(
        self, options: GraphOptions, given: Any, config: RunnableConfig, checkpointer: Any = None
    ) -> None:
        """`checkpointer` is the graph's own. Inside of another graph, the outer graph's checkpointer is used."""
        self._options, self._given, self._config = options, given, config
        self._configurable: Mapping[str, Any] = config.get("configurable", {})
        self._checkpointer: Any = (
            checkpointer if hasattr(checkpointer, "get_tuple") else self._configurable.get(CHECKPOINTER_KEY)
        )
        self._above = find_place(cast("Mapping[str, Any]", config))
        self._place: GraphPlace | None = None
        self._calls: PendingCalls | None = None

    def __repr__(self) -> str:
        return f"<Invocation of {self._options.name}>"

    # ---- beginning

    def begin(self) -> RunnableConfig:
        """Returns the config with which the graph runs."""
        above = self._above
        if above is None:
            saved = None
            if self._needs_checkpoint():
                saved = self._checkpointer.get_tuple(self._config)
            return self._start(saved)
        options = self._options
        place = open_frame(above, options.name, self._read_request(), self._make_key(above), options.own)
        return self._enter(place)

    async def begin_async(self) -> RunnableConfig:
        """As `begin`."""
        above = self._above
        if above is None:
            saved = None
            if self._needs_checkpoint():
                saved = await self._checkpointer.aget_tuple(self._config)
            return self._start(saved)
        options, key = self._options, self._make_key(above)
        place = await open_frame_async(above, options.name, self._read_request(), key, options.own)
        return self._enter(place)

    @property
    def _resumes(self) -> bool:
        """Whether the graph continues from its saved state."""
        return self._given is None or isinstance(self._given, Command)

    def _needs_checkpoint(self) -> bool:
        """Returns whether the request id is made from the thread's newest checkpoint."""
        configurable = self._configurable
        given, thread = configurable.get(REQUEST_KEY), configurable.get("thread_id")
        return not (given is not None or thread is None or self._resumes or self._checkpointer is None)

    def _make_key(self, above: GraphPlace) -> str:
        return above.make_inner(self._options.name, _describe(self._given), self._config)

    def _start(self, saved: Any) -> RunnableConfig:
        options, configurable = self._options, self._configurable
        thread = configurable.get("thread_id")
        session = options.engine.begin(
            self._read_request(),
            loop=LOOP,
            name=options.name,
            agent=options.name,
            session=None if thread is None else str(thread),
            tenant=str(configurable.get(TENANT_KEY) or ""),
            principal=str(configurable.get(PRINCIPAL_KEY) or ""),
            request_id=self._make_request_id(saved),
            limits=options.limits,
            effects=options.effects,
            reads=options.reads,
            polls=options.polls,
            resume=self._resumes,
            answers=True,
            not_done=options.not_done,
            passes=(GraphBubbleUp,),
        )
        place = GraphPlace(engine=options.engine, session=session, agent=options.name)
        self._calls = calls = PendingCalls(place)
        handlers = [CallsHandler(calls)]
        return merge_configs(self._enter(place), {"callbacks": cast("Any", handlers)})

    def _make_request_id(self, saved: Any) -> str | None:
        given, thread = self._configurable.get(REQUEST_KEY), self._configurable.get("thread_id")
        if given is not None:
            return str(given)
        if thread is not None and self._checkpointer is not None:
            if self._resumes:
                return None  # the newest run of the thread that has not ended
            at = "" if saved is None else saved.config["configurable"].get("checkpoint_id")
            return digest_of([LOOP, str(thread), str(at), _describe(self._given)])
        return self._options.engine.make_request_id()

    def _enter(self, place: GraphPlace) -> RunnableConfig:
        config = cast("dict[str, Any]", self._config)
        place.depth = count_depth(config)
        self._place = place
        return cast("RunnableConfig", {**config, "configurable": {**self._configurable, PLACE_KEY: place}})

    def _read_request(self) -> str:
        given: Any = self._given
        messages = cast("dict[str, Any]", given).get("messages") if isinstance(given, dict) else given
        said: list[Any] = [
            str(each.text) if isinstance(each, BaseMessage) else each
            for each in (cast("list[Any]", messages) if isinstance(messages, list) else [messages])
            if isinstance(each, HumanMessage | str)
            or (isinstance(each, list | tuple) and len(cast("Sequence[Any]", each)) == 2)
        ]
        if said:
            last: Any = said[-1]
            return str(last if isinstance(last, str) else last[1])
        return "" if self._resumes else json.dumps(_describe(given))[:MAX_REQUEST_CHARS]

    # ---- ending

    def end(self, error: BaseException | None) -> None:
        """Ends the run, or detaches from it. `error`: what the graph has raised; None if it has ended."""
        place = self._place
        if place is None:
            return
        session, failure = place.session, self._find_failure(error)
        with translate_errors():
            if self._above is not None:
                if not failure and not self._waits(error):  # the graph around may repeat what has failed
                    session.close_frame_sync(place.frame, place.answer)
            elif failure:
                session.fail_sync(failure)
            elif error is not None or self._waits(error):
                session.detach_sync()
            else:
                session.end_sync(place.answer or None)

    async def end_async(self, error: BaseException | None) -> None:
        """As `end`."""
        place = self._place
        if place is None:
            return
        session, failure = place.session, self._find_failure(error)
        with translate_errors():
            if self._above is not None:
                if not failure and not self._waits(error):
                    await session.close_frame(place.frame, place.answer)
            elif failure:
                await session.fail(failure)
            elif error is not None or self._waits(error):
                await session.detach()
            else:
                await session.end(place.answer or None)

    def _waits(self, error: BaseException | None) -> bool:
        """Returns whether the graph goes on later: it was interrupted, or its consumer has left."""
        if error is None:
            return self._calls is not None and self._calls.interrupted
        return not isinstance(error, Exception) or (
            isinstance(error, GraphBubbleUp)
            and not isinstance(error, ParentCommand)  # a hand-off to another node
        )

    def _find_failure(self, error: BaseException | None) -> str:
        if isinstance(error, Exception) and not isinstance(error, GraphBubbleUp):
            return describe_error(error)
        return ""


def _describe(value: Any) -> Any:
    """Returns an input as JSON values, without the ids of its messages."""
    if isinstance(value, BaseMessage):
        return [value.type, json.loads(json.dumps(value.content, default=str))]
    if isinstance(value, Mapping):
        return {str(key): _describe(each) for key, each in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_describe(each) for each in cast("Sequence[Any]", value)]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
