"""The breaker alone: when it opens, what it lets through, how it closes, and that it stays small."""

from __future__ import annotations

import random
from typing import Any

import pytest

from guards.endpoints.bench import Bench
from seawall import Misused
from seawall.guards.endpoints.options import EndpointOptions, check_options
from seawall.guards.endpoints.record import Phase, ProcessCounts
from seawall.guards.endpoints.window import CallWindow


def test_it_opens_when_half_of_ten_calls_have_failed() -> None:
    bench = Bench()
    bench.calls(5, "answered")
    bench.calls(4, "failed")

    assert bench.state == "closed"
    bench.calls(1, "failed")
    assert (bench.state, bench.why) == ("open", "open")
    assert bench.breaker.places(bench.now) == 0


def test_nine_calls_that_all_fail_are_too_few_to_know() -> None:
    bench = Bench()
    bench.calls(9, "failed")

    assert (bench.state, bench.why) == ("closed", None)


def test_good_calls_of_minutes_ago_do_not_hide_an_outage_of_now() -> None:
    bench = Bench()
    bench.calls(1_000, "answered")
    bench.now += 30.0  # two buckets on
    bench.calls(10, "failed")

    assert bench.state == "open"


def test_thousands_of_good_calls_a_moment_ago_do_not_hide_an_outage_of_now() -> None:
    bench = Bench()
    bench.calls(10_000, "answered")
    bench.calls(15, "failed")
    assert bench.state == "closed"

    bench.calls(1, "failed")

    assert (bench.state, bench.breaker.phase.bad, bench.breaker.phase.calls) == ("open", 16, 20)


def test_calls_that_ended_before_the_window_are_forgotten() -> None:
    bench = Bench()
    bench.calls(9, "failed")
    bench.now += 180.0
    bench.calls(9, "failed")

    assert bench.state == "closed"


def test_a_hundred_calls_that_hang_open_it_before_any_of_them_has_ended() -> None:
    bench = Bench(slow_s=10.0)
    for _ in range(100):
        bench.begin()
    bench.now += 9.9
    bench.look()
    assert bench.state == "closed"

    bench.now += 0.1
    bench.look()

    assert (bench.state, bench.breaker.phase.cause) == ("open", "slow")
    assert (bench.breaker.phase.bad, bench.breaker.phase.calls) == (100, 100)


def test_slow_answers_open_it_as_failures_do() -> None:
    bench = Bench(slow_s=10.0)
    bench.calls(2, "answered", took_s=1.0)
    bench.calls(7, "answered", took_s=10.0)
    assert bench.state == "closed"

    bench.calls(1, "answered", took_s=10.0)

    assert (bench.state, bench.breaker.phase.cause) == ("open", "slow")


def test_failures_and_slow_calls_together_open_it() -> None:
    bench = Bench(slow_s=10.0)
    bench.calls(2, "answered")
    bench.calls(4, "failed")
    bench.calls(4, "answered", took_s=10.0)

    assert (bench.state, bench.breaker.phase.cause) == ("open", "slow")


def test_a_call_that_was_cut_says_only_that_it_took_so_long() -> None:
    bench = Bench(slow_s=10.0)
    bench.calls(20, "cut", took_s=9.0)
    assert (bench.state, sum(counts.calls for counts in bench.breaker.window.sums(bench.now))) == (
        "closed",
        0,
    )

    bench.calls(10, "cut", took_s=10.0)

    assert bench.state == "open"


def test_calls_cut_after_half_of_all_their_runs_time_count_as_slow() -> None:
    bench = Bench()
    numbers = [bench.begin(run_s=10.0) for _ in range(10)]
    bench.now += 5.0
    for number in numbers:
        bench.end(number, "cut")

    assert bench.state == "open"


def test_runs_with_less_time_than_a_call_usually_takes_say_nothing_of_the_endpoint() -> None:
    bench = Bench()
    bench.calls(10, "answered", took_s=2.0)
    hurried = [bench.begin(run_s=0.5) for _ in range(50)]
    bench.now += 0.5
    for number in hurried:
        bench.end(number, "cut")

    assert bench.state == "closed"

    hung = [bench.begin(run_s=10.0) for _ in range(50)]
    bench.now += 5.0
    for number in hung:
        bench.end(number, "cut")

    assert bench.state == "open"


def test_calls_that_were_not_made_count_as_nothing() -> None:
    bench = Bench()
    bench.calls(9, "failed")
    bench.calls(100, "unasked")
    assert bench.state == "closed"

    bench.calls(1, "failed")

    assert (bench.state, bench.breaker.phase.calls) == ("open", 10)


def test_a_delayed_try_is_not_in_flight_before_it_begins() -> None:
    bench = Bench(slow_s=10.0, minimum_calls=1)
    late = bench.begin(delay_s=20.0)
    bench.begin()
    bench.now += 10.0
    bench.look()
    assert (bench.state, bench.breaker.phase.bad) == ("open", 1)

    bench.now += 15.0
    bench.end(late, "answered")

    assert bench.breaker.in_flight == 1


def test_half_open_lets_two_calls_through_and_closes_when_both_succeed() -> None:
    bench = Bench()
    bench.calls(10, "failed")
    bench.now += 1.9
    assert bench.why == "open"
    bench.now += 0.1
    assert bench.why == "due"

    bench.half_open()
    first, second = bench.begin(), bench.begin()
    assert bench.why == "probing"
    bench.end(first, "answered")
    assert (bench.state, bench.why) == ("half_open", "probing")
    bench.end(second, "answered")

    assert (bench.state, bench.why) == ("closed", None)
    bench.calls(5, "failed")
    assert bench.state == "closed", "what was counted before is forgotten"


def test_the_open_time_doubles_with_each_failed_probe_up_to_its_bound() -> None:
    bench = Bench(open_s=2.0, open_max_s=60.0)
    bench.calls(10, "failed")
    seen = [bench.breaker.phase.open_s]
    for _ in range(7):
        bench.half_open()
        bench.calls(1, "failed")
        seen.append(bench.breaker.phase.open_s)

    assert seen == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_jitter_only_shortens_the_open_time() -> None:
    seen: set[float] = set()
    for seed in range(50):
        bench = Bench(jitter=0.2, open_s=10.0)
        bench.rng = random.Random(seed)
        bench.calls(10, "failed")
        seen.add(bench.breaker.phase.open_s)

    assert len(seen) > 10
    assert 8.0 <= min(seen) < max(seen) <= 10.0


def test_a_slow_probe_opens_it_again_while_it_is_still_in_flight() -> None:
    bench = Bench(slow_s=10.0)
    bench.calls(10, "failed")
    bench.half_open()
    bench.begin()
    bench.now += 10.0
    bench.look()

    assert (bench.state, bench.breaker.phase.openings) == ("open", 2)


def test_a_probe_that_was_cut_frees_its_place_for_another() -> None:
    bench = Bench()
    bench.calls(10, "failed")
    bench.half_open()
    cut, _ = bench.begin(), bench.begin()
    bench.end(cut, "cut")

    assert (bench.state, bench.breaker.places(bench.now)) == ("half_open", 1)


def test_calls_that_began_before_it_opened_are_no_probes() -> None:
    bench = Bench()
    old = [bench.begin() for _ in range(5)]
    bench.calls(10, "failed")
    bench.half_open()
    for number in old[:4]:
        bench.end(number, "answered")
    assert bench.state == "half_open"

    bench.end(old[4], "failed")

    assert bench.state == "half_open"


def test_a_spend_limit_opens_it_at_once_and_one_call_at_a_time_finds_out_whether_it_is_over() -> None:
    bench = Bench()
    bench.calls(100, "answered")
    bench.calls(1, "spend_limit")
    assert (bench.state, bench.why, bench.breaker.phase.open_s) == ("open", "spend_limit", 300.0)

    bench.half_open()
    assert bench.breaker.places(bench.now) == 1
    bench.calls(1, "spend_limit")
    assert (bench.why, bench.breaker.phase.open_s) == ("spend_limit", 300.0)
    bench.half_open()
    bench.calls(1, "answered")

    assert bench.state == "closed"


def test_a_request_to_be_left_alone_holds_everybody_off_and_only_a_longer_one_prolongs_it() -> None:
    bench = Bench()
    bench.breaker.held(bench.now, 20.0)
    bench.breaker.held(bench.now, 5.0)
    assert bench.why == "held"
    assert bench.breaker.block(bench.now, delay_s=20.0) is None, "it would begin when that is over"

    bench.now += 20.0

    assert bench.why is None


def test_a_mad_retry_after_is_bounded() -> None:
    bench = Bench()

    assert bench.breaker.held(bench.now, 86_400.0) == 300.0


@pytest.mark.parametrize(("forced", "why"), [("isolated", "isolated"), ("closed", None)])
def test_what_a_person_set_goes_before_what_calls_say_until_its_time_is_over(
    forced: Any, why: str | None
) -> None:
    bench = Bench()
    bench.calls(10, "failed")
    bench.breaker.forced, bench.breaker.forced_until_s = forced, bench.now + 1.0
    assert bench.why == why
    assert (bench.breaker.places(bench.now) > 0) == (forced == "closed")

    bench.now += 1.0

    assert bench.why == "open"


def test_a_breaker_that_is_forced_closed_does_not_open() -> None:
    bench = Bench()
    bench.breaker.forced = "closed"
    bench.calls(100, "failed")
    bench.calls(1, "spend_limit")

    assert (bench.state, bench.why) == ("closed", None)


def test_further_tries_are_paid_for_by_first_tries_and_few_can_be_saved_up() -> None:
    bench = Bench(minimum_calls=1_000)
    for _ in range(1_000):
        bench.begin()
    assert sum(bench.breaker.afford_retry(bench.now) for _ in range(100)) == 5

    granted = 0
    for _ in range(100):
        bench.begin()
        granted += bench.breaker.afford_retry(bench.now)
    assert granted == 10, "a tenth"
    for _ in range(100):
        bench.begin(again=True)
    assert not bench.breaker.afford_retry(bench.now), "a further try earns nothing"

    bench.now += 36.0
    assert sum(bench.breaker.afford_retry(bench.now) for _ in range(100)) == 1
    bench.now += 10_000.0
    assert sum(bench.breaker.afford_retry(bench.now) for _ in range(100)) == 5


def test_processes_share_what_is_saved_up_for_further_tries() -> None:
    bench = Bench()
    for number in range(4):
        bench.breaker.hear(f"other {number}", ProcessCounts(at=0.0, number=1), bench.now)

    assert sum(bench.breaker.afford_retry(bench.now) for _ in range(100)) == 1


def test_what_other_processes_saw_counts_in_the_same_phase() -> None:
    bench = Bench()
    bench.calls(5, "failed")
    other = Bench()
    other.calls(4, "failed")
    told = other.breaker.told(other.now, 0.0, 1)
    bench.breaker.hear("other", told, bench.now)
    assert bench.state == "closed"

    bench.calls(1, "failed")

    assert (bench.state, bench.breaker.phase.calls) == ("open", 10)


def test_what_another_process_counted_in_an_earlier_phase_says_nothing() -> None:
    bench = Bench()
    bench.breaker.adopt(Phase(serial=3), bench.now)
    other = Bench()
    other.calls(9, "failed")
    bench.breaker.hear("other", other.breaker.told(other.now, 0.0, 1), bench.now)
    bench.calls(9, "failed")

    assert bench.state == "closed"


def test_places_are_shared_and_those_of_a_silent_process_are_free_again() -> None:
    bench = Bench(at_once=10)
    bench.breaker.hear("other", ProcessCounts(at=0.0, number=1, in_flight=7), bench.now)
    assert bench.breaker.places(bench.now) == 3

    bench.now += 15.0

    assert bench.breaker.places(bench.now) == 10


def test_the_right_to_probe_is_one_process_s_until_its_lease_lapses() -> None:
    bench = Bench()
    bench.calls(10, "failed")
    theirs = Phase(serial=bench.breaker.phase.serial + 1, state="half_open", prober="other")
    assert bench.breaker.adopt(theirs, bench.now)
    assert (bench.why, bench.breaker.places(bench.now)) == ("probing", 0)

    bench.now += 4.0
    renewed = Phase(serial=theirs.serial, state="half_open", prober="other", beat=1)
    assert bench.breaker.adopt(renewed, bench.now)
    bench.now += 4.0
    assert bench.why == "probing"
    bench.now += 1.0

    assert bench.why == "due"


def test_an_older_phase_is_not_taken_over() -> None:
    bench = Bench()
    bench.calls(10, "failed")

    assert not bench.breaker.adopt(Phase(serial=0), bench.now)
    assert not bench.breaker.adopt(Phase(serial=1), bench.now)
    assert bench.breaker.adopt(Phase(serial=1, by="kim"), bench.now, instead=True)


def test_its_repr_shows_its_state() -> None:
    bench = Bench()
    bench.calls(8, "answered")
    bench.calls(8, "failed")
    bench.now += 3.2
    bench.breaker.block(bench.now)

    assert repr(bench.breaker) == "<Breaker tool:bank open 8/16 failed since 3.2s>"


@pytest.mark.parametrize(
    "wrong",
    [
        {"failed_ratio": 0.0},
        {"slow_ratio": 1.1},
        {"minimum_calls": 0},
        {"window_s": 60.0},
        {"open_max_s": 1.0},
        {"jitter": 1.0},
        {"probes": 0},
        {"retry_ratio": -0.1},
        {"slow_s": 0.0},
    ],
)
def test_options_that_can_not_be_are_misused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Misused, match=next(iter(wrong))):
        EndpointOptions(**wrong)


@pytest.mark.parametrize("name", ["bank", "tools", "tool:", "agent:clerk", ""])
def test_options_for_what_is_no_endpoint_are_misused(name: str) -> None:
    with pytest.raises(Misused, match="no endpoint"):
        check_options({name: EndpointOptions()})


def test_a_window_tells_its_age_and_not_its_clock() -> None:
    here, there = CallWindow(120.0), CallWindow(120.0)
    here.at(1_000.0).calls += 3
    told = here.told(1_004.0)
    found = there.sums(77.0)
    there.add_told(found, told, 97.0, 77.0)

    assert [counts.calls for counts in found].index(3) in (2, 3)  # begun up to 10 s before, and 20 s on
