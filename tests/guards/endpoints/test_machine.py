"""The breaker under any calls in any order: what never happens."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from guards.endpoints.rig import Rig
from seawall.guards.endpoints.breaker import CallResult
from seawall.guards.endpoints.window import BUCKETS


class Calls(RuleBasedStateMachine):
    """Any calls in any order, at any speed."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(at_once=20, slow_s=30.0)
        self.flying: list[int] = []
        self.probes: dict[int, float] = {}

    @precondition(lambda self: self.rig.why is None and self.rig.breaker.count_free_slots(self.rig.now))
    @rule()
    def a_call_begins(self) -> None:
        number = self.rig.begin()
        self.flying.append(number)
        if self.rig.state == "half_open":
            self.probes[number] = self.rig.now

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), answer=st.sampled_from(["answered", "failed", "cut", "unasked", "spend_limit"]))
    def a_call_ends(self, data: st.DataObject, answer: CallResult) -> None:
        number = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.probes.pop(number, None)
        self.rig.end(number, answer)

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 20.0, 100.0, 10_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.rig.now += seconds
        self.rig.check_overdue()

    @precondition(lambda self: self.rig.why == "due")
    @rule()
    def it_is_half_open(self) -> None:
        self.rig.enter(self.rig.breaker.build_half_open())

    @invariant()
    def never_more_probes_in_flight_than_are_allowed(self) -> None:
        if self.rig.state == "half_open":
            young = [began for began in self.probes.values() if self.rig.now - began < 30.0]  # not slow
            assert len(young) <= self.rig.breaker.options.probes

    @invariant()
    def open_admits_nothing(self) -> None:
        if self.rig.state == "open":
            assert self.rig.why is not None
            assert self.rig.breaker.count_free_slots(self.rig.now) == 0

    @invariant()
    def never_more_calls_in_flight_than_are_allowed(self) -> None:
        assert self.rig.breaker.in_flight == len(self.flying) <= 20

    @invariant()
    def its_memory_is_bounded(self) -> None:
        breaker = self.rig.breaker
        assert breaker.in_flight == len(self.flying)
        assert breaker.probes_in_flight <= len(self.flying)
        assert len(breaker.newest) <= 20
        assert len(breaker.window.report(self.rig.now)) <= BUCKETS


TestCalls = Calls.TestCase
