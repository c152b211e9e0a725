"""Wrappers around the calls of models: each attempt is a step."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from crewai.llms.base_llm import BaseLLM
from pydantic import BaseModel

from seawall.adapters.crewai.metering import Meter, called, mark_call
from seawall.adapters.crewai.place import CrewPlace, CrewStopped, at_work, current
from seawall.adapters.crewai.replies import CrewReply, add_notes, find_calls, read_reply, recall_reply
from seawall.adapters.crewai.tools import gate_functions
from seawall.core.errors import Misused
from seawall.runtime.foreign.asked import ModelAsk
from seawall.runtime.foreign.asks import Turn
from seawall.runtime.foreign.results import to_json_value
from seawall.runtime.foreign.session import MAX_OUTPUT_TOKENS, Performed


def name_model(llm: Any) -> str:
    """Returns a model's name as the list of prices has it: `provider:name`."""
    model = str(llm if isinstance(llm, str) else llm.model)
    provider = "" if isinstance(llm, str) else str(getattr(llm, "provider", "") or "")
    first, slash, rest = model.partition("/")
    if slash and (not provider or first == provider):
        return f"{first}:{rest}"
    return f"{provider or 'openai'}:{model}"


def find_limit(llm: Any) -> int | None:
    """Returns the longest reply, in tokens, that the model's settings ask for; None if they set no limit."""
    for name in ("max_completion_tokens", "max_tokens"):
        given = getattr(llm, name, None)
        if given is not None and int(given) > 0:
            return int(given)
    return None


_WANT_TOOLS = ("anthropic", "claude", "bedrock", "aws")
"""Providers, as CrewAI names them, that reject a conversation with calls of tools which the request does not name."""


def fit_limit(llm: Any, turn: Turn) -> Any:
    """Returns a copy of the model with a shorter reply if a limit leaves less room than the model asks for; otherwise the same
    object.
    """
    if not 0 < turn.max_output_tokens < (find_limit(llm) or MAX_OUTPUT_TOKENS):
        return llm
    shorter = copy.copy(llm)
    longest = "max_completion_tokens" if getattr(llm, "max_completion_tokens", None) else "max_tokens"
    setattr(shorter, longest, turn.max_output_tokens)
    return shorter


class _ModelCall:
    """One call of a model inside of a gate."""

    def __init__(self, place: CrewPlace, llm: Any, given: Mapping[str, Any]) -> None:
        """`given`: the arguments of the call by name."""
        self._place, self._llm = place, llm
        agent = given.get("from_agent")
        self._agent = place.agent if agent is None else str(getattr(agent, "role", place.agent)).strip()
        self._messages, self._tools = given.get("messages"), given.get("tools")
        self._expects: type[BaseModel] | None = given.get("response_model")
        self.may_write_calls = agent is not None and not self._tools
        self.meter = Meter()

    def fit(self, turn: Turn) -> tuple[Any, Any]:
        """Returns the model, with a shorter reply if a limit demands it, and the messages with the guards' advice at the end."""
        notes = (*self._place.run.take_advice(self._place.frame), *turn.notes)
        return fit_limit(self._llm, turn), add_notes(self._messages, notes)

    def leave_out_tools(self, turn: Turn, rest: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the other arguments of the call, without the tools in the last reply that a limit allows.

        Servers of Anthropic and Amazon need the tools whose calls are in the conversation, so there the tools stay, and the
        gate refuses the calls that the model writes.
        """
        wants = name_model(self._llm).partition(":")[0] in _WANT_TOOLS
        return {**rest, "tools": None} if turn.last and self._tools and not wants else rest

    def is_streamed(self) -> bool:
        """Returns whether the pieces of the reply are passed on as they come."""
        # newer versions of CrewAI stream single calls
        effective = getattr(self._llm, "_effective_stream", None)
        return bool(getattr(self._llm, "stream", False) if effective is None else effective())

    def ask(self) -> ModelAsk:
        """Returns the ask for the reply."""
        self._note_not_gated()
        messages = self._messages
        told = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        tools: list[Any] = list(self._tools or ())
        expects = self._expects
        if isinstance(expects, type):
            tools.append({"output": expects.model_json_schema()})
        return self._place.run.session.model(
            self._agent or self._place.agent,
            name_model(self._llm),
            to_json_value(told),
            tools=to_json_value(tools),
            max_output_tokens=find_limit(self._llm),
            frame=self._place.frame,
        )

    def _note_not_gated(self) -> None:
        for each in getattr(self._llm, "builtin_tools", None) or ():
            self._place.run.engine.note_not_gated(f"built-in tool {each!r}: the model's provider runs it")

    def finish(self, done: Performed) -> Any:
        """Returns the reply, the recorded reply, or a guard's replacement, and notes the calls in it."""
        if done.settled.performed:
            calls = done.settled.calls or done.value.calls
            reply = find_calls(done.value.reply, calls)
        else:
            self._place.run.take_advice(self._place.frame)  # the model was told it when it replied
            reply = recall_reply(done.settled, self._expects)
        self._note_calls(reply)
        return reply.value

    def _note_calls(self, reply: CrewReply) -> None:
        run, frame = self._place.run, self._place.frame
        run.note_calls(frame, reply.ids)
        if reply.written is not None:
            run.note_written(frame, *reply.written)


class _Brought:
    """A reply as the model has given it, and the calls in it."""

    def __init__(self, reply: Any, calls: tuple[tuple[str, str, str], ...]) -> None:
        self.reply, self.calls = reply, calls


def _bring(call: _ModelCall, reply: Any) -> tuple[Any, _Brought]:
    result = read_reply(
        reply, call.meter.read(), may_write_calls=call.may_write_calls, delivered=call.is_streamed()
    )
    return result, _Brought(reply, result.calls)


def gate_call(method: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the `call` of a class of models, gated."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def gated(llm: BaseLLM, *arguments: Any, **options: Any) -> Any:
        place = current.get()
        if place is None or called.get() is not None:
            _check_place(place, signature, llm, arguments, options)
            return method(llm, *arguments, **options)
        given, rest = _bind(signature, llm, arguments, options)
        rest = gate_functions(place, rest)
        call = _ModelCall(place, llm, {**rest, "messages": given})

        def perform(turn: Turn) -> tuple[Any, _Brought]:
            with mark_call(call.meter):
                return _bring(call, method(*call.fit(turn), **call.leave_out_tools(turn, rest)))

        return call.finish(place.run.step_sync(call.ask(), perform))

    return gated


def gate_acall(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Returns the `acall` of a class of models, gated."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    async def gated(llm: BaseLLM, *arguments: Any, **options: Any) -> Any:
        place = current.get()
        if place is None or called.get() is not None:
            _check_place(place, signature, llm, arguments, options)
            return await method(llm, *arguments, **options)
        given, rest = _bind(signature, llm, arguments, options)
        rest = gate_functions(place, rest)
        call = _ModelCall(place, llm, {**rest, "messages": given})

        async def perform(turn: Turn) -> tuple[Any, _Brought]:
            with mark_call(call.meter):
                return _bring(call, await method(*call.fit(turn), **call.leave_out_tools(turn, rest)))

        return call.finish(await place.run.step(call.ask(), perform))

    return gated


def gate_instructor(method: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the method by which CrewAI asks a separate client for a structured answer, gated."""

    @functools.wraps(method)
    def gated(instructor: Any, *arguments: Any, **options: Any) -> Any:
        place = current.get()
        if place is None or called.get() is not None:
            return method(instructor, *arguments, **options)
        given = {
            "messages": instructor.content,
            "response_model": instructor.model,
            "from_agent": instructor.agent,
        }
        call = _ModelCall(place, instructor.llm, given)

        def perform(turn: Turn) -> tuple[Any, _Brought]:
            with mark_call(call.meter):
                return _bring(call, method(instructor, *arguments, **options))

        return call.finish(place.run.step_sync(call.ask(), perform))

    return gated


def _check_place(
    place: CrewPlace | None,
    signature: inspect.Signature,
    llm: Any,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> None:
    """Raises `CrewStopped` if an agent that works inside of a gate asks a model in a thread that lacks the gate's context."""
    if place is None and at_work.any():
        agent: Any = _bind(signature, llm, arguments, options)[1].get("from_agent")
        if agent in at_work:
            raise CrewStopped(
                Misused(
                    f"agent {agent.role!r} works inside of a gate, and asks a model in a thread that was started without the context of "
                    "the gate: start it with contextvars.copy_context().run"
                )
            )


def _bind(
    signature: inspect.Signature, llm: Any, arguments: tuple[Any, ...], options: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Returns the messages of a call, and its other arguments by name."""
    bound = signature.bind(llm, *arguments, **options)
    names = list(bound.arguments)
    given: dict[str, Any] = {name: bound.arguments[name] for name in names[1:]}
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            given.update(given.pop(parameter.name, {}))
    return given.pop("messages", None), given
