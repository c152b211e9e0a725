"""One module a system, each imported in its own process only."""

from __future__ import annotations

from limits.asked import Asked


def instructions(asked: Asked, agent: str) -> str:
    """An agent's prompt; the scripted model reads the mark."""
    return f"You are the {agent}. [agent:{agent}]\n{asked.instructions}"
