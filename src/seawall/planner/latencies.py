"""How long things take: of each name the newest durations, and quantiles of them.

A window of the newest `WINDOW` durations, kept as they are. Against a sketch over all time it forgets, which is
what a deadline needs when an endpoint becomes slow: 7 of 128 slow calls move the 0.95 quantile. The price is
its error, which is that of a sample: the rank of a quantile q from n durations has a standard error of
sqrt(q (1 - q) / n), for q = 0.95 and n = 128 about 0.02.

A call that was given up lasted *at least* so long. Such durations are censored, and the quantile is that of the
product-limit estimate (Kaplan and Meier, 1958), which without them is the plain sample quantile.

No clock is read here. The knowledge is this process's own and is not kept: a new process begins with priors.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

WINDOW = 128
"""Durations kept of a name: enough for the 0.95 quantile, and forgotten within an hour at two calls a minute."""
LEARNED = 20
"""With fewer durations the prior counts: below twenty the 0.95 quantile is the longest one, and a single stall
would make everything look slow."""
FORGOTTEN = 16
"""Where something was pruned, the oldest sixteenth of what was reckoned with is dropped, or a sixteenth of a prior.
After some forty prunings in a row without new durations the prior counts again, one that is three times too long
has shrunk to the truth after seventeen, and what was pruned is tried again."""
MAX_NAMES = 1_000
"""Names that are known at once, the least recently used one is dropped: about 4 MB, and more agents and tools
than a process serves."""


class LatencyWindow:
    """The newest durations of one name."""

    __slots__ = ("_durations", "_sorted", "prior_share")

    def __init__(self) -> None:
        self._durations: deque[tuple[float, bool]] = deque(maxlen=WINDOW)
        self._sorted: list[tuple[float, bool]] | None = None
        self.prior_share = 1.0
        """What a declared prior still counts."""

    def __len__(self) -> int:
        return len(self._durations)

    def __repr__(self) -> str:
        return f"<LatencyWindow of {len(self)}, median {self.quantile(0.5):g} s>"

    def add(self, seconds: float, censored: bool) -> None:
        """One more; with `censored` it would have lasted longer."""
        self._durations.append((seconds, censored))
        self._sorted = None

    def forget(self) -> None:
        """Drop the oldest sixteenth, at least one; before enough is learned, of the prior."""
        if len(self) < LEARNED:
            self.prior_share *= 1 - 1 / FORGOTTEN
        for _ in range(min(len(self), max(1, len(self) // FORGOTTEN))):
            self._durations.popleft()
        self._sorted = None

    def quantile(self, q: float) -> float:
        """Seconds within which a share `q` was done; the longest seen if more than 1 - q were given up."""
        if self._sorted is None:
            self._sorted = sorted(self._durations)
        left, survival = len(self._sorted), 1.0
        for seconds, censored in self._sorted:
            if not censored:
                survival *= 1 - 1 / left
                if survival <= 1 - q + 1e-9:
                    return seconds
            left -= 1
        return self._sorted[-1][0] if self._sorted else 0.0


class Latencies:
    """Durations by name, of all runs of a process."""

    def __init__(self) -> None:
        self._windows: OrderedDict[str, LatencyWindow] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Latencies of {len(self._windows)} names>"

    def learn(self, name: str, seconds: float, *, censored: bool = False) -> None:
        """Take in how long something took; `censored`: it was given up after so long."""
        self._window(name).add(seconds, censored)

    def _window(self, name: str) -> LatencyWindow:
        window = self._windows.get(name)
        if window is None:
            window = self._windows[name] = LatencyWindow()
            if len(self._windows) > MAX_NAMES:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(name)
        return window

    def forget(self, name: str) -> None:
        """It was reckoned with, and something was pruned for it. What is pruned brings no new durations, so the
        oldest go: else a slow hour would be held for ever.
        """
        self._window(name).forget()

    def prior_share(self, name: str) -> float:
        """How much of a declared prior counts: less with everything that was pruned for it."""
        window = self._windows.get(name)
        return 1.0 if window is None else window.prior_share

    def quantiles(self, name: str, shares: Sequence[float]) -> list[float] | None:
        """Seconds within which these shares were done; None before `LEARNED` durations are there."""
        window = self._windows.get(name)
        if window is None or len(window) < LEARNED:
            return None
        return [window.quantile(share) for share in shares]
