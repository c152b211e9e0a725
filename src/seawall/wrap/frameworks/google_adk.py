"""Google ADK: agents, their tools, and the runners and apps that take a plugin."""

from __future__ import annotations

import ast

from seawall.wrap.finding import Gating
from seawall.wrap.frameworks.framework import Framework
from seawall.wrap.inspection import Inspection, name_value
from seawall.wrap.resolving import SourceValue, ends_with, get_argument
from seawall.wrap.source import SourceFile
from seawall.wrap.tools import HOSTED, ToolReader, ToolRules

_PACKAGES = ("google.adk",)
_AGENTS = frozenset({"Agent", "LlmAgent", "SequentialAgent", "ParallelAgent", "LoopAgent"})
_RUNNERS = frozenset({"Runner", "InMemoryRunner", "App"})
_ADAPTER = "seawall.adapters.google_adk"
RULES = ToolRules(
    framework="google-adk",
    packages=_PACKAGES,
    makers=frozenset({"FunctionTool", "LongRunningFunctionTool"}),
    hosted=dict.fromkeys(
        (
            "google_search",
            "GoogleSearchTool",
            "url_context",
            "UrlContextTool",
            "google_maps_grounding",
            "enterprise_web_search",
            "EnterpriseWebSearchTool",
            "VertexAiSearchTool",
            "VertexAiRagRetrieval",
        ),
        HOSTED,
    ),
    servers=frozenset(
        {"McpToolset", "MCPToolset", "OpenAPIToolset", "ApplicationIntegrationToolset", "BigQueryToolset"}
    ),
    agents=frozenset({"AgentTool"}),
)


def _find(inspection: Inspection) -> None:
    app = inspection.app
    states = [
        _read_runner(inspection, call, source)
        for source in app.sources
        for call in source.calls
        if any(ends_with(each, _PACKAGES, _RUNNERS) for each in app.find_callees(call, source))
    ]
    known = [state for state in states if state is not None]
    gated: Gating = "yes" if known and set(known) == {"yes"} else "added"
    for source in app.sources:
        for call in source.calls:
            names = app.find_callees(call, source)
            if any(ends_with(each, _PACKAGES, _AGENTS) for each in names):
                _read_agent(inspection, call, source, gated)
            elif isinstance(call.func, ast.Attribute) and call.func.attr == "run_live":
                why = "a live session is one stream in both directions, without single steps that the gate could judge"
                inspection.add(
                    "runner",
                    source.get_segment(call.func),
                    "google-adk",
                    SourceValue(call, source),
                    "no",
                    why,
                )
    if not known and any(part.framework == "google-adk" for part in inspection.parts):
        inspection.note(
            "no Runner and no App was found. Add the plugin where the agent is run; for `adk run` and `adk web` that is "
            'app = App(name="…", root_agent=root_agent, plugins=[SeawallPlugin(sea)]) beside root_agent'
        )


def _read_runner(inspection: Inspection, call: ast.Call, source: SourceFile) -> Gating | None:
    """Reads a runner or an app. A runner that is given an app takes the app's plugins."""
    app = inspection.app
    name = source.get_segment(call.func)
    if get_argument(call, "app") is not None:
        return None
    there = any(
        dotted.startswith(_ADAPTER)
        for value in app.expand_argument(call, source, "plugins")
        for dotted, _ in app.find_makers(value.node, value.source)
    )
    gated: Gating = "yes" if there else "added"
    inspection.add("runner", name, "google-adk", SourceValue(call, source), gated)
    if not there:
        edits = inspection.edit(source)
        edits.add_import(_ADAPTER, "SeawallPlugin")
        edits.add_item(call, "plugins", f"SeawallPlugin({inspection.use_engine(source)})")
        if not name.endswith("App"):
            inspection.note(
                f"{source.name}:{call.lineno}: ADK warns of plugins that are given to a runner; Runner(app=App(…, plugins=[…])) "
                "is its newer way"
            )
    return gated


def _read_agent(inspection: Inspection, call: ast.Call, source: SourceFile, gated: Gating) -> None:
    inspection.add("agent", name_value(call, source, "agent"), "google-adk", SourceValue(call, source), gated)
    ToolReader(inspection, RULES, gated).read_argument(call, "tools", source)
    executor = get_argument(call, "code_executor")
    for value in [] if executor is None else inspection.app.resolve(executor, source):
        if not isinstance(value.node, ast.Constant):
            why = "code that the model writes runs there, and the gate does not see what it does"
            inspection.add("tool", "code_executor", "google-adk", value, "no", why)


GOOGLE_ADK = Framework(name="google-adk", packages=_PACKAGES, requirement="seawall[google-adk]", find=_find)
