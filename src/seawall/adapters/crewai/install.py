"""Wraps CrewAI's classes, once for the process. Outside of a gate each wrapper only calls the original.

CrewAI's own hooks can't hold a gate: CrewAI swallows what a hook raises, and then calls the tool.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from crewai.agent.core import Agent
from crewai.agents.cache.cache_handler import CacheHandler
from crewai.crew import Crew
from crewai.flow.runtime import Flow
from crewai.llms.base_llm import BaseLLM
from crewai.memory.unified_memory import Memory
from crewai.task import Task
from crewai.tools.base_tool import BaseTool, Tool
from crewai.tools.structured_tool import CrewStructuredTool
from crewai.utilities.agent_utils import is_inside_event_loop
from crewai.utilities.internal_instructor import InternalInstructor

from seawall.adapters.crewai.frames import (
    describe_crew,
    describe_kickoff,
    describe_task,
    gate_thread,
    leave_work,
    note_agent,
    note_answer,
    note_crew,
    raise_gate_error,
    work_async,
    work_sync,
)
from seawall.adapters.crewai.metering import meter_usage
from seawall.adapters.crewai.models import gate_acall, gate_call, gate_instructor
from seawall.adapters.crewai.place import current
from seawall.adapters.crewai.tools import (
    gate_ainvoke,
    gate_arun,
    gate_cache,
    gate_invoke,
    gate_run,
    name_call,
    run_below,
)
from seawall.core.errors import Misused

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]
_MARK = "_seawall_gated"
_LOOPS = (
    "crewai.utilities.agent_utils",
    "crewai.agents.step_executor",
    "crewai.agents.agent_executor",
    "crewai.agents.crew_agent_executor",
    "crewai.experimental.agent_executor",
)
"""Modules that hold the loop of an agent, in one version of CrewAI or another."""


def _wrap(owner: Any, name: str, wrap: Wrap) -> None:
    """Wraps a method once. Raises `Misused` if the class does not define it, because then its calls can't be gated."""
    method: Any = owner.__dict__.get(name)  # a method of a base class does not count
    if method is None:
        raise Misused(f"this version of CrewAI has no {owner.__name__}.{name}, so the adapter can't gate it")
    if not getattr(method, _MARK, False):
        gated = wrap(method)
        setattr(gated, _MARK, True)
        setattr(owner, name, gated)


def install() -> None:
    """Wraps the methods that call models and tools, in all present and future classes. Safe to call again."""
    _watch_subclasses(BaseLLM, _gate_models)
    _watch_subclasses(BaseTool, _gate_tools)
    _wrap(Tool, "run", run_below(BaseTool.run))
    _wrap(Tool, "arun", run_below(BaseTool.arun))
    _wrap(CrewStructuredTool, "invoke", gate_invoke)
    _wrap(CrewStructuredTool, "ainvoke", gate_ainvoke)
    _wrap(CacheHandler, "read", gate_cache)
    _wrap(InternalInstructor, "to_pydantic", gate_instructor)
    _wrap(Memory, "_submit_save", leave_work)
    _wrap(Crew, "kickoff", _gate_crew)
    _wrap(Crew, "akickoff", _gate_crew_async)
    _wrap(Crew, "replay", _gate_replay)
    _wrap(Flow, "kickoff", _gate_flow)
    _wrap(Flow, "kickoff_async", _gate_flow_async)
    _wrap(Task, "_execute_task_async", gate_thread)
    _wrap(Agent, "kickoff", _gate_agent)
    _wrap(Agent, "kickoff_async", _gate_agent_async)
    _wrap(Agent, "execute_task", _gate_task)
    _wrap(Agent, "aexecute_task", _gate_task_async)
    _name_calls()


def _watch_subclasses(base: type[Any], gate: Callable[[type[Any]], None]) -> None:
    for kind in (base, *_list_subclasses(base)):
        gate(kind)
    method: Any = vars(base).get("__init_subclass__")
    original = None if method is None else method.__func__
    if getattr(original, _MARK, False):
        return

    def init_subclass(cls: type[Any], **options: Any) -> None:
        if original is None:
            super(base, cls).__init_subclass__(**options)
        else:
            original(cls, **options)
        gate(cls)

    setattr(init_subclass, _MARK, True)
    setattr(base, "__init_subclass__", classmethod(init_subclass))  # noqa: B010 -- CrewAI's class, not ours


def _list_subclasses(base: type[Any]) -> list[type[Any]]:
    found = base.__subclasses__()
    return [*found, *(each for kind in found for each in _list_subclasses(kind))]


def _gate_models(kind: type[Any]) -> None:
    """Gates the calls of a class of models, inside of CrewAI's retries: each attempt is a step."""
    own = vars(kind)
    if "_track_token_usage_internal" in own:
        _wrap(kind, "_track_token_usage_internal", meter_usage)
    if kind is BaseLLM:
        return
    for name, wrap in (("call", gate_call), ("acall", gate_acall)):
        method = own.get(name)
        if method is None or getattr(method, _MARK, False) or getattr(method, "__isabstractmethod__", False):
            continue
        retried = getattr(method, "_crewai_rate_limit_wrapped", False)
        gated = wrap(method.__wrapped__ if retried else method)
        setattr(gated, _MARK, True)
        setattr(kind, name, gated)
        if retried:
            kind._wrap_call_method(name)  # noqa: SLF001 -- CrewAI's own way to put its retries around it


def _gate_tools(kind: type[Any]) -> None:
    """Gates the code of a class of tools, and its own `run` and `arun` if it overrides those of the base class."""
    if kind is BaseTool:
        return
    own = [("_run", gate_run), ("_arun", gate_arun)]
    if kind is not Tool:
        own += [("run", gate_run), ("arun", gate_arun)]
    for name, wrap in own:
        method = vars(kind).get(name)
        if inspect.isfunction(method) and not getattr(method, "__isabstractmethod__", False):
            _wrap(kind, name, wrap)


def _name_calls() -> None:
    """Wraps the agents' loops so that each tool knows for which call of a reply it is performed.

    Raises `Misused` if no loop was found.
    """
    found = False
    for path in _LOOPS:
        try:
            module = importlib.import_module(path)
        except ImportError:
            continue
        if "execute_single_native_tool_call" in vars(module):
            _wrap(module, "execute_single_native_tool_call", name_call)
        for kind in vars(module).values():
            if inspect.isclass(kind) and "_execute_single_native_tool_call" in vars(kind):
                _wrap(kind, "_execute_single_native_tool_call", name_call)
                found = True
    if not found:
        raise Misused(
            "this version of CrewAI performs the calls of a reply in a place that the adapter does not know"
        )


# ---- crews, and agents at work


def _gate_crew(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def kickoff(crew: Crew, inputs: Any = None, *arguments: Any, **options: Any) -> Any:
        place = current.get()
        if place is None:
            return method(crew, inputs, *arguments, **options)
        place.run.note_request(describe_crew(crew, inputs))
        note_crew(place.run, crew)
        with raise_gate_error(place):
            result = method(crew, inputs, *arguments, **options)
        note_answer(place, result)
        return result

    return kickoff


def _gate_crew_async(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def akickoff(crew: Crew, inputs: Any = None, *arguments: Any, **options: Any) -> Any:
        place = current.get()
        if place is None:
            return await method(crew, inputs, *arguments, **options)
        place.run.note_request(describe_crew(crew, inputs))
        note_crew(place.run, crew)
        with raise_gate_error(place):
            result = await method(crew, inputs, *arguments, **options)
        note_answer(place, result)
        return result

    return akickoff


def _gate_replay(method: Callable[..., Any]) -> Callable[..., Any]:
    def perform(crew: Crew, inputs: Any, task_id: str) -> Any:
        return method(crew, task_id, inputs)

    kickoff = _gate_crew(perform)

    @functools.wraps(method)
    def replay(crew: Crew, task_id: str, inputs: Any = None) -> Any:
        return kickoff(crew, inputs, task_id)

    return replay


def _gate_flow(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def kickoff(flow: Any, *arguments: Any, **options: Any) -> Any:
        place = current.get()
        with contextlib.nullcontext() if place is None else raise_gate_error(place):
            return method(flow, *arguments, **options)

    return kickoff


def _gate_flow_async(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def kickoff_async(flow: Any, *arguments: Any, **options: Any) -> Any:
        place = current.get()
        with contextlib.nullcontext() if place is None else raise_gate_error(place):
            return await method(flow, *arguments, **options)

    return kickoff_async


def _gate_agent(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def kickoff(agent: Agent, messages: Any, *arguments: Any, **options: Any) -> Any:
        place = current.get()
        if place is None or is_inside_event_loop():  # then it is `kickoff_async`
            return method(agent, messages, *arguments, **options)
        work = describe_kickoff(agent, messages)
        place.run.note_request(work.task)
        note_agent(place.run, agent)
        with raise_gate_error(place):
            result = work_sync(place, work, lambda: method(agent, messages, *arguments, **options))
        note_answer(place, result)
        return result

    return kickoff


def _gate_agent_async(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def kickoff_async(agent: Agent, messages: Any, *arguments: Any, **options: Any) -> Any:
        place = current.get()
        if place is None:
            return await method(agent, messages, *arguments, **options)
        work = describe_kickoff(agent, messages)
        place.run.note_request(work.task)
        note_agent(place.run, agent)
        with raise_gate_error(place):
            result = await work_async(place, work, lambda: method(agent, messages, *arguments, **options))
        note_answer(place, result)
        return result

    return kickoff_async


def _gate_task(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def execute_task(agent: Agent, task: Any, context: Any = None, tools: Any = None) -> Any:
        place = current.get()
        if place is None:
            return method(agent, task, context, tools)
        return work_sync(
            place, describe_task(agent, task, context), lambda: method(agent, task, context, tools)
        )

    return execute_task


def _gate_task_async(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def aexecute_task(agent: Agent, task: Any, context: Any = None, tools: Any = None) -> Any:
        place = current.get()
        if place is None:
            return await method(agent, task, context, tools)
        return await work_async(
            place, describe_task(agent, task, context), lambda: method(agent, task, context, tools)
        )

    return aexecute_task
