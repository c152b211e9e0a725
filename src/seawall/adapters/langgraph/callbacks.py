"""Models and tools that a graph's nodes call by themselves: LangChain's callbacks take them through the gate.

A callback can forbid a call by raising, and sees the call's result. It can't replace the call by a recorded result: after a
crash a model is asked again, and an effect that is recorded is refused. So is an effect that a task has made when the graph
repeats the task.

LangChain has two managers of callbacks. The one for sync code runs the coroutines of handlers too late, and loses their
errors; the one for async code blocks the event loop while a sync handler waits. So the handler has both kinds of methods, and
a coroutine that looks up a method gets the async one. Two separate handlers would not work: if the first raises, LangChain
never awaits the coroutine that it has made for the second.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast
from uuid import UUID

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langgraph.callbacks import GraphCallbackHandler, GraphInterruptEvent
from langgraph.config import get_config

from seawall.adapters.langchain_core.messages import list_tools, read_counts, read_reply, read_tool_result
from seawall.adapters.langchain_core.places import (
    Attempts,
    GraphPlace,
    ask_gate,
    ask_gate_async,
    find_place,
    find_tasks,
    is_streamed,
    performs_model,
    performs_tool,
    translate_errors,
)
from seawall.adapters.langgraph.model import GATED_TAG, note_answer
from seawall.core.errors import Refused
from seawall.runtime.foreign.asked import Asked, ToolAsk
from seawall.runtime.foreign.asks import Ask, Settled, Turn
from seawall.runtime.foreign.results import ModelResult, make_tool_result, read_usage, write_text

Brought = Any


class _Begun(NamedTuple):
    """A call that has passed the gate."""

    place: GraphPlace
    asked: Asked
    ask: Ask


class _TaskEffect(NamedTuple):
    """An effect that a task of the graph, or a tool which it calls, makes by itself."""

    path: tuple[tuple[int, str], ...]
    call: str
    frame: int
    name: str
    arguments: str


class PendingCalls:
    """The calls of one invocation that are in progress, for sync and async code."""

    def __init__(self, root: GraphPlace) -> None:
        self._root = root
        self._begun: dict[UUID, _Begun] = {}
        self._made: dict[_TaskEffect, Attempts] = {}
        """The effects that tasks have made by themselves, each with the attempt."""
        self.interrupted = False

    def __repr__(self) -> str:
        return f"<PendingCalls {len(self._begun)}>"

    def find_place(self) -> GraphPlace:
        """Returns the place where a call is made."""
        return find_place() or self._root

    # ---- asking

    def ask_model(
        self, messages: Sequence[BaseMessage] | Sequence[str], more: Mapping[str, Any]
    ) -> tuple[GraphPlace, Asked]:
        """Returns the place where a model is called, and the ask for its reply."""
        place = self.find_place()
        metadata: Mapping[str, Any] = more.get("metadata") or {}
        settings: Mapping[str, Any] = more.get("invocation_params") or {}
        said = _write(place, messages)
        name = f"{metadata.get('ls_provider') or settings.get('_type') or 'model'}:{metadata.get('ls_model_name') or 'unnamed'}"
        limit = metadata.get("ls_max_tokens")
        asked = place.session.model(
            _name_agent(place, metadata),
            name,
            said,
            tools=list_tools(settings, place.engine),
            max_output_tokens=limit if isinstance(limit, int) else None,
            frame=place.frame,
            anew=True,
            halts=bool(settings.get("tools")),  # a call without tools writes a summary or the answer
        )
        return place, asked

    def ask_tool(self, name: str, inputs: Any, more: Mapping[str, Any]) -> tuple[GraphPlace, Asked]:
        """Returns the place where a tool is called, and the ask for its result. Raises `Refused` for an effect that is made again."""
        place = self.find_place()
        given: Any = inputs
        plain = json.loads(json.dumps(given if isinstance(given, dict) else {"input": given}, default=str))
        agent = _name_agent(place, more.get("metadata") or {})
        call, around = str(more.get("tool_call_id") or ""), performs_tool.get()
        within = around is not None and around.call_id == call
        if within or self._is_passed_on(name, call):
            call = ""  # a call of its own: the tool around it has passed its id on
        asked = place.session.tool(agent, name, plain, call_id=call, frame=place.frame, halts=True)
        if _is_effect(place, asked):
            if within and around is not None and around.name == name:
                raise Refused(f"{name!r}: this call is under way, and it is made only once", guard="gate")
            task, attempts = _find_task(place, asked)
            if self._made.get(task, attempts) != attempts:
                raise Refused(
                    f"{name!r}: an earlier attempt of this task has made it, and a callback can't give its result again",
                    guard="gate",
                )
        return place, asked

    def _is_passed_on(self, name: str, call: str) -> bool:
        """Returns whether a call has the id of another tool's call that is in progress."""
        calls = [each.asked for each in [*self._begun.values()] if isinstance(each.asked, ToolAsk)]
        return any(each.call_id == call and each.name != name for each in calls)

    def note_made(self, begun: _Begun) -> None:
        """Notes a call that was made: an effect is not made again if the graph repeats the task."""
        if isinstance(begun.asked, ToolAsk) and _is_effect(begun.place, begun.asked):
            task, attempts = _find_task(begun.place, begun.asked)
            self._made[task] = attempts

    def note(self, run_id: UUID, place: GraphPlace, asked: Asked, found: tuple[Ask, Turn] | Settled) -> None:
        """Keeps a call that the gate allows. Raises `Refused` for a call that it does not allow, or that is recorded already."""
        if not isinstance(found, Settled):
            self._begun[run_id] = _Begun(place, asked, found[0])
        elif not found.replayed or _is_effect(place, asked):
            done = (
                "; it was done before, and a callback can't give its result again" if found.replayed else ""
            )
            raise Refused(f"{asked.name!r}: {found.text}{done}", guard="gate")

    def pop(self, run_id: UUID) -> _Begun | None:
        """Returns a call that ends now; None if it did not pass the gate here."""
        return self._begun.pop(run_id, None)


def _is_effect(place: GraphPlace, asked: Asked) -> bool:
    return place.find_kind(asked.name) == "effect"


def _find_task(place: GraphPlace, asked: ToolAsk) -> tuple[_TaskEffect, Attempts]:
    """Returns an effect that the task or the tool which runs here makes, and the attempt."""
    try:
        tasks = find_tasks(get_config())
    except RuntimeError:  # a thread of the application, without the task's context
        path, attempts = (), ()
    else:
        path, attempts = tuple(tasks.path), tasks.attempts
    call, attempt = place.read_call()
    arguments = json.dumps(asked.arguments, sort_keys=True)
    return _TaskEffect(path, call, asked.frame, asked.name, arguments), (attempt, *attempts)


def _write(place: GraphPlace, messages: Sequence[BaseMessage] | Sequence[str]) -> list[Any]:
    """Returns the messages of a request as JSON. Models of LangChain's older kind are sent texts."""
    texts = [each for each in messages if isinstance(each, str)]
    return [*texts] or [*place.written.write(cast("Sequence[BaseMessage]", messages))]


def _name_agent(place: GraphPlace, metadata: Mapping[str, Any]) -> str:
    return place.agent if place.frame else str(metadata.get("langgraph_node") or place.agent)


def _is_gated_model(tags: Sequence[str] | None) -> bool:
    return performs_model.get() or GATED_TAG in (tags or ())


def _is_gated_tool() -> bool:
    """Returns whether a `ToolNode` makes this call, so that it has passed the gate already."""
    turn = performs_tool.get()
    if turn is None or turn.begun:
        return False
    turn.begun = True
    return True


def _name_tool(serialized: Mapping[str, Any] | None, more: Mapping[str, Any]) -> str:
    return str((serialized or {}).get("name") or more.get("name") or "tool")


def _read_response(place: GraphPlace, response: LLMResult) -> ModelResult:
    found = response.generations[0][0] if response.generations and response.generations[0] else None
    message = found.message if isinstance(found, ChatGeneration) else None
    if isinstance(message, AIMessage):
        note_answer(place, message)
        return read_reply(message, delivered=is_streamed())
    return ModelResult("" if found is None else found.text, raw="null")


def _read_output(output: Any) -> Any:
    if isinstance(output, ToolMessage | list) or hasattr(output, "goto"):
        return read_tool_result(cast("Any", output))
    return make_tool_result(output if isinstance(output, str) else json.dumps(output, default=str))


def _check_stands(begun: _Begun, settled: Settled) -> None:
    """Raises `Refused` if a guard has replaced a result, because a callback can't replace it."""
    if not settled.performed:
        raise Refused(f"{begun.asked.name!r}: {settled.text}", guard="gate")


def _is_decision(more: Mapping[str, Any]) -> bool:
    """Returns whether a chain is a decision model, which LangChain reports as a chain."""
    return more.get("run_type") == "llm" and not _is_gated_model(more.get("tags"))


def _read_decision(outputs: Any) -> ModelResult:
    usage = read_usage(lambda: read_counts(getattr(outputs, "usage", None)))
    return ModelResult(write_text(outputs), usage=usage, raw="null")


_EVENTS = frozenset(
    [
        "on_chain_start",
        "on_chain_end",
        "on_chain_error",
        "on_chat_model_start",
        "on_llm_start",
        "on_tool_start",
        "on_llm_end",
        "on_tool_end",
        "on_llm_error",
        "on_tool_error",
    ]
)


class CallsHandler(GraphCallbackHandler):
    """Handles callbacks of sync code and interrupts of the graph. A coroutine gets the methods of `CallsHandlerAsync`."""

    raise_error = True
    run_inline = True

    def __init__(self, calls: PendingCalls) -> None:
        super().__init__()
        self._calls, self._in_async = calls, CallsHandlerAsync(calls)

    def __getattribute__(self, name: str) -> Any:
        if name in _EVENTS:
            here = inspect.currentframe()
            # Only the caller's frame shows whether its manager of callbacks is async.
            asker = None if here is None else here.f_back
            if asker is not None and asker.f_code.co_flags & inspect.CO_COROUTINE:
                return getattr(super().__getattribute__("_in_async"), name)
        return super().__getattribute__(name)

    def on_interrupt(self, event: GraphInterruptEvent) -> Any:
        """Notes that the graph waits."""
        if not event.checkpoint_ns:
            self._calls.interrupted = True

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **more: Any
    ) -> None:
        """Asks for a call of a model."""
        if not _is_gated_model(more.get("tags")):
            place, asked = self._calls.ask_model(messages[0], more)
            self._calls.note(run_id, place, asked, ask_gate(place, asked))

    def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **more: Any
    ) -> None:
        """Asks for a call of a model that completes text."""
        place, asked = self._calls.ask_model(prompts, more)
        self._calls.note(run_id, place, asked, ask_gate(place, asked))

    def on_tool_start(
        self, serialized: dict[str, Any], input_str: str, *, run_id: UUID, inputs: Any = None, **more: Any
    ) -> None:
        """Asks for a call of a tool, unless its `ToolNode` has asked already."""
        if not _is_gated_tool():
            given = input_str if inputs is None else inputs
            place, asked = self._calls.ask_tool(_name_tool(serialized, more), given, more)
            self._calls.note(run_id, place, asked, ask_gate(place, asked))

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, **more: Any) -> None:
        """Asks for a call of a decision model."""
        if _is_decision(more):
            place, asked = self._calls.ask_model([write_text(inputs)], more)
            self._calls.note(run_id, place, asked, ask_gate(place, asked))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **more: Any) -> None:
        """Settles a decision model's step with the answers."""
        self._give(run_id, lambda place: _read_decision(outputs))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """Settles a decision model's step with the error."""
        self._fail(run_id, error)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **more: Any) -> None:
        """Settles a model's step with the reply."""
        self._give(run_id, lambda place: _read_response(place, response))

    def on_tool_end(self, output: Any, *, run_id: UUID, **more: Any) -> None:
        """Settles a tool's step with the result."""
        self._give(run_id, lambda place: _read_output(output))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """Settles a model's step with the error."""
        self._fail(run_id, error)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """Settles a tool's step with the error."""
        self._fail(run_id, error)

    def _give(self, run_id: UUID, read: Callable[[GraphPlace], Brought]) -> None:
        begun = self._calls.pop(run_id)
        if begun is not None:
            with translate_errors():
                settled = begun.place.session.give_sync(begun.ask, begun.asked, read(begun.place))
            self._calls.note_made(begun)
            _check_stands(begun, settled)

    def _fail(self, run_id: UUID, error: BaseException) -> None:
        begun = self._calls.pop(run_id)
        if begun is not None:
            with translate_errors():
                begun.place.session.give_sync(begun.ask, begun.asked, error)


class CallsHandlerAsync:
    """Handles callbacks of async code."""

    def __init__(self, calls: PendingCalls) -> None:
        self._calls = calls

    async def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **more: Any
    ) -> None:
        """See `CallsHandler`."""
        if not _is_gated_model(more.get("tags")):
            place, asked = self._calls.ask_model(messages[0], more)
            self._calls.note(run_id, place, asked, await ask_gate_async(place, asked))

    async def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **more: Any
    ) -> None:
        """See `CallsHandler`."""
        place, asked = self._calls.ask_model(prompts, more)
        self._calls.note(run_id, place, asked, await ask_gate_async(place, asked))

    async def on_tool_start(
        self, serialized: dict[str, Any], input_str: str, *, run_id: UUID, inputs: Any = None, **more: Any
    ) -> None:
        """See `CallsHandler`."""
        if not _is_gated_tool():
            given = input_str if inputs is None else inputs
            place, asked = self._calls.ask_tool(_name_tool(serialized, more), given, more)
            self._calls.note(run_id, place, asked, await ask_gate_async(place, asked))

    async def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, **more: Any) -> None:
        """See `CallsHandler`."""
        if _is_decision(more):
            place, asked = self._calls.ask_model([write_text(inputs)], more)
            self._calls.note(run_id, place, asked, await ask_gate_async(place, asked))

    async def on_chain_end(self, outputs: Any, *, run_id: UUID, **more: Any) -> None:
        """See `CallsHandler`."""
        await self._give(run_id, lambda place: _read_decision(outputs))

    async def on_chain_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """See `CallsHandler`."""
        await self._fail(run_id, error)

    async def on_llm_end(self, response: LLMResult, *, run_id: UUID, **more: Any) -> None:
        """See `CallsHandler`."""
        await self._give(run_id, lambda place: _read_response(place, response))

    async def on_tool_end(self, output: Any, *, run_id: UUID, **more: Any) -> None:
        """See `CallsHandler`."""
        await self._give(run_id, lambda place: _read_output(output))

    async def on_llm_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """See `CallsHandler`."""
        await self._fail(run_id, error)

    async def on_tool_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """See `CallsHandler`."""
        await self._fail(run_id, error)

    async def _give(self, run_id: UUID, read: Callable[[GraphPlace], Brought]) -> None:
        begun = self._calls.pop(run_id)
        if begun is not None:
            with translate_errors():
                settled = await begun.place.session.give(begun.ask, begun.asked, read(begun.place))
            self._calls.note_made(begun)
            _check_stands(begun, settled)

    async def _fail(self, run_id: UUID, error: BaseException) -> None:
        begun = self._calls.pop(run_id)
        if begun is not None:
            with translate_errors():
                await begun.place.session.give(begun.ask, begun.asked, error)
