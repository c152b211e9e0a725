"""The guard `endpoints`: shares the state of tools and models between all runs of all processes.

It answers at once, from this process's memory; observations of other processes arrive through the journal within a
second.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from seawall.core.clock import Clock
from seawall.core.events import Mode
from seawall.guards.deadline import bound_left_s
from seawall.guards.endpoints.endpoint import Endpoint
from seawall.guards.endpoints.exchange import Exchange
from seawall.guards.endpoints.options import EndpointOptions, check_options
from seawall.guards.shared import ENDPOINTS, Defer, Retry
from seawall.journal.protocol import Journal
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Verdict

MAX_ENDPOINTS = 1_000
"""Most endpoints in one process, far more than teams have. If tools are created by the thousand, idle endpoints are
forgotten."""


_DEFAULT_OPTIONS = EndpointOptions()


class Endpoints:
    """The endpoints of one process, by name. Implements `SharedGuard`."""

    name = ENDPOINTS
    active = True

    def __init__(
        self, *, clock: Clock, rng: random.Random, options: Mapping[str, EndpointOptions] | None = None
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._options = check_options(options or {})
        self._endpoints: dict[str, Endpoint] = {}
        self._exchange = Exchange(clock, self._endpoints)

    def __repr__(self) -> str:
        bad = [each for each in self._endpoints.values() if each.breaker.phase.state != "closed"]
        return f"<Endpoints {len(self._endpoints)}, of them not closed: {bad}>"

    def __getitem__(self, name: str) -> Endpoint:
        """Returns an endpoint. Raises `KeyError` for one that this process has not called yet."""
        return self._endpoints[name]

    def __len__(self) -> int:
        return len(self._endpoints)

    async def open(self, journal: Journal) -> None:
        """Starts the exchange with other processes through this journal."""
        await self._exchange.open(journal)

    async def close(self) -> None:
        """Reports the last counts; no run is woken after this."""
        for endpoint in self._endpoints.values():
            endpoint.close()
        await self._exchange.close()
        self._endpoints.clear()

    # ---- SharedGuard

    def check(self, step: Step, run: RunState, left_s: float, wake: Callable[[], None]) -> Verdict | Defer:
        """Returns whether the step's endpoint can take the step now."""
        if not step.endpoint:
            return ALLOW
        endpoint = self._endpoints.get(step.endpoint) or self._create(step.endpoint)
        return endpoint.check(step, run, left_s, wake)

    def acquire(self, step: Step, run: RunState, left_s: float) -> Step:
        """Counts a call before it is made."""
        if not step.endpoint:
            return step
        endpoint = self._endpoints.get(step.endpoint) or self._create(step.endpoint)
        return endpoint.acquire(step, run, bound_left_s(left_s, run))

    def release(self, step: Step, run: RunState, result: Result) -> None:
        """Counts the result of a call."""
        endpoint = self._endpoints.get(step.endpoint)
        if endpoint is not None:
            endpoint.release(step, run, result)

    def may_retry(self, step: Step, run: RunState, result: Result, left_s: float, *, used_up: bool) -> Retry:
        """Returns whether another try is within the retry budget (a tenth of the calls), or waits for the endpoint's
        recovery.
        """
        mode: Mode = run.modes.get(self.name, "enforce")
        if not step.endpoint or mode == "off":
            return "yes"
        endpoint = self._endpoints.get(step.endpoint) or self._create(step.endpoint)
        said = endpoint.may_retry(step, run, result, left_s, used_up=used_up)
        return said if mode == "enforce" else "yes"

    def forget(self, run_id: str, *, parked: bool) -> None:
        """Removes a run's steps from all queues, also if the run is parked: it checks again when it goes on."""
        for endpoint in self._endpoints.values():
            endpoint.forget(run_id)

    # ---- making endpoints

    def _create(self, name: str) -> Endpoint:
        if len(self._endpoints) >= MAX_ENDPOINTS:
            self._evict_idle()
        options = self._options.get(name) or self._options.get(name.partition(":")[0]) or _DEFAULT_OPTIONS
        endpoint = Endpoint(
            name,
            options,
            owner=self._exchange.owner,
            clock=self._clock,
            rng=self._rng,
            schedule_report=self._exchange.schedule_report,
            request_lease=self._exchange.request_lease,
        )
        self._endpoints[name] = endpoint
        self._exchange.restore(endpoint)
        return endpoint

    def _evict_idle(self) -> None:
        """Forgets the idle endpoints whose last calls are oldest: a tenth of all, so that this is rarely needed."""
        idle = [name for name, endpoint in self._endpoints.items() if endpoint.is_idle]
        idle.sort(key=lambda name: self._endpoints[name].used_s)
        for name in idle[: MAX_ENDPOINTS // 10]:
            self._endpoints.pop(name).close()
