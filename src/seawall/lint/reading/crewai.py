"""Reads CrewAI's `agents.yaml` and `tasks.yaml`. Its Python files are looked at for one word, and never run."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from seawall.lint.description import AgentDescription, Place, TeamDescription, ToolDescription
from seawall.lint.reading.documents import Document
from seawall.lint.reading.values import MAX_FILE_BYTES, Way, as_mapping

_HIERARCHICAL = "Process.hierarchical"
"""In a crew's Python file: a manager hands out the tasks, so that their order is no flow."""


def looks_like_agents(value: object) -> bool:
    """Returns whether a value is CrewAI's agents: names, and for each a goal or a backstory."""
    return any("goal" in each or "backstory" in each for each in _list_mappings(value))


def looks_like_tasks(value: object) -> bool:
    """Returns whether a value is CrewAI's tasks: names, and for each what is expected as its output."""
    return any("expected_output" in each for each in _list_mappings(value))


def _list_mappings(value: object) -> list[dict[object, object]]:
    inner = [as_mapping(each) for each in (as_mapping(value) or {}).values()]
    return [each for each in inner if each is not None]


def read_crewai(agents: Document, tasks: Document | None, name: str) -> TeamDescription:
    """Returns the crew of two documents; `tasks` may be the same as `agents`. Raises `Misused` for what can't be read."""
    agent_way, given = _find_part(agents, "agents")
    found = {
        key: agents.take_mapping({} if each is None else each, (*agent_way, key))
        for key, each in agents.take_mapping(given, agent_way).items()
    }
    task_way: Way = ()
    given_tasks: dict[str, dict[str, Any]] = {}
    if tasks is not None:
        task_way, raw = _find_part(tasks, "tasks")
        given_tasks = {
            key: tasks.take_mapping({} if each is None else each, (*task_way, key))
            for key, each in tasks.take_mapping({} if raw is None else raw, task_way).items()
        }
    owners = _find_owners(tasks, given_tasks, task_way)
    described = tuple(
        _describe_agent(
            agents, key, fields, (*agent_way, key), tasks, _of_agent(given_tasks, owners, key), task_way
        )
        for key, fields in found.items()
    )
    if not described:
        raise agents.make_error(agent_way, "there is no agent in it")
    flows, entry = _find_flows(found, given_tasks, owners, tasks, task_way)
    if _is_hierarchical(agents.file):
        flows, entry = None, None
    return TeamDescription(
        name=name,
        agents=described,
        flows=flows,
        entry=entry,
        form="CrewAI",
        place=Place(str(agents.file), agents.find_line(agent_way)),
    )


def _find_part(document: Document, key: str) -> tuple[Way, object]:
    """Returns agents or tasks: the whole document, or its part of that name."""
    inner = (as_mapping(document.value) or {}).get(key)
    if looks_like_agents(inner) or looks_like_tasks(inner):
        return (key,), inner
    return (), document.value


def _find_owners(tasks: Document | None, given: dict[str, dict[str, Any]], way: Way) -> dict[str, str | None]:
    """Returns for each task the agent that has it; None if the file does not say."""
    if tasks is None:
        return {}
    return {
        name: None if fields.get("agent") is None else tasks.take_name(fields["agent"], (*way, name, "agent"))
        for name, fields in given.items()
    }


def _of_agent(
    tasks: dict[str, dict[str, Any]], owners: dict[str, str | None], agent: str
) -> dict[str, dict[str, Any]]:
    return {name: fields for name, fields in tasks.items() if owners.get(name) == agent}


def _describe_agent(
    agents: Document,
    name: str,
    fields: dict[str, Any],
    way: Way,
    tasks: Document | None,
    own: dict[str, dict[str, Any]],
    task_way: Way,
) -> AgentDescription:
    texts = [agents.take_text(fields.get(key), (*way, key)) for key in ("goal", "backstory")]
    tools = _read_tools(agents, fields.get("tools"), (*way, "tools"))
    if tasks is not None:
        for task, given in own.items():
            texts += [
                tasks.take_text(given.get(key), (*task_way, task, key))
                for key in ("description", "expected_output")
            ]
            tools |= _read_tools(tasks, given.get("tools"), (*task_way, task, "tools"))
    return AgentDescription(
        name=name,
        role=agents.take_text(fields.get("role"), (*way, "role")).strip(),
        instructions="\n\n".join(text.strip() for text in texts if text.strip()),
        tools=tuple(ToolDescription(name=each) for each in tools),
        place=Place(str(agents.file), agents.find_line(way, name)),
    )


def _read_tools(document: Document, given: object, way: Way) -> dict[str, None]:
    """Returns the names of tools, in their order; CrewAI takes a list of names here."""
    if given is None:
        return {}
    return dict.fromkeys(document.take_names(given, way))


def _find_flows(
    agents: dict[str, dict[str, Any]],
    given: dict[str, dict[str, Any]],
    owners: dict[str, str | None],
    tasks: Document | None,
    way: Way,
) -> tuple[tuple[tuple[str, str], ...] | None, tuple[str, ...] | None]:
    """Returns who hands to whom in a sequential crew, and who begins; None for both if a task has no agent there."""
    order = [owner for owner in owners.values() if owner is not None]
    if tasks is None or not order or len(order) < len(owners):
        return None, None
    flows = dict.fromkeys(pair for pair in pairwise(order) if pair[0] != pair[1])
    for name, fields in given.items():
        if fields.get("context") is None:
            continue
        for before in tasks.take_names(fields["context"], (*way, name, "context")):
            source = owners.get(before, before)
            if source is not None and source != owners[name]:
                flows[source, owners[name] or ""] = None
    for name, fields in agents.items():
        if fields.get("allow_delegation") is True:
            flows |= dict.fromkeys((name, other) for other in agents if other != name)
    return tuple(flows), (order[0],)


def _is_hierarchical(file: Path) -> bool:
    for folder in (file.parent, file.parent.parent):
        try:
            with (folder / "crew.py").open("rb") as opened:
                if _HIERARCHICAL.encode() in opened.read(MAX_FILE_BYTES):
                    return True
        except OSError:
            continue
    return False
