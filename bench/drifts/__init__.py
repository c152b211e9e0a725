"""Sessions of many turns, in each system: what `bench/drift.py` measures."""

from __future__ import annotations

import importlib
from typing import NamedTuple, Protocol

from drifts.world import World

WINDOW_TOKENS = 4_000
"""Of the scripted model, at four characters a token. A tenth of what a session's messages come to."""


class Played(NamedTuple):
    """What the user got for one request."""

    answer: str
    """"": the turn failed."""
    tokens: int
    """What the model was sent in this turn, in all calls together."""


class Desk(Protocol):
    """One system, set up for one session."""

    version: str
    setting: str
    """How it is configured, in words."""

    async def open(self, imported: list[tuple[str, str]]) -> None:
        """Begins a session; `imported` are older entries of the whole tenant's memory, oldest first."""
        ...

    async def say(self, request: str, *, breaks: bool) -> Played:
        """Plays one turn. With `breaks`, the run is ended by a failure after its first call."""
        ...

    async def tell_elsewhere(self, key: str, value: str) -> None:
        """Another session of the same tenant stores a fact. A system without shared memory can't hear of it."""
        ...

    async def close(self) -> None: ...


ARMS = {
    "seawall": "drifts.ours:desk",
    "plain": "drifts.plain:desk",
    "langgraph": "drifts.langgraph:desk",
    "pydantic-ai": "drifts.pydantic_ai:desk",
}


def setup(arm: str, world: World) -> Desk:
    """Returns a desk of a system."""
    module, _, name = ARMS[arm].partition(":")
    return getattr(importlib.import_module(module), name)(world)
