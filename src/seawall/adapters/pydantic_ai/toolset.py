"""The wrapper around an agent's tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import WrapperToolset
from pydantic_ai.toolsets.abstract import ToolsetTool

from seawall.adapters.pydantic_ai.run import GatedAgentRun


@dataclass
class GatedToolset(WrapperToolset[Any]):
    """Takes each call of a tool through the gate, with the arguments that it is really made with."""

    run: GatedAgentRun

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """Performs the call if the gate allows it. Returns its value, the recorded value, or the gate's answer in its place."""

        async def call(arguments: dict[str, Any]) -> Any:
            return await self.wrapped.call_tool(name, arguments, ctx, tool)

        return await self.run.call_tool(name, tool_args, ctx, tool, call)
