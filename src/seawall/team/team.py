"""Teams: a coordinator, specialists, a reviewer. Inert definitions; `Seawall` runs them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Generic, Literal, Protocol, TypedDict, Unpack, cast

import msgspec

from seawall.core.canonical import canonical, check_recordable, digest
from seawall.core.errors import Misused
from seawall.core.events import Mode
from seawall.core.limits import Limits, validate_limits
from seawall.models.protocol import ToolSpec
from seawall.run.guard import Guard
from seawall.run.outcome import Outcome, Output_co
from seawall.team.agent import ASK_PREFIX, Agent, check_items
from seawall.team.planner import Planner

REVIEW_ROUNDS = 2
"""A first look and one more after a correction: each further round costs as much as the answer did."""


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


class Member(msgspec.Struct, frozen=True):
    """An agent in its place in the team."""

    agent: Agent
    asks: tuple[str, ...]
    """Frames that it may open: names of agents."""
    specs: tuple[ToolSpec, ...]
    version: str
    reviewer: str | None = None
    """Who reviews what this agent answers (it is a coordinator)."""
    rounds: int = 0
    effects: frozenset[str] = frozenset()
    """Its tools that change the world, by name."""
    specs_bytes: int = 0
    """Of the schemas of its tools, as they are sent: their upper bound in tokens."""


class StartOptions(TypedDict, total=False):
    """What `Seawall.start` takes besides the team and the request."""

    session: str | None
    """The conversation that the run belongs to. Its runs are serial."""
    tenant: str
    """On whose account the run is."""
    principal: str
    """Who asked."""
    request_id: str | None
    """The same id again gives the run that exists."""
    limits: Limits | None
    """In place of the team's limits."""
    modes: Mapping[str, Mode] | None
    """Guards by name that are set to `off`, `observe` or `enforce` for this run."""
    stream: bool
    """Whether `run.events()` brings pieces of the coordinator's text."""
    app: str | None
    """The team's import path, for `seawall resume`."""


class RunTeam(Protocol):
    """What runs a team. The runtime stands on the definitions, so it gives itself to `Team.runner`."""

    async def __call__(
        self,
        team: Team[Output_co],
        request: str,
        *,
        journal: str | Path = ...,
        **options: Unpack[StartOptions],
    ) -> Outcome[Output_co]:
        """Run the team once and return the outcome."""
        ...


class Team(Generic[Output_co]):
    """A coordinator with specialists and a reviewer, each an `Agent` or, for specialists, another `Team`.

    `Team(agent)` is a team of one. `history` says what a session's next run is told of the earlier ones:
    the whole `transcript`, or only requests and `answers`. `fallback` is an agent that answers in the team's
    place when its plan no longer fits the time left: it only reads, and asks nobody. `planner` keeps runs within
    their time; one is there by default where the team has a fallback or an optional agent. A nested team's
    planner and fallback are not used: the run is planned by the outermost team.
    Raises `Misused` for two agents of one name, a delegation to nobody, limits of zero or below, and whatever
    is of another type.
    """

    runner: ClassVar[RunTeam]

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
        history: Literal["transcript", "answers"] = "transcript",
        role: str = "",
    ) -> None:
        if isinstance(name, Agent):
            if coordinator is not None:
                raise Misused(f"Team({name!r}, …): give the team a name before its coordinator")
            coordinator, name = name, name.name
        if coordinator is None:
            raise Misused(f"team {name!r} has no coordinator")
        for what, given in (("coordinator", coordinator), ("reviewer", reviewer), ("fallback", fallback)):
            if not isinstance(cast("object", given), Agent | None):
                raise Misused(f"team {name!r}: {what} is {given!r}, which is no Agent")
        check_items(f"team {name!r}: specialists", specialists, (Agent, Team))
        check_items(f"team {name!r}: guards", guards, Guard)
        if not isinstance(cast("object", review_rounds), int):
            raise Misused(f"team {name!r}: review_rounds is {review_rounds!r}; it must be a whole number")
        if review_rounds < 1:
            raise Misused(f"team {name!r}: review_rounds is {review_rounds}; it must be at least 1")
        if history not in ("transcript", "answers"):
            raise Misused(f"team {name!r}: history is {history!r}; it is 'transcript' or 'answers'")
        check_recordable(team=name)
        self.name = name
        self.role = role or coordinator.role
        self.coordinator = coordinator
        self.specialists = tuple(specialists)
        self.reviewer = reviewer
        self.review_rounds = review_rounds
        self.fallback = fallback
        self.limits = validate_limits(Limits() if limits is None else limits)
        self.guards = tuple(guards)
        self.history: Literal["transcript", "answers"] = history
        self.members = self._members()
        self.planner = self._planner(planner)
        self.version = digest({name: member.version for name, member in self.members.items()})[:12]

    def __repr__(self) -> str:
        return f"<Team {self.name} of {', '.join(self.members)}>"

    def _members(self) -> dict[str, Member]:
        """Every agent of this team and of the teams in it, by name."""
        members: dict[str, Member] = {}

        def join(name: str, member: Member) -> None:
            if name in members:
                raise Misused(f"team {self.name!r} has two agents of the name {name!r}")
            members[name] = member

        entries: dict[str, tuple[str, str]] = {}  # a specialist's name: whose frame it opens, and its role
        for specialist in self.specialists:
            if isinstance(specialist, Team):
                if not specialist.name.replace("-", "_").isidentifier():
                    raise Misused(
                        f"team {specialist.name!r} is a specialist, and its name is not an identifier "
                        "(letters, digits, _ and -)"
                    )
                for name, member in specialist.members.items():
                    join(name, member)
                entries[specialist.name] = (specialist.coordinator.name, specialist.role)
            else:
                entries[specialist.name] = (specialist.name, specialist.role)
        agents = [item for item in self.specialists if isinstance(item, Agent)]
        for agent in agents:
            join(agent.name, self._member(agent, agent.asks or (), entries))
        asks = self.coordinator.asks if self.coordinator.asks is not None else tuple(entries)
        reviewer = self.reviewer
        join(self.coordinator.name, self._member(self.coordinator, asks, entries, reviewer))
        if reviewer is not None:
            join(reviewer.name, self._member(reviewer, reviewer.asks or (), entries))
        if self.fallback is not None:
            join(self.fallback.name, self._member(self.fallback, (), entries))
        return members

    def _planner(self, given: Planner | None) -> Planner | None:
        """The planner of the team's runs. Raises `Misused` for what none could keep to."""
        where = f"team {self.name!r}"
        if not isinstance(cast("object", given), Planner | None):
            raise Misused(f"{where}: planner is {given!r}; it must be Planner(…)")
        fallback = self.fallback
        if fallback is not None:
            effects = [item.name for item in fallback.tools if item.effect]
            if effects:
                raise Misused(
                    f"{where}: fallback {fallback.name!r} only reads, and {effects[0]!r} is an effect"
                )
            if fallback.asks:
                raise Misused(
                    f"{where}: fallback {fallback.name!r} asks nobody (got asks={list(fallback.asks)})"
                )
        for what, agent in (("reviewer", self.reviewer), ("fallback", fallback)):
            if agent is not None and agent.optional:
                raise Misused(f"{where}: {what} {agent.name!r} is optional; only who is asked can be")
        optional = any(member.agent.optional for member in self.members.values())
        if given is None:
            return Planner() if optional or fallback is not None else None
        tools = {item.name for member in self.members.values() for item in member.agent.tools}
        for name in given.priors:
            kind, _, of = name.partition(":")
            if of not in (tools if kind == "tool" else self.members):
                raise Misused(f"{where}: its planner has a prior for {name!r}, and there is no such {kind}")
        return given

    def _member(
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
                    f"agent {agent.name!r} asks {name!r}, who is not in team {self.name!r} (there: {known})"
                )
            spec = _ask_spec(name, entries[name][1])
            if spec.name in taken:
                raise Misused(
                    f"agent {agent.name!r}: its tool {spec.name!r} has the name of a hand-off to {name!r}"
                )
            specs.append(spec)
        if agent.answer_spec is not None:
            specs.append(agent.answer_spec)
        if agent is self.reviewer:
            if REVIEW_TOOL in taken:
                raise Misused(
                    f"agent {agent.name!r} reviews: the tool name {REVIEW_TOOL!r} is taken by its decision"
                )
            specs.append(REVIEW_SPEC)
        if agent is self.reviewer and agent.adapter is not None:
            raise Misused(
                f"agent {agent.name!r} reviews: its answer is a decision, so it takes no output type"
            )
        if reviewer is agent:
            raise Misused(f"agent {agent.name!r} can't review itself")
        targets = tuple(entries[name][0] for name in asks)
        return Member(
            agent=agent,
            asks=tuple(asks),
            specs=tuple(specs),
            version=agent.version(targets),
            reviewer=None if reviewer is None else reviewer.name,
            rounds=self.review_rounds,
            effects=frozenset(item.name for item in agent.tools if item.effect),
            specs_bytes=sum(len(canonical(spec)) for spec in specs),
        )

    def output(self, answer: str) -> Output_co | None:
        """A recorded answer as the coordinator's `output` type; None without one, or if it does not fit it."""
        adapter = self.coordinator.adapter
        if adapter is None:
            return None
        try:
            return adapter.validate_json(answer)
        except Exception:  # noqa: BLE001 -- recorded under an older type, or a validator of the user's own raises
            return None

    def target(self, name: str) -> str | None:
        """The agent whose frame a hand-off to `name` opens: itself, or a nested team's coordinator."""
        if name in self.members:
            return name
        for specialist in self.specialists:
            if isinstance(specialist, Team):
                if specialist.name == name:
                    return specialist.coordinator.name
                found = specialist.target(name)
                if found is not None:
                    return found
        return None

    async def run(
        self, request: str, *, journal: str | Path = ":memory:", **options: Unpack[StartOptions]
    ) -> Outcome[Output_co]:
        """Answers one request and returns its outcome: `seawall.run_team` with this team."""
        return await Team.runner(self, request, journal=journal, **options)


def _ask_spec(name: str, role: str) -> ToolSpec:
    schema = {
        "type": "object",
        "properties": {
            "task": {"type": "string", "description": "What to do, with every fact that is needed."}
        },
        "required": ["task"],
        "additionalProperties": False,
    }
    return ToolSpec(f"{ASK_PREFIX}{name}", f"Hand a task to {name}. {role}".strip(), schema)


ALONE = 64
"""Agents whose team of one is kept, so that their runs share its thread pools; a program has a handful."""


@functools.lru_cache(maxsize=ALONE)
def _alone(agent: Agent) -> Team:
    return Team(agent)


def as_team(given: Team[Output_co] | Agent[Output_co]) -> Team[Output_co]:
    """A team as it is, an agent as its team of one. Raises `Misused` for anything else."""
    if isinstance(given, Agent):
        given = _alone(given)
    if not isinstance(cast("object", given), Team):
        raise Misused(f"{given!r} is no Team, nor an Agent")
    if given.coordinator.optional:  # of a team in another one it may be: that one asks it
        who = given.coordinator.name
        raise Misused(f"team {given.name!r}: coordinator {who!r} is optional; only who is asked can be")
    return given
