"""Latencies: the newest durations of each name, and quantiles of them.

For each name a window keeps the newest `WINDOW` durations as they are. Unlike a sketch over all time, a window
forgets, and a deadline needs that when an endpoint becomes slow: 7 slow calls among 128 move the 0.95 quantile. The
price is the error of a sample: the rank of a quantile q from n durations has a standard error of
sqrt(q (1 - q) / n), which is about 0.02 for q = 0.95 and n = 128.

A call that was given up lasted *at least* so long. Such durations are censored, and the quantile is that of the
product-limit estimate (Kaplan and Meier, 1958). Without censored durations it is the plain sample quantile.

This file reads no clock. Durations are known to this process alone and are not saved: a new process begins with
priors.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

WINDOW = 128
"""Durations kept of one name: enough for the 0.95 quantile. At two calls a minute, all are replaced in about an hour."""
MIN_DURATIONS = 20
"""With fewer durations the prior is used. Below twenty durations the 0.95 quantile is the longest one, and a single
stall would make everything look slow."""
FORGET_PART = 16
"""Each pruning drops the oldest sixteenth of the durations that the estimate used, or a sixteenth of a prior. After
some forty prunings in a row without new durations the prior is used again. A prior that is three times too long
shrinks to the truth within seventeen prunings. Then what was pruned is tried again."""
MAX_NAMES = 1_000
"""Names that are known at once; the least recently used one is dropped. They take about 4 MB, and a process serves
fewer agents and tools than that."""


class LatencyWindow:
    """The newest durations of one name."""

    __slots__ = ("_durations", "_sorted", "prior_share")

    def __init__(self) -> None:
        self._durations: deque[tuple[float, bool]] = deque(maxlen=WINDOW)
        self._sorted: list[tuple[float, bool]] | None = None
        self.prior_share = 1.0
        """The share of a declared prior that is still used, from 1 down."""

    def __len__(self) -> int:
        return len(self._durations)

    def __repr__(self) -> str:
        return f"<LatencyWindow of {len(self)}, median {self.compute_quantile(0.5):g} s>"

    def add(self, seconds: float, censored: bool) -> None:
        """Adds a duration. A `censored` one would have lasted longer."""
        self._durations.append((seconds, censored))
        self._sorted = None

    def forget(self) -> None:
        """Drops the oldest sixteenth of the durations, at least one. With few durations it shrinks the prior, too."""
        if len(self) < MIN_DURATIONS:
            self.prior_share *= 1 - 1 / FORGET_PART
        for _ in range(min(len(self), max(1, len(self) // FORGET_PART))):
            self._durations.popleft()
        self._sorted = None

    def compute_quantile(self, q: float) -> float:
        """Returns the seconds within which a share `q` of the calls was done.

        If more than 1 - q were given up, it returns the longest duration.
        """
        if self._sorted is None:
            self._sorted = sorted(self._durations)
        remaining, survival = len(self._sorted), 1.0
        for seconds, censored in self._sorted:
            if not censored:
                survival *= 1 - 1 / remaining
                if survival <= 1 - q + 1e-9:
                    return seconds
            remaining -= 1
        return self._sorted[-1][0] if self._sorted else 0.0


class Latencies:
    """The durations of all runs of a process, by name."""

    def __init__(self) -> None:
        self._windows: OrderedDict[str, LatencyWindow] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Latencies of {len(self._windows)} names>"

    def learn(self, name: str, seconds: float, *, censored: bool = False) -> None:
        """Adds a duration of `name`. A `censored` call was given up after so long."""
        self._get_window(name).add(seconds, censored)

    def _get_window(self, name: str) -> LatencyWindow:
        window = self._windows.get(name)
        if window is None:
            window = self._windows[name] = LatencyWindow()
            if len(self._windows) > MAX_NAMES:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(name)
        return window

    def forget(self, name: str) -> None:
        """Drops the oldest durations of `name`, because something was pruned on account of them.

        What is pruned brings no new durations, so without this a slow hour would be remembered forever.
        """
        self._get_window(name).forget()

    def get_prior_share(self, name: str) -> float:
        """Returns the share of a declared prior that is used. Each pruning on account of it makes it smaller."""
        window = self._windows.get(name)
        return 1.0 if window is None else window.prior_share

    def compute_quantiles(self, name: str, shares: Sequence[float]) -> list[float] | None:
        """Returns the seconds within which these shares were done; None with fewer than `MIN_DURATIONS` durations."""
        window = self._windows.get(name)
        if window is None or len(window) < MIN_DURATIONS:
            return None
        return [window.compute_quantile(share) for share in shares]
