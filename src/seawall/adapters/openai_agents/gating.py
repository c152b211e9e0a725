"""Gated copies of agents, tools and hand-offs. The user's own objects stay as they are.

A gated copy is shallow, and made once for a runner, because `RunState` and approvals of the SDK know agents by identity. It
holds no state of a run; a context variable says which run a call belongs to (`place.py`). When a run begins, the copy takes
over what the user has changed in the agent.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import inspect
import itertools
import threading
import traceback
import weakref
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any, cast

import msgspec
from agents.agent import Agent
from agents.exceptions import ModelBehaviorError, ToolTimeoutError
from agents.handoffs import Handoff, handoff
from agents.memory import is_openai_responses_compaction_aware_session
from agents.models.interface import Model
from agents.run_config import RunConfig, ToolErrorFormatterArgs
from agents.run_context import RunContextWrapper
from agents.tool import (
    FunctionTool,
    LocalShellTool,
    Tool,
    default_tool_error_function,
    default_tool_timeout_error_message,
    invoke_function_tool,
    maybe_invoke_function_tool_failure_error_function,
    resolve_function_tool_failure_error_function,
    set_function_tool_failure_error_function,
)
from agents.tool_context import ToolContext

from seawall.adapters.openai_agents.client_tools import (
    ClientTool,
    GatedClientTool,
    as_client_tool,
    get_gated_client_tool,
)
from seawall.adapters.openai_agents.models import gate_model
from seawall.adapters.openai_agents.place import (
    AgentsRefused,
    CallPlace,
    RaisedInstead,
    convert_refusal,
    enter_place,
    find_invocation,
)
from seawall.adapters.openai_agents.replies import (
    add_result_notes,
    read_arguments,
    read_operation,
    recall_result,
    write_result_text,
    write_value,
)
from seawall.core.canonical import to_canonical_bytes
from seawall.core.errors import Misused
from seawall.run.step import Result
from seawall.runtime.foreign.asks import Turn
from seawall.runtime.foreign.results import make_failure, make_tool_result
from seawall.runtime.foreign.session import Performed
from seawall.runtime.foreign.tools import ToolDeclarations

MAX_AGENTS = 1000
"""Agents whose gated copies a runner keeps. An application has some dozen agents; the bound is for one that makes new agents
for each request."""

_failure: ContextVar[list[BaseException] | None] = ContextVar("seawall_openai_agents_failure", default=None)
"""Set while a tool is performed: the errors that the tool has raised, before the SDK turns them into text."""


class _GatedAgent:
    """The methods of a gated copy of an agent that differ from the agent's, mixed into the agent's class."""

    def __eq__(self, other: object) -> bool:
        return get_original(self) is get_original(other)

    __hash__ = None  # type: ignore[assignment] # pyright: ignore[reportAssignmentType] -- as the SDK's agents

    async def get_all_tools(self, run_context: Any) -> list[Tool]:
        """Returns the agent's tools, gated: those of MCP servers and those that a hook has added, too."""
        invocation = find_invocation()
        await invocation.open()  # the SDK asks for the tools before it calls the model
        found = cast("list[Tool]", await super().get_all_tools(run_context))  # type: ignore[misc] # pyright: ignore -- of the agent's own class
        invocation.working = self
        gate = invocation.run.gate
        return [gate.gate_tool(tool) for tool in found]

    async def get_system_prompt(self, run_context: Any) -> str | None:
        """Returns the instructions. If a function makes them, it is given the user's own agent."""
        own = self.__dict__.get("_seawall_original")
        if own is not None and own.instructions is getattr(self, "instructions", None):
            return await own.get_system_prompt(run_context)
        return await super().get_system_prompt(run_context)  # type: ignore[misc] # pyright: ignore -- of the agent's own class


_classes: dict[type[Any], type[Any]] = {}
"""The class of the gated copies, by class of agents. A program has a handful."""


def get_original(agent: Any) -> Any:
    """Returns the user's own agent or hand-off. Results, hooks and guardrails have gated copies; that of an agent is equal
    (`==`), not identical.
    """
    return getattr(agent, "__dict__", {}).get("_seawall_original", agent)


def is_gated(agent: Any) -> bool:
    """Returns whether this is a gated copy of an agent."""
    return isinstance(agent, _GatedAgent)


class AgentGate:
    """Makes the gated copies for one runner."""

    def __init__(
        self,
        tools: ToolDeclarations,
        note_not_gated: Callable[[str], None],
        not_done: tuple[type[BaseException], ...],
    ) -> None:
        self.tools = tools
        self._note_not_gated, self._not_done = note_not_gated, not_done
        self._lock = threading.RLock()
        self._agents: dict[int, Any] = {}
        """The gated copies by `id` of the user's agent. Each copy keeps its agent alive."""
        self._handoffs: dict[int, tuple[Any, Any, Handoff[Any, Any]]] = {}
        """By `id` of an entry in an agent's `handoffs`: the entry, its state, and its gated copy."""
        self._tools: weakref.WeakValueDictionary[int, FunctionTool] = weakref.WeakValueDictionary()
        """The gated copies by `id` of the user's tool. Each copy keeps its tool alive."""
        self._client_tools: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        """The same of tools that are no functions."""

    def __repr__(self) -> str:
        return f"<AgentGate of {len(self._agents)} agents>"

    # ---- agents

    def gate_agent(self, agent: Any) -> Any:
        """Returns the gated copy of an agent as it is now. All that the agent can reach is gated, too."""
        with self._lock:
            if len(self._agents) > MAX_AGENTS:
                self._agents, self._handoffs = {}, {}
            return self._gate_agent(get_original(agent), set())

    def _gate_agent(self, agent: Any, seen: set[int]) -> Any:
        gated = self._agents.get(id(agent))
        if id(agent) in seen:
            return gated
        seen.add(id(agent))
        if gated is None:
            gated = self._agents[id(agent)] = object.__new__(_find_class(agent.__class__))
            gated.__dict__.update(agent.__dict__, _seawall_original=agent)
        tools = [self.gate_tool(get_original_tool(tool) or tool, seen) for tool in agent.tools]
        handoffs = [self._gate_handoff(each, seen) for each in agent.handoffs]
        known = gated.__dict__
        for name, value in agent.__dict__.items():  # what the user has changed meanwhile
            if name not in ("tools", "handoffs", "model") and not name.startswith("_"):
                known[name] = value
        if not _are_same(known["tools"], tools):
            gated.tools = tools
        if not _are_same(known["handoffs"], handoffs):
            gated.handoffs = handoffs
        if isinstance(agent.model, Model):
            if getattr(known["model"], "_inner", None) is not agent.model:
                known["model"] = gate_model(agent.model)
        else:
            known["model"] = agent.model
        return gated

    def _gate_handoff(self, given: Any, seen: set[int]) -> Handoff[Any, Any]:
        each = get_original(given)
        is_agent = isinstance(each, cast("type[Any]", Agent))
        ref = None if is_agent else getattr(each, "_agent_ref", None)
        found: Any = each if is_agent else None if ref is None else ref()
        target: Any = None if found is None else self._gate_agent(get_original(found), seen)
        state = (each.name, each.handoff_description) if is_agent else dict(each.__dict__)
        known = self._handoffs.get(id(each))
        if known is None or known[1] != state:
            made: Handoff[Any, Any] = handoff(target) if is_agent else each
            gated = dataclasses.replace(made, on_invoke_handoff=self._make_handoff(made))
            tell = _make_transfer_message(made)
            setattr(gated, "get_transfer_message", tell)  # noqa: B010 -- of this hand-off alone
            gated._agent_ref = None if target is None else weakref.ref(target)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] -- `replace` leaves it out
            gated.__dict__["_seawall_original"] = each
            known = self._handoffs[id(each)] = each, state, gated
        return known[2]

    def _make_handoff(self, made: Handoff[Any, Any]) -> Any:
        async def invoke(context: RunContextWrapper[Any], arguments: str) -> Any:
            invocation = find_invocation()
            run = invocation.run
            run.check()
            agent = await made.on_invoke_handoff(context, arguments)
            gated = self.gate_agent(agent)
            call = next((call[0] for call in invocation.calls if call[1] == made.tool_name), "")
            invocation.refusal = ""
            try:
                with run.translate_errors(), convert_refusal():
                    asked = run.session.handoff(
                        invocation.agent,
                        agent.name,
                        arguments or "{}",
                        call_id=call,
                        frame=invocation.frame,
                        transfers=True,
                    )
                    invocation.frame = await run.session.open_frame(asked)
            except AgentsRefused as refused:
                invocation.refusal = str(refused)
                return invocation.working
            invocation.frames.append(invocation.frame)
            invocation.agent = agent.name
            return gated

        return invoke

    def note_session(self, session: Any) -> None:
        """Notes a session that asks a model by itself, to make the conversation shorter."""
        if is_openai_responses_compaction_aware_session(session):
            self._note_not_gated(f"{type(session).__name__} of OpenAI Agents: it asks a model by itself")

    # ---- tools

    def gate_tool(self, tool: Tool, seen: set[int] | None = None) -> Tool:
        """Returns the gated copy of a tool that is called in this process. Another one can't be gated: it is noted and returned."""
        if not isinstance(tool, FunctionTool):
            return self._gate_client_tool(tool)
        if isinstance(tool.on_invoke_tool, _GatedInvoker):
            return tool
        gated = self._tools.get(id(tool))
        if gated is None or not cast("_GatedInvoker", gated.on_invoke_tool).is_current():
            gated = self._make_tool(tool)
            self._tools[id(tool)] = gated
        agent = getattr(tool, "_agent_instance", None)
        if agent is not None:
            gated._agent_instance = self._gate_agent(get_original(agent), set() if seen is None else seen)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] -- a RunState finds the agent there
        return gated

    def _gate_client_tool(self, tool: Tool) -> Tool:
        own = as_client_tool(tool)
        if own is None:
            self._note_not_gated(
                f"{type(tool).__name__} {tool.name!r} of OpenAI Agents: it is run by the provider or by the SDK itself"
            )
            return tool
        if get_gated_client_tool(tool) is not None:
            return tool
        known = get_gated_client_tool(gated := self._client_tools.get(id(tool)))
        if gated is None or known is None or not known.is_current():
            gated = GatedClientTool(own, self._not_done).make_copy()
            is_effect = self.tools.find_kind(tool.name) == "effect"
            if not isinstance(own, LocalShellTool) and (is_effect or own.needs_approval is not False):
                gated.needs_approval = _make_approval(own, is_effect=is_effect)
            self._client_tools[id(tool)] = gated
        return gated

    def _make_tool(self, tool: FunctionTool) -> FunctionTool:
        is_effect = self.tools.find_kind(tool.name) == "effect"
        is_agent = bool(getattr(tool, "_is_agent_tool", False))
        if is_effect and is_agent:
            raise Misused(
                f"{tool.name!r} is an agent, and declared as an effect: declare the tools that this agent has"
            )
        gated = copy.copy(tool)
        gated.on_invoke_tool = _GatedInvoker(tool, is_agent, self._not_done)
        gated.timeout_seconds = None  # the tool's time does not run while the gate waits: see `_GatedInvoker`
        if is_effect or (tool.needs_approval is not False and not is_agent):
            gated.needs_approval = _make_approval(tool, is_effect=is_effect)
        return gated


def _make_transfer_message(made: Handoff[Any, Any]) -> Callable[[Any], str]:
    """Returns a function that writes the result of a hand-off's call: the SDK's text, or why the hand-off was refused."""

    def write(agent: Any) -> str:
        return find_invocation().refusal or made.get_transfer_message(agent)

    return write


def _find_class(kind: type[Any]) -> type[Any]:
    if issubclass(kind, _GatedAgent):  # `clone` was called on a gated copy
        return kind
    found = _classes.get(kind)
    if found is None:
        found = _classes[kind] = type(f"Gated{kind.__name__}", (_GatedAgent, kind), {})
    return found


def _are_same(old: list[Any], new: list[Any]) -> bool:
    """Returns whether two lists have the same items. An agent keeps its list then: the SDK takes a new list for a change while
    runs share the agent.
    """
    return len(old) == len(new) and all(a is b for a, b in zip(old, new, strict=True))


async def needs_own_approval(tool: Any, context: Any, asked: Any, call_id: str) -> bool:
    """Returns whether the user's own policy asks a person. `asked` is what the SDK gives the policy: a function's arguments, a
    custom tool's text, or what a shell or a patch is to do.
    """
    policy = getattr(tool, "needs_approval", False)
    if isinstance(policy, bool):
        return policy
    found = policy(context, asked, call_id)
    return bool(await found if inspect.isawaitable(found) else found)


def _make_approval(tool: FunctionTool | ClientTool, *, is_effect: bool) -> Any:
    """Returns the approval policy of a gated tool: it asks a person if the user's own policy does, or the gate holds the call.

    The user's own policy is not asked about a call that was made already.
    """

    async def needs_approval(context: Any, asked: Any, call_id: str) -> bool:
        invocation = find_invocation()
        run = invocation.run
        if await needs_own_approval(tool, context, asked, call_id):
            with run.translate_errors():
                if not await run.session.is_attempted(invocation.frame, call_id):
                    return True
        if not is_effect:
            return False
        with run.translate_errors():
            arguments = cast("dict[str, Any]", asked) if isinstance(asked, dict) else read_operation(asked)
            held = await run.is_held(invocation.agent, tool.name, arguments, call_id, invocation.frame)
            if held is not None and not (held.proposal and invocation.is_resumable):
                raise held  # an approval of the SDK can't say what became of an earlier attempt, or would go to a function
        return held is not None

    return needs_approval


def get_original_tool(tool: Any) -> Any:
    """Returns the user's own tool of a gated copy; None for another tool."""
    if (gated := get_gated_client_tool(tool)) is not None:
        return gated.tool
    invoker = getattr(tool, "on_invoke_tool", None)
    return invoker.tool if isinstance(invoker, _GatedInvoker) else None


class _GatedInvoker:
    """Calls a function tool through the gate."""

    def __init__(self, tool: FunctionTool, is_agent: bool, not_done: tuple[type[BaseException], ...]) -> None:
        self.tool, self._is_agent, self._not_done = tool, is_agent, not_done
        self._state = dict(tool.__dict__)
        inner = copy.copy(tool)
        self._has_default = resolve_function_tool_failure_error_function(tool) is default_tool_error_function
        as_result = tool.timeout_seconds is not None and tool.timeout_behavior == "error_as_result"
        self._raises = resolve_function_tool_failure_error_function(tool) is None and not as_result
        self._is_formatted = getattr(tool, "_use_default_failure_error_function", True)
        if not self._has_default:
            set_function_tool_failure_error_function(inner, self._note_failure)
        elif not is_agent:
            set_function_tool_failure_error_function(inner)  # `_note_failures` notes the errors
        inner.timeout_behavior = "raise_exception"
        inner.on_invoke_tool = _declare_once_inspected(inner)
        self._inner = inner
        _declare(self)

    def __repr__(self) -> str:
        return f"<_GatedInvoker of {self.tool.name}>"

    def is_current(self) -> bool:
        """Returns whether the user has changed nothing of the tool since it was gated."""
        return self._state == self.tool.__dict__

    async def __call__(self, ctx: ToolContext[Any], input: str) -> Any:  # noqa: A002 -- the SDK's name
        """Calls the tool if the gate allows it. Returns its value, the recorded value, or the gate's answer in its place."""
        invocation = find_invocation()
        run = invocation.run
        call_id = ctx.tool_call_id
        told: list[str] | None = [] if self._is_agent else None
        place = CallPlace(invocation, invocation.agent, invocation.frame, call_id, [], self._is_agent, told)
        if self._is_agent:  # the run of the agent opens the frame
            run.check()
            with enter_place(place):
                try:
                    value = await self._invoke(ctx, input)
                except AgentsRefused as refused:
                    value = str(refused)
            run.check()
            return told[-1] if told else value
        arguments = read_arguments(input)
        with run.translate_errors():
            asked = run.session.tool(
                place.agent, self.tool.name, arguments, call_id=call_id, frame=place.frame
            )
            step = run.session.step(
                asked,
                lambda turn: self._perform(ctx, input, place, turn, arguments),
                asking=run.take(place.frame, call_id),
            )
            done = await step
        if self._raises and place.frame and done.settled.replayed and done.settled.status == "error":
            raise RuntimeError(done.settled.text)  # the agent above has gone on after it
        return _write_result(done)

    async def _perform(
        self, ctx: ToolContext[Any], text: str, place: CallPlace, turn: Turn, arguments: dict[str, Any]
    ) -> tuple[Result, Any]:
        if dict(turn.arguments) != arguments:
            text = to_canonical_bytes(dict(turn.arguments)).decode()  # a person has changed them
        failures: list[BaseException] = []
        token = _failure.set(failures)
        try:
            with enter_place(place), self._note_failures(ctx, failures):
                value = await self._invoke(ctx, text)
        except ModelBehaviorError as error:
            if not _is_rejected(error):
                raise
            return self._make_failure(error), RaisedInstead(error)
        finally:
            _failure.reset(token)
        if place.stops:
            raise place.stops[0]  # an agent inside of it was stopped, even if the tool has swallowed that
        if not failures:
            text = write_result_text(value)
            return make_tool_result(text, raw=write_value(value, text)), value
        failed = self._make_failure(failures[-1])
        return msgspec.structs.replace(failed, output=write_result_text(value)), value

    def _make_failure(self, error: BaseException) -> Result:
        """Returns the result of a call that has raised `error`."""
        not_done = (*self._not_done, ModelBehaviorError) if _is_rejected(error) else self._not_done
        return make_failure(error, f"tool {self.tool.name!r}", not_done)

    async def _invoke(self, ctx: ToolContext[Any], text: str) -> Any:
        """Calls the tool itself, with the tool's own timeout."""
        try:
            return await invoke_function_tool(function_tool=self._inner, context=ctx, arguments=text)
        except ToolTimeoutError as error:
            if self.tool.timeout_behavior == "raise_exception":
                raise
            if (failures := _failure.get()) is not None:  # an agent as a tool is not a step
                failures.append(error)
            write = self.tool.timeout_error_function
            if write is None:
                return default_tool_timeout_error_message(
                    tool_name=self.tool.name, timeout_seconds=error.timeout_seconds
                )
            found = write(ctx, error)
            return await found if inspect.isawaitable(found) else found

    @contextlib.contextmanager
    def _note_failures(self, ctx: ToolContext[Any], failures: list[BaseException]) -> Generator[None]:
        """Notes the errors of the tool that the SDK's default error function turns into text.

        That function is not replaced, because with it the SDK keeps details of errors out of its traces.
        """
        if not self._has_default:
            yield
            return
        own = ctx.run_config
        write = None if own is None or not self._is_formatted else own.tool_error_formatter

        def note(told: ToolErrorFormatterArgs[Any]) -> Any:
            if told.error is not None:
                failures.append(told.error)
            return None if write is None else write(told)

        watched = copy.copy(own) if own is not None else RunConfig()
        watched.tool_error_formatter = note
        ctx.run_config = watched
        try:
            yield
        finally:
            ctx.run_config = own

    async def _note_failure(self, context: Any, error: Exception) -> Any:
        """Replaces the tool's own error function, and calls it after it has noted the error for the gate.

        An error that has ended the run is raised again instead.
        """
        run = find_invocation().run
        if run.stop is not None:
            raise run.stop
        failures = _failure.get()
        if failures is not None:
            failures.append(error)
        return await maybe_invoke_function_tool_failure_error_function(
            function_tool=self.tool, context=context, error=error
        )


async def _invoke_whole(ctx: ToolContext[Any], input: str) -> Any:  # noqa: A002 -- the SDK's name
    """Has the signature of a tool's function that takes the whole context of the call."""


_SIGNATURE = inspect.signature(_invoke_whole, eval_str=True)
"""The signature of every invoker, with its types. The SDK asks for it at each call: it would compute the signature again, and
parse the names of the types.
"""


def _declare(invoke: Any) -> None:
    """Declares that a tool's function takes the whole context of the call, in the form that the SDK reads fastest."""
    invoke.__signature__ = _SIGNATURE
    invoke.__annotations__ = {}


def _declare_once_inspected(inner: FunctionTool) -> Callable[[ToolContext[Any], str], Any]:
    """Returns a tool's function. Once the SDK has seen in its signature that it takes the whole context of a call, that is
    declared, so that the SDK does not inspect the function again at each call.
    """
    invoke = inner.on_invoke_tool

    def first(ctx: ToolContext[Any], input: str) -> Any:  # noqa: A002 -- the SDK's name
        if isinstance(cast("object", ctx), ToolContext):  # otherwise the SDK has chosen a part of the context
            inner.on_invoke_tool = known
        return invoke(ctx, input)

    def known(ctx: ToolContext[Any], input: str) -> Any:  # noqa: A002 -- the SDK's name
        return invoke(ctx, input)

    _declare(known)
    first.__annotations__ = {}
    return functools.update_wrapper(first, invoke)


def _is_rejected(error: BaseException) -> bool:
    """Returns whether the SDK has raised an error while it read a call's arguments: then it has not called the function."""
    if not isinstance(error, ModelBehaviorError):
        return False
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    for code, inner in itertools.pairwise(codes):
        if code.co_name == "_on_invoke_tool_impl":  # from here on, it is the function itself that may raise
            return inner.co_name == "_prepare_arguments" and inner.co_filename == code.co_filename
    return False


def _write_result(done: Performed) -> Any:
    settled = done.settled
    if settled.performed:
        if isinstance(done.value, RaisedInstead):
            raise done.value.error
        return add_result_notes(done.value, settled.notes)
    return add_result_notes(recall_result(settled.text, settled.raw), settled.notes)
