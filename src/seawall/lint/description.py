"""A team as a lint sees it: what its agents are told, which tools they have, and who may hand work to whom.

Teams of Seawall, of CrewAI and of the plain form are all read into this. What a form does not say is None, so that no
rule takes silence for a statement.
"""

from __future__ import annotations

import msgspec

from seawall.core.money import Money


class SourcePlace(msgspec.Struct, frozen=True):
    """Where something is written."""

    file: str
    line: int | None = None
    """From 1; None: not known."""


class ToolDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One tool, as its agent is shown it."""

    name: str
    description: str = ""
    schema_bytes: int = 0
    """Bytes of its name, description and parameters, as they are sent; 0: not known."""
    effect: bool | None = None
    """Whether it changes the world; None: the form does not say."""
    has_identity: bool | None = None
    """Whether an effect says what makes two calls the same one."""
    has_approval: bool | None = None
    """Whether a person decides on some of its calls."""
    has_amount: bool | None = None
    """Whether its calls move money or another amount, as it is declared."""
    latency_s: float | None = None
    """How long a call takes, as it is declared."""
    built_in: bool = False
    """Whether the framework gives it to its agent: a hand-off, memory, the answer."""


class AgentDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One agent."""

    name: str
    role: str = ""
    instructions: str = ""
    """All that it is told to do: goal, backstory and the descriptions of its tasks, where a form has them apart."""
    tools: tuple[ToolDescription, ...] = ()
    kind: str = ""
    """`coordinator`, `specialist`, `reviewer` or `fallback`; "": the form does not say."""
    context_tokens: int | None = None
    """The budget of its context, with its reply; None: not known."""
    denied: tuple[str, ...] = ()
    """Tools that it has and may not call: its authority leaves them out. They are not among `tools`."""
    denied_to: tuple[str, ...] = ()
    """Agents that it could ask and may not hand work to: its authority leaves them out. They are not among the flows."""
    undecided: tuple[str, ...] = ()
    """Agents that it reviews and on whose answers it may not decide: its authority leaves them out."""
    up_to: tuple[tuple[str, tuple[Money, ...]], ...] = ()
    """The greatest amounts that its authority lets it cause in one call, as (tool, one amount for each currency). A tool that
    stands in it twice is bound by both."""
    latency_s: float | None = None
    """How long it takes for what it is asked, as it is declared: the shortest way to its answer."""
    depth: int | None = None
    """How deep its frame lies: 1 for who is given the request; None: the form does not say."""
    place: SourcePlace | None = None
    """Where it is defined."""


class TeamDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One team."""

    name: str
    agents: tuple[AgentDescription, ...]
    flows: tuple[tuple[str, str], ...] | None = None
    """Who may hand work to whom, by names; None: the form does not say. A name need not be that of an agent: a lint says
    so, and `user` is who makes the request."""
    entry: tuple[str, ...] | None = None
    """Who is given the request; None: the form does not say."""
    reviews: tuple[tuple[str, str], ...] = ()
    """Who reviews whose answers: (reviewer, reviewed)."""
    active_s: float | None = None
    """The time that a run may take; None: no deadline, or not known."""
    limits: tuple[tuple[str, float], ...] = ()
    """What else a run may spend, as (name, value), by the names of `Limits`."""
    authority: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Who alone may decide on something or call a tool, as (subject, agents); a subject that is not named is open."""
    bounded: bool | None = None
    """Whether the form can state bounds at all; None: it can't, so none is missed."""
    waived: tuple[tuple[str, str], ...] = ()
    """What its authors do not want to be told, each with the reason: a code, and the agents or tools that it is about,
    such as `SW102 clerk cashier`."""
    form: str = ""
    """The form that it was read from, for people."""
    place: SourcePlace | None = None
    """Where it is written."""

    def find(self, name: str) -> AgentDescription | None:
        """Returns the agent of a name; None if there is none."""
        return next((agent for agent in self.agents if agent.name == name), None)
