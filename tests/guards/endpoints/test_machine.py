"""The breaker under any calls in any order: what never happens."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from guards.endpoints.bench import Bench
from seawall.guards.endpoints.breaker import Answer
from seawall.guards.endpoints.window import BUCKETS


class Calls(RuleBasedStateMachine):
    """Any calls in any order, at any speed."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(at_once=20, slow_s=30.0)
        self.flying: list[int] = []
        self.probes: dict[int, float] = {}

    @precondition(lambda self: self.bench.why is None and self.bench.breaker.places(self.bench.now))
    @rule()
    def a_call_begins(self) -> None:
        number = self.bench.begin()
        self.flying.append(number)
        if self.bench.state == "half_open":
            self.probes[number] = self.bench.now

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), answer=st.sampled_from(["answered", "failed", "cut", "unasked", "spend_limit"]))
    def a_call_ends(self, data: st.DataObject, answer: Answer) -> None:
        number = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.probes.pop(number, None)
        self.bench.end(number, answer)

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 20.0, 100.0, 10_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.now += seconds
        self.bench.look()

    @precondition(lambda self: self.bench.why == "due")
    @rule()
    def it_is_half_open(self) -> None:
        self.bench.adopt(self.bench.breaker.half_opened())

    @invariant()
    def never_more_probes_in_flight_than_are_allowed(self) -> None:
        if self.bench.state == "half_open":
            young = [began for began in self.probes.values() if self.bench.now - began < 30.0]  # not slow
            assert len(young) <= self.bench.breaker.options.probes

    @invariant()
    def open_admits_nothing(self) -> None:
        if self.bench.state == "open":
            assert self.bench.why is not None
            assert self.bench.breaker.places(self.bench.now) == 0

    @invariant()
    def never_more_calls_in_flight_than_are_allowed(self) -> None:
        assert self.bench.breaker.in_flight == len(self.flying) <= 20

    @invariant()
    def its_memory_is_bounded(self) -> None:
        breaker = self.bench.breaker
        held = [breaker._fresh, breaker._delayed, breaker._overdue]
        assert sum(map(len, held)) == len(self.flying)
        assert len(breaker._probes) <= len(self.flying)
        assert len(breaker._newest) <= 20
        assert len(breaker.window.told(self.bench.now)) <= BUCKETS


TestCalls = Calls.TestCase
