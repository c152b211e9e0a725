"""A breaker alone, with a clock that the test moves. It enters every phase that it proposes at once."""

from __future__ import annotations

import random
from typing import Any

from seawall.guards.endpoints.breaker import Breaker, CallResult
from seawall.guards.endpoints.options import EndpointOptions
from seawall.guards.endpoints.record import Phase


class Rig:
    """Makes calls, and shows the state of the breaker."""

    def __init__(self, **options: Any) -> None:
        options = {"jitter": 0.0, **options}
        self.breaker = Breaker("tool:bank", EndpointOptions(**options), "me")
        self.now = 1_000.0
        self.rng = random.Random(1)
        self._number = 0

    @property
    def state(self) -> str:
        return self.breaker.phase.state

    def begin(self, **how: Any) -> int:
        self._number += 1
        self.breaker.begin(self._number, self.now, **how)
        return self._number

    def end(self, number: int, result: CallResult) -> None:
        self.enter(self.breaker.end(number, self.now, result, rng=self.rng))

    def calls(self, count: int, result: CallResult, *, took_s: float = 0.0) -> None:
        numbers = [self.begin() for _ in range(count)]
        self.now += took_s
        for number in numbers:
            self.end(number, result)

    def check_overdue(self) -> None:
        self.enter(self.breaker.check_overdue(self.now, rng=self.rng))

    def half_open(self) -> None:
        self.now = self.breaker.until_s
        self.enter(self.breaker.build_half_open())

    def enter(self, phase: Phase | None) -> None:
        if phase is not None:
            assert self.breaker.enter(phase, self.now)

    @property
    def why(self) -> str | None:
        block = self.breaker.find_block(self.now)
        return None if block is None else block.reason
