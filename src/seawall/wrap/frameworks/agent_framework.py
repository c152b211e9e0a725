"""Microsoft Agent Framework: agents, by their class or by a chat client's method, and their tools."""

from __future__ import annotations

import ast

from seawall.wrap.finding import Gating
from seawall.wrap.frameworks.framework import Framework
from seawall.wrap.inspection import Inspection, name_value
from seawall.wrap.resolving import SourceValue, ends_with, get_argument
from seawall.wrap.source import SourceFile
from seawall.wrap.tools import HOSTED, ToolReader, ToolRules

_PACKAGES = ("agent_framework",)
_AGENTS = frozenset({"Agent", "ChatAgent"})
_METHODS = frozenset({"as_agent", "create_agent"})
_ADAPTER = "seawall.adapters.agent_framework"
RULES = ToolRules(
    framework="agent-framework",
    packages=_PACKAGES,
    makers=frozenset({"tool", "ai_function", "FunctionTool", "AIFunction"}),
    hosted=dict.fromkeys(
        (
            "HostedWebSearchTool",
            "HostedCodeInterpreterTool",
            "HostedFileSearchTool",
            "HostedMCPTool",
            "HostedImageGenerationTool",
            "get_web_search_tool",
            "get_code_interpreter_tool",
            "get_file_search_tool",
            "get_mcp_tool",
            "get_image_generation_tool",
        ),
        HOSTED,
    ),
    servers=frozenset({"MCPStdioTool", "MCPStreamableHTTPTool", "MCPWebsocketTool"}),
)


def _find(inspection: Inspection) -> None:
    app = inspection.app
    for source in app.sources:
        for call in source.calls:
            names = app.find_callees(call, source)
            if any(ends_with(each, _PACKAGES, _AGENTS) for each in names):
                _read_agent(inspection, call, source)
            elif any(ends_with(each, _PACKAGES, frozenset({"RawAgent"})) for each in names):
                name = name_value(call, source, "agent")
                why = "a RawAgent runs no middleware: make an Agent"
                inspection.add("agent", name, "agent-framework", SourceValue(call, source), "no", why)
            elif isinstance(call.func, ast.Attribute) and call.func.attr in _METHODS:
                makers = app.find_makers(call.func.value, source)
                if any(
                    ends_with(dotted, _PACKAGES, frozenset({dotted.rpartition(".")[2]}))
                    for dotted, _ in makers
                ):
                    _read_agent(inspection, call, source)


def _read_agent(inspection: Inspection, call: ast.Call, source: SourceFile) -> None:
    app = inspection.app
    middleware = get_argument(call, "middleware")
    there = middleware is not None and any(
        f"{_ADAPTER}.gate" in app.find_callees(each, source)
        for each in ast.walk(middleware)
        if isinstance(each, ast.Call)
    )
    gated: Gating = "yes" if there else "added"
    inspection.add(
        "agent", name_value(call, source, "agent"), "agent-framework", SourceValue(call, source), gated
    )
    ToolReader(inspection, RULES, gated).read_argument(call, "tools", source)
    if not there:
        edits = inspection.edit(source)
        edits.add_import(_ADAPTER, "gate")
        edits.add_item(call, "middleware", f"gate({inspection.use_engine(source)})")


AGENT_FRAMEWORK = Framework(
    name="agent-framework", packages=_PACKAGES, requirement="seawall[agent-framework]", find=_find
)
