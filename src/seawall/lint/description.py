"""A team as the lint sees it: its agents' instructions and tools, and who may hand work to whom.

Teams of Seawall, of CrewAI and of the plain form are all read into this. A field that a form does not have is None, so that no
rule takes a missing field for a statement.
"""

from __future__ import annotations

import msgspec

from seawall.core.money import Money


class SourcePlace(msgspec.Struct, frozen=True):
    """The file and the line in which something is written."""

    file: str
    line: int | None = None
    """The line, counted from 1; None if it is not known."""


class ToolDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One tool as its agent sees it."""

    name: str
    description: str = ""
    schema_bytes: int = 0
    """Bytes of the name, description and parameters that a model is sent; 0 if they are not known."""
    effect: bool | None = None
    """Whether the tool changes the world; None if the form does not say it."""
    has_identity: bool | None = None
    """Whether it is declared what makes two calls the same effect."""
    has_approval: bool | None = None
    """Whether a person decides on some of its calls."""
    has_amount: bool | None = None
    """Whether its calls move money or another amount, as it is declared."""
    latency_s: float | None = None
    """Declared seconds of one call."""
    built_in: bool = False
    """Whether the framework adds the tool: for a hand-off, memory or the answer."""


class AgentDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One agent."""

    name: str
    role: str = ""
    instructions: str = ""
    """All that the agent is told. If a form has a goal, a backstory and tasks, they are joined here."""
    tools: tuple[ToolDescription, ...] = ()
    kind: str = ""
    """`coordinator`, `specialist`, `reviewer` or `fallback`; "" if the form does not say it."""
    context_tokens: int | None = None
    """Tokens of the agent's context, with the reply; None if they are not known."""
    denied: tuple[str, ...] = ()
    """Tools that the agent has but may not call by its authority. They are not among `tools`."""
    denied_to: tuple[str, ...] = ()
    """Agents that the agent could ask but may not hand work to by its authority. They are not among the flows."""
    undecided: tuple[str, ...] = ()
    """Agents that the agent reviews but on whose answers it may not decide by its authority."""
    up_to: tuple[tuple[str, tuple[Money, ...]], ...] = ()
    """The greatest amounts that the agent's authority allows in one call, as (tool, one amount for each currency). A tool that
    is listed twice is bound by both."""
    latency_s: float | None = None
    """Declared seconds from a request to the agent to its answer, on the shortest way."""
    depth: int | None = None
    """The depth of the agent's frame: 1 for the agent that is given the request; None if the form does not say it."""
    place: SourcePlace | None = None
    """Where the agent is defined."""


class TeamDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One team."""

    name: str
    agents: tuple[AgentDescription, ...]
    flows: tuple[tuple[str, str], ...] | None = None
    """Who may hand work to whom, as pairs of names; None if the form does not say it. A name that is not an agent's leads to a
    finding, except `user`, who makes the request."""
    entry: tuple[str, ...] | None = None
    """The agents that are given the request; None if the form does not say it."""
    reviews: tuple[tuple[str, str], ...] = ()
    """Who reviews whose answers: (reviewer, reviewed)."""
    active_s: float | None = None
    """Seconds that a run may take; None if there is no deadline, or it is not known."""
    limits: tuple[tuple[str, float], ...] = ()
    """The other limits of a run, as (name, value), with the names of `Limits`."""
    authority: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Subjects and tools on which only some agents may decide or that only they may call, as (subject, agents). A subject
    that is not named is open to all."""
    bounded: bool | None = None
    """Whether the form can state bounds. If it can't, this is None, and the lint reports no missing bound."""
    waived: tuple[tuple[str, str], ...] = ()
    """The waivers, each with its reason. A waiver is a code, and the agents or tools that its findings are about, such as
    `SW102 clerk cashier`."""
    form: str = ""
    """The form that the team was read from, as a text for people."""
    place: SourcePlace | None = None
    """Where the team is written."""

    def find(self, name: str) -> AgentDescription | None:
        """Returns the agent of a name; None if there is none."""
        return next((agent for agent in self.agents if agent.name == name), None)
