"""Takes each call of a tool and a model through the gate, with the arguments that it is really made with.

ADK calls hooks before a call and after it. Other plugins and an agent's own callbacks may change the call between the two,
change its result, or keep a hook from being called. So a hook only finds the tool or the model that is about to be called,
and replaces the object's class by a subclass. The subclass takes a call through the gate if the call belongs to an invocation
that has the plugin, and otherwise only calls the original.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from contextvars import ContextVar
from functools import partial
from types import new_class
from typing import Any, cast

from google.adk.agents.invocation_context import InvocationContext
from google.adk.agents.readonly_context import ReadonlyContext
from google.adk.models import FallbackModel
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext

from seawall.adapters.google_adk.invocation import GatedInvocation
from seawall.adapters.google_adk.places import AdkPlace
from seawall.core.errors import Misused


class Invocations:
    """The invocations of a plugin that are in progress, by their ids."""

    def __init__(self) -> None:
        self._known: dict[str, GatedInvocation] = {}

    def __repr__(self) -> str:
        return f"<Invocations {len(self._known)}>"

    def add(self, invocation_id: str, invocation: GatedInvocation) -> None:
        """Adds an invocation that begins."""
        self._known[invocation_id] = invocation

    def find(self, invocation_id: str) -> GatedInvocation | None:
        """Returns an invocation; None if it is not gated."""
        return self._known.get(invocation_id)

    def take(self, invocation_id: str) -> GatedInvocation | None:
        """Returns an invocation and forgets it."""
        return self._known.pop(invocation_id, None)

    def forget(self, invocation_id: str, invocation: GatedInvocation) -> None:
        """Forgets an invocation that ADK has abandoned without calling a hook, unless it has been resumed."""
        if self._known.get(invocation_id) is invocation:
            del self._known[invocation_id]


class _ExpectedCall:
    """A call of a model that is about to be made."""

    def __init__(
        self, request: LlmRequest, invocation: GatedInvocation, place: AdkPlace, is_one: bool
    ) -> None:
        """`is_one`: a call that the model itself makes with the same request is a part of this call. It is False for a
        `FallbackModel`, each of whose candidates makes a call of its own.
        """
        self.request, self.invocation, self.place, self.is_one = request, invocation, place, is_one
        self.was_made = False

    def __repr__(self) -> str:
        return f"<_ExpectedCall of {self.place.agent}, made: {self.was_made}>"

    def take(self, request: LlmRequest) -> bool:
        """Returns whether a call with this request is the expected one, or one of its candidates."""
        expected = request is self.request and not (self.is_one and self.was_made)
        self.was_made = self.was_made or expected
        return expected


_expected: ContextVar[_ExpectedCall | None] = ContextVar("seawall_google_adk_model_call", default=None)


def _make_tool_class(kind: type[Any]) -> type[Any]:
    """Returns a subclass of a tool's class whose calls pass the gate."""

    async def run_async(self: Any, *, args: dict[str, Any], tool_context: ToolContext) -> Any:
        call = partial(kind.run_async, self)
        invocation = _find_invocation(tool_context.get_invocation_context())
        if invocation is None:
            return await call(args=args, tool_context=tool_context)
        return await invocation.call_tool(self, args, tool_context, call)

    return _derive(kind, run_async=run_async)


def _make_model_class(kind: type[Any]) -> type[Any]:
    """Returns a subclass of a model's class whose calls pass the gate. A call that no agent makes is not gated."""

    async def generate_content_async(
        self: Any, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        call = partial(kind.generate_content_async, self)
        expected = _expected.get()
        if expected is None or not expected.take(llm_request):
            responses = call(llm_request, stream)
        else:
            responses = expected.invocation.ask_model(self, llm_request, stream, expected.place, call)
        async with contextlib.aclosing(responses):
            async for response in responses:
                yield response

    return _derive(kind, generate_content_async=generate_content_async)


def _derive(kind: type[Any], **methods: Any) -> type[Any]:
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, **methods}
    return new_class(kind.__name__, (kind,), exec_body=lambda body: body.update(names))


def _find_invocation(context: InvocationContext) -> GatedInvocation | None:
    for plugin in context.plugin_manager.plugins:
        found = getattr(plugin, "invocations", None)
        if isinstance(found, Invocations):
            return found.find(context.invocation_id)
    return None


_made: dict[type[Any], type[Any]] = {}
"""The gated subclass of each class; a gated class is its own. There are as many as a program has classes of tools and models."""


def _gate(what: Any, make: Callable[[type[Any]], type[Any]], name: str) -> None:
    kind = cast("type[Any]", type(what))
    gated = _made.get(kind)
    if gated is kind:
        return
    if gated is None:
        gated = _made[kind] = make(kind)
        _made[gated] = gated
    try:
        object.__setattr__(what, "__class__", gated)
    except TypeError as error:
        raise Misused(f"{name} can't be gated: {error}") from error


def gate_tool(tool: BaseTool) -> None:
    """Takes each call of a tool through the gate of the invocation that it belongs to.

    Raises `Misused` for an object whose class can't be replaced.
    """
    _gate(tool, _make_tool_class, f"tool {tool.name!r} ({type(tool).__name__})")


async def expect_call(
    invocation: GatedInvocation, context: InvocationContext, request: LlmRequest, place: AdkPlace
) -> None:
    """Takes the call of a model that an agent is about to make through the gate.

    Raises `Misused` for an agent that creates a new model object for each call.
    """
    agent: Any = context.agent
    reading = ReadonlyContext(context)
    model = await agent.canonical_model_async(reading)
    if await agent.canonical_model_async(reading) is not model:
        raise Misused(
            f"agent {place.agent!r} creates a new model object for each call, which can't be gated: give it one model object "
            "that it keeps"
        )
    candidates = _list_candidates(model)
    for each in candidates:
        _gate(each, _make_model_class, f"model {each.model!r} ({type(each).__name__})")
    _expected.set(_ExpectedCall(request, invocation, place, candidates == [model]))


def check_call(invocation: GatedInvocation) -> None:
    """Raises `Misused` if the model that has replied was not called through the gate: it is not the expected one."""
    expected = _expected.get()
    if expected is not None and expected.invocation is invocation and not expected.was_made:
        raise Misused(f"agent {expected.place.agent!r} has called another model than its own, past the gate")


def _list_candidates(model: BaseLlm) -> list[BaseLlm]:
    """Returns the models that a call may reach: each candidate of a `FallbackModel`, or the model itself."""
    if not isinstance(model, FallbackModel):
        return [model]
    inner = [model._delegate(each) for each in model.models]  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] -- it turns names into models, and caches them
    return [each for one in inner for each in _list_candidates(one)]
