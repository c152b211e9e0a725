"""Quantiles of the newest durations; a call that was given up counts as at least that long."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from seawall.planner.latencies import MAX_NAMES, MIN_DURATIONS, WINDOW, Latencies, LatencyWindow


def window(*durations: float, censored: tuple[float, ...] = ()) -> LatencyWindow:
    found = LatencyWindow()
    for seconds in durations:
        found.add(seconds, False)
    for seconds in censored:
        found.add(seconds, True)
    return found


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=WINDOW), st.floats(0.01, 0.99))
def test_without_given_up_calls_the_quantile_is_that_of_the_sample(durations: list[float], q: float) -> None:
    value = window(*durations).compute_quantile(q)

    assert value in durations
    assert sum(each <= value for each in durations) >= q * len(durations) - 1e-6
    assert sum(each < value for each in durations) < q * len(durations) + 1e-6


@given(
    st.lists(st.tuples(st.floats(0.001, 1000), st.booleans()), min_size=1, max_size=WINDOW),
    st.floats(0.01, 0.99),
)
def test_a_call_that_was_given_up_never_makes_anything_look_quicker(
    durations: list[tuple[float, bool]], q: float
) -> None:
    seen, plain = LatencyWindow(), LatencyWindow()
    for seconds, censored in durations:
        seen.add(seconds, censored)
        plain.add(seconds, False)

    assert seen.compute_quantile(q) >= plain.compute_quantile(q)


def test_calls_that_were_given_up_count_as_at_least_that_long() -> None:
    assert window(1, 1, 1, 1, 1, 1, 1, 9, censored=(2, 2)).compute_quantile(0.8) == 9
    assert window(1, 1, censored=(5, 5, 5)).compute_quantile(0.9) == 5


def test_only_the_newest_durations_count() -> None:
    found = window(*[1.0] * WINDOW)
    for _ in range(WINDOW // 8):
        found.add(60.0, False)

    assert len(found) == WINDOW
    assert found.compute_quantile(0.9) == 60


def test_the_error_of_a_quantile_is_as_documented() -> None:
    rng = random.Random(7)
    ranks: list[float] = []
    for _ in range(400):
        found = window(*(rng.random() for _ in range(WINDOW)))
        ranks.append(found.compute_quantile(0.95))  # the value of a uniform variable is its rank

    mean = sum(ranks) / len(ranks)
    deviation = (sum((rank - mean) ** 2 for rank in ranks) / len(ranks)) ** 0.5
    assert abs(mean - 0.95) < 0.01
    assert deviation < 0.025


def test_there_is_no_quantile_before_enough_durations_were_seen() -> None:
    latencies = Latencies()
    for _ in range(MIN_DURATIONS - 1):
        latencies.learn("tool:look", 1.0)
    assert latencies.compute_quantiles("tool:look", (0.5,)) is None

    latencies.learn("tool:look", 1.0)
    assert latencies.compute_quantiles("tool:look", (0.5, 0.95)) == [1.0, 1.0]


def test_durations_that_cause_prunings_are_forgotten_until_the_pruned_agent_is_tried_again() -> None:
    latencies = Latencies()
    for _ in range(WINDOW):
        latencies.learn("agent:slow", 60.0)

    prunings = 0
    while latencies.compute_quantiles("agent:slow", (0.5,)) is not None:
        latencies.forget("agent:slow")
        prunings += 1

    assert prunings <= 40
    assert latencies.get_prior_share("agent:slow") == 1.0
    for _ in range(17):
        latencies.forget("agent:slow")
    assert 0.3 < latencies.get_prior_share("agent:slow") < 0.34


def test_the_least_recently_seen_name_is_dropped_beyond_the_bound() -> None:
    latencies = Latencies()
    for _ in range(MIN_DURATIONS):
        latencies.learn("first", 1.0)
    for number in range(MAX_NAMES - 1):
        latencies.learn(f"tool:{number}", 1.0)
    assert latencies.compute_quantiles("first", (0.5,)) is not None

    latencies.learn("one more", 1.0)

    assert latencies.compute_quantiles("first", (0.5,)) is None
    assert repr(latencies) == f"<Latencies of {MAX_NAMES} names>"
