"""The framework's tools: which one is called, and which tools of an agent can't be gated."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from agent_framework import BaseAgent, FunctionInvocationContext, FunctionTool

from seawall.runtime.foreign.engine import Engine


def list_not_gated(tools: Sequence[Any], engine: Engine) -> Iterator[str]:
    """Yields the tools that can't be gated, each with the reason. An agent that is used as a tool can, by a gate of its own."""
    for tool in tools:
        if not isinstance(tool, FunctionTool):
            yield f"hosted tool {_name_hosted(tool)!r}: the model's provider runs it"
        elif tool.declaration_only:
            yield f"declared tool {tool.name!r}: the caller performs it"
        elif (agent := _find_agent(tool)) is not None:
            gates = (getattr(each, "engine", None) for each in agent.middleware or ())
            if not any(each is engine for each in gates):
                yield f"agent {agent.name!r} in tool {tool.name!r}: it has no gate of this engine"


def find_tool(context: FunctionInvocationContext) -> FunctionTool:
    """Returns the framework's tool that is about to be called."""
    return context.function


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
