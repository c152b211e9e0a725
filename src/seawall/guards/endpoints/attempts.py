"""How long one call may be silent before it is given up, so that its run has the time to make it once more.

A server that accepts a call and never answers looks like a slow server, so the bound is far above the time of earlier
answers, and a stream that goes on is never silent. Pure: events are passed in as arguments.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from seawall.guards.endpoints.options import EndpointOptions

SHARE = 2 / 3
"""The share of its run's remaining time for which a call may be silent. The other third is kept for the next try and
the steps after it. A call is not cut if it takes up to twice as long as its next try could."""
TIMES = 4.0
"""The multiple of the longest of the newest `KNOWN` calls for which a call may be silent. Of durations with a heavy
tail (Pareto, exponent 2), the next one is longer than four times the longest of twenty once in 4² · 21 = 336 times."""
KNOWN = 20
"""Newest calls of one caller that are remembered."""
LEAST_KNOWN = 10
"""Calls of one caller that must be known before they bound anything; of ten, the same tail gives 4² · 11 = 176."""
LEAST_TRY_S = 3.0
"""Seconds that the next try is assumed to need if fewer calls are known: a reply of some hundred tokens."""
UNKNOWN_TIMES = 10.0
"""The multiple of `hang_s` for which a call may be silent if fewer calls are known: 600 s, as in providers' own clients
by default."""
MAX_CALLERS = 100
"""Most agents or tools that are remembered for one endpoint; the least recently used one is dropped."""


class _Known:
    """The newest calls of one caller."""

    def __init__(self) -> None:
        self.calls: deque[tuple[float, bool]] = deque(maxlen=KNOWN)
        """The seconds that each call took, and whether it was answered. If not, it was given up, and would have taken
        longer."""
        self.longest_s = self.longest_answered_s = 0.0

    def add(self, took_s: float, *, answered: bool) -> None:
        dropped_s = self.calls[0][0] if len(self.calls) == KNOWN else 0.0
        self.calls.append((took_s, answered))
        if dropped_s < self.longest_answered_s:  # so neither of the two longest was dropped
            if took_s > self.longest_s:
                self.longest_s = took_s
            if answered and took_s > self.longest_answered_s:
                self.longest_answered_s = took_s
        else:
            self.longest_s = max(self.calls)[0]
            self.longest_answered_s = max([each_s for each_s, well in self.calls if well], default=0.0)


_NOTHING = _Known()


class Attempts:
    """The durations of one endpoint's calls in this process, for each agent or tool that makes them."""

    def __init__(self, options: EndpointOptions) -> None:
        self._options = options
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Attempts of {len(self._known)} callers>"

    def learn(self, caller: str, took_s: float, *, answered: bool) -> None:
        """Adds a call that was answered, or was given up, after `took_s` seconds."""
        known = self._known.get(caller)
        if known is None:
            known = self._known[caller] = _Known()
            if len(self._known) > MAX_CALLERS:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(caller)
        known.add(took_s, answered=answered)

    def compute_bound_s(self, caller: str, left_s: float) -> float | None:
        """Returns the seconds for which a call may be silent if its run has `left_s` left; None: until the run ends.

        A call is never given up if another one might not fit into the rest, after a breaker's first pause (`open_s`). A
        call that was given up counts with its duration so far, so calls that really take longer than before get more
        time.
        """
        known = self._known.get(caller, _NOTHING)
        try_s, hang_s = known.longest_answered_s, self._options.hang_s
        if len(known.calls) < LEAST_KNOWN:
            try_s, hang_s = max(try_s, LEAST_TRY_S), UNKNOWN_TIMES * hang_s
        silent_s = max(hang_s, TIMES * known.longest_s)
        if self._options.open_s + try_s > (1 - SHARE) * left_s:
            return None
        return round(min(SHARE * left_s, silent_s), 3) if silent_s < float("inf") else None
