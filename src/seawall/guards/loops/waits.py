"""Signs that the run let time pass, after which an equal answer is less of a sign for a loop: it waits for something."""

from __future__ import annotations

from msgspec.structs import replace

from seawall.guards.loops.options import LoopOptions
from seawall.guards.loops.state import LoopState, Observation

WAIT_S = 30.0
"""Seconds without a call that ended, after which the run has let time pass: more than most models take for a reply."""
SHORT_WAIT_S = 10.0
"""The same, if it is `UNUSUAL` times as long as the run mostly takes from one call to the next: agents sleep for some
seconds before they look again."""
UNUSUAL = 3.0
PACE_CALLS = 8
"""Calls over which it is averaged what the run mostly takes; the newest counts for one in so many at least."""


def note_pause(state: LoopState, observation: Observation) -> LoopState:
    """Returns the state that knows whether the run let time pass before a call, and what it mostly takes."""
    pause_s = _measure_s(state.ended_at, observation.began_at)
    if _is_wait(state, pause_s):
        return replace(state, waits=state.waits + 1)
    if pause_s is None:
        return state
    calls = min(state.paced_calls + 1, PACE_CALLS)
    return replace(state, pace_s=state.pace_s + (pause_s - state.pace_s) / calls, paced_calls=calls)


def note_end(state: LoopState, observation: Observation) -> LoopState:
    """Returns the state that knows when a call ended, and whether time passed while it was made."""
    took_s = _measure_s(observation.began_at, observation.ended_at)
    waits = state.waits
    if observation.kind != "handoff":  # that it takes long is no sign: its agent was at work
        waits += _is_wait(state, took_s)
    return replace(state, waits=waits, ended_at=max(state.ended_at, observation.ended_at))


def _is_wait(state: LoopState, seconds: float | None) -> bool:
    """Returns whether so much time is more than a model takes for a reply, or this one takes for its replies."""
    if seconds is None or seconds >= WAIT_S:
        return seconds is not None
    return bool(state.paced_calls) and seconds >= max(SHORT_WAIT_S, UNUSUAL * state.pace_s)


def _measure_s(since: float, until: float) -> float | None:
    """Returns the seconds between two times; None if they are not known, or the calls were made at once."""
    return until - since if since and until >= since else None


def limit_among_waits(limit: int, count: int, waits: int, options: LoopOptions) -> int:
    """Returns how often something may come if the run let time pass before half of the times, as it waits for it."""
    return max(limit, options.unfinished) if waits * 2 >= count else limit
