"""Signs that the run let time pass, after which an equal answer is less of a sign for a loop: it waits for something."""

from __future__ import annotations

from msgspec.structs import replace

from seawall.guards.loops.options import LoopOptions
from seawall.guards.loops.state import LoopState, Observation

WAIT_S = 10.0
"""Seconds without a call that ended, after which the run has let time pass. Agents that wait sleep for so long before
they look again. A slow model takes as long for a reply, but a run with such a model reaches its limit of time
after few calls."""


def note_pause(state: LoopState, observation: Observation) -> LoopState:
    """Returns the state that knows whether the run let time pass before a call."""
    waits = state.waits + _is_wait(state.ended_at, observation.began_at)
    return replace(state, waits=waits) if waits != state.waits else state


def note_end(state: LoopState, observation: Observation) -> LoopState:
    """Returns the state that knows when a call ended, and whether time passed while it was made."""
    waits = state.waits
    if observation.kind != "handoff":  # that it takes long is no sign: its agent was at work
        waits += _is_wait(observation.began_at, observation.ended_at)
    return replace(state, waits=waits, ended_at=max(state.ended_at, observation.ended_at))


def _is_wait(since: float, until: float) -> bool:
    """Returns whether time passed between two times, if both are known."""
    return bool(since) and until - since >= WAIT_S


def limit_among_waits(limit: int, count: int, waits: int, options: LoopOptions) -> int:
    """Returns how often something may come if the run let time pass before half of the times, as it waits for it."""
    return max(limit, options.unfinished) if waits * 2 >= count else limit
