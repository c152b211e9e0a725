"""The loop guard's rule, written down a second time, so that what the guard says is checked and not trusted.

From its page: a call brings no news if (tool, arguments, result) was seen before in this frame (one agent at one
task) since the world last changed; each such call is advised; after three in a row the next call is not made. A successful write that
brought news is a change of the world: all that anybody knew may be old.
"""

from __future__ import annotations

import json

from conversation.recorded import Call

LIMIT = 3


class Rule:
    """What is known in the frames of one run."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, int]] = {}
        self._streak: dict[str, int] = {}

    def stops(self, frame: str) -> bool:
        """Whether this frame's next call is not made."""
        return self._streak.get(frame, 0) >= LIMIT

    def learn(self, frame: str, call: Call, step: int) -> str | None:
        """Take in a result; the advice that stands below it, if it brought no news."""
        learned = json.dumps([call.name, json.loads(call.arguments), _meaning(call.result)], sort_keys=True)
        known = self._known.setdefault(frame, {})
        before = known.get(learned)
        if before is not None:
            self._streak[frame] = self._streak.get(frame, 0) + 1
            return advice(call.name, before, LIMIT - self._streak[frame])
        if call.effect:
            self._known = {frame: {learned: step}}
            self._streak = {}
            return None
        known[learned] = step
        self._streak[frame] = 0
        return None


def advice(name: str, before: int, left: int) -> str:
    """What the guard tells an agent whose call brought only what step `before` had brought."""
    return (
        f"[{name} brought exactly what you already know from step {before}: nothing new. Use what you have, try "
        "something else, or answer and say what is missing. "
        f"Calls without news before the run is stopped: {max(0, left)}.]"
    )


def _meaning(result: str) -> object:
    """A result without its white space and the order of its keys."""
    try:
        value = json.loads(result)
    except ValueError:
        value = None
    return value if isinstance(value, dict | list) else " ".join(result.split())
