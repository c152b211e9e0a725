"""Signs that the run let time pass. It then waits for something, so that an equal answer is less of a sign of a loop."""

from __future__ import annotations

from msgspec.structs import replace

from seawall.guards.loops.options import LoopOptions
from seawall.guards.loops.state import LoopState, Observation

WAIT_S = 10.0
"""The run has let time pass after this many seconds in which no call ended and no model was at work, or if one call took
that long. Agents that wait for something sleep about that long before they look again."""
SLOW_S = 30.0
"""The same including the time of the models, because waiting may happen inside a model call: nine of ten replies take
less than 22 s (357,161 steps of coding agents, arXiv 2606.30560)."""


def note_pause(state: LoopState, observation: Observation) -> LoopState:
    """Returns the state after noting whether the run let time pass before a call."""
    if not state.ended_at:
        return state
    gap_s = observation.began_at - state.ended_at
    if gap_s < SLOW_S and gap_s - state.replied_s < WAIT_S:
        return state
    return replace(state, waits=state.waits + 1)


def note_reply(state: LoopState, began_at: float, ended_at: float) -> LoopState:
    """Returns the state with the time that models were at work: an agent in a loop with a slow model does not wait."""
    return replace(state, replied_s=state.replied_s + ended_at - began_at) if state.ended_at else state


def note_end(state: LoopState, observation: Observation) -> LoopState:
    """Returns the state after noting when a call ended, and whether time passed while it was made."""
    waits, began_at, ended_at = state.waits, observation.began_at, observation.ended_at
    if observation.kind != "handoff":  # a long hand-off is not a wait: its agent was at work
        waits += bool(began_at) and ended_at - began_at >= WAIT_S
    return replace(state, waits=waits, ended_at=max(state.ended_at, ended_at), replied_s=0.0)


def limit_among_waits(limit: int, count: int, waits: int, options: LoopOptions) -> int:
    """Returns the limit for something that happened `count` times. It is higher if the run waited before half of them."""
    return max(limit, options.unfinished) if waits * 2 >= count else limit
