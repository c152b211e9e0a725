"""One team under a deadline, in each system: what `bench/deadline.py` measures."""

from __future__ import annotations

import importlib
from typing import NamedTuple, Protocol

from hops.world import World

BUDGET_S = 10.0
SPECIALIST_S = 5.0
"""What systems with fixed time limits give a specialist: of 4, 5, 6 and 7 s the one that kept the most quality, on
400 cases of another seed."""


class Answer(NamedTuple):
    """What a client got in time: the text, and whether the team's reviewer approved it."""

    text: str
    reviewed: bool


class Desk(Protocol):
    """One system, set up."""

    version: str
    limits: str
    """Its time limits, in words."""

    async def answer(self, number: int) -> Answer | None:
        """Answer one request; None, or any exception, if the client gets none."""
        ...

    async def close(self) -> None: ...


ARMS = {
    "seawall": "hops.ours:planned",
    "seawall-plain": "hops.ours:plain",
    "seawall-client": "hops.ours:unlimited",
    "langgraph": "hops.langgraph:desk",
    "openai-agents": "hops.openai_agents:desk",
    "pydantic-ai": "hops.pydantic_ai:desk",
}


def setup(arm: str, world: World) -> Desk:
    module, _, name = ARMS[arm].partition(":")
    return getattr(importlib.import_module(module), name)(world)
