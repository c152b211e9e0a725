"""Pydantic AI: agents, the tools of their lists, decorators and toolsets, and the parts that a capability can't gate."""

from __future__ import annotations

import ast

from seawall.wrap.finding import Gating
from seawall.wrap.frameworks.framework import Framework
from seawall.wrap.inspection import Inspection, name_value
from seawall.wrap.resolving import SourceValue, ends_with, get_argument, read_text
from seawall.wrap.source import SourceFile
from seawall.wrap.tools import HOSTED, UNKNOWN_TOOLS, ToolReader, ToolRules

_PACKAGES = ("pydantic_ai",)
_AGENTS = frozenset({"Agent"})
_TOOLSETS = frozenset({"FunctionToolset"})
_DECORATORS = ("tool", "tool_plain")
_ADAPTER = "seawall.adapters.pydantic_ai"
_EXTERNAL = "its tools are performed outside of the run"
RULES = ToolRules(
    framework="pydantic-ai",
    packages=_PACKAGES,
    makers=frozenset({"Tool", "Tool.from_schema", "tool", "tool_plain"}),
    hosted=dict.fromkeys(
        (
            "WebSearchTool",
            "WebFetchTool",
            "CodeExecutionTool",
            "FileSearchTool",
            "ImageGenerationTool",
            "MCPServerTool",
            "MemoryTool",
            "AdvisorTool",
            "XSearchTool",
            "UrlContextTool",
            "NativeTool",
        ),
        HOSTED,
    ),
)


def _find(inspection: Inspection) -> None:
    app = inspection.app
    gated_calls: dict[int, Gating] = {}
    for source in app.sources:
        for call in source.calls:
            if any(ends_with(each, _PACKAGES, _AGENTS) for each in app.find_callees(call, source)):
                gated_calls[id(call)] = _read_agent(inspection, call, source)
    everywhere: Gating = "yes" if gated_calls and set(gated_calls.values()) == {"yes"} else "added"
    for source in app.sources:
        _read_decorated(inspection, source, gated_calls, everywhere)
        for call in source.calls:
            if any(ends_with(each, _PACKAGES, _TOOLSETS) for each in app.find_callees(call, source)):
                ToolReader(inspection, RULES, everywhere).read_argument(call, "tools", source, 0)


def _read_agent(inspection: Inspection, call: ast.Call, source: SourceFile) -> Gating:
    app = inspection.app
    capabilities = get_argument(call, "capabilities")
    there = any(
        dotted.startswith(_ADAPTER)
        for value in app.expand_argument(call, source, "capabilities")
        for dotted, _ in app.find_makers(value.node, value.source)
    )
    gated: Gating = "yes" if there else "added"
    inspection.add(
        "agent", name_value(call, source, "agent"), "pydantic-ai", SourceValue(call, source), gated
    )
    reader = ToolReader(inspection, RULES, gated)
    reader.read_argument(call, "tools", source)
    for argument in ("builtin_tools", "native_tools"):
        ToolReader(inspection, RULES, "no").read_argument(call, argument, source)
    _read_capabilities(inspection, capabilities, source)
    _read_toolsets(inspection, get_argument(call, "toolsets"), source, gated)
    _read_output(inspection, get_argument(call, "output_type"), source)
    if not there:
        edits = inspection.edit(source)
        edits.add_import(_ADAPTER, "SeawallCapability")
        edits.add_item(call, "capabilities", f"SeawallCapability({inspection.use_engine(source)})")
    return gated


def _read_capabilities(inspection: Inspection, node: ast.expr | None, source: SourceFile) -> None:
    for value in [] if node is None else inspection.app.expand(node, source):
        for dotted, _ in inspection.app.find_makers(value.node, value.source):
            end = dotted.rpartition(".")[2]
            if end in RULES.hosted:
                inspection.add("tool", end, "pydantic-ai", value, "no", HOSTED)
            elif end in ("WebSearch", "WebFetch", "ImageGeneration", "XSearch", "MCP"):
                why = "where the model's provider runs it, it is not gated; where it falls back to a local tool, it is"
                inspection.add("tool", end, "pydantic-ai", value, "in part", why)


def _read_toolsets(inspection: Inspection, node: ast.expr | None, source: SourceFile, gated: Gating) -> None:
    app = inspection.app
    for value in [] if node is None else app.expand(node, source):
        ends = {dotted.rpartition(".")[2] for dotted, _ in app.find_makers(value.node, value.source)}
        if ends & _TOOLSETS:
            continue  # the tools of this toolset are read where they are defined
        name = (
            name_value(value.node, value.source, "toolset", "id")
            if isinstance(value.node, ast.Call)
            else "toolset"
        )
        if ends & {"ExternalToolset", "DeferredToolset"}:
            inspection.add("tools", name, "pydantic-ai", value, "no", _EXTERNAL)
        elif any("MCP" in end for end in ends):
            inspection.add("server", name, "pydantic-ai", value, gated, UNKNOWN_TOOLS)
        else:
            inspection.add("tools", name, "pydantic-ai", value, gated, UNKNOWN_TOOLS)


def _read_output(inspection: Inspection, node: ast.expr | None, source: SourceFile) -> None:
    """Reads output functions, which are gated if they are declared."""
    for value in [] if node is None else inspection.app.expand(node, source):
        for each in inspection.app.resolve(value.node, value.source):
            if each.definition is not None:
                why = "an output function is a part of the reply; it is gated if it is among the effects or the reads"
                inspection.add("tool", each.definition.name, "pydantic-ai", each, "in part", why)


def _read_decorated(
    inspection: Inspection, source: SourceFile, gated_calls: dict[int, Gating], everywhere: Gating
) -> None:
    """Reads the functions with decorators such as `@agent.tool`."""
    app = inspection.app
    for node in source.functions:
        for decorator in node.decorator_list:
            func = decorator.func if isinstance(decorator, ast.Call) else decorator
            if not isinstance(func, ast.Attribute) or func.attr not in _DECORATORS:
                continue
            makers = app.find_makers(func.value, source)
            if not any(ends_with(dotted, _PACKAGES, _AGENTS | _TOOLSETS) for dotted, _ in makers):
                continue
            known: list[Gating] = [
                gated_calls[id(made.node)] for _, made in makers if id(made.node) in gated_calls
            ]
            gated: Gating = known[0] if known else everywhere
            name = read_text(get_argument(decorator, "name")) if isinstance(decorator, ast.Call) else ""
            ToolReader(inspection, RULES, gated).read_function(node, source, name)


PYDANTIC_AI = Framework(
    name="pydantic-ai", packages=_PACKAGES, requirement="seawall[pydantic-ai]", find=_find
)
