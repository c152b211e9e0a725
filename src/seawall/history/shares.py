"""Statistics of shares from few observations: intervals, bounds and medians."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

Z_95 = 1.959964
"""The 0.975 quantile of the normal distribution: two sides, 95%."""


def compute_interval(hits: int, tries: int) -> tuple[float, float]:
    """Returns the 95% interval of a share, from 0 to 1: Wilson's score interval (JASA 22, 1927).

    It is also valid for few tries and for shares of 0 and 1. Without any try it is the interval from 0 to 1.
    """
    if tries == 0:
        return 0.0, 1.0
    share, z2 = hits / tries, Z_95 * Z_95
    middle = share + z2 / (2 * tries)
    half = Z_95 * sqrt(share * (1 - share) / tries + z2 / (4 * tries * tries))
    whole = 1 + z2 / tries
    low = 0.0 if hits == 0 else (middle - half) / whole
    high = 1.0 if hits == tries else (middle + half) / whole
    return low, high


def bound_unseen(tries: int) -> float:
    """Returns the 95% upper bound of the share of an event that was never seen in this many tries; 1 without any try.

    It is the exact binomial bound, 1 - 0.05^(1/n). The rule of three (3/n; Hanley and Lippman-Hand, JAMA 249, 1983) is an
    approximation of it.
    """
    return 1.0 - 0.05 ** (1.0 / tries) if tries else 1.0


def compute_median(values: Iterable[float]) -> float | None:
    """Returns the middle value, or the mean of the two in the middle; None without any."""
    ranked = sorted(values)
    if not ranked:
        return None
    low, high = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
    return (low + high) / 2
