"""Teams: a coordinator, specialists and a reviewer. A team is a definition; `Seawall` runs it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, TypedDict, Unpack, cast

import msgspec
from msgspec.structs import replace

from seawall.core.canonical import check_recordable, digest_of, to_canonical_bytes
from seawall.core.errors import Misused
from seawall.core.event_parts import Permit
from seawall.core.events import Mode
from seawall.core.limits import Limits, validate_limits
from seawall.guards.authority import Authority
from seawall.memory.access import NO_ACCESS, MemoryAccess, make_access
from seawall.memory.options import Memory
from seawall.models.protocol import ToolSpec
from seawall.run.guard import Guard
from seawall.run.outcome import Outcome, Output_co
from seawall.team.agent import ANSWER_TOOL, ASK_PREFIX, Agent, check_items
from seawall.team.context_options import DEFAULT_CONTEXT, Context, check_context
from seawall.team.permits import Reach, digest_permits, list_permits
from seawall.team.planner import Planner
from seawall.team.tool import Tool

REVIEW_ROUNDS = 2
"""The default number of reviews: one, and another one after a correction. Each further round costs as much as the answer."""


HISTORY: Literal["transcript", "answers"] = "transcript"
"""The default part of the earlier runs that a session's next run gets: all of it, as in a chat."""

REVIEW_TOOL = "review"
REVIEW_SPEC = ToolSpec(
    REVIEW_TOOL,
    "Give your decision. Call it alone.",
    {
        "type": "object",
        "properties": {
            "approved": {"type": "boolean", "description": "Whether the evidence carries the answer."},
            "feedback": {"type": "string", "description": "What has to change; empty if approved."},
        },
        "required": ["approved"],
        "additionalProperties": False,
    },
)


ANY_LOOP = "*"
"""The loop of a team that only ends runs, of any framework."""


class Member(msgspec.Struct, frozen=True):
    """An agent as a member of its team."""

    agent: Agent
    asks: tuple[str, ...]
    """Names of the agents and teams that it may hand work to; each hand-off opens a frame."""
    specs: tuple[ToolSpec, ...]
    version: str
    targets: dict[str, str] = {}
    """The agent whose frame a hand-off opens, by the names in `asks`: that agent or a nested team's coordinator."""
    reviewer: str | None = None
    """The agent that reviews this agent's answers, if this is a coordinator with a reviewer."""
    rounds: int = 0
    """The most reviews of one answer."""
    model_name: str = ""
    effects: frozenset[str] = frozenset()
    """The names of the agent's tools that change the world."""
    reconcilable: frozenset[str] = frozenset()
    """The names of the tools in `effects` that can ask the other system what became of a call."""
    given_context: Context | None = None
    """The context options of the agent, or of the nearest team around it that has them."""
    specs_bytes: int = 0
    """Bytes of the schemas of the agent's tools as they are sent, which is an upper bound of their tokens."""
    memory: MemoryAccess = NO_ACCESS
    """What the agent may do with memory."""

    @property
    def last_specs(self) -> tuple[ToolSpec, ...]:
        """The tools that the agent gets for its last call: those in which its answer must be written, if there are any."""
        structured = self.agent.adapter is not None
        return tuple(
            [spec for spec in self.specs if spec is REVIEW_SPEC or (structured and spec.name == ANSWER_TOOL)]
        )

    @property
    def only_answers(self) -> bool:
        """Whether the agent has no tools, so that each of its replies is its answer."""
        return len(self.last_specs) == len(self.specs)

    @property
    def memory_tools(self) -> frozenset[str]:
        """The names of the agent's memory tools."""
        return self.memory.tools

    @property
    def context(self) -> Context:
        """The options of the agent's context."""
        return self.given_context or DEFAULT_CONTEXT


class StartOptions(TypedDict, total=False):
    """The options of `Seawall.start` and `Team.run`, besides the team and the request."""

    session: str | None
    """The conversation that the run belongs to. Its runs are serial."""
    tenant: str
    """The tenant whose account pays for the run."""
    principal: str
    """The user or the service that makes the request."""
    request_id: str | None
    """A repeated id returns the run that exists."""
    limits: Limits | None
    """Limits that replace the team's."""
    modes: Mapping[str, Mode] | None
    """Modes of guards for this run, by name: `off`, `observe` or `enforce`."""
    stream: bool
    """Whether `run.events()` yields pieces of the coordinator's text."""
    app: str | None
    """The team's import path, for `seawall resume`."""


class RunTeam(Protocol):
    """Runs a team. The definitions can't import the runtime, so the runtime sets `Team.runner` to one of these."""

    async def __call__(
        self,
        team: Team[Output_co],
        request: str,
        *,
        journal: str | Path = ...,
        **options: Unpack[StartOptions],
    ) -> Outcome[Output_co]:
        """Runs the team once and returns the outcome."""
        ...


class Team(Generic[Output_co]):
    """A coordinator with specialists and a reviewer, each an `Agent` or, for specialists, another `Team`.

    `Team(agent)` is a team of one. `history` is what a session's next run gets of the earlier runs: the whole
    `transcript`, or only the requests and `answers`. `fallback` is an agent that answers in the team's place when the
    team's plan no longer fits the time left; it may only read, and may not ask other agents. `planner` keeps runs
    within their time; a team with a fallback or an optional agent has one by default. `memory` is what every agent of
    the team may read and write, beside its own; True: the team's shared scratchpad, which all of its runs have.
    `context` is the default of the agents' context options. `authority` narrows what the agents may do, also in nested
    teams; if a nested team has its own authority, both apply.
    `waive` maps accepted findings of `seawall lint` to the reason: `{"SW205 refund": "…"}`. A finding is its code and the
    agents or tools that it is about.

    A nested team is a team that is a specialist of another one. Its `guards` judge only the steps of its own agents, in
    addition to the guards of the outer team. Its `limits` bound what its agents spend in a run, in all hand-offs to it
    together: a step above them is refused, and the caller is told; without `limits` only the run's limits apply.
    `planner`, `fallback` and `history` belong to the outermost team.
    Raises `Misused` for two agents of one name, a name in `authority` that does not exist, a hand-off to an agent that is
    not in the team, limits of zero or below, an argument of a wrong type, and an argument that has no use in its place.
    """

    runner: ClassVar[RunTeam]
    loop: str = ""
    """The framework whose own loop asks for the steps of the team's runs; "": Seawall's own decides them."""

    def __init__(
        self,
        name: str | Agent[Output_co],
        coordinator: Agent[Output_co] | None = None,
        *,
        specialists: Sequence[Agent | Team] = (),
        reviewer: Agent | None = None,
        review_rounds: int = REVIEW_ROUNDS,
        fallback: Agent | None = None,
        planner: Planner | None = None,
        limits: Limits | None = None,
        guards: Sequence[Guard] = (),
        history: Literal["transcript", "answers"] = HISTORY,
        role: str = "",
        memory: Memory | bool | None = None,
        context: Context | None = None,
        authority: Authority | None = None,
        waive: Mapping[str, str] | None = None,
    ) -> None:
        if isinstance(name, Agent):
            if coordinator is not None:
                raise Misused(f"Team({name!r}, …): give the team a name before its coordinator")
            coordinator, name = name, name.name
        if coordinator is None:
            raise Misused(f"team {name!r} has no coordinator")
        for what, given in (("coordinator", coordinator), ("reviewer", reviewer), ("fallback", fallback)):
            if not isinstance(cast("object", given), Agent | None):
                raise Misused(f"team {name!r}: {what} is {given!r}, which is not an Agent")
        check_items(f"team {name!r}: specialists", specialists, (Agent, Team))
        check_items(f"team {name!r}: guards", guards, Guard)
        if isinstance(review_rounds, bool) or not isinstance(cast("object", review_rounds), int):
            raise Misused(f"team {name!r}: review_rounds is {review_rounds!r}; it must be a whole number")
        if review_rounds < 1:
            raise Misused(f"team {name!r}: review_rounds is {review_rounds}; it must be at least 1")
        if review_rounds != REVIEW_ROUNDS and reviewer is None:
            raise Misused(
                f"team {name!r}: review_rounds is {review_rounds}, and the team has no reviewer; a team that is a "
                "specialist has a reviewer and rounds of its own"
            )
        if not isinstance(cast("object", role), str):
            raise Misused(f"team {name!r}: role is {role!r}; it must be text")
        if history not in ("transcript", "answers"):
            raise Misused(f"team {name!r}: history is {history!r}; it is 'transcript' or 'answers'")
        check_recordable(team=name)
        if not isinstance(cast("object", memory), Memory | bool | None):
            raise Misused(f"team {name!r}: memory is {memory!r}; it must be True or Memory(…)")
        self.name = name
        self.role = role or coordinator.role
        self.coordinator = coordinator
        self.specialists = tuple(specialists)
        self.reviewer = reviewer
        self.review_rounds = review_rounds
        self.fallback = fallback
        self.context = check_context(f"team {name!r}", context)
        self.limits = validate_limits(Limits() if limits is None else limits)
        self.given_limits = None if limits is None else self.limits
        self._given_planner = planner
        self.guards = tuple(guards)
        self.memory = Memory() if memory is True else memory or None
        self.waive = _check_waivers(name, waive)
        self.history: Literal["transcript", "answers"] = history
        self.members = self._gather_members()
        self.planner = self._choose_planner(planner)
        self.authority = authority
        self.permits = self._list_permits()
        """The rows of the authority matrix of this team and its nested teams, one for each agent and team."""
        version = digest_of({name: member.version for name, member in self.members.items()})
        self.version = (digest_of([version, digest_permits(self.permits)]) if self.permits else version)[:12]

    def __repr__(self) -> str:
        return f"<Team {self.name} of {', '.join(self.members)}>"

    def _gather_members(self) -> dict[str, Member]:
        """Returns every agent of this team and of the teams in it, by name."""
        members: dict[str, Member] = {}

        def join(name: str, member: Member) -> None:
            if name in members:
                raise Misused(f"team {self.name!r} has two agents of the name {name!r}")
            members[name] = member

        entries: dict[
            str, tuple[str, str]
        ] = {}  # the agent whose frame a hand-off opens, and the role, by specialist
        for specialist in self.specialists:
            taken = entries.get(specialist.name)
            if taken is not None and (isinstance(specialist, Team) or taken[0] != specialist.name):
                raise Misused(f"team {self.name!r} has two specialists of the name {specialist.name!r}")
            if isinstance(specialist, Team):
                self._check_nested(specialist)
                if not specialist.name.replace("-", "_").isidentifier():
                    raise Misused(
                        f"team {specialist.name!r} is a specialist, and its name is not an identifier "
                        "(letters, digits, _ and -)"
                    )
                for name, member in specialist.members.items():
                    own = replace(member, given_context=member.given_context or self.context)
                    join(name, self._add_memory(own))
                entries[specialist.name] = (specialist.coordinator.name, specialist.role)
            else:
                entries[specialist.name] = (specialist.name, specialist.role)
        agents = [item for item in self.specialists if isinstance(item, Agent)]
        for agent in agents:
            join(agent.name, self._make_member(agent, agent.asks or (), entries))
        asks = self.coordinator.asks if self.coordinator.asks is not None else tuple(entries)
        reviewer = self.reviewer
        join(self.coordinator.name, self._make_member(self.coordinator, asks, entries, reviewer))
        if reviewer is not None:
            join(reviewer.name, self._make_member(reviewer, reviewer.asks or (), entries))
        if self.fallback is not None:
            join(self.fallback.name, self._make_member(self.fallback, (), entries))
        return members

    def _list_permits(self) -> tuple[Permit, ...]:
        """Returns the rows of the authority matrix of this team and its nested teams."""
        reviews: dict[str, list[str]] = {}
        for name, member in self.members.items():
            if member.reviewer is not None:
                reviews.setdefault(member.reviewer, []).append(name)
        reaches = {
            name: Reach(member.agent, member.targets, reviews.get(name, ()))
            for name, member in self.members.items()
        }
        nested = [permit for each in self.specialists if isinstance(each, Team) for permit in each.permits]
        return (*list_permits(self.name, self.authority, reaches), *nested)

    @property
    def has_memory(self) -> bool:
        """Whether an agent of the team uses memory."""
        return any(member.memory for member in self.members.values())

    def _find_access(self, agent: Agent) -> MemoryAccess:
        """Returns what an agent may do with memory. Raises `Misused` for a fallback that may change memory."""
        own = make_access(agent.memory, "session", self.name)
        if agent is not self.fallback:
            return own.join(make_access(self.memory, "team", self.name))
        if own.writes:
            raise Misused(
                f"team {self.name!r}: fallback {agent.name!r} may only read, and its memory has "
                f"write={[place.kind for place in own.writes]}"
            )
        return own.join(make_access(self.memory, "team", self.name)).read_only()

    def _add_memory(self, member: Member) -> Member:
        """Returns a nested team's agent with this team's memory added."""
        access = member.memory.join(make_access(self.memory, "team", self.name))
        if access == member.memory:
            return member
        own = [spec for spec in member.specs if spec.name not in member.memory.tools]
        taken = {spec.name for spec in own}
        specs = (*own, *_check_memory_names(member.agent.name, access, taken))
        return msgspec.structs.replace(
            member,
            memory=access,
            specs=specs,
            specs_bytes=sum(len(to_canonical_bytes(spec)) for spec in specs),
            version=digest_of([member.version, access.version])[:12],
        )

    def _check_nested(self, nested: Team) -> None:
        """Raises `Misused` for options of a nested team that only the outermost team may have."""
        given = {
            "planner": (nested._given_planner is not None, "one planner plans the whole run"),
            "fallback": (nested.fallback is not None, "a fallback answers in place of the whole run"),
            "history": (
                nested.history != HISTORY,
                "a session keeps the conversation with the outermost team",
            ),
        }
        for name, (is_given, why) in given.items():
            if is_given:
                raise Misused(
                    f"team {nested.name!r} is a specialist of team {self.name!r}, where its {name} has no use: {why}; "
                    f"give {name} to the outermost team"
                )

    def _choose_planner(self, given: Planner | None) -> Planner | None:
        """Returns the planner of the team's runs. Raises `Misused` for a fallback or prior that no planner can use."""
        where = f"team {self.name!r}"
        if not isinstance(cast("object", given), Planner | None):
            raise Misused(f"{where}: planner is {given!r}; it must be Planner(…)")
        fallback = self.fallback
        if fallback is not None:
            effects = [item.name for item in fallback.tools if item.effect]
            if effects:
                raise Misused(
                    f"{where}: fallback {fallback.name!r} may only read, and {effects[0]!r} is an effect"
                )
            if fallback.asks:
                raise Misused(
                    f"{where}: fallback {fallback.name!r} may not ask other agents (asks={list(fallback.asks)})"
                )
        for what, agent in (("reviewer", self.reviewer), ("fallback", fallback)):
            if agent is not None and agent.optional:
                raise Misused(f"{where}: {what} {agent.name!r} is optional; only a specialist can be")
        optional = any(member.agent.optional for member in self.members.values())
        if given is None:
            return Planner() if optional or fallback is not None else None
        tools = {item.name for member in self.members.values() for item in member.agent.tools}
        for name in given.priors:
            kind, _, of = name.partition(":")
            if of not in (tools if kind == "tool" else self.members):
                raise Misused(f"{where}: its planner has a prior for {name!r}, but there is no such {kind}")
        return given

    def _make_member(
        self,
        agent: Agent,
        asks: Sequence[str],
        entries: dict[str, tuple[str, str]],
        reviewer: Agent | None = None,
    ) -> Member:
        specs = [item.spec for item in agent.tools]
        taken = {spec.name for spec in specs}
        for name in dict.fromkeys(asks):
            if name not in entries:
                known = ", ".join(entries) or "nobody"
                raise Misused(
                    f"agent {agent.name!r} asks {name!r}, which is not in team {self.name!r} (there: {known})"
                )
            spec = _make_ask_spec(name, entries[name][1])
            if spec.name in taken:
                raise Misused(
                    f"agent {agent.name!r}: its tool {spec.name!r} has the same name as a hand-off to {name!r}"
                )
            specs.append(spec)
            taken.add(spec.name)
        access = self._find_access(agent)
        specs += _check_memory_names(agent.name, access, taken)
        if agent.answer_spec is not None:
            specs.append(agent.answer_spec)
        if agent is self.reviewer:
            if REVIEW_TOOL in taken:
                raise Misused(
                    f"agent {agent.name!r} is a reviewer: its decision uses the tool name {REVIEW_TOOL!r}"
                )
            specs.append(REVIEW_SPEC)
        if agent is self.reviewer and agent.adapter is not None:
            raise Misused(
                f"agent {agent.name!r} is a reviewer: its answer is a decision, so it can't have an output type"
            )
        if reviewer is agent:
            raise Misused(f"agent {agent.name!r} can't review itself")
        targets = {name: entries[name][0] for name in asks}
        return Member(
            agent=agent,
            given_context=agent.context or self.context,
            asks=tuple(asks),
            specs=tuple(specs),
            version=agent.make_version([targets[name] for name in asks], access.version if access else ""),
            targets=targets,
            reviewer=None if reviewer is None else reviewer.name,
            rounds=self.review_rounds,
            model_name=agent.model_name,
            effects=frozenset(item.name for item in agent.tools if item.effect),
            reconcilable=frozenset(item.name for item in agent.tools if item.options.reconcile is not None),
            specs_bytes=sum(len(to_canonical_bytes(spec)) for spec in specs),
            memory=access,
        )

    def parse_output(self, answer: str) -> Output_co | None:
        """Returns a recorded answer as the coordinator's `output` type; None without one, or if it does not fit."""
        adapter = self.coordinator.adapter
        if adapter is None:
            return None
        try:
            return adapter.validate_json(answer)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 -- it was recorded with an older type, or a user's own validator raises
            return None

    def find_asked_tool(self, name: str) -> Tool[..., Any] | None:
        """Returns the declared tool that a framework's loop calls; None for a team whose agents have their own tools."""
        return None

    def list_nested(self) -> Iterator[Team]:
        """Yields the nested teams at all levels, outer ones first."""
        for specialist in self.specialists:
            if isinstance(specialist, Team):
                yield specialist
                yield from specialist.list_nested()

    async def run(
        self, request: str, *, journal: str | Path = ":memory:", **options: Unpack[StartOptions]
    ) -> Outcome[Output_co]:
        """Answers one request and returns its outcome: `seawall.run_team` with this team."""
        return await Team.runner(self, request, journal=journal, **options)


def _check_memory_names(agent: str, access: MemoryAccess, taken: set[str]) -> tuple[ToolSpec, ...]:
    """Returns the memory tools. Raises `Misused` if one of the agent's own tools has such a name."""
    for spec in access.specs:
        if spec.name in taken:
            raise Misused(
                f"agent {agent!r}: its tool {spec.name!r} has the name of a tool that its memory gives it; name its own "
                "tool otherwise (@tool(name=…))"
            )
    return access.specs


def _check_waivers(team: str, given: object) -> dict[str, str]:
    """Returns the waivers of a team. Raises `Misused` unless they map text to text."""
    if not isinstance(given, Mapping | None):
        raise Misused(f"team {team!r}: waive is {given!r}; it must map findings to reasons")
    waivers = dict(cast("Mapping[object, object]", given or {}))
    for waiver, reason in waivers.items():
        if not isinstance(waiver, str) or not isinstance(reason, str):
            raise Misused(f"team {team!r}: waive has {waiver!r}: {reason!r} in it; both must be text")
    return cast("dict[str, str]", waivers)


def _make_ask_spec(name: str, role: str) -> ToolSpec:
    schema = {
        "type": "object",
        "properties": {
            "task": {"type": "string", "description": "What to do, with every fact that is needed."}
        },
        "required": ["task"],
        "additionalProperties": False,
    }
    return ToolSpec(f"{ASK_PREFIX}{name}", f"Hand a task to {name}. {role}".strip(), schema)


MAX_TEAMS_OF_ONE = 64
"""How many teams of one agent are kept, so that the agent's runs share thread pools; a program has a handful."""


@functools.lru_cache(maxsize=MAX_TEAMS_OF_ONE)
def _make_team_of_one(agent: Agent) -> Team:
    return Team(agent)


def as_team(given: Team[Output_co] | Agent[Output_co]) -> Team[Output_co]:
    """Returns a team unchanged, and an agent's team of one. Raises `Misused` for anything else."""
    if isinstance(given, Agent):
        given = _make_team_of_one(given)
    if not isinstance(cast("object", given), Team):
        raise Misused(f"{given!r} is not a Team or an Agent")
    if given.coordinator.optional:  # allowed only in a nested team, which is a specialist itself
        name = given.coordinator.name
        raise Misused(f"team {given.name!r}: coordinator {name!r} is optional; only a specialist can be")
    return given
