"""Turns: decides when steps that have waited for an endpoint may call it again, one after another, and more at a time
as more of them succeed. Pure: events and the time, in seconds of one monotonic clock, are passed in as arguments. It
counts in one process, and only while the breaker is closed; a breaker that is open or half open decides by itself.
"""

from __future__ import annotations

import math
import random
from collections.abc import Hashable
from typing import Literal

from seawall.guards.endpoints.options import EndpointOptions

FIRST_S = 0.5
"""Seconds before the first try of an endpoint that has just failed, as in providers' clients. The next pauses are those
of a breaker."""
DOUBLING_S = 1.0
"""Seconds in which the number of turns that may be in flight doubles, even if no call has ended: from two to 512 in
eight seconds. So long calls do not make hundreds of steps wait for minutes, and an endpoint that has just recovered
does not get all calls at once."""


class Turns:
    """Gives turns to the steps that wait at a closed breaker because calls of this endpoint have failed.

    While no call was answered since the newest failure, one step tries at a time, after the pause that the breaker
    would make. After an answer, a few turns may be in flight, one more with each further answer, and half as many after
    a failure.
    """

    def __init__(self, options: EndpointOptions, rng: random.Random) -> None:
        self._options = options
        self._rng = rng
        self._answered_s = float("-inf")
        """Monotonic seconds of the last answer."""
        self._is_proven = True
        """Whether a call was answered since the newest failure."""
        self._tries = 0
        """Turns that failed in a row."""
        self._next_s = float("-inf")
        """Not proven: monotonic seconds when the next turn is due."""
        self._allowed: float | None = None
        """The number of turns that may be in flight, as of `_grows_from_s`; None: as many as there are slots."""
        self._grows_from_s = 0.0
        self._taken: set[Hashable] = set()
        """Turns in flight."""

    def __repr__(self) -> str:
        state = "proven" if self._is_proven else f"{self._tries} tries failed"
        return f"<Turns {state}, {len(self._taken)} turns in flight>"

    def was_answered_since(self, since_s: float) -> bool:
        """Returns whether any call was answered after this moment."""
        return self._answered_s > since_s

    def begin(self, now_s: float) -> None:
        """Begins when the breaker has closed, because its probes were answered."""
        self._answered_s, self._is_proven, self._tries = now_s, True, 0
        self._allowed, self._grows_from_s = float(self._options.probes), now_s

    def take_turn(self, key: Hashable) -> None:
        """Counts a call that has waited for its turn and begins now."""
        self._taken.add(key)

    def end(
        self, key: Hashable, result: Literal["answered", "failed", ""], now_s: float, longest_s: float
    ) -> None:
        """Counts a call that has ended, with a turn or without. `longest_s` is the longest time, in seconds, that a
        step has left to wait.
        """
        had_turn = key in self._taken
        self._taken.discard(key)
        if result == "answered":
            self._answered_s, self._is_proven, self._tries = now_s, True, 0
            if (allowed := self._compute_allowed(now_s)) is not None:
                self._allowed, self._grows_from_s = allowed + 1, now_s
        elif result == "failed":
            if self._is_proven or had_turn:
                self._tries += had_turn
                self._next_s = now_s + self._compute_pause_s(longest_s)
            self._is_proven = False
            allowed = self._compute_allowed(now_s)
            least = float(self._options.probes)
            self._allowed = least if allowed is None else max(1.0, min(allowed, self._options.at_once) / 2)
            self._grows_from_s = now_s

    def _compute_pause_s(self, longest_s: float) -> float:
        options = self._options
        if self._tries == 0:
            return min(FIRST_S, options.open_s)
        pause_s = min(options.open_max_s, options.open_s * 2.0 ** min(self._tries - 1, 60))
        pause_s = bound_open_s(pause_s, options, longest_s)
        return pause_s * (1 - self._rng.uniform(0.0, options.jitter))

    def _compute_allowed(self, now_s: float) -> float | None:
        if self._allowed is None:
            return None
        doublings = min(60.0, max(0.0, now_s - self._grows_from_s) / DOUBLING_S)
        allowed = self._allowed * 2.0**doublings
        return None if allowed >= self._options.at_once else allowed

    def count_turns(self, now_s: float) -> int:
        """Returns the number of further turns that may begin now."""
        if not self._is_proven:
            return 1 if now_s >= self._next_s and not self._taken else 0
        allowed = self._compute_allowed(now_s)
        if allowed is None:
            return self._options.at_once
        return max(0, int(allowed) - len(self._taken))

    def find_next_s(self, now_s: float, offered: int) -> float | None:
        """Returns the monotonic second at which time alone allows another turn, if `offered` turns are offered and not
        taken yet; None if time alone does not.
        """
        if not self._is_proven:
            return None if self._taken or offered or self._next_s <= now_s else self._next_s
        allowed = self._compute_allowed(now_s)
        if allowed is None or int(allowed) > len(self._taken) + offered:
            return None
        more = len(self._taken) + offered + 1
        return now_s + DOUBLING_S * math.log2(more / allowed)


def bound_open_s(open_s: float, options: EndpointOptions, longest_s: float) -> float:
    """Returns the seconds before an endpoint is tried again: at most half of the longest time that a step can wait. So
    if an outage ends within that time, a waiting step notices it in time. It is never shorter than the first pause.
    """
    return max(min(options.open_s, open_s), min(open_s, longest_s / 2))
