"""The admission queue without a run: slots, the line for them, and the retry time."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from seawall import Admission, Broken, Misused, Refused
from seawall.runtime.admission import COMPLETIONS_KEPT, MAX_RETRY_AFTER_S, AdmissionQueue
from seawall.testing import ManualClock

TENANT_NAMES = ("acme", "bolt", "corp")
TENANTS = st.sampled_from(TENANT_NAMES)


class AnyOrder(RuleBasedStateMachine):
    """Runs come, wait, go on and leave, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.options = Admission(in_flight=3, waiting=4, per_tenant=2, waiting_per_tenant=3)
        self.queue = AdmissionQueue(self.options, ManualClock())
        self.number = 0
        self.tenant: dict[str, str] = {}
        self.lined_up: list[str] = []
        """New runs in line, in the order in which they came."""
        self.back: list[str] = []
        """Runs in line that have begun before."""
        self.behind: list[str] = []
        self.driven: set[str] = set()
        self.passed: Counter[tuple[str, str]] = Counter()
        """By (waiting tenant, other tenant): how often the other one's run got a slot that the waiting one might have had."""

    def teardown(self) -> None:
        self.loop.close()

    def do(self, name: str, *arguments: Any) -> None:
        """Calls a method with a loop running, and notes which runs got a slot."""

        async def call() -> None:
            getattr(self.queue, name)(*arguments)

        try:
            self.loop.run_until_complete(call())
        finally:
            for run in [run for run in (*self.back, *self.lined_up) if self.queue.has_slot(run)]:
                self.granted(run)

    def granted(self, run: str) -> None:
        mine, tenant = (self.back if run in self.back else self.lined_up), self.tenant[run]
        if mine is self.lined_up:
            assert all(self.at_cap(self.tenant[each]) for each in self.back), "before one that was begun"
        earlier = mine[: mine.index(run)]
        assert tenant not in [self.tenant[each] for each in earlier], "not in its tenant's order"
        if mine is self.lined_up:
            for other in TENANT_NAMES:
                self.passed[other, tenant] = 0
                if other not in [self.tenant[each] for each in mine]:
                    self.passed[tenant, other] = 0
                elif other != tenant and not self.at_cap(other):
                    self.passed[tenant, other] += 1
                    assert self.passed[tenant, other] <= 1, "not in turn"
        mine.remove(run)
        self.driven.add(run)

    def at_cap(self, tenant: str) -> bool:
        held = [run for run in self.driven if self.tenant[run] == tenant]
        return len(held) >= (self.options.per_tenant or 99)

    def new(self, tenant: str) -> str:
        self.number += 1
        run = f"r-{self.number}"
        self.tenant[run] = tenant
        return run

    @rule(tenant=TENANTS)
    def comes(self, tenant: str) -> None:
        run = self.new(tenant)
        waiting = [*self.lined_up, *self.behind]
        mine = [each for each in waiting if self.tenant[each] == tenant]
        room = len(self.driven) < 3 and not self.at_cap(tenant)
        full = len(waiting) >= 4 or len(mine) >= 3
        if full and not room:
            with pytest.raises(Refused, match=r"try again in 5\.0 s"):
                self.do("enter", run, tenant)
            return
        self.do("enter", run, tenant)
        if self.queue.has_slot(run):
            assert room
            self.driven.add(run)
        else:
            self.lined_up.append(run)

    @rule(tenant=TENANTS)
    def comes_again(self, tenant: str) -> None:
        run = self.new(tenant)
        self.do("reenter", run, tenant)
        if self.queue.has_slot(run):
            self.driven.add(run)
        else:
            self.back.append(run)

    @precondition(lambda self: self.lined_up)
    @rule(data=st.data())
    def finds_its_session_busy(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.lined_up))
        self.do("wait_for_session", run)
        self.lined_up.remove(run)
        self.behind.append(run)
        self.nobody_left()

    @precondition(lambda self: self.behind)
    @rule(data=st.data())
    def steps_up(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.behind))
        self.behind.remove(run)
        self.lined_up.append(run)
        self.do("line_up", run)

    @precondition(lambda self: self.driven or self.lined_up or self.back or self.behind)
    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(sorted([*self.driven, *self.lined_up, *self.back, *self.behind])))
        self.driven.discard(run)
        for line in (self.lined_up, self.back, self.behind):
            if run in line:
                line.remove(run)
        self.nobody_left()
        self.do("leave", run)
        assert not self.queue.has_slot(run)

    def nobody_left(self) -> None:
        """A tenant whose line is empty has no turn to wait for."""
        there = {self.tenant[run] for run in self.lined_up}
        for tenant, other in list(self.passed):
            if other not in there:
                del self.passed[tenant, other]

    @invariant()
    def bounds_hold(self) -> None:
        assert len(self.driven) <= 3
        assert all(self.queue.has_slot(run) for run in self.driven)
        held = Counter(self.tenant[run] for run in self.driven)
        assert all(count <= 2 for count in held.values())
        assert f"{len(self.driven)}/3 in flight" in repr(self.queue)
        assert f"{len(self.lined_up) + len(self.behind)}/4 waiting" in repr(self.queue)

    @invariant()
    def no_slot_is_free_while_a_run_in_line_may_have_it(self) -> None:
        if len(self.driven) < 3:
            assert all(self.at_cap(self.tenant[run]) for run in (*self.lined_up, *self.back))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(stateful_step_count=40)


def make_queue(options: Admission, clock: ManualClock | None = None) -> AdmissionQueue:
    return AdmissionQueue(options, clock or ManualClock())


def enter_all(queue: AdmissionQueue, *runs: str, tenant: str = "") -> None:
    for run in runs:
        queue.enter(run, tenant)


def test_a_run_that_has_begun_goes_before_new_ones() -> None:
    async def main() -> None:
        queue = make_queue(Admission(in_flight=1))
        enter_all(queue, "a", "b")
        queue.reenter("c", "")
        queue.leave("a")
        assert queue.has_slot("c")
        assert not queue.has_slot("b")
        queue.leave("c")
        assert queue.has_slot("b")

    asyncio.run(main())


def test_a_run_that_has_begun_is_never_refused() -> None:
    async def main() -> None:
        queue = make_queue(Admission(in_flight=1, waiting=0))
        enter_all(queue, "a")
        for number in range(100):
            queue.reenter(f"b-{number}", "")
        with pytest.raises(Refused):
            queue.enter("c", "")
        assert repr(queue) == "<AdmissionQueue 1/1 in flight, 0/0 waiting>"

    asyncio.run(main())


def test_tenants_take_turns_however_many_runs_one_of_them_has() -> None:
    async def main() -> None:
        queue = make_queue(Admission(in_flight=1))
        enter_all(queue, *(f"a-{number}" for number in range(101)), tenant="acme")
        queue.enter("b", "bolt")
        queue.leave("a-0")
        assert queue.has_slot("a-1")  # it was first in line, while only its tenant waited
        queue.leave("a-1")
        assert queue.has_slot("b")

    asyncio.run(main())


def test_a_tenant_has_no_more_slots_than_its_own() -> None:
    async def main() -> None:
        queue = make_queue(Admission(in_flight=3, per_tenant=1))
        enter_all(queue, "a-0", "a-1", "a-2", tenant="acme")
        enter_all(queue, "b-0", tenant="bolt")
        assert [run for run in ("a-0", "a-1", "a-2", "b-0") if queue.has_slot(run)] == ["a-0", "b-0"]
        queue.leave("b-0")
        assert not queue.has_slot("a-1")
        queue.leave("a-0")
        assert queue.has_slot("a-1")

    asyncio.run(main())


def test_a_tenant_that_fills_its_share_of_the_line_leaves_the_rest_to_others() -> None:
    async def main() -> None:
        options = Admission(in_flight=4, waiting=8, per_tenant=1)
        assert options.line_share == 2
        queue = make_queue(options)
        enter_all(queue, "a-0", "a-1", "a-2", tenant="acme")
        with pytest.raises(Refused, match=r"2 more of tenant 'acme' wait \(limit 2\)") as refused:
            queue.enter("a-3", "acme")
        assert (refused.value.guard, refused.value.limit, refused.value.value) == (
            "admission",
            "waiting_per_tenant=2",
            3,
        )
        enter_all(queue, "b-0", "b-1", tenant="bolt")
        assert queue.has_slot("b-0")

    asyncio.run(main())


def test_a_refused_caller_is_told_how_long_the_line_takes_at_the_rate_that_was_measured() -> None:
    async def main() -> None:
        clock = ManualClock()
        queue = make_queue(Admission(in_flight=1, waiting=10, retry_after_s=7), clock)
        enter_all(queue, *(f"a-{number}" for number in range(11)))
        with pytest.raises(Refused, match=r"try again in 7\.0 s") as refused:
            queue.enter("b", "")
        assert refused.value.retry_after_s == 7  # no run has freed a slot yet, so it is the option
        for number in range(5):  # one every two seconds
            await clock.advance(2)
            queue.leave(f"a-{number}")
            queue.enter(f"c-{number}", "")
        with pytest.raises(Refused) as refused:
            queue.enter("d", "")
        assert refused.value.retry_after_s == pytest.approx(20)
        await clock.advance(40)  # and then no run ends for a while
        with pytest.raises(Refused) as refused:
            queue.enter("d", "")
        assert refused.value.retry_after_s == pytest.approx(100)

    asyncio.run(main())


def test_a_quiet_hour_does_not_count_as_a_slow_one() -> None:
    async def main() -> None:
        clock = ManualClock()
        queue = make_queue(Admission(in_flight=1, waiting=1), clock)
        for _ in range(3):
            enter_all(queue, "a", "b")
            await clock.advance(1)
            queue.leave("a")
            await clock.advance(1)
            queue.leave("b")
            await clock.advance(3600)
        enter_all(queue, "a", "b")
        with pytest.raises(Refused) as refused:
            queue.enter("c", "")
        assert refused.value.retry_after_s == pytest.approx(1)

    asyncio.run(main())


def test_the_rate_follows_the_newest_completions_and_has_an_upper_bound() -> None:
    async def main() -> None:
        clock = ManualClock()
        queue = make_queue(Admission(in_flight=1, waiting=1), clock)
        enter_all(queue, "0", "1")
        for number in range(COMPLETIONS_KEPT * 2):
            await clock.advance(100 if number < COMPLETIONS_KEPT else 1)
            queue.leave(str(number))
            queue.enter(str(number + 2), "")
        with pytest.raises(Refused) as refused:
            queue.enter("c", "")
        assert refused.value.retry_after_s == pytest.approx(1)
        await clock.advance(10_000_000)
        with pytest.raises(Refused) as refused:
            queue.enter("c", "")
        assert refused.value.retry_after_s == MAX_RETRY_AFTER_S

    asyncio.run(main())


def test_closing_fails_the_runs_in_line_and_gives_no_more_slots() -> None:
    async def main() -> None:
        queue = make_queue(Admission(in_flight=1))
        enter_all(queue, "a", "b")
        turn = queue.get_turn("b")
        assert turn is not None
        queue.close()
        queue.leave("a")
        assert not queue.has_slot("b")
        with pytest.raises(Broken, match="b waited for a slot"):
            await turn

    asyncio.run(main())


def test_nothing_is_kept_of_runs_that_have_left() -> None:
    async def main() -> None:
        queue = make_queue(Admission(in_flight=1, waiting=3))
        for number in range(100):
            tenant = f"t-{number}"
            enter_all(queue, "a", "b", "c", tenant=tenant)
            queue.wait_for_session("b")
            for run in ("a", "c", "b", "never came"):
                queue.leave(run)
        assert queue.runs == []
        assert queue.tenants == set()
        assert repr(queue) == "<AdmissionQueue 0/1 in flight, 0/3 waiting>"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"in_flight": 0}, "in_flight is 0"),
        ({"in_flight": True}, "in_flight is True"),
        ({"waiting": -1}, "waiting is -1"),
        ({"waiting": 1.5}, "waiting is 1.5"),
        ({"per_tenant": 0}, "per_tenant is 0"),
        ({"waiting_per_tenant": -1}, "waiting_per_tenant is -1"),
        ({"retry_after_s": 0.0}, "retry_after_s is 0.0"),
        ({"retry_after_s": float("inf")}, "retry_after_s is inf"),
    ],
)
def test_bounds_that_make_no_sense_are_misuse(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(Misused, match=named):
        Admission(**wrong)
