"""Reads the plain form: a team of any framework, written in YAML or JSON."""

from __future__ import annotations

from typing import Any

from seawall.core.canonical import to_canonical_bytes
from seawall.core.errors import Misused
from seawall.core.money import Money
from seawall.lint.description import AgentDescription, SourcePlace, TeamDescription, ToolDescription
from seawall.lint.reading.documents import Document
from seawall.lint.reading.values import MAX_AGENTS, Way, as_list, as_mapping, show

KINDS = ("coordinator", "specialist", "reviewer", "fallback")

TEAM_KEYS = {
    "name": "The team's name. Default: the name of the file.",
    "agents": "A list of agents, or a mapping of their names to the rest. Required.",
    "flows": "Who may hand work to whom: pairs `[from, to]`, or a mapping of names to names. `user` makes the "
    "request. Without it the lint does not check the wiring.",
    "entry": "Who is given the request: a name, or a list of names. Default: the coordinator, if there is one.",
    "reviews": "Who reviews whose answers: pairs `[reviewer, reviewed]`, or a mapping.",
    "authority": "Who alone may decide on a subject or call a tool: a mapping of subjects or tools to names. An empty list "
    "means that no agent of the team may.",
    "limits": "What a run may spend, by the names of `Limits`: `active_s`, `model_calls`, `tool_calls`, `handoffs`, "
    "`depth`, `tokens`. Without it the lint does not check limits.",
    "waive": 'Findings that are accepted, with the reason: `SW203 send_email: "…"`.',
}
AGENT_KEYS = {
    "name": "Its name. Required in a list.",
    "role": "Its title, such as `Web Developer`.",
    "instructions": "All that the agent is told: a text, or a list of texts.",
    "kind": f"One of {', '.join(f'`{kind}`' for kind in KINDS)}. Without it: not known.",
    "tools": "Its tools: names, or mappings with the keys below.",
    "context_tokens": "Tokens that its instructions, tools and messages may take. Without it: not known.",
    "latency_s": "Seconds from a request to the agent to its answer. Without it: not known.",
    "up_to": "The greatest amounts that the agent may cause in one call: a mapping of tools to amounts such as `50 EUR`.",
}
TOOL_KEYS = {
    "name": "Its name. Required.",
    "description": "The description that its agent is given.",
    "parameters": "Its JSON schema.",
    "effect": "Whether it changes the world. Without it: judged by its name, if several agents have the tool.",
    "identity": "Whether it is declared what makes two calls the same effect. Without it: not known.",
    "approval": "Whether a person decides on some of its calls. Without it: not known.",
    "amount": "Whether its calls move an amount. Without it: not known.",
    "latency_s": "Seconds that a call takes. Without it: not known.",
}
LIMIT_NAMES = ("active_s", "model_calls", "tool_calls", "handoffs", "depth", "parallel", "tokens", "usd")


def read_plain(document: Document) -> TeamDescription:
    """Returns the team of a document in the plain form. Raises `Misused` for keys and values that the form does not have."""
    team = document.take_mapping(document.value, (), TEAM_KEYS)
    agents = _read_agents(document, team.get("agents"))
    entry = None if team.get("entry") is None else document.take_names(team["entry"], ("entry",))
    if entry is None:
        entry = tuple(agent.name for agent in agents if agent.kind == "coordinator") or None
    limits = _read_limits(document, team.get("limits"))
    active_s = limits.pop("active_s", None)
    waived = document.take_mapping(team.get("waive") or {}, ("waive",))
    flows = team.get("flows")
    return TeamDescription(
        name=document.take_text(team.get("name"), ("name",)) or document.file.stem,
        agents=agents,
        flows=None if flows is None else _read_pairs(document, flows, ("flows",)),
        entry=entry,
        reviews=_read_pairs(document, team.get("reviews") or {}, ("reviews",)),
        active_s=active_s,
        limits=tuple(limits.items()),
        bounded=True if team.get("limits") is not None else None,
        authority=_read_authority(document, team.get("authority")),
        waived=tuple((key, document.take_text(value, ("waive", key))) for key, value in waived.items()),
        form="plain",
        place=SourcePlace(str(document.file), document.find_line(("agents",))),
    )


def _read_agents(document: Document, given: object) -> tuple[AgentDescription, ...]:
    way: Way = ("agents",)
    agents: list[AgentDescription] = []
    if (items := as_list(given)) is not None:
        for number, each in enumerate(items):
            fields = document.take_mapping(each, (*way, number), AGENT_KEYS)
            name = document.take_name(fields.get("name"), (*way, number, "name"))
            agents.append(_read_agent(document, name, fields, (*way, number)))
    elif as_mapping(given) is not None:
        for name, each in document.take_mapping(given, way).items():
            fields = document.take_mapping({} if each is None else each, (*way, name), AGENT_KEYS)
            own = document.take_name(fields.get("name", name), (*way, name, "name"))
            agents.append(_read_agent(document, own, fields, (*way, name)))
    else:
        raise document.make_error(
            way, f"it is {show(given)}; it must be a list of agents, or a mapping of their names"
        )
    if not agents:
        raise document.make_error(way, "there is no agent in it")
    if len(agents) > MAX_AGENTS:
        raise document.make_error(way, f"it has {len(agents):,} agents; allowed are {MAX_AGENTS}")
    names = [agent.name for agent in agents]
    for name in names:
        if names.count(name) > 1:
            raise document.make_error(way, f"two agents have the name {name!r}")
    return tuple(agents)


def _read_agent(document: Document, name: str, fields: dict[str, Any], way: Way) -> AgentDescription:
    kind = document.take_text(fields.get("kind"), (*way, "kind"))
    if kind and kind not in KINDS:
        raise document.make_error((*way, "kind"), f"it is {show(kind)}; it must be one of {', '.join(KINDS)}")
    tools = fields.get("tools")
    items = [] if tools is None else document.take_list(tools, (*way, "tools"))
    context = fields.get("context_tokens")
    return AgentDescription(
        name=name,
        role=document.take_text(fields.get("role"), (*way, "role")),
        instructions=document.take_text(fields.get("instructions"), (*way, "instructions")),
        tools=tuple(_read_tool(document, item, (*way, "tools", number)) for number, item in enumerate(items)),
        kind=kind,
        context_tokens=None
        if context is None
        else int(document.take_number(context, (*way, "context_tokens"))),
        latency_s=_read_seconds(document, fields, way),
        up_to=_read_amounts(document, fields.get("up_to"), (*way, "up_to")),
        place=SourcePlace(str(document.file), document.find_line(way, name)),
    )


def _read_tool(document: Document, given: object, way: Way) -> ToolDescription:
    if as_mapping(given) is None:
        return ToolDescription(name=document.take_name(given, way))
    fields = document.take_mapping(given, way, TOOL_KEYS)
    name = document.take_name(fields.get("name"), (*way, "name"))
    description = document.take_text(fields.get("description"), (*way, "description"))
    schema = fields.get("parameters")
    size = 0
    if schema is not None:
        schema = document.take_mapping(schema, (*way, "parameters"))
        size = len(to_canonical_bytes({"name": name, "description": description, "parameters": schema}))

    def take_flag(key: str) -> bool | None:
        return None if fields.get(key) is None else document.take_flag(fields[key], (*way, key))

    return ToolDescription(
        name=name,
        description=description,
        schema_bytes=size,
        effect=take_flag("effect"),
        has_identity=take_flag("identity"),
        has_approval=take_flag("approval"),
        has_amount=take_flag("amount"),
        latency_s=_read_seconds(document, fields, way),
    )


def _read_amounts(document: Document, given: object, way: Way) -> tuple[tuple[str, tuple[Money, ...]], ...]:
    """Returns the amounts of a mapping of tools to texts such as `50 EUR`."""
    found: list[tuple[str, tuple[Money, ...]]] = []
    for tool, value in document.take_mapping({} if given is None else given, way).items():
        amount, _, currency = document.take_text(value, (*way, tool)).strip().partition(" ")
        try:
            found.append((tool, (Money(amount, currency.strip()),)))
        except Misused as error:
            raise document.make_error(
                (*way, tool), f"it is {show(value)}; it must be an amount such as `50 EUR`"
            ) from error
    return tuple(found)


def _read_seconds(document: Document, fields: dict[str, Any], way: Way) -> float | None:
    given = fields.get("latency_s")
    return None if given is None else document.take_number(given, (*way, "latency_s"))


def _read_pairs(document: Document, given: object, way: Way) -> tuple[tuple[str, str], ...]:
    """Returns pairs of names from a list of pairs, or from a mapping of names to names."""
    if as_mapping(given) is not None:
        mapping = document.take_mapping(given, way)
        return tuple(
            (name, other)
            for name, others in mapping.items()
            for other in (() if others is None else document.take_names(others, (*way, name)))
        )
    pairs: list[tuple[str, str]] = []
    for number, each in enumerate(document.take_list(given, way)):
        names = document.take_names(each, (*way, number))
        if len(names) != 2:
            raise document.make_error((*way, number), f"it is {show(each)}; it must be a pair of names")
        pairs.append((names[0], names[1]))
    return tuple(pairs)


def _read_limits(document: Document, given: object) -> dict[str, float]:
    fields = document.take_mapping(
        {} if given is None else given, ("limits",), dict.fromkeys(LIMIT_NAMES, "")
    )
    return {
        name: document.take_number(value, ("limits", name))
        for name, value in fields.items()
        if value is not None and name in LIMIT_NAMES
    }


def _read_authority(document: Document, given: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    fields = document.take_mapping({} if given is None else given, ("authority",))
    return tuple(
        (subject, () if owners is None else document.take_names(owners, ("authority", subject)))
        for subject, owners in fields.items()
    )
