"""A team as a lint sees it: what its agents are told, which tools they have, and who may hand work to whom.

Teams of Seawall, of CrewAI and of the plain form are all read into this. What a form does not say is None, so that no
rule takes silence for a statement.
"""

from __future__ import annotations

import msgspec


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
    latency_s: float | None = None
    """How long a call takes, as it is declared."""


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
    waived: tuple[tuple[str, str], ...] = ()
    """Codes of findings that its authors do not want to be told of this agent, each with the reason."""


class TeamDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One team."""

    name: str
    agents: tuple[AgentDescription, ...]
    flows: tuple[tuple[str, str], ...] | None = None
    """Who may hand work to whom, by names; None: the form does not say."""
    entry: tuple[str, ...] | None = None
    """Who is given the request; None: the form does not say."""
    reviews: tuple[tuple[str, str], ...] = ()
    """Who reviews whose answers: (reviewer, reviewed)."""
    active_s: float | None = None
    """The time that a run may take; None: no deadline, or not known."""
    limits: tuple[tuple[str, str], ...] = ()
    """What else a run may spend, as (name, value)."""
    bounded: bool | None = None
    """Whether the form can state bounds at all; None: it can't, so none is missed."""
    waived: tuple[tuple[str, str], ...] = ()
    """Codes of findings that its authors do not want to be told of the team, each with the reason."""

    def find(self, name: str) -> AgentDescription | None:
        """Returns the agent of a name; None if there is none."""
        return next((agent for agent in self.agents if agent.name == name), None)
