"""Several processes on one journal, on one manual clock: what one sees the others know, and what they do without."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from guards.endpoints.processes import BROKEN, OK, Process, SharedRecords, a_run, model, tool
from seawall.guards.endpoints.record import (
    MAX_PROCESSES,
    Change,
    EndpointRecord,
    Phase,
    ProcessCounts,
    RetryAfter,
    decode_record,
    encode_record,
    merge_change,
)
from seawall.run.step import Result
from seawall.testing import ManualClock

HOUR_S, DAY_S = 3_600.0, 86_400.0
LIMITED = Result(status="error", error="HTTPStatusError", endpoint="broken", retry_after_s=20.0)


def play(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def setting(value: str, clock: ManualClock, *, for_s: float | None = None, why: str = "") -> Any:
    until = None if for_s is None else clock.wall_s() + for_s
    return SimpleNamespace(value=value, by="kim", why=why, at=clock.wall_s(), until=until)


def test_what_one_process_opens_is_open_in_the_others_within_a_second() -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a") as a, Process(store, clock, "b") as b:
            b.call(OK)
            a.call(BROKEN, count=10)
            await clock.advance(1.0)

            assert (a.state, b.state, b.says()) == ("open", "open", "refuse")

    play(work())


def test_failures_are_counted_over_all_processes() -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a") as a, Process(store, clock, "b") as b:
            for _ in range(5):
                a.call(BROKEN)
                await clock.advance(1.0)
                b.call(BROKEN)
                await clock.advance(1.0)

            assert (a.state, b.state) == ("open", "open")

    play(work())


def test_one_process_probes_and_the_others_hear_how_it_went() -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a") as a, Process(store, clock, "b") as b:
            a.call(BROKEN, count=10)
            b.call(OK)
            await clock.advance(2.5)
            runs = [a_run(), a_run(), a_run(), a_run()]
            assert [here.says(run=run) for here in (a, b) for run in runs] == ["defer"] * 8
            await clock.advance(0.5)
            said = [here.says(run=run) for here in (a, b) for run in runs]
            assert said.count("allow") == 2
            prober, other = (a, b) if said[0] == "allow" else (b, a)

            for run in runs[:2]:
                prober.begin(tool(), run)
                prober.endpoints.release(tool(), run, OK)
            await clock.advance(1.0)

            assert (prober.state, other.state, other.says()) == ("closed", "closed", "allow")

    play(work())


def test_a_prober_that_died_blocks_nobody_for_longer_than_its_lease() -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "b") as b:
            async with Process(store, clock, "a") as a:
                a.call(BROKEN, count=10)
                await clock.advance(2.0)
                run = a_run()
                a.says(run=run)
                await clock.settle()
                a.begin(tool(), run)
                await clock.advance(1.0)
                a.journal.away = True  # it is dead: it writes nothing any more
            b.says()
            assert (b.state, b.says()) == ("half_open", "refuse")
            await clock.advance(5.0)
            run = a_run()
            assert b.says(run=run) == "defer"
            await clock.settle()

            assert b.says(run=run) == "allow"

    play(work())


def test_a_prober_that_lives_keeps_its_right_however_long_its_probe_takes() -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a") as a, Process(store, clock, "b") as b:
            a.call(BROKEN, count=10)
            await clock.advance(2.0)
            run = a_run()
            a.says(run=run)
            await clock.settle()
            a.begin(tool(), run)
            await clock.advance(30.0)

            assert (a.state, b.says()) == ("half_open", "refuse")
            await clock.advance(30.0)
            a.says()
            assert a.state == "open", "and a slow one opens it again"

    play(work())


def test_it_is_still_open_after_a_restart_and_failures_before_it_still_count() -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a", open_s=30.0) as a:
            a.call(BROKEN, count=10)
            a.call(BROKEN, count=9, name="shop")
            await clock.advance(1.0)
        await clock.advance(10.0)
        async with Process(store, clock, "a2", open_s=30.0) as again:
            assert again.says() == "refuse"
            again.call(BROKEN, name="shop")
            assert again.says(tool("shop")) == "refuse"
            await clock.advance(19.0)

            assert again.says() == "defer", "30 s after it opened, not after the restart"

    play(work())


def test_a_process_that_was_closed_can_be_opened_again() -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        here = Process(store, clock, "a", open_s=30.0)
        async with here:
            here.call(BROKEN, count=10)
        async with here, Process(store, clock, "b", open_s=30.0) as b:
            assert here.says() == "refuse"
            here.call(BROKEN, count=10, name="shop")
            await clock.advance(1.0)
            assert b.says(tool("shop")) == "refuse"
            b.call(BROKEN, count=10, name="mail")
            await clock.advance(1.0)

            assert here.says(tool("mail")) == "refuse"

    play(work())


@pytest.mark.parametrize("jump_s", [-HOUR_S, DAY_S])
def test_a_wall_clock_that_jumps_moves_nothing_in_a_process_that_lives(jump_s: float) -> None:
    """F15: timeouts are unaffected."""

    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a", open_s=30.0) as a, Process(store, clock, "b", open_s=30.0) as b:
            a.call(BROKEN, count=10)
            a.call(LIMITED, name="shop")
            await clock.advance(1.0)
            assert (b.says(), b.says(tool("shop"))) == ("refuse", "defer")
            clock.jump_wall(jump_s)
            a.call(OK, name="other")
            await clock.advance(18.0)
            assert [here.says() for here in (a, b)] == ["refuse", "refuse"]
            assert [here.says(tool("shop"), left_s=100.0) for here in (a, b)] == ["defer", "defer"]
            await clock.advance(2.0)
            assert [here.says(tool("shop")) for here in (a, b)] == ["allow", "allow"]
            await clock.advance(10.0)

            assert [here.says() for here in (a, b)] == ["defer", "defer"]

    play(work())


@pytest.mark.parametrize("jump_s", [-HOUR_S, DAY_S])
def test_a_process_that_begins_after_the_wall_clock_jumped_waits_no_longer_than_was_meant(
    jump_s: float,
) -> None:
    """F15: an hour back prolongs nothing beyond the whole open time; a day ahead lets a probe through early."""

    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a", open_s=30.0) as a:
            a.call(BROKEN, count=10)
            await clock.advance(1.0)
        clock.jump_wall(jump_s)
        async with Process(store, clock, "b", open_s=30.0) as b:
            assert b.says() == ("refuse" if jump_s < 0 else "defer")
            await clock.advance(30.0)

            assert b.says() == "defer"

    play(work())


def test_a_process_that_can_not_reach_the_journal_goes_on_with_its_own_counts_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a") as a:
            a.journal.away = True
            a.call(BROKEN, count=10)
            await clock.advance(1.0)
            assert a.says() == "refuse"
            await clock.advance(1.0)
            run, other = a_run(), a_run()
            assert a.says(run=run) == "defer"
            a.says(run=other)
            await clock.settle()
            for each in (run, other):
                a.begin(tool(), each)
                a.endpoints.release(tool(), each, OK)
            assert a.state == "closed"
            await clock.advance(5.0)
            a.journal.away = False
            await clock.advance(2.0)

            assert decode_record(store.records["endpoint:tool:bank"]).phase.state == "closed"

    with caplog.at_level(logging.WARNING, "seawall"):
        play(work())
    assert [each.message for each in caplog.records] == [
        "endpoints go on with the observations of this process only: the journal failed: the disk is away"
    ]


def test_writes_are_few_whatever_the_traffic() -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a", minimum_calls=100_000) as a:
            for _ in range(100):
                a.call(OK, count=50)
                await clock.advance(0.1)
            assert store.writes <= 11
            for _ in range(100):
                a.call(BROKEN, count=50)
                await clock.advance(0.1)

            assert store.writes <= 11 + 41

    play(work())


def test_a_process_in_which_nothing_happens_writes_nothing() -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a") as a:
            a.call(OK)
            await clock.advance(5.0)
            before = store.writes
            await clock.advance(600.0)

            assert (store.writes, clock.next_in_s) == (before, None)

    play(work())


def test_calls_in_flight_are_told_of_as_long_as_they_last() -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a", at_once=3) as a, Process(store, clock, "b", at_once=3) as b:
            runs = [a_run() for _ in range(3)]
            for run in runs:
                a.begin(tool(), run)
            await clock.advance(40.0)
            assert b.says() == "defer"
            for run in runs:
                a.endpoints.release(tool(), run, OK)
            await clock.advance(2.0)

            assert b.says() == "allow"

    play(work())


def test_an_endpoint_that_a_person_isolated_is_not_called_until_that_is_lifted() -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a") as a:
            a.call(OK)
            store.set["endpoint", "tool:bank"] = setting("isolated", clock, why="they migrate")
            store.tell()
            await clock.advance(1.0)
            verdict = a.check(tool(), a_run())
            assert verdict.reason.startswith(
                "tool 'refund' is not called now: endpoint tool:bank: kim isolated it (they migrate)."
            )
            store.set["endpoint", "tool:bank"] = setting("auto", clock)
            store.tell()
            await clock.advance(1.0)

            assert a.says() == "allow"

    play(work())


def test_nobody_is_told_to_have_too_little_time_for_what_ends_with_a_person() -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a") as a:
            a.call(OK, name="gpt", kind="model")
            store.set["endpoint", "model:gpt"] = setting("isolated", clock)
            store.tell()
            await clock.advance(1.0)
            verdict = a.check(model(), a_run())
            assert verdict.reason.endswith(
                "kim isolated it. No run can wait for that: it lasts until a person lifts it."
            )

    play(work())


@pytest.mark.parametrize("jump_s", [0.0, -HOUR_S])
def test_what_a_person_set_for_a_time_ends_by_itself(jump_s: float) -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        store.set["endpoint", "tool:bank"] = setting("isolated", clock, for_s=60.0)
        clock.jump_wall(jump_s)
        async with Process(store, clock, "a") as a:
            await clock.advance(59.0)
            assert a.says() == "refuse"
            await clock.advance(1.0)

            assert a.says() == "allow"

    play(work())


def test_of_two_that_move_at_once_one_counts_and_a_later_word_always_does() -> None:
    opened = Phase(serial=1, state="open", cause="failed")
    record = merge_change(EndpointRecord(), Change(owner="a", counts=None, phase=opened, after=(0, 0)), 0.0)
    second = Change(owner="b", counts=None, phase=Phase(serial=1, state="open", cause="slow"), after=(0, 0))
    assert merge_change(record, second, 0.0).phase == opened

    ahead = Change(owner="b", counts=None, phase=Phase(serial=7), after=(6, 0))
    assert merge_change(record, ahead, 0.0).phase.serial == 7


def test_the_longer_of_two_requests_to_be_left_alone_counts() -> None:
    longer, shorter = RetryAfter(at=10.0, seconds=60.0), RetryAfter(at=20.0, seconds=5.0)
    record = merge_change(EndpointRecord(), Change(owner="a", counts=None, retry_after=longer), 0.0)

    assert (
        merge_change(record, Change(owner="b", counts=None, retry_after=shorter), 0.0).retry_after == longer
    )


def test_a_record_stays_small_however_many_processes_come_and_go() -> None:
    record = EndpointRecord()
    for number in range(100):
        part = ProcessCounts(at=float(number), number=1, in_flight=1)
        record = merge_change(record, Change(owner=f"host:{number}", counts=part), float(number))
    assert len(record.processes) == MAX_PROCESSES
    assert "host:99" in record.processes

    later = merge_change(record, Change(owner="b", counts=ProcessCounts(at=9_999.0, number=1)), 9_999.0)

    assert later.processes.keys() == {"b"}


def test_a_record_that_can_not_be_read_counts_as_none() -> None:
    assert decode_record(b"\xff nonsense") == decode_record(None) == EndpointRecord()
    assert decode_record(encode_record(EndpointRecord(phase=Phase(serial=3)))).phase.serial == 3


def test_the_record_of_an_endpoint_is_stored_as_it_always_was() -> None:
    stored = (
        b'{"phase":{"serial":3,"state":"half_open","at":1.5,"cause":"failed","bad":5,"calls":10,"openings":2,'
        b'"open_s":4.0,"prober":"host:1","beat":1,"by":"kim"},"hold":{"at":2.0,"seconds":20.0},"parts":{"host:1":'
        b'{"at":3.0,"number":7,"serial":3,"in_flight":2,"buckets":[[0.5,4,1,2]],"window_s":120.0}}}'
    )
    record = decode_record(stored)

    assert record.retry_after == RetryAfter(at=2.0, seconds=20.0)
    assert record.processes["host:1"].in_flight == 2
    assert encode_record(record) == stored
    assert encode_record(EndpointRecord()) == b"{}"
