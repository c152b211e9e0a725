"""Finds the agents and tasks that a CrewAI project's `crew.py` builds. The file is parsed, and never run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import msgspec

from seawall.lint.reading.values import MAX_FILE_BYTES


class CrewCode(msgspec.Struct, frozen=True, kw_only=True):
    """The agents and tasks in a crew's Python file."""

    agents: dict[str, tuple[str, ...]]
    """The names of each agent's tools in the code, by the agent's key in `agents.yaml`. Other agents are not in the crew."""
    tasks: dict[str, str | None]
    """The key of each task's agent, by the task's key in `tasks.yaml`, in the order in which tasks are done; None if the code
    does not name the agent."""
    context: dict[str, tuple[str, ...]]
    """The keys of the tasks whose results a task is given, by the key of the task."""
    hierarchical: bool
    """Whether a manager hands out the tasks. Then the order of the tasks is not a flow."""


def read_crew_code(agents_file: Path) -> CrewCode | None:
    """Returns the content of the `crew.py` beside or above a file of agents; None if there is none, or it can't be parsed."""
    for folder in (agents_file.parent, agents_file.parent.parent):
        try:
            with (folder / "crew.py").open("rb") as opened:
                source = opened.read(MAX_FILE_BYTES)
            return _read(ast.parse(source))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None


def _read(tree: ast.Module) -> CrewCode | None:
    methods = list(_list_methods(tree))
    agents = {name: _find_call(method, "Agent") for name, kind, method in methods if kind == "agent"}
    tasks = {name: _find_call(method, "Task") for name, kind, method in methods if kind == "task"}
    if not agents:
        return None
    agent_keys = {name: _find_key(call, "agents_config") or name for name, call in agents.items()}
    task_keys = {name: _find_key(call, "tasks_config") or name for name, call in tasks.items()}
    context = {
        task_keys[name]: tuple(task_keys[each] for each in _list_calls(call, "context") if each in task_keys)
        for name, call in tasks.items()
    }
    return CrewCode(
        agents={agent_keys[name]: tuple(_list_tools(call)) for name, call in agents.items()},
        tasks={
            task_keys[name]: next((agent_keys.get(each) for each in _list_calls(call, "agent")), None)
            for name, call in tasks.items()
        },
        context={name: given for name, given in context.items() if given},
        hierarchical=any(
            isinstance(node, ast.Attribute) and node.attr == "hierarchical" for node in ast.walk(tree)
        ),
    )


def _list_methods(tree: ast.Module) -> Iterator[tuple[str, str, ast.FunctionDef]]:
    """Yields the methods that CrewAI's decorators mark, in the order of the file: name, decorator, method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for item in (each for each in node.body if isinstance(each, ast.FunctionDef)):
                marks = {each.id for each in item.decorator_list if isinstance(each, ast.Name)}
                for mark in marks & {"agent", "task"}:
                    yield item.name, mark, item


def _find_call(method: ast.FunctionDef, name: str) -> ast.Call | None:
    calls = (node for node in ast.walk(method) if isinstance(node, ast.Call))
    return next((call for call in calls if isinstance(call.func, ast.Name) and call.func.id == name), None)


def _get_argument(call: ast.Call | None, name: str) -> ast.expr | None:
    return None if call is None else next((each.value for each in call.keywords if each.arg == name), None)


def _find_key(call: ast.Call | None, config: str) -> str | None:
    """Returns the key in `self.agents_config["key"]`."""
    given = _get_argument(call, "config")
    if not isinstance(given, ast.Subscript) or not isinstance(given.slice, ast.Constant):
        return None
    named = isinstance(given.value, ast.Attribute) and given.value.attr == config
    return str(given.slice.value) if named else None


def _list_calls(call: ast.Call | None, argument: str) -> list[str]:
    """Returns the methods that are called in an argument: `agent=self.writer()`, `context=[self.research_task()]`."""
    given = _get_argument(call, argument)
    nodes = [] if given is None else list(ast.walk(given))
    return [
        node.func.attr
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]


def _list_tools(call: ast.Call | None) -> list[str]:
    """Returns the names of tools in `tools=[SerperDevTool(), search]`."""
    given = _get_argument(call, "tools")
    if not isinstance(given, ast.List):
        return []
    named = [each.func if isinstance(each, ast.Call) else each for each in given.elts]
    return [
        each.attr if isinstance(each, ast.Attribute) else each.id
        for each in named
        if isinstance(each, ast.Attribute | ast.Name)
    ]
