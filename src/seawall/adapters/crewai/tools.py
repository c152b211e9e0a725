"""Wrappers around the calls of tools. They run after CrewAI has checked the arguments, before the tool's own code."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple, cast

from crewai.tools.base_tool import BaseTool
from crewai.tools.structured_tool import CrewStructuredTool
from crewai.utilities.agent_utils import extract_tool_call_info
from crewai.utilities.string_utils import sanitize_tool_name
from pydantic import ValidationError

from seawall.adapters.crewai.metering import leave_call
from seawall.adapters.crewai.place import CrewPlace, current
from seawall.adapters.crewai.replies import keep_error, read_value, recall_value, write_refusal
from seawall.core.canonical import digest_of
from seawall.runtime.foreign.asked import ToolAsk
from seawall.runtime.foreign.asks import Turn
from seawall.runtime.foreign.results import make_failure, to_json_value
from seawall.runtime.foreign.session import Performed
from seawall.team.tool import NotDone

native_call: ContextVar[str] = ContextVar("seawall_crewai_native_call", default="")
"""CrewAI's id of the call that is being performed; "" if CrewAI has not named one."""


class _Raised(NamedTuple):
    """The error that a tool has raised."""

    error: Exception


class _ToolCall:
    """One call of a tool inside of a gate."""

    def __init__(self, place: CrewPlace, tool: Any, arguments: Mapping[str, Any]) -> None:
        self._place, self._tool = place, tool
        self._arguments = arguments
        self._name = sanitize_tool_name(tool.name)
        given = to_json_value(dict(arguments))
        self._given: dict[str, Any] = cast("dict[str, Any]", given)
        self._call_id = place.run.find_call(place.frame, native_call.get(), self._name)

    def ask(self) -> ToolAsk:
        """Returns the ask for the call. Raises the tool's newest error if the call was attempted too often."""
        place = self._place
        place.run.check_attempts(place.frame, self._call_id)
        return place.run.session.tool(
            place.agent, self._name, self._given, call_id=self._call_id, frame=place.frame
        )

    def fit(self, turn: Turn) -> Mapping[str, Any]:
        """Returns the arguments: as they were given, or as a person has changed them.

        Raises `NotDone` if the changed arguments do not fit the tool's schema.
        """
        changed = dict(turn.arguments)
        if changed == self._given:
            return self._arguments
        schema = getattr(self._tool, "args_schema", None)
        if schema is None or not schema.model_fields:
            return changed
        try:
            return schema.model_validate(changed).model_dump()
        except ValidationError as error:
            raise NotDone(
                f"tool {self._name!r} does not accept the arguments that a person has changed: {error}"
            ) from error

    @contextlib.contextmanager
    def enter_tool(self) -> Generator[None]:
        """Marks a block as the tool's work: agents that run in it work in frames below this one, and each call of a model is a
        new step.
        """
        place = self._place
        call = self._call_id or self._make_key()
        inside, unnamed = current.set(place.enter_call(call, self._tool)), native_call.set("")
        try:
            with leave_call():
                yield
        finally:
            current.reset(inside)
            native_call.reset(unnamed)

    def _make_key(self) -> str:
        asked = f"{self._name}/{digest_of(self._given)[:16]}"
        return f"{asked}/{self._place.run.count(self._place.frame, asked)}"

    def read(self, value: Any) -> tuple[Any, Any]:
        """Returns the tool's value or error as the step's result, and the value or error itself."""
        if isinstance(value, _Raised):
            failure = make_failure(value.error, f"tool {self._name!r}", self._place.run.not_done)
            return keep_error(failure, value.error), value
        return read_value(self._tool, value), value

    def finish(self, done: Performed) -> Any:
        """Returns the tool's value, the recorded value, or the gate's answer in its place. Advice goes with the agent's next
        request.
        """
        run, frame = self._place.run, self._place.frame
        run.note_advice(frame, done.settled.notes)
        try:
            if not done.settled.performed:
                return recall_value(self._tool, done.settled)
            if isinstance(done.value, _Raised):
                raise done.value.error
        except Exception as error:
            run.note_failed(frame, self._call_id, error)
            raise
        return done.value


def call_sync(place: CrewPlace, tool: Any, arguments: Mapping[str, Any], perform: Callable[..., Any]) -> Any:
    """Calls a tool if the gate allows it."""
    call = _ToolCall(place, tool, arguments)

    def make(turn: Turn) -> tuple[Any, Any]:
        with call.enter_tool():
            try:
                value = perform(**call.fit(turn))
                if asyncio.iscoroutine(value):
                    value = asyncio.run(value)
            except Exception as error:  # noqa: BLE001 -- recorded, and raised again if it stands
                value = _Raised(error)
        return call.read(value)

    return call.finish(place.run.step_sync(call.ask(), make))


async def call_async(
    place: CrewPlace, tool: Any, arguments: Mapping[str, Any], perform: Callable[..., Awaitable[Any]]
) -> Any:
    """As `call_sync`."""
    call = _ToolCall(place, tool, arguments)

    async def make(turn: Turn) -> tuple[Any, Any]:
        with call.enter_tool():
            try:
                value = await perform(**call.fit(turn))
            except Exception as error:  # noqa: BLE001 -- recorded, and raised again if it stands
                value = _Raised(error)
        return call.read(value)

    return call.finish(await place.run.step(call.ask(), make))


# ---- CrewAI's methods, gated


def _find_place(tool: Any) -> CrewPlace | None:
    """Returns the place that a tool is called from; None outside of a gate, and inside of the tool itself."""
    place = current.get()
    return None if place is None or place.tool == id(tool) else place


def _bind(
    function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]
) -> dict[str, Any]:
    """Returns the arguments of a call by name."""
    if not arguments:
        return options
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*arguments, **options)
    except TypeError:  # the arguments do not fit; the tool itself will raise that
        return {**options, "arguments": list(arguments)}
    given = dict(bound.arguments)
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            given.update(given.pop(parameter.name, {}))
    return given


def gate_run(method: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the `_run` of a class of tools, or its own `run`, gated. For an asynchronous function the gated method returns an
    awaitable, which CrewAI awaits.
    """

    @functools.wraps(method)
    def gated(tool: Any, *arguments: Any, **options: Any) -> Any:
        place = _find_place(tool)
        if place is None:
            return method(tool, *arguments, **options)
        own = getattr(tool, "func", None) or functools.partial(method, tool)
        given = _bind(own, arguments, options)
        perform = functools.partial(method, tool)
        if inspect.iscoroutinefunction(method) or inspect.iscoroutinefunction(getattr(tool, "func", None)):
            return call_async(place, tool, given, perform)
        return call_sync(place, tool, given, perform)

    return gated


def gate_arun(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """As `gate_run`, for `_arun` and `arun`."""

    @functools.wraps(method)
    async def gated(tool: Any, *arguments: Any, **options: Any) -> Any:
        place = _find_place(tool)
        if place is None:
            return await method(tool, *arguments, **options)
        own = getattr(tool, "func", None) or functools.partial(method, tool)
        return await call_async(place, tool, _bind(own, arguments, options), functools.partial(method, tool))

    return gated


def run_below(base: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns a wrapper for `run` and `arun` of the class `Tool`, which call the function directly. Inside of a gate it calls
    `base` instead: the base class's method, which calls the gated `_run`.
    """

    def wrap(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def run(tool: Any, *arguments: Any, **options: Any) -> Any:
            chosen = method if current.get() is None else base
            return chosen(tool, *arguments, **options)

        return run

    return wrap


def gate_invoke(method: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the `invoke` of structured tools, gated. A structured tool that only wraps another tool is left out: the other
    tool is gated itself.
    """

    @functools.wraps(method)
    def invoke(tool: CrewStructuredTool, input: Any, *arguments: Any, **options: Any) -> Any:  # noqa: A002 -- CrewAI's name
        place = _find_place(tool)
        if place is None or _stands_for_another(tool):
            return method(tool, input, *arguments, **options)

        def perform(**changed: Any) -> Any:
            return method(tool, changed, *arguments, **options)

        return call_sync(place, tool, _read_given(input), perform)

    return invoke


def gate_ainvoke(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Returns the `ainvoke` of structured tools, gated. Inside of a gate a function that is not asynchronous is called by
    `invoke`: CrewAI's own way runs it in a thread that lacks the caller's context, and so the gate.
    """

    @functools.wraps(method)
    async def ainvoke(tool: CrewStructuredTool, input: Any, *arguments: Any, **options: Any) -> Any:  # noqa: A002 -- CrewAI's name
        if current.get() is not None and not inspect.iscoroutinefunction(tool.func):
            return await asyncio.to_thread(tool.invoke, input, *arguments, **options)
        place = _find_place(tool)
        if place is None or _stands_for_another(tool):
            return await method(tool, input, *arguments, **options)

        async def perform(**changed: Any) -> Any:
            return await method(tool, changed, *arguments, **options)

        return await call_async(place, tool, _read_given(input), perform)

    return ainvoke


def _read_given(given: Any) -> Mapping[str, Any]:
    """Returns the arguments that a structured tool is invoked with, which may be JSON."""
    return cast("Mapping[str, Any]", json.loads(given) if isinstance(given, str) else given)


def _stands_for_another(tool: Any) -> bool:
    return getattr(tool, "_original_tool", None) is not None


def gate_cache(method: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the method that reads CrewAI's cache of results, so that each answer from the cache is a step, too: otherwise the
    guards would not see a loop of cached calls.

    An effect whose result is in the cache is not made again, so it is not a step.
    """

    @functools.wraps(method)
    def read(cache: Any, tool: str, input: str) -> Any:  # noqa: A002 -- CrewAI's name
        found = method(cache, tool, input)
        place = current.get()
        if found is None or place is None or place.run.tools.find_kind(sanitize_tool_name(tool)) == "effect":
            return found

        def give(**arguments: Any) -> Any:
            return found

        return call_sync(place, _Named(tool), _read_input(input), give)

    return read


class _Named:
    """Stands for a tool of which only the name is known."""

    def __init__(self, name: str) -> None:
        self.name = name


def _read_input(text: str) -> dict[str, Any]:
    try:
        given: Any = json.loads(text) if text else {}
    except ValueError:
        given = text
    return cast("dict[str, Any]", given) if isinstance(given, dict) else {"input": given}


def gate_functions(place: CrewPlace, options: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of a model's call with its `available_functions` gated: the model's class calls these by itself.

    Functions of CrewAI stay as they are: they call tools that are gated, or only return what the model has written.
    """
    functions: Mapping[str, Callable[..., Any]] = options.get("available_functions") or {}
    if not functions:
        return options
    return {
        **options,
        "available_functions": {name: _gate_function(place, name, each) for name, each in functions.items()},
    }


def _gate_function(place: CrewPlace, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    is_of_crewai = str(getattr(function, "__module__", "")).partition(".")[0] == "crewai"
    if is_of_crewai or isinstance(getattr(function, "__self__", None), BaseTool):
        return function

    @functools.wraps(function)
    def gated(*arguments: Any, **options: Any) -> Any:
        value = call_sync(place, _Named(name), _bind(function, arguments, options), function)
        return write_refusal(value)

    return gated


def name_call(method: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the method that performs one call of a model's reply, so that the call's id is known while it runs."""

    @functools.wraps(method)
    def perform(*arguments: Any, **options: Any) -> Any:
        token = native_call.set(_find_id(arguments, options))
        try:
            return method(*arguments, **options)
        finally:
            native_call.reset(token)

    return perform


def _find_id(arguments: tuple[Any, ...], options: Mapping[str, Any]) -> str:
    if "call_id" in options:
        return str(options["call_id"])
    for given in (*arguments[:2], options.get("tool_call")):
        if given is not None and (info := extract_tool_call_info(given)) is not None:
            return str(info[0])
    return ""
