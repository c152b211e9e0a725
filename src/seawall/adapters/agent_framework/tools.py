"""The framework's tools: which one is called, and which tools of an agent can't be gated."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from agent_framework import (
    AgentExecutor,
    BaseAgent,
    FunctionInvocationContext,
    FunctionTool,
    SupportsAgentRun,
    Workflow,
    WorkflowAgent,
    WorkflowExecutor,
)

from seawall.runtime.foreign.engine import Engine


def list_not_gated(tools: Sequence[Any], engine: Engine) -> Iterator[str]:
    """Yields the tools that can't be gated, each with the reason. An agent that is used as a tool can, by a gate of its own."""
    for tool in tools:
        if not isinstance(tool, FunctionTool):
            yield f"hosted tool {_name_hosted(tool)!r}: the model's provider runs it"
        elif tool.declaration_only:
            yield f"declared tool {tool.name!r}: the caller performs it"
        elif (agent := _find_agent(tool)) is not None:
            for each in _list_agents(agent):
                if not _has_gate(each, engine):
                    yield f"agent {each.name!r} in tool {tool.name!r}: it has no gate of this engine"


def find_tool(context: FunctionInvocationContext) -> FunctionTool:
    """Returns the framework's tool that is about to be called."""
    return context.function


def _list_agents(agent: BaseAgent | SupportsAgentRun) -> Iterator[BaseAgent | SupportsAgentRun]:
    """Yields an agent; of a workflow that is used as an agent, the agents in it."""
    if isinstance(agent, WorkflowAgent):
        yield from _list_members(agent.workflow)
    else:
        yield agent


def _list_members(workflow: Workflow) -> Iterator[BaseAgent | SupportsAgentRun]:
    for executor in workflow.executors.values():
        if isinstance(executor, AgentExecutor):
            yield from _list_agents(executor.agent)
        elif isinstance(executor, WorkflowExecutor):
            yield from _list_members(executor.workflow)


def _has_gate(agent: BaseAgent | SupportsAgentRun, engine: Engine) -> bool:
    gates = (getattr(each, "engine", None) for each in getattr(agent, "middleware", None) or ())
    return any(each is engine for each in gates)


def _name_hosted(tool: object) -> str:
    name = type(tool).__name__
    return str(cast("Mapping[str, object]", tool).get("type", name)) if isinstance(tool, Mapping) else name


def _find_agent(tool: FunctionTool) -> BaseAgent | None:
    """Returns the agent that a tool of `as_tool` runs. The framework keeps it only in the closure of the tool's function."""
    function = tool.func
    if not inspect.isfunction(function) or function.__closure__ is None:
        return None
    variables = dict(zip(function.__code__.co_freevars, function.__closure__, strict=True))
    cell = variables.get("self")
    agent = None if cell is None else cell.cell_contents
    return agent if isinstance(agent, BaseAgent) else None
