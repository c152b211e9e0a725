"""How long one call may be silent before it is given up, so that its run has the time to make it once more.

A server that accepts a call and never answers looks like one that is slow, so the bound is far above what answers have
taken, and a stream that goes on is never silent. Pure: what happens is given to it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import NamedTuple

from seawall.guards.endpoints.options import EndpointOptions

SHARE = 2 / 3
"""A call is silent for at most this share of the time that its run has left. So the other third is there for the same
call and what comes after it, and a call that takes up to twice as long as its next try could is not cut."""
TIMES = 4.0
"""So many times the longest of the newest `KNOWN` calls are waited for. Of durations with a heavy tail (Pareto, exponent
2), the next one is longer than four times the longest of twenty once in 4² · 21 = 336 times."""
KNOWN = 20
"""Newest calls of one caller that are kept."""
LEAST_KNOWN = 10
"""Calls of one caller that must be known before they bound anything; of ten, the same tail gives 4² · 11 = 176."""
LEAST_TRY_S = 3.0
"""With fewer known calls, the next try is taken to need so long: a reply of some hundred tokens."""
UNKNOWN_TIMES = 10.0
"""With fewer known calls, so many times `hang_s` are waited for: 600 s, as providers' own clients do by default."""
MAX_CALLERS = 100
"""Agents or tools that are known at once of one endpoint; the least recently used one is dropped."""


class _Ended(NamedTuple):
    took_s: float
    answered: bool
    """False: the call was given up, and would have taken longer."""


class Attempts:
    """How long the calls of one endpoint took in this process, for each agent or tool that makes them."""

    def __init__(self, options: EndpointOptions) -> None:
        self._options = options
        self._ended: OrderedDict[str, deque[_Ended]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Attempts of {len(self._ended)} callers>"

    def learn(self, caller: str, took_s: float, *, answered: bool) -> None:
        """Counts a call that was answered, or given up after so long."""
        self._ended.setdefault(caller, deque(maxlen=KNOWN)).append(_Ended(took_s, answered))
        self._ended.move_to_end(caller)
        if len(self._ended) > MAX_CALLERS:
            self._ended.popitem(last=False)

    def compute_bound_s(self, caller: str, left_s: float) -> float | None:
        """Returns for how many seconds a call may be silent whose run has `left_s` left; None: until its run ends.

        A call is never given up if another one might not fit into the rest, after a breaker's first pause (`open_s`). One
        that was given up counts as one that took so long, so calls that really take longer than before get more time.
        """
        ended = self._ended.get(caller, ())
        hang_s = self._options.hang_s
        try_s = max((each.took_s for each in ended if each.answered), default=0.0)
        if len(ended) < LEAST_KNOWN:
            try_s, hang_s = max(try_s, LEAST_TRY_S), UNKNOWN_TIMES * hang_s
        silent_s = max([hang_s, *(TIMES * each.took_s for each in ended)])
        if self._options.open_s + try_s > (1 - SHARE) * left_s:
            return None
        return round(min(SHARE * left_s, silent_s), 3) if silent_s < float("inf") else None
