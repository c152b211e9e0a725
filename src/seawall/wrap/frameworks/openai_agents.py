"""OpenAI Agents SDK: agents, their tools and servers, and the calls of `Runner`."""

from __future__ import annotations

import ast

from seawall.wrap.finding import Gating
from seawall.wrap.frameworks.framework import Framework
from seawall.wrap.inspection import Inspection, name_value
from seawall.wrap.resolving import SourceValue, ends_with, get_argument, read_text
from seawall.wrap.source import SourceFile
from seawall.wrap.tools import HOSTED, ToolReader, ToolRules

_PACKAGES = ("agents",)
_AGENTS = frozenset({"Agent", "SandboxAgent"})
_RUNS = frozenset({"Runner.run", "Runner.run_sync", "Runner.run_streamed"})
_METHODS = ("run", "run_sync", "run_streamed")
_OUTSIDE = frozenset({"RealtimeAgent", "RealtimeRunner", "VoicePipeline"})
_ADAPTER = "seawall.adapters.openai_agents"
_BY_SDK = "the SDK itself runs it, not as a function tool"
RULES = ToolRules(
    framework="openai-agents",
    packages=_PACKAGES,
    makers=frozenset({"function_tool", "FunctionTool"}),
    names=("name_override", "name", "tool_name"),
    hosted={
        **dict.fromkeys(
            (
                "WebSearchTool",
                "FileSearchTool",
                "CodeInterpreterTool",
                "ImageGenerationTool",
                "HostedMCPTool",
                "ToolSearchTool",
            ),
            HOSTED,
        ),
        "ComputerTool": _BY_SDK,
    },
    in_process={
        "ShellTool": ("shell", "executor"),
        "LocalShellTool": ("local_shell", "executor"),
        "ApplyPatchTool": ("apply_patch", "editor"),
        "CustomTool": ("custom", "on_invoke_tool"),
    },
)


def _find(inspection: Inspection) -> None:
    app = inspection.app
    runs = [
        (call, source) for source in app.sources for call in source.calls if _is_run(inspection, call, source)
    ]
    there = any(_is_gated_run(inspection, call, source) for source in app.sources for call in source.calls)
    gated: Gating = "added" if runs or not there else "yes"
    for source in app.sources:
        for call in source.calls:
            names = app.find_callees(call, source)
            if any(ends_with(each, _PACKAGES, _AGENTS) for each in names):
                _read_agent(inspection, call, source, gated)
            elif any(ends_with(each, _PACKAGES, _OUTSIDE) for each in names):
                name = name_value(call, source, "agent")
                why = "voice and realtime agents do not run under the runner"
                inspection.add("agent", name, "openai-agents", SourceValue(call, source), "no", why)
            elif _is_gated_run(inspection, call, source):
                inspection.add(
                    "runner", source.get_segment(call.func), "openai-agents", SourceValue(call, source), "yes"
                )
    for call, source in runs:
        inspection.add(
            "runner", source.get_segment(call.func), "openai-agents", SourceValue(call, source), "added"
        )
        _replace_runner(inspection, call, source)
    if not runs and not there and any(part.framework == "openai-agents" for part in inspection.parts):
        inspection.note(
            "no call of Runner was found: where these agents are run, call SeawallRunner(sea).run instead of Runner.run"
        )


def _is_run(inspection: Inspection, call: ast.Call, source: SourceFile) -> bool:
    return any(ends_with(each, _PACKAGES, _RUNS) for each in inspection.app.find_callees(call, source))


def _is_gated_run(inspection: Inspection, call: ast.Call, source: SourceFile) -> bool:
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in _METHODS:
        return False
    makers = inspection.app.find_makers(call.func.value, source)
    return any(dotted == f"{_ADAPTER}.SeawallRunner" for dotted, _ in makers)


def _read_agent(inspection: Inspection, call: ast.Call, source: SourceFile, gated: Gating) -> None:
    inspection.add(
        "agent", name_value(call, source, "agent"), "openai-agents", SourceValue(call, source), gated
    )
    ToolReader(inspection, RULES, gated).read_argument(call, "tools", source)
    servers = get_argument(call, "mcp_servers")
    for value in [] if servers is None else inspection.app.expand(servers, source):
        name = " ".join(value.source.get_segment(value.node).split())
        if isinstance(value.node, ast.Call):
            name = read_text(get_argument(value.node, "name")) or name_value(
                value.node, value.source, "MCP server"
            )
        why = "the names of its tools are known at run time; the SDK calls them, so they are gated"
        inspection.add("server", name, "openai-agents", value, gated, why)


def _replace_runner(inspection: Inspection, call: ast.Call, source: SourceFile) -> None:
    name = inspection.choose_name(source, "runner", "gated_runner")
    edits = inspection.edit(source)
    edits.add_import(_ADAPTER, "SeawallRunner")
    edits.add_definition(f"{name} = SeawallRunner({inspection.use_engine(source)})")
    if isinstance(call.func, ast.Attribute) and call.func.attr in _METHODS:
        edits.replace(call.func.value, name)
        return
    # A name may stand for the method: `ask = Runner.run`.
    for callee in inspection.app.find_callees(call, source):
        if ends_with(callee, _PACKAGES, _RUNS):
            edits.replace(call.func, f"{name}.{callee.rpartition('.')[2]}")
            return


OPENAI_AGENTS = Framework(
    name="openai-agents", packages=_PACKAGES, requirement="seawall[openai-agents]", find=_find
)
