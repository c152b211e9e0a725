"""A breaker to be tried out: with a clock in hand, and whatever it proposes taken over at once."""

from __future__ import annotations

import random
from typing import Any

from seawall.guards.endpoints.breaker import Answer, Breaker
from seawall.guards.endpoints.options import EndpointOptions
from seawall.guards.endpoints.record import Phase


class Bench:
    """Calls, and what becomes of the breaker."""

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

    def end(self, number: int, answer: Answer) -> None:
        self.adopt(self.breaker.end(number, self.now, answer, rng=self.rng))

    def calls(self, count: int, answer: Answer, *, took_s: float = 0.0) -> None:
        numbers = [self.begin() for _ in range(count)]
        self.now += took_s
        for number in numbers:
            self.end(number, answer)

    def look(self) -> None:
        self.adopt(self.breaker.look(self.now, rng=self.rng))

    def half_open(self) -> None:
        self.now = self.breaker.until_s
        self.adopt(self.breaker.half_opened())

    def adopt(self, phase: Phase | None) -> None:
        if phase is not None:
            assert self.breaker.adopt(phase, self.now)

    @property
    def why(self) -> str | None:
        block = self.breaker.block(self.now)
        return None if block is None else block.why
