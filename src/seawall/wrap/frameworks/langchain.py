"""LangChain: agents of `create_agent`, their tools, and the models that other middleware calls."""

from __future__ import annotations

import ast

from seawall.wrap.finding import Gating
from seawall.wrap.frameworks.framework import Framework
from seawall.wrap.inspection import Inspection, name_value
from seawall.wrap.resolving import SourceValue, ends_with
from seawall.wrap.source import SourceFile
from seawall.wrap.tools import LANGCHAIN_MODELS, ToolReader, ToolRules

_PACKAGES = ("langchain", "deepagents")
_AGENTS = frozenset({"create_agent", "create_deep_agent"})
_OLD = frozenset(
    {
        "AgentExecutor",
        "AgentExecutor.from_agent_and_tools",
        "initialize_agent",
        "create_sql_agent",
        "create_csv_agent",
        "create_pandas_dataframe_agent",
    }
)
_OWN_MODELS = frozenset(
    {"SummarizationMiddleware", "LLMToolSelectorMiddleware", "LLMToolEmulator", "AutoModeMiddleware"}
)
_ADAPTER = "seawall.adapters.langchain"
RULES = ToolRules(
    framework="langchain",
    packages=("langchain", "langchain_core", "langchain_community"),
    makers=frozenset({"tool", "Tool", "StructuredTool", "from_function", "Tool.from_function"}),
    dicts_are_hosted=True,
    model_packages=LANGCHAIN_MODELS,
    model_why="a middleware sees the tool's call, but no calls inside of it; gate_graph(sea, agent) beside it gates them",
)


def _find(inspection: Inspection) -> None:
    app = inspection.app
    for source in app.sources:
        for call in source.calls:
            names = app.find_callees(call, source)
            if any(ends_with(each, _PACKAGES, _AGENTS) for each in names):
                _read_agent(inspection, call, source)
            elif any(
                ends_with(each, (*_PACKAGES, "langchain_classic", "langchain_experimental"), _OLD)
                for each in names
            ):
                why = "it has no place for a middleware: make the agent with create_agent, or gate a graph around it"
                name = name_value(call, source, "agent")
                inspection.add("agent", name, "langchain", SourceValue(call, source), "no", why)
                reader = ToolReader(inspection, RULES, "no", why)
                reader.read_argument(call, "tools", source)


def _read_agent(inspection: Inspection, call: ast.Call, source: SourceFile) -> None:
    there = False
    for value in inspection.app.expand_argument(call, source, "middleware"):
        for dotted, made in inspection.app.find_makers(value.node, value.source):
            end = dotted.rpartition(".")[2]
            if dotted.startswith(_ADAPTER):
                there = True
            elif end in _OWN_MODELS:
                why = (
                    "the middleware calls it by itself; gate_graph(sea, agent) beside the middleware gates it"
                )
                inspection.add("model", f"model of {end}", "langchain", made, "no", why)
    gated: Gating = "yes" if there else "added"
    inspection.add("agent", name_value(call, source, "agent"), "langchain", SourceValue(call, source), gated)
    ToolReader(inspection, RULES, gated).read_argument(call, "tools", source, 1)
    if not there:
        edits = inspection.edit(source)
        edits.add_import(_ADAPTER, "SeawallMiddleware")
        edits.add_item(call, "middleware", f"SeawallMiddleware({inspection.use_engine(source)})")


LANGCHAIN = Framework(name="langchain", packages=_PACKAGES, requirement="seawall[langchain]", find=_find)
