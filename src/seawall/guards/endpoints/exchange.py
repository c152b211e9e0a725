"""How processes come to agree: what one has seen goes to the journal, and what others have seen comes from there.

Transitions are told at once, counts a few times a second at most; what others write is read as often. A process
that can't reach the journal goes on with what it has seen itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from seawall.core.clock import Clock, Timer
from seawall.core.errors import SeawallError
from seawall.guards.endpoints.record import (
    LEASE_S,
    PREFIX,
    Change,
    EndpointRecord,
    decode_record,
    encode_record,
    merge_change,
)

if TYPE_CHECKING:
    from seawall.guards.endpoints.endpoint import Endpoint
    from seawall.journal.protocol import Journal, Setting

BAD_S = 0.25
"""Between two writes of one process while calls fail: others hear of it within half a second."""
GOOD_S = 1.0
"""While all is well: one write a second and endpoint, whatever the traffic."""
READ_S = 0.25
"""Between two looks at what others wrote."""
BEAT_S = LEASE_S / 3
"""Between two renewals of the right to probe: one may come late, and be lost."""
ALIVE_S = 5.0
"""Between two signs of life of a process that has calls in flight and nothing new to tell."""

_log = logging.getLogger("seawall")


class Exchange:
    """Tells and hears, for the endpoints of one process."""

    def __init__(
        self, clock: Clock, endpoints: Mapping[str, Endpoint], make: Callable[[str], Endpoint]
    ) -> None:
        self.owner = "this process"
        self._clock = clock
        self._endpoints = endpoints
        self._make = make
        self._journal: Journal | None = None
        self._stop_watching: Callable[[], None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._dirty: dict[str, bool] = {}  # whether to tell it soon
        self._timer: Timer | None = None
        self._timer_at = float("inf")
        self._wrote_s = float("-inf")
        self._writing: asyncio.Task[None] | None = None
        self._reading: Timer | None = None
        self._begun = self._newest = 0
        """How many readings have begun, and which of them was taken in last: two may overlap."""
        self._raw: dict[str, bytes] = {}
        self._records: dict[str, EndpointRecord] = {}
        self._settings: dict[str, Setting] = {}
        self._ends: dict[str, float | None] = {}
        self._complained = False

    def __repr__(self) -> str:
        return f"<Exchange {len(self._dirty)} to tell>"

    async def open(self, journal: Journal) -> None:
        """Begin: with what is there from before, and from others."""
        self._journal, self.owner = journal, journal.owner
        self._stop_watching = journal.watch(self._on_write)
        await self._read()

    async def close(self) -> None:
        """Tell the last counts, with nothing in flight, and stop."""
        journal = self._journal
        if journal is None:
            return
        if self._stop_watching is not None:
            self._stop_watching()
        for timer in (self._timer, self._reading):
            if timer is not None:
                timer.cancel()
        self._timer, self._timer_at, self._reading = None, float("inf"), None
        if self._tasks:
            await asyncio.wait(self._tasks)
        for name in self._dirty.keys() & self._endpoints.keys():
            await self._write(name)
        self._journal = None
        for known in (self._dirty, self._raw, self._records, self._settings, self._ends):
            known.clear()

    # ---- telling

    def changed(self, endpoint: Endpoint, soon: bool) -> None:
        """An endpoint has something to tell."""
        name = endpoint.breaker.name
        self._dirty[name] = soon or self._dirty.get(name, False)
        if self._journal is not None:
            urgent = endpoint.moved
            self._arm(0.0 if urgent else self._wrote_s + (BAD_S if soon else GOOD_S))

    def _arm(self, at_s: float) -> None:
        if at_s >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at_s
        self._timer = self._clock.call_later(max(0.0, at_s - self._clock.monotonic_s()), self._start_writing)

    def _start_writing(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        if self._writing is None or self._writing.done():
            self._writing = self._keep(self._write_all())
        else:  # a slow disk: what there is to tell waits for the next time
            self._arm(self._clock.monotonic_s() + BAD_S)

    async def _write_all(self) -> None:
        self._wrote_s = self._clock.monotonic_s()
        dirty, self._dirty = self._dirty, {}
        for name in dirty:
            if name in self._endpoints and not await self._write(name):
                self._dirty[name] = True
                self._arm(self._wrote_s + GOOD_S)
        self._arm_beat()

    def _arm_beat(self) -> None:
        """The next write, even if nothing happens till then: a lease to renew, calls that are still in flight."""
        now = self._clock.monotonic_s()
        for name, endpoint in self._endpoints.items():
            if endpoint.probes:
                self._dirty[name] = True
                self._arm(now + BEAT_S)
            elif endpoint.breaker.in_flight:
                self._dirty.setdefault(name, False)
                self._arm(now + ALIVE_S)

    async def _write(self, name: str) -> bool:
        """Tell of one endpoint; whether that succeeded."""
        endpoint = self._endpoints[name]
        change = endpoint.change()
        record = await self._changed(name, change)
        if record is None:
            return False
        endpoint.told(change)
        endpoint.learn(record)
        return True

    async def _changed(self, name: str, change: Change) -> EndpointRecord | None:
        """Merge a change into the journal's record, which is given; None if the journal can't be reached."""
        if self._journal is None:
            return None
        key, wall_s = PREFIX + name, self._clock.wall_s()
        try:
            raw = await self._journal.change(
                key, lambda data: encode_record(merge_change(decode_record(data), change, wall_s))
            )
        except SeawallError as error:
            self._complain(error)
            return None
        self._complained = False
        if raw is None:
            return None
        self._raw[name] = raw
        self._records[name] = record = decode_record(raw)
        return record

    def _complain(self, error: SeawallError) -> None:
        if not self._complained:
            self._complained = True
            _log.warning("endpoints go on with what this process has seen: the journal says %s", error)

    # ---- the right to probe

    def request_lease(self, endpoint: Endpoint) -> None:
        """Ask for the right to probe; `endpoint.receive_lease` says that the answer is there."""
        if self._journal is None:
            endpoint.receive_lease(endpoint.probe().phase)
        else:
            self._keep(self._request_lease(endpoint))

    async def _request_lease(self, endpoint: Endpoint) -> None:
        change = endpoint.probe()
        record = await self._changed(endpoint.breaker.name, change)
        if record is None:
            endpoint.receive_lease(change.phase)
            return
        endpoint.told(change)
        endpoint.learn(record)
        endpoint.receive_lease(None)
        self._arm_beat()

    # ---- hearing

    def _on_write(self) -> None:
        if self._reading is None:
            self._reading = self._clock.call_later(READ_S, self._start_reading)

    def _start_reading(self) -> None:
        self._reading = None
        self._keep(self._read())

    async def _read(self) -> None:
        journal = self._journal
        if journal is None:
            return
        self._begun += 1
        number = self._begun
        try:
            found = await journal.shared(PREFIX)
            settings = await journal.settings()
        except SeawallError as error:
            self._complain(error)
            return
        if number < self._newest:  # one that began later has come first
            return
        self._newest = number
        for key, raw in found.items():
            name = key.removeprefix(PREFIX)
            if self._raw.get(name) != raw:
                self._raw[name] = raw
                self._records[name] = record = decode_record(raw)
                if name in self._endpoints:
                    self._endpoints[name].learn(record)
        self._set({name: each for (kind, name), each in settings.items() if kind == "endpoint"})

    def _set(self, settings: dict[str, Setting]) -> None:
        """What people have set. `until` is wall time; here it lasts as long as the monotonic clock says."""
        before, self._settings = self._settings, settings
        for name, setting in settings.items():
            if before.get(name) == setting:
                continue
            self._ends[name] = None
            if setting.until is not None:
                left_s = min(setting.until - self._clock.wall_s(), setting.until - setting.at)
                self._ends[name] = self._clock.monotonic_s() + left_s
            if name in self._endpoints:
                self._endpoints[name].force(setting, self._ends[name])

    def made(self, endpoint: Endpoint) -> None:
        """An endpoint is new here: it begins with what is known from before, and from others."""
        name = endpoint.breaker.name
        if name in self._records:
            endpoint.learn(self._records[name])
        if name in self._settings:
            endpoint.force(self._settings[name], self._ends[name])

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
