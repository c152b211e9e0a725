"""LangGraph: compiled graphs, tool nodes, and what nodes call by themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from seawall.wrap.finding import Gating
from seawall.wrap.frameworks.framework import Framework
from seawall.wrap.inspection import Inspection, name_value
from seawall.wrap.resolving import SourceValue, ends_with, get_argument, read_text
from seawall.wrap.source import SourceFile
from seawall.wrap.tools import LANGCHAIN_MODELS, ToolReader, ToolRules

_PACKAGES = ("langgraph", "langgraph_supervisor", "langgraph_swarm")
_BUILDERS = frozenset({"StateGraph", "MessageGraph", "Graph", "create_supervisor", "create_swarm"})
_MADE = frozenset({"create_react_agent"})
_ADAPTER = "seawall.adapters.langgraph"
_CALLBACKS = (
    "its callbacks pass the gate: calls are counted and can be refused, but recorded results are not returned "
    "after a crash"
)
_OWN_NODE = f"its ToolNode is called inside of a node: {_CALLBACKS}; add the ToolNode to the graph as a node"
RULES = ToolRules(
    framework="langgraph",
    packages=("langchain", "langchain_core", "langchain_community"),
    makers=frozenset({"tool", "Tool", "StructuredTool", "from_function", "Tool.from_function"}),
    dicts_are_hosted=True,
    model_packages=LANGCHAIN_MODELS,
    model_gated="in part",
    model_why=_CALLBACKS,
)


def _find(inspection: Inspection) -> None:
    app = inspection.app
    inner = {id(value.node) for value in _list_nodes(inspection)}
    wrapped = {id(value.node) for value in _list_gated(inspection)}
    for source in app.sources:
        for call in source.calls:
            names = app.find_callees(call, source)
            made = any(ends_with(each, _PACKAGES, _MADE) for each in names)
            if made or _compiles(inspection, call, source):
                gated = _read_graph(
                    inspection,
                    call,
                    source,
                    inner=id(call) in inner,
                    wrapped=id(call) in wrapped or bool(wrapped and id(call) in inner),
                )
                if made:
                    ToolReader(inspection, RULES, gated).read_argument(call, "tools", source, 1)
            elif any(ends_with(each, _PACKAGES, frozenset({"RemoteGraph"})) for each in names):
                name = name_value(call, source, "remote graph")
                inspection.add(
                    "graph", name, "langgraph", SourceValue(call, source), "no", "it runs in another process"
                )
    gated = "yes" if wrapped else "added"
    for source in app.sources:
        _read_calls(inspection, source, inner, gated)
        _read_entrypoints(inspection, source)


def _compiles(inspection: Inspection, call: ast.Call, source: SourceFile) -> bool:
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "compile":
        return False
    makers = inspection.app.find_makers(call.func.value, source)
    if any(ends_with(dotted, _PACKAGES, _BUILDERS) for dotted, _ in makers):
        return True
    unknown = not makers and not inspection.app.find_callees(call, source)
    return unknown and inspection.app.imports_root(source, ("langgraph.graph", "langgraph.graph.state"))


def _read_graph(
    inspection: Inspection, call: ast.Call, source: SourceFile, *, inner: bool, wrapped: bool
) -> Gating:
    name = name_value(call, source, "graph")
    gated: Gating = "yes" if wrapped else "added"
    why = "it is a sub-graph, and works in a frame of the run around it" if inner else ""
    inspection.add("graph", name, "langgraph", SourceValue(call, source), gated, why)
    if not inner and not wrapped:
        edits = inspection.edit(source)
        edits.add_import(_ADAPTER, "gate_graph")
        edits.wrap(call, f"gate_graph({inspection.use_engine(source)}, ", ")")
    return gated


def _list_nodes(inspection: Inspection) -> Iterator[SourceValue]:
    """Yields the nodes of graphs, and the agents under a supervisor."""
    app = inspection.app
    for source in app.sources:
        for call in source.calls:
            if isinstance(call.func, ast.Attribute) and call.func.attr == "add_node" and call.args:
                given = get_argument(call, "action") or get_argument(call, "node") or call.args[-1]
                yield from app.resolve(given, source)
            elif any(
                ends_with(each, _PACKAGES, frozenset({"create_supervisor", "create_swarm"}))
                for each in app.find_callees(call, source)
            ):
                agents = get_argument(call, "agents", 0)
                yield from () if agents is None else app.expand(agents, source)


def _list_gated(inspection: Inspection) -> Iterator[SourceValue]:
    """Yields the graphs that are gated already."""
    app = inspection.app
    for source in app.list_known():
        for call in source.calls:
            if f"{_ADAPTER}.gate_graph" in app.find_callees(call, source) and len(call.args) > 1:
                yield from app.resolve(call.args[1], source)


def _read_calls(inspection: Inspection, source: SourceFile, inner: set[int], gated: Gating) -> None:
    """Reads tool nodes, tools that are bound to models, and the calls in the functions of nodes."""
    app, reader = inspection.app, ToolReader(inspection, RULES, gated)
    for call in source.calls:
        if any(
            ends_with(each, _PACKAGES, frozenset({"ToolNode"})) for each in app.find_callees(call, source)
        ):
            own = id(call) in inner
            node_reader = reader if own else ToolReader(inspection, RULES, "in part", _OWN_NODE)
            node_reader.read_argument(call, "tools", source, 0)
        elif isinstance(call.func, ast.Attribute) and call.func.attr == "bind_tools" and call.args:
            if any(_is_chat(dotted) for dotted, _ in app.find_makers(call.func.value, source)):
                reader.read_list(call.args[0], source)
        elif isinstance(call.func, ast.Attribute) and call.func.attr == "add_node" and call.args:
            for value in app.resolve(call.args[-1], source):
                if value.definition is not None:
                    _read_node(inspection, value, read_text(call.args[0]) or value.definition.name)


def _read_node(inspection: Inspection, value: SourceValue, name: str) -> None:
    """Reads the LangChain models that a node's function calls. `gate_model` gates them better than callbacks do."""
    app = inspection.app
    assert value.definition is not None
    read: set[int] = set()
    for call in (node for node in ast.walk(value.definition) if isinstance(node, ast.Call)):
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in (
            "invoke",
            "ainvoke",
            "stream",
            "astream",
        ):
            continue
        makers = app.find_makers(call.func.value, value.source)
        if any(dotted == f"{_ADAPTER}.gate_model" for dotted, _ in makers):
            inspection.add("model", f"model of node {name}", "langgraph", value, "yes")
            continue
        for dotted, made in makers:
            if not _is_chat(dotted) or not isinstance(made.node, ast.Call):
                continue
            read.add(id(made.node))
            inspection.add(
                "model", dotted.rpartition(".")[2], "langgraph", made, "added", f"node {name!r} calls it"
            )
            if made.source in app.sources:
                edits = inspection.edit(made.source)
                edits.add_import(_ADAPTER, "gate_model")
                edits.wrap(made.node, "gate_model(", ")")
                inspection.note(
                    "a model from gate_model may be called in gated graphs only; elsewhere it raises"
                )
    for call in (node for node in ast.walk(value.definition) if isinstance(node, ast.Call)):
        chat = next(filter(_is_chat, app.find_callees(call, value.source)), None)
        if chat is not None and id(call) not in read and id(call) not in _list_wrapped(value.definition):
            made, why = SourceValue(call, value.source), f"node {name!r} hands it on: {_CALLBACKS}"
            inspection.add("model", chat.rpartition(".")[2], "langgraph", made, "in part", why)


def _list_wrapped(definition: ast.AST) -> set[int]:
    """Returns the arguments of calls of `gate_model`."""
    calls = [node for node in ast.walk(definition) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "gate_model"]
    return {id(each) for call in named for each in call.args}


def _read_entrypoints(inspection: Inspection, source: SourceFile) -> None:
    """Reads workflows of LangGraph's functional form."""
    app = inspection.app
    for node in source.functions:
        for decorator in node.decorator_list:
            func = decorator.func if isinstance(decorator, ast.Call) else decorator
            if any(
                ends_with(each.dotted, _PACKAGES, frozenset({"entrypoint"}))
                for each in app.resolve(func, source)
            ):
                why = f"a decorator makes it: call gate_graph(sea, {node.name}) where it is invoked"
                inspection.add("graph", node.name, "langgraph", SourceValue(node, source), "in part", why)


def _is_chat(dotted: str) -> bool:
    return "mbedding" not in dotted and dotted.startswith(LANGCHAIN_MODELS)


LANGGRAPH = Framework(name="langgraph", packages=_PACKAGES, requirement="seawall[langgraph]", find=_find)
