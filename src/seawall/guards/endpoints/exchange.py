"""The exchange between processes: each reports its observations to the journal, and receives those of others from it.

A process reports a new phase at once, and counts a few times a second at most; it reads what others wrote as often. A
process that can't reach the journal goes on with its own observations.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from seawall.core.clock import Clock, Timer
from seawall.core.errors import SeawallError
from seawall.guards.endpoints.endpoint import Endpoint
from seawall.guards.endpoints.record import (
    LEASE_S,
    PREFIX,
    Change,
    EndpointRecord,
    decode_record,
    encode_record,
    merge_change,
)
from seawall.journal.live_settings import compute_left_s
from seawall.journal.protocol import Journal, Setting

BAD_S = 0.25
"""Seconds between two reports of one process while calls fail: others receive them within half a second."""
GOOD_S = 1.0
"""Seconds between two reports while no calls fail: one write a second for each endpoint, whatever the traffic."""
READ_S = 0.25
"""Seconds between two reads of the others' reports."""
RENEW_S = LEASE_S / 3
"""Seconds between two renewals of the right to probe: one renewal may come late, and one may be lost."""
ALIVE_S = 5.0
"""Seconds between two reports of a process that has calls in flight and nothing new to report."""

_log = logging.getLogger("seawall")


class Exchange:
    """Reports and receives, for the endpoints of one process."""

    def __init__(self, clock: Clock, endpoints: Mapping[str, Endpoint]) -> None:
        self.owner = "this process"
        """The name of this process in the journal."""
        self._clock = clock
        self._endpoints = endpoints
        self._journal: Journal | None = None
        self._stop_watching: Callable[[], None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending: dict[str, bool] = {}
        """The endpoints with something to report; True: it must be reported soon."""
        self._timer: Timer | None = None
        self._timer_s = float("inf")
        """Monotonic seconds when the next reports are due."""
        self._wrote_s = float("-inf")
        self._writing: asyncio.Task[None] | None = None
        self._reading: Timer | None = None
        self._reads_begun = 0
        self._newest_read = 0
        """The number of the newest read whose result was used: two reads may overlap."""
        self._raw: dict[str, bytes] = {}
        self._records: dict[str, EndpointRecord] = {}
        self._settings: dict[str, Setting] = {}
        self._ends_s: dict[str, float | None] = {}
        """By endpoint: monotonic seconds when its setting runs out; None: when a person lifts it."""
        self._warned = False

    def __repr__(self) -> str:
        return f"<Exchange {len(self._pending)} to report>"

    async def open(self, journal: Journal) -> None:
        """Starts the exchange with the records in the journal, from earlier and from other processes."""
        self._journal, self.owner = journal, journal.owner
        # the first calls are reported with the next counts, and not separately
        self._wrote_s = self._clock.monotonic_s()
        self._stop_watching = journal.watch(self._on_write)
        await self._read()

    async def close(self) -> None:
        """Reports the last counts, with nothing in flight, and stops."""
        journal = self._journal
        if journal is None:
            return
        if self._stop_watching is not None:
            self._stop_watching()
        for timer in (self._timer, self._reading):
            if timer is not None:
                timer.cancel()
        self._timer, self._timer_s, self._reading = None, float("inf"), None
        if self._tasks:
            await asyncio.wait(self._tasks)
        for name in self._pending.keys() & self._endpoints.keys():
            await self._write(name)
        self._journal = None
        for known in (self._pending, self._raw, self._records, self._settings, self._ends_s):
            known.clear()

    # ---- reporting

    def schedule_report(self, endpoint: Endpoint, soon: bool) -> None:
        """Schedules a report of an endpoint: at once if it is urgent, else `soon` or with the next counts."""
        name = endpoint.breaker.name
        self._pending[name] = soon or self._pending.get(name, False)
        if self._journal is not None:
            self._set_timer(0.0 if endpoint.is_urgent else self._wrote_s + (BAD_S if soon else GOOD_S))

    def _set_timer(self, at_s: float) -> None:
        if at_s >= self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = at_s
        delay_s = max(0.0, at_s - self._clock.monotonic_s())
        self._timer = self._clock.call_later(delay_s, self._start_writing)

    def _start_writing(self) -> None:
        self._timer, self._timer_s = None, float("inf")
        if self._writing is None or self._writing.done():
            self._writing = self._spawn(self._write_all())
        else:  # a slow disk: the report waits for the next time
            self._set_timer(self._clock.monotonic_s() + BAD_S)

    async def _write_all(self) -> None:
        self._wrote_s = self._clock.monotonic_s()
        pending, self._pending = self._pending, {}
        for name in pending:
            if name in self._endpoints and not await self._write(name):
                self._pending[name] = True
                self._set_timer(self._wrote_s + GOOD_S)
        self._schedule_signs_of_life()

    def _schedule_signs_of_life(self) -> None:
        """Schedules the next report even if nothing happens: to renew a right to probe, or to report calls in
        flight.
        """
        now = self._clock.monotonic_s()
        for name, endpoint in self._endpoints.items():
            if endpoint.is_probing:
                self._pending[name] = True
                self._set_timer(now + RENEW_S)
            elif endpoint.breaker.in_flight:
                self._pending.setdefault(name, False)
                self._set_timer(now + ALIVE_S)

    async def _write(self, name: str) -> bool:
        """Reports one endpoint; returns whether that succeeded."""
        endpoint = self._endpoints[name]
        change = endpoint.build_report()
        record = await self._merge(name, change)
        if record is None:
            return False
        endpoint.confirm_report(change)
        endpoint.receive(record)
        return True

    async def _merge(self, name: str, change: Change) -> EndpointRecord | None:
        """Merges a change into the journal's record and returns it; None if the journal can't be reached."""
        if self._journal is None:
            return None
        key, wall_s = PREFIX + name, self._clock.wall_s()
        try:
            raw = await self._journal.change(
                key, lambda data: encode_record(merge_change(decode_record(data), change, wall_s))
            )
        except SeawallError as error:
            self._warn(error)
            return None
        self._warned = False
        if raw is None:
            return None
        self._raw[name] = raw
        self._records[name] = record = decode_record(raw)
        return record

    def _warn(self, error: SeawallError) -> None:
        """Logs that the journal can't be reached, once until it is reached again."""
        if not self._warned:
            self._warned = True
            _log.warning(
                "endpoints go on with the observations of this process only: the journal failed: %s", error
            )

    # ---- the right to probe

    def request_lease(self, endpoint: Endpoint) -> None:
        """Requests the right to probe; `endpoint.receive_lease` is called with the answer."""
        if self._journal is None:
            endpoint.receive_lease(endpoint.build_lease_request().phase)
        else:
            self._spawn(self._request_lease(endpoint))

    async def _request_lease(self, endpoint: Endpoint) -> None:
        change = endpoint.build_lease_request()
        record = await self._merge(endpoint.breaker.name, change)
        if record is None:
            endpoint.receive_lease(change.phase)
            return
        endpoint.confirm_report(change)
        endpoint.receive(record)
        endpoint.receive_lease(None)
        self._schedule_signs_of_life()

    # ---- receiving

    def _on_write(self) -> None:
        if self._reading is None:
            self._reading = self._clock.call_later(READ_S, self._start_reading)

    def _start_reading(self) -> None:
        self._reading = None
        self._spawn(self._read())

    async def _read(self) -> None:
        """Reads and applies the journal's records and settings, unless a newer read has finished already."""
        journal = self._journal
        if journal is None:
            return
        self._reads_begun += 1
        number = self._reads_begun
        try:
            found = await journal.shared(PREFIX)
            settings = await journal.settings()
        except SeawallError as error:
            self._warn(error)
            return
        if number < self._newest_read:
            return
        self._newest_read = number
        for key, raw in found.items():
            name = key.removeprefix(PREFIX)
            if self._raw.get(name) != raw:
                self._raw[name] = raw
                self._records[name] = record = decode_record(raw)
                if name in self._endpoints:
                    self._endpoints[name].receive(record)
        self._receive_settings({name: each for (kind, name), each in settings.items() if kind == "endpoint"})

    def _receive_settings(self, settings: dict[str, Setting]) -> None:
        before, self._settings = self._settings, settings
        for name, setting in settings.items():
            if before.get(name) == setting:
                continue
            left_s = compute_left_s(setting, self._clock)
            self._ends_s[name] = end_s = None if left_s is None else self._clock.monotonic_s() + left_s
            if name in self._endpoints:
                self._endpoints[name].set_manually(setting, end_s)

    def restore(self, endpoint: Endpoint) -> None:
        """Applies the known records of earlier and of other processes to an endpoint that is new in this process."""
        name = endpoint.breaker.name
        if name in self._records:
            endpoint.receive(self._records[name])
        if name in self._settings:
            endpoint.set_manually(self._settings[name], self._ends_s[name])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
