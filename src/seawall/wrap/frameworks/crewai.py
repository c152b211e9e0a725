"""CrewAI: crews and flows, their agents and tasks, and the tools of both."""

from __future__ import annotations

import ast

from seawall.wrap.finding import Gating
from seawall.wrap.frameworks.framework import Framework
from seawall.wrap.inspection import Inspection, name_value
from seawall.wrap.resolving import SourceValue, ends_with, get_argument
from seawall.wrap.source import SourceFile
from seawall.wrap.tools import ToolReader, ToolRules

_PACKAGES = ("crewai",)
_KICKOFFS = frozenset(
    {
        "kickoff",
        "kickoff_async",
        "akickoff",
        "kickoff_for_each",
        "kickoff_for_each_async",
        "akickoff_for_each",
    }
)
_ADAPTER = "seawall.adapters.crewai"
RULES = ToolRules(
    framework="crewai",
    packages=("crewai", "crewai_tools"),
    makers=frozenset({"tool", "Tool", "StructuredTool"}),
    servers=frozenset({"MCPServerAdapter"}),
)


def _find(inspection: Inspection) -> None:
    app = inspection.app
    users = [source for source in app.sources if app.imports_root(source, _PACKAGES)]
    kicks = [
        (call, source)
        for source in app.sources
        for call in source.calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in _KICKOFFS
        and _is_ours(inspection, call, source)
    ]
    states = {"yes" if _is_inside_gate(inspection, call, source) else "added" for call, source in kicks}
    gated: Gating = "yes" if states == {"yes"} else "added"
    for source in users:
        for call in source.calls:
            _read_call(inspection, call, source, gated)
    for call, source in kicks:
        _read_kickoff(inspection, call, source)
    if not kicks and any(part.framework == "crewai" for part in inspection.parts):
        inspection.note(
            "no kickoff was found: kick the crew off inside of  with gate(sea):  (gate is in seawall.adapters.crewai)"
        )


def _is_ours(inspection: Inspection, call: ast.Call, source: SourceFile) -> bool:
    """Returns whether a call kicks off a crew. In an application with crews, only crews and flows have methods of these
    names.
    """
    app = inspection.app
    own = any(app.imports_root(each, _PACKAGES) for each in app.sources)
    return own and not app.find_callees(call, source)


def _read_call(inspection: Inspection, call: ast.Call, source: SourceFile, gated: Gating) -> None:
    names = inspection.app.find_callees(call, source)
    if any(ends_with(each, _PACKAGES, frozenset({"Agent", "LiteAgent"})) for each in names):
        inspection.add(
            "agent", name_value(call, source, "agent", "role"), "crewai", SourceValue(call, source), gated
        )
        ToolReader(inspection, RULES, gated).read_argument(call, "tools", source)
        if _is_true(get_argument(call, "allow_code_execution")):
            why = "the agent's code runs in an interpreter, and the gate does not see what it does there"
            inspection.add("tool", "CodeInterpreterTool", "crewai", SourceValue(call, source), "in part", why)
    elif any(ends_with(each, _PACKAGES, frozenset({"Task"})) for each in names):
        ToolReader(inspection, RULES, gated).read_argument(call, "tools", source)
    elif any(ends_with(each, _PACKAGES, frozenset({"Crew"})) for each in names):
        inspection.add("crew", name_value(call, source, "crew"), "crewai", SourceValue(call, source), gated)


def _is_inside_gate(inspection: Inspection, call: ast.Call, source: SourceFile) -> bool:
    node: ast.AST | None = call
    while node is not None:
        node = source.find_parent(node)
        for item in node.items if isinstance(node, ast.With | ast.AsyncWith) else ():
            given = item.context_expr
            if isinstance(given, ast.Call) and f"{_ADAPTER}.gate" in inspection.app.find_callees(
                given, source
            ):
                return True
    return False


def _read_kickoff(inspection: Inspection, call: ast.Call, source: SourceFile) -> None:
    text = source.get_segment(call.func)
    if _is_inside_gate(inspection, call, source):
        inspection.add("runner", text, "crewai", SourceValue(call, source), "yes")
        return
    inspection.add("runner", text, "crewai", SourceValue(call, source), "added")
    statement: ast.AST | None = call
    while statement is not None and not isinstance(statement, ast.stmt):
        statement = source.find_parent(statement)
    edits = inspection.edit(source)
    head = f"with gate({inspection.use_engine(source)}):"
    if isinstance(statement, ast.stmt) and edits.put_inside(statement, head):
        edits.add_import(_ADAPTER, "gate")
    else:
        inspection.note(f"{source.name}:{call.lineno}: put this statement inside of  {head}")


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


CREWAI = Framework(name="crewai", packages=_PACKAGES, requirement="seawall[crewai]", find=_find)
