"""Reads CrewAI's `agents.yaml` and `tasks.yaml`, and finds in its `crew.py` which agent does which task."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from seawall.lint.description import AgentDescription, SourcePlace, TeamDescription, ToolDescription
from seawall.lint.reading.crewai_code import read_crew_code
from seawall.lint.reading.documents import Document
from seawall.lint.reading.values import MAX_AGENTS, Way, as_mapping


def looks_like_agents(value: object) -> bool:
    """Returns whether a value holds CrewAI's agents: a mapping of names, each with a goal or a backstory."""
    return any("goal" in each or "backstory" in each for each in _list_mappings(value))


def looks_like_tasks(value: object) -> bool:
    """Returns whether a value holds CrewAI's tasks: a mapping of names, each with an expected output."""
    return any("expected_output" in each for each in _list_mappings(value))


def _list_mappings(value: object) -> list[dict[object, object]]:
    inner = [as_mapping(each) for each in (as_mapping(value) or {}).values()]
    return [each for each in inner if each is not None]


def read_crewai(agents: Document, tasks: Document | None, name: str) -> TeamDescription:
    """Returns the crew of two documents; `tasks` may be the same as `agents`. Raises `Misused` if they can't be read."""
    crew = _Crew(agents, tasks)
    flows, entry = crew.find_flows()
    return TeamDescription(
        name=name,
        agents=tuple(crew.describe_agent(key) for key in crew.agents),
        flows=flows,
        entry=entry,
        form="CrewAI",
        place=SourcePlace(str(agents.file), agents.find_line(crew.agent_way)),
    )


class _Crew:
    """The agents and tasks in the files of a crew."""

    def __init__(self, agents: Document, tasks: Document | None) -> None:
        self._agents_file = agents
        self._tasks_file = tasks or agents
        self.agent_way, given = _find_part(agents, "agents")
        self.agents = _take_items(agents, given, self.agent_way)
        if not self.agents:
            raise agents.make_error(self.agent_way, "there is no agent in it")
        if len(self.agents) > MAX_AGENTS:
            raise agents.make_error(
                self.agent_way, f"it has {len(self.agents):,} agents; allowed are {MAX_AGENTS}"
            )
        self._task_way: Way = ()
        if tasks is not None:
            self._task_way, given = _find_part(tasks, "tasks")
        self.tasks = {} if tasks is None else _take_items(tasks, given, self._task_way)
        self._code = read_crew_code(agents.file)
        self._owners = self._find_owners()

    def __repr__(self) -> str:
        return f"<_Crew of {len(self.agents)} agents, {len(self.tasks)} tasks>"

    def _find_owners(self) -> dict[str, str | None]:
        """Returns the agent of each task, in the order in which tasks are done; None for a task whose agent is not known."""
        owners: dict[str, str | None] = {}
        for name, fields in self.tasks.items():
            way = (*self._task_way, name, "agent")
            given = fields.get("agent")
            owners[name] = None if given is None else self._tasks_file.take_name(given, way)
        if self._code is None or not self._code.tasks:
            return owners
        return {name: owner or owners.get(name) for name, owner in self._code.tasks.items()}

    def describe_agent(self, name: str) -> AgentDescription:
        """Returns an agent with all that it is told: its goal, its backstory, and its tasks."""
        document, fields, way = self._agents_file, self.agents[name], (*self.agent_way, name)
        texts = [document.take_text(fields.get(key), (*way, key)) for key in ("goal", "backstory")]
        tools = dict.fromkeys(_take_tools(document, fields, way))
        tools |= dict.fromkeys(() if self._code is None else self._code.agents.get(name, ()))
        for task, given in self.tasks.items():
            if self._owners.get(task) == name:
                task_way = (*self._task_way, task)
                told = ("description", "expected_output")
                texts += [self._tasks_file.take_text(given.get(key), (*task_way, key)) for key in told]
                tools |= dict.fromkeys(_take_tools(self._tasks_file, given, task_way))
        return AgentDescription(
            name=name,
            role=document.take_text(fields.get("role"), (*way, "role")).strip(),
            instructions="\n\n".join(text.strip() for text in texts if text.strip()),
            tools=tuple(ToolDescription(name=each) for each in tools),
            place=SourcePlace(str(document.file), document.find_line(way, name)),
        )

    def find_flows(self) -> tuple[tuple[tuple[str, str], ...] | None, tuple[str, ...] | None]:
        """Returns who hands work to whom, and who begins. Both are None if a manager decides it, or the files do not say it."""
        order = [owner for owner in self._owners.values() if owner is not None]
        managed = self._code is not None and self._code.hierarchical
        if managed or not order or len(order) < len(self._owners):
            return None, None
        flows = dict.fromkeys(pair for pair in pairwise(order) if pair[0] != pair[1])
        for task, owner in self._owners.items():
            for before in self._list_context(task):
                source = self._owners.get(before, before)
                if source is not None and owner is not None and source != owner:
                    flows[source, owner] = None
        for name, fields in self.agents.items():
            if fields.get("allow_delegation") is True:
                flows |= dict.fromkeys((name, other) for other in self.agents if other != name)
        return tuple(flows), (order[0],)

    def _list_context(self, task: str) -> tuple[str, ...]:
        """Returns the tasks whose results a task is given, beside the task before it."""
        given = self.tasks.get(task, {}).get("context")
        if given is not None:
            return self._tasks_file.take_names(given, (*self._task_way, task, "context"))
        return () if self._code is None else self._code.context.get(task, ())


def _find_part(document: Document, key: str) -> tuple[Way, object]:
    """Returns agents or tasks: the part of the document under `key`, or the whole document."""
    inner = (as_mapping(document.value) or {}).get(key)
    if looks_like_agents(inner) or looks_like_tasks(inner):
        return (key,), inner
    return (), document.value


def _take_items(document: Document, given: object, way: Way) -> dict[str, dict[str, Any]]:
    """Returns agents or tasks by name."""
    items = document.take_mapping({} if given is None else given, way)
    return {
        name: document.take_mapping({} if each is None else each, (*way, name))
        for name, each in items.items()
    }


def _take_tools(document: Document, fields: dict[str, Any], way: Way) -> tuple[str, ...]:
    given = fields.get("tools")
    return () if given is None else document.take_names(given, (*way, "tools"))
