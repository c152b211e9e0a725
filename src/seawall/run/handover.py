"""What the guards of a run leave for the next run of its session."""

from __future__ import annotations

from collections.abc import Sequence

from seawall.run.guard import FoldFailed, Guard
from seawall.run.state import RunState


def collect_handover(state: RunState, guards: Sequence[Guard]) -> dict[str, str]:
    """What the guards leave for the session's next run. One that raises leaves nothing: this run is over."""
    if state.started.session is None:
        return {}
    left: dict[str, str] = {}
    for guard in guards:
        memory = state.memories.get(guard.name)
        if isinstance(memory, FoldFailed):
            continue
        try:
            text = guard.carry(memory)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 -- what it would have remembered is advice; the outcome is not
            continue
        if text is not None:
            left[guard.name] = text
    return left
