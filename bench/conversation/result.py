"""What became of conversations that were played."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from conversation.script import Script

Wire = Literal["stream", "plain"]


@dataclass(kw_only=True)
class Result:
    """One conversation, played."""

    script: Script
    wire: Wire
    runs: int = 0
    steps: int = 0
    advised: int = 0
    overlapped: int = 0
    """Batches of reads that were all in flight at once, by the journal."""
    halted_by: str | None = None
    halted_why: str | None = None
    problems: list[str] = field(default_factory=list)
    """Everything that is not as recorded."""


@dataclass(kw_only=True)
class Played:
    """All conversations, played."""

    results: list[Result]
    wall_s: float
    journal_bytes: int
    server: dict[str, Any]
    """The model server's own report."""
