"""The breaker alone: when it opens, what it lets through, how it closes, and that it stays small."""

from __future__ import annotations

import random
from typing import Any

import pytest

from guards.endpoints.rig import Rig
from seawall import Misused
from seawall.guards.endpoints.options import EndpointOptions, check_options
from seawall.guards.endpoints.record import Phase, ProcessCounts
from seawall.guards.endpoints.window import CallWindow


def test_it_opens_when_half_of_ten_calls_have_failed() -> None:
    rig = Rig()
    rig.calls(5, "answered")
    rig.calls(4, "failed")

    assert rig.state == "closed"
    rig.calls(1, "failed")
    assert (rig.state, rig.why) == ("open", "open")
    assert rig.breaker.count_free_slots(rig.now) == 0


def test_nine_calls_that_all_fail_are_too_few_to_know() -> None:
    rig = Rig()
    rig.calls(9, "failed")

    assert (rig.state, rig.why) == ("closed", None)


def test_good_calls_of_minutes_ago_do_not_hide_an_outage_of_now() -> None:
    rig = Rig()
    rig.calls(1_000, "answered")
    rig.now += 30.0  # two buckets on
    rig.calls(10, "failed")

    assert rig.state == "open"


def test_thousands_of_good_calls_a_moment_ago_do_not_hide_an_outage_of_now() -> None:
    rig = Rig()
    rig.calls(10_000, "answered")
    rig.calls(15, "failed")
    assert rig.state == "closed"

    rig.calls(1, "failed")

    assert (rig.state, rig.breaker.phase.bad, rig.breaker.phase.calls) == ("open", 16, 20)


def test_calls_that_ended_before_the_window_are_forgotten() -> None:
    rig = Rig()
    rig.calls(9, "failed")
    rig.now += 180.0
    rig.calls(9, "failed")

    assert rig.state == "closed"


def test_a_hundred_calls_that_hang_open_it_before_any_of_them_has_ended() -> None:
    rig = Rig(slow_s=10.0)
    for _ in range(100):
        rig.begin()
    rig.now += 9.9
    rig.check_overdue()
    assert rig.state == "closed"

    rig.now += 0.1
    rig.check_overdue()

    assert (rig.state, rig.breaker.phase.cause) == ("open", "slow")
    assert (rig.breaker.phase.bad, rig.breaker.phase.calls) == (100, 100)


def test_slow_answers_open_it_as_failures_do() -> None:
    rig = Rig(slow_s=10.0)
    rig.calls(2, "answered", took_s=1.0)
    rig.calls(7, "answered", took_s=10.0)
    assert rig.state == "closed"

    rig.calls(1, "answered", took_s=10.0)

    assert (rig.state, rig.breaker.phase.cause) == ("open", "slow")


def test_failures_and_slow_calls_together_open_it() -> None:
    rig = Rig(slow_s=10.0)
    rig.calls(2, "answered")
    rig.calls(4, "failed")
    rig.calls(4, "answered", took_s=10.0)

    assert (rig.state, rig.breaker.phase.cause) == ("open", "slow")


def test_a_call_that_was_cut_says_only_that_it_took_so_long() -> None:
    rig = Rig(slow_s=10.0)
    rig.calls(20, "cut", took_s=9.0)
    assert (rig.state, sum(counts.calls for counts in rig.breaker.window.copy_buckets(rig.now))) == (
        "closed",
        0,
    )

    rig.calls(10, "cut", took_s=10.0)

    assert rig.state == "open"


def test_calls_cut_after_half_of_all_their_runs_time_count_as_slow() -> None:
    rig = Rig()
    numbers = [rig.begin(run_s=10.0) for _ in range(10)]
    rig.now += 5.0
    for number in numbers:
        rig.end(number, "cut")

    assert rig.state == "open"


def test_runs_with_less_time_than_a_call_usually_takes_say_nothing_of_the_endpoint() -> None:
    rig = Rig()
    rig.calls(10, "answered", took_s=2.0)
    hurried = [rig.begin(run_s=0.5) for _ in range(50)]
    rig.now += 0.5
    for number in hurried:
        rig.end(number, "cut")

    assert rig.state == "closed"

    hung = [rig.begin(run_s=10.0) for _ in range(50)]
    rig.now += 5.0
    for number in hung:
        rig.end(number, "cut")

    assert rig.state == "open"


def test_calls_that_were_not_made_count_as_nothing() -> None:
    rig = Rig()
    rig.calls(9, "failed")
    rig.calls(100, "unasked")
    assert rig.state == "closed"

    rig.calls(1, "failed")

    assert (rig.state, rig.breaker.phase.calls) == ("open", 10)


def test_a_delayed_try_is_not_in_flight_before_it_begins() -> None:
    rig = Rig(slow_s=10.0, minimum_calls=1)
    late = rig.begin(delay_s=20.0)
    rig.begin()
    rig.now += 10.0
    rig.check_overdue()
    assert (rig.state, rig.breaker.phase.bad) == ("open", 1)

    rig.now += 15.0
    rig.end(late, "answered")

    assert rig.breaker.in_flight == 1


def test_half_open_lets_two_calls_through_and_closes_when_both_succeed() -> None:
    rig = Rig()
    rig.calls(10, "failed")
    rig.now += 1.9
    assert rig.why == "open"
    rig.now += 0.1
    assert rig.why == "due"

    rig.half_open()
    first, second = rig.begin(), rig.begin()
    assert rig.why == "probing"
    rig.end(first, "answered")
    assert (rig.state, rig.why) == ("half_open", "probing")
    rig.end(second, "answered")

    assert (rig.state, rig.why) == ("closed", None)
    rig.calls(5, "failed")
    assert rig.state == "closed", "what was counted before is forgotten"


def test_the_open_time_doubles_with_each_failed_probe_up_to_its_bound() -> None:
    rig = Rig(open_s=2.0, open_max_s=60.0)
    rig.calls(10, "failed")
    seen = [rig.breaker.phase.open_s]
    for _ in range(7):
        rig.half_open()
        rig.calls(1, "failed")
        seen.append(rig.breaker.phase.open_s)

    assert seen == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_jitter_only_shortens_the_open_time() -> None:
    seen: set[float] = set()
    for seed in range(50):
        rig = Rig(jitter=0.2, open_s=10.0)
        rig.rng = random.Random(seed)
        rig.calls(10, "failed")
        seen.add(rig.breaker.phase.open_s)

    assert len(seen) > 10
    assert 8.0 <= min(seen) < max(seen) <= 10.0


def test_a_slow_probe_opens_it_again_while_it_is_still_in_flight() -> None:
    rig = Rig(slow_s=10.0)
    rig.calls(10, "failed")
    rig.half_open()
    rig.begin()
    rig.now += 10.0
    rig.check_overdue()

    assert (rig.state, rig.breaker.phase.openings) == ("open", 2)


def test_a_probe_that_was_cut_frees_its_place_for_another() -> None:
    rig = Rig()
    rig.calls(10, "failed")
    rig.half_open()
    cut, _ = rig.begin(), rig.begin()
    rig.end(cut, "cut")

    assert (rig.state, rig.breaker.count_free_slots(rig.now)) == ("half_open", 1)


def test_calls_that_began_before_it_opened_are_no_probes() -> None:
    rig = Rig()
    old = [rig.begin() for _ in range(5)]
    rig.calls(10, "failed")
    rig.half_open()
    for number in old[:4]:
        rig.end(number, "answered")
    assert rig.state == "half_open"

    rig.end(old[4], "failed")

    assert rig.state == "half_open"


def test_a_spend_limit_opens_it_at_once_and_one_call_at_a_time_finds_out_whether_it_is_over() -> None:
    rig = Rig()
    rig.calls(100, "answered")
    rig.calls(1, "spend_limit")
    assert (rig.state, rig.why, rig.breaker.phase.open_s) == ("open", "spend_limit", 300.0)

    rig.half_open()
    assert rig.breaker.count_free_slots(rig.now) == 1
    rig.calls(1, "spend_limit")
    assert (rig.why, rig.breaker.phase.open_s) == ("spend_limit", 300.0)
    rig.half_open()
    rig.calls(1, "answered")

    assert rig.state == "closed"


def test_a_request_to_be_left_alone_holds_everybody_off_and_only_a_longer_one_prolongs_it() -> None:
    rig = Rig()
    rig.breaker.accept_retry_after(rig.now, 20.0)
    rig.breaker.accept_retry_after(rig.now, 5.0)
    assert rig.why == "retry_after"
    assert rig.breaker.find_block(rig.now, delay_s=20.0) is None, "it would begin when that is over"

    rig.now += 20.0

    assert rig.why is None


def test_a_mad_retry_after_is_bounded() -> None:
    rig = Rig()

    assert rig.breaker.accept_retry_after(rig.now, 86_400.0) == 300.0


@pytest.mark.parametrize(("forced", "why"), [("isolated", "isolated"), ("closed", None)])
def test_what_a_person_set_goes_before_what_calls_say_until_its_time_is_over(
    forced: Any, why: str | None
) -> None:
    rig = Rig()
    rig.calls(10, "failed")
    rig.breaker.manual, rig.breaker.manual_until_s = forced, rig.now + 1.0
    assert rig.why == why
    assert (rig.breaker.count_free_slots(rig.now) > 0) == (forced == "closed")

    rig.now += 1.0

    assert rig.why == "open"


def test_a_breaker_that_is_forced_closed_does_not_open() -> None:
    rig = Rig()
    rig.breaker.manual = "closed"
    rig.calls(100, "failed")
    rig.calls(1, "spend_limit")

    assert (rig.state, rig.why) == ("closed", None)


def test_further_tries_are_paid_for_by_first_tries_and_few_can_be_saved_up() -> None:
    rig = Rig(minimum_calls=1_000)
    for _ in range(1_000):
        rig.begin()
    assert sum(rig.breaker.afford_retry(rig.now) for _ in range(100)) == 5

    granted = 0
    for _ in range(100):
        rig.begin()
        granted += rig.breaker.afford_retry(rig.now)
    assert granted == 10, "a tenth"
    for _ in range(100):
        rig.begin(is_retry=True)
    assert not rig.breaker.afford_retry(rig.now), "a further try earns nothing"

    rig.now += 36.0
    assert sum(rig.breaker.afford_retry(rig.now) for _ in range(100)) == 1
    rig.now += 10_000.0
    assert sum(rig.breaker.afford_retry(rig.now) for _ in range(100)) == 5


def test_processes_share_what_is_saved_up_for_further_tries() -> None:
    rig = Rig()
    for number in range(4):
        rig.breaker.receive_peer(f"other {number}", ProcessCounts(at=0.0, number=1), rig.now)

    assert sum(rig.breaker.afford_retry(rig.now) for _ in range(100)) == 1


def test_what_other_processes_saw_counts_in_the_same_phase() -> None:
    rig = Rig()
    rig.calls(5, "failed")
    other = Rig()
    other.calls(4, "failed")
    told = other.breaker.report(other.now, 0.0, 1)
    rig.breaker.receive_peer("other", told, rig.now)
    assert rig.state == "closed"

    rig.calls(1, "failed")

    assert (rig.state, rig.breaker.phase.calls) == ("open", 10)


def test_what_another_process_counted_in_an_earlier_phase_says_nothing() -> None:
    rig = Rig()
    rig.breaker.enter(Phase(serial=3), rig.now)
    other = Rig()
    other.calls(9, "failed")
    rig.breaker.receive_peer("other", other.breaker.report(other.now, 0.0, 1), rig.now)
    rig.calls(9, "failed")

    assert rig.state == "closed"


def test_places_are_shared_and_those_of_a_silent_process_are_free_again() -> None:
    rig = Rig(at_once=10)
    rig.breaker.receive_peer("other", ProcessCounts(at=0.0, number=1, in_flight=7), rig.now)
    assert rig.breaker.count_free_slots(rig.now) == 3

    rig.now += 15.0

    assert rig.breaker.count_free_slots(rig.now) == 10


def test_the_right_to_probe_is_one_process_s_until_its_lease_lapses() -> None:
    rig = Rig()
    rig.calls(10, "failed")
    theirs = Phase(serial=rig.breaker.phase.serial + 1, state="half_open", prober="other")
    assert rig.breaker.enter(theirs, rig.now)
    assert (rig.why, rig.breaker.count_free_slots(rig.now)) == ("probing", 0)

    rig.now += 4.0
    renewed = Phase(serial=theirs.serial, state="half_open", prober="other", beat=1)
    assert rig.breaker.enter(renewed, rig.now)
    rig.now += 4.0
    assert rig.why == "probing"
    rig.now += 1.0

    assert rig.why == "due"


def test_an_older_phase_is_not_taken_over() -> None:
    rig = Rig()
    rig.calls(10, "failed")

    assert not rig.breaker.enter(Phase(serial=0), rig.now)
    assert not rig.breaker.enter(Phase(serial=1), rig.now)
    assert rig.breaker.enter(Phase(serial=1, by="kim"), rig.now, replace=True)


def test_its_repr_shows_its_state() -> None:
    rig = Rig()
    rig.calls(8, "answered")
    rig.calls(8, "failed")
    rig.now += 3.2
    rig.breaker.find_block(rig.now)

    assert repr(rig.breaker) == "<Breaker tool:bank open 8/16 failed since 3.2s>"


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
    with pytest.raises(Misused, match="is not an endpoint"):
        check_options({name: EndpointOptions()})


def test_a_window_tells_its_age_and_not_its_clock() -> None:
    here, there = CallWindow(120.0), CallWindow(120.0)
    here.get_bucket(1_000.0).calls += 3
    told = here.report(1_004.0)
    found = there.copy_buckets(77.0)
    there.add_reported(found, told, 97.0, 77.0)

    assert [counts.calls for counts in found].index(3) in (2, 3)  # begun up to 10 s before, and 20 s on
