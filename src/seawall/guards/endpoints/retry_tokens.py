"""Retry tokens: further tries are paid for by first tries, so that a storm adds at most a tenth to itself."""

from __future__ import annotations

_ENOUGH = 1 - 1e-9  # ten tenths


class RetryTokens:
    """A first try earns a share of a token, a further try costs one, and few can be saved up.

    Few, or a minute of good traffic would pay for a storm. What was spent comes back by itself over `window_s`,
    so that a single run on a quiet endpoint may try again some day, too.
    """

    def __init__(self, ratio: float, reserve: int, window_s: float) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._per_s = reserve / window_s
        self._tokens = float(reserve)
        self._now_s: float | None = None

    def __repr__(self) -> str:
        return f"<RetryTokens {self._tokens:.1f}/{self._reserve}>"

    def earn(self) -> None:
        """A first try begins."""
        self._tokens = min(max(1.0, self._reserve), self._tokens + self._ratio)

    def spend(self, now_s: float, processes: int = 1) -> bool:
        """Whether one more further try can be paid for; then it is. Processes that are at it share the reserve."""
        if self._now_s is not None:
            self._tokens += self._per_s * (now_s - self._now_s)
        self._now_s = now_s
        self._tokens = min(self._tokens, max(1.0, self._reserve / processes))
        if self._tokens < _ENOUGH:
            return False
        self._tokens -= 1
        return True
