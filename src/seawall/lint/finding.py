"""A finding of the lint: its code, the agents and tools that it is about, the sentences that it rests on, its reason, and how
to mend the fault.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]
"""`error`: runs will go wrong; `warning`: some runs will go wrong; `note`: worth a look. The names are SARIF's levels."""


class Sentence(msgspec.Struct, frozen=True):
    """A sentence that a finding rests on."""

    agent: str
    text: str
    """The text as it is in the agent's instructions, its role, or a tool's description."""
    start: int = -1
    """The offset in the agent's instructions, in characters; -1 if the sentence is not from there."""


class LintFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding."""

    code: str
    """For example `SW101`."""
    severity: Severity
    agents: tuple[str, ...]
    """The agents that the finding is about; empty if it is about the team."""
    tools: tuple[str, ...] = ()
    """The tools that the finding is about."""
    reason: str
    """What is wrong, with the names of agents, tools or duties; one sentence, for people."""
    mend: str
    """What to change; one sentence."""
    sentences: tuple[Sentence, ...] = ()
    score: float = 0.0
    """How likely it is that the finding is true, from 0 to 1, for findings where that was measured; otherwise 0."""
    opinion: str = ""
    """A model's opinion on the finding, with the model's name; "" if no model was asked."""
    waived: str = ""
    """The reason why the team's authors accept the finding; "" if it is not waived."""
