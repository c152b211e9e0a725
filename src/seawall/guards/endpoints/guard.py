"""Endpoints: what all runs of all processes know of the tools and models that they call.

`Endpoints` is asked by the gate at reserve (see `seawall.guards.shared`). It answers from this process's memory, at
once; what other processes have seen reaches it through the journal within a second.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from seawall.core.clock import Clock
from seawall.core.events import Mode
from seawall.guards.deadline import DEADLINE
from seawall.guards.endpoints.endpoint import Endpoint
from seawall.guards.endpoints.exchange import Exchange
from seawall.guards.endpoints.options import EndpointOptions, check_options
from seawall.guards.shared import ENDPOINTS, Defer
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Verdict

if TYPE_CHECKING:
    from seawall.journal.protocol import Journal

MAX_ENDPOINTS = 1_000
"""In one process. Far above what teams have; where tools are made by the thousand, idle ones are forgotten."""
UNBOUND_S = 86_400.0
"""What a run has left whose deadline does not bind: a day."""


class Endpoints:
    """The endpoints of one process. Implements `SharedGuard`."""

    name = ENDPOINTS

    def __init__(
        self, *, clock: Clock, rng: random.Random, options: Mapping[str, EndpointOptions] | None = None
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._options = check_options(options or {})
        self._endpoints: dict[str, Endpoint] = {}
        self._sharing = Exchange(clock, self._endpoints, self._made)

    def __repr__(self) -> str:
        bad = [each for each in self._endpoints.values() if each.breaker.phase.state != "closed"]
        return f"<Endpoints {len(self._endpoints)}, of them not closed: {bad}>"

    def __getitem__(self, name: str) -> Endpoint:
        """One endpoint; raises `KeyError` for one that was not called yet."""
        return self._endpoints[name]

    async def open(self, journal: Journal) -> None:
        """Begin to share with others through this journal."""
        await self._sharing.open(journal)

    async def close(self) -> None:
        """Tell what is left to tell, and call nobody any more."""
        for endpoint in self._endpoints.values():
            endpoint.close()
        await self._sharing.close()
        self._endpoints.clear()

    # ---- SharedGuard

    def check(self, step: Step, run: RunState, left_s: float, wake: Callable[[], None]) -> Verdict | Defer:
        """Whether this step's endpoint can take it now."""
        if not step.endpoint:
            return ALLOW
        return self._endpoint(step.endpoint).check(step, run, _bind(left_s, run), wake)

    def acquire(self, step: Step, run: RunState, left_s: float) -> Step:
        """Count a call before it is made."""
        if not step.endpoint:
            return step
        return self._endpoint(step.endpoint).acquire(step, run, _bind(left_s, run))

    def release(self, step: Step, run: RunState, result: Result) -> None:
        """Count what became of it."""
        endpoint = self._endpoints.get(step.endpoint)
        if endpoint is not None:
            endpoint.release(step, run, result)

    def may_retry(self, step: Step, run: RunState, result: Result) -> bool:
        """Whether another try is within the tenth that a storm may add."""
        mode: Mode = run.modes.get(self.name, "enforce")
        if not step.endpoint or mode == "off":
            return True
        return self._endpoint(step.endpoint).may_retry(step, run) or mode == "observe"

    def forget(self, run_id: str, *, parked: bool) -> None:
        """A run gives up its places in line; one that is parked comes again."""
        for endpoint in self._endpoints.values():
            endpoint.forget(run_id)

    # ---- making them

    def _endpoint(self, name: str) -> Endpoint:
        return self._endpoints.get(name) or self._made(name)

    def _made(self, name: str) -> Endpoint:
        if len(self._endpoints) >= MAX_ENDPOINTS:
            self._forget_some()
        options = self._options.get(name) or self._options.get(name.partition(":")[0]) or EndpointOptions()
        endpoint = Endpoint(
            name,
            options,
            owner=self._sharing.owner,
            clock=self._clock,
            rng=self._rng,
            changed=self._sharing.changed,
            request_lease=self._sharing.request_lease,
        )
        self._endpoints[name] = endpoint
        self._sharing.made(endpoint)
        return endpoint

    def _forget_some(self) -> None:
        """The idle ones that were not called for longest: a tenth, so that this is rare."""
        idle = [name for name, endpoint in self._endpoints.items() if endpoint.idle]
        idle.sort(key=lambda name: self._endpoints[name].touched_s)
        for name in idle[: MAX_ENDPOINTS // 10]:
            self._endpoints.pop(name).close()


def _bind(left_s: float, run: RunState) -> float:
    """Returns the seconds that a step of the run may take: a day, where the run's deadline does not bind."""
    return left_s if run.modes.get(DEADLINE, "enforce") == "enforce" else UNBOUND_S
