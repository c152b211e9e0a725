"""What a lint says: a code, whom it is about, the sentences that it rests on, why, and what to do."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]
"""`error`: it will go wrong; `warning`: it goes wrong in some runs; `note`: worth a look. The names are SARIF's levels."""


class Sentence(msgspec.Struct, frozen=True):
    """A sentence that a finding rests on."""

    agent: str
    text: str
    """As it stands in the agent's instructions, in its role, or in a tool's description."""
    start: int = -1
    """Where it begins in the agent's instructions, in characters; -1: it is not from there."""


class LintFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding."""

    code: str
    """For example `SW101`."""
    severity: Severity
    agents: tuple[str, ...]
    """Whom it is about; empty: the team."""
    tools: tuple[str, ...] = ()
    """Which tools it is about."""
    reason: str
    """Which duty, on which object; one sentence, for people."""
    mend: str
    """What to change; one sentence."""
    sentences: tuple[Sentence, ...] = ()
    score: float = 0.0
    """How sure it is, from 0 to 1, where that was measured; 0: it is certain or was not measured."""
    opinion: str = ""
    """What a model that was asked said of it, marked as such; "": none was asked."""
    waived: str = ""
    """The reason for which the team's authors do not want to be told; "": it is not waived."""
