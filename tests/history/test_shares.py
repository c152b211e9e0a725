"""What is known of a share that was seen a few times."""

from __future__ import annotations

import pytest

from seawall.history.shares import bound_unseen, compute_interval, compute_median


@pytest.mark.parametrize(
    ("hits", "tries", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (8, 10, 0.4902, 0.9433)],
)
def test_the_interval_is_that_of_wilson(hits: int, tries: int, low: float, high: float) -> None:
    assert compute_interval(hits, tries) == pytest.approx((low, high), abs=1e-4)


def test_what_was_never_seen_in_thirty_tries_is_below_a_tenth() -> None:
    assert bound_unseen(30) == pytest.approx(0.0950, abs=1e-4)
    assert bound_unseen(0) == 1.0


def test_the_median_is_in_the_middle() -> None:
    assert compute_median([3, 1, 2]) == 2
    assert compute_median([1, 2]) == 1.5
    assert compute_median([]) is None
