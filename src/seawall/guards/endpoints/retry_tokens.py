"""Retry tokens: first tries pay for retries, so that a storm adds at most a tenth to itself."""

from __future__ import annotations

_ENOUGH = 1 - 1e-9  # ten tenths, added up as floats


class RetryTokens:
    """A first try earns a share of a token, a retry costs one, and at most `reserve` tokens can be saved up.

    The reserve is small, as otherwise a minute of good traffic would pay for a storm. Tokens that were spent come
    back by themselves over `window_s`, so that a single run on a quiet endpoint can retry again later.
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
        """Adds the share that a first try earns."""
        self._tokens = min(max(1.0, self._reserve), self._tokens + self._ratio)

    def spend(self, now_s: float, processes: int = 1) -> bool:
        """Spends a token if there is one, and returns whether there was.

        `processes` is the number of processes that call the endpoint; they share the reserve.
        """
        if self._now_s is not None:
            self._tokens += self._per_s * (now_s - self._now_s)
        self._now_s = now_s
        self._tokens = min(self._tokens, max(1.0, self._reserve / processes))
        if self._tokens < _ENOUGH:
            return False
        self._tokens -= 1
        return True
