"""The endpoints of several processes in one test, on the shared records of a fake journal; and steps without a run."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Self, cast

from seawall.core.errors import Broken
from seawall.core.events import RunStarted
from seawall.core.limits import Limits
from seawall.guards.endpoints import EndpointOptions, Endpoints
from seawall.guards.shared import Defer
from seawall.run.fold import begin
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import Allow, Refuse
from seawall.testing import ManualClock

OK = Result(status="ok", output="done")
BROKEN = Result(status="error", error="ConnectionError", endpoint="broken", retryable=True)


class SharedRecords:
    """The shared records and settings of a journal."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.set: dict[tuple[str, str], Any] = {}
        self.watchers: list[Callable[[], None]] = []
        self.writes = 0

    def tell(self) -> None:
        for watcher in list(self.watchers):
            asyncio.get_running_loop().call_soon(watcher)


class FakeJournal:
    """The journal as one process sees it: as much of `Journal` as endpoints need."""

    def __init__(self, store: SharedRecords, owner: str) -> None:
        self.owner = owner
        self.away = False
        self._store = store

    def _check_disk(self) -> None:
        if self.away:
            raise Broken("the disk is away")

    async def change(self, key: str, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        await asyncio.sleep(0)
        self._check_disk()
        new = change(self._store.records.get(key))
        self._store.writes += 1
        if new is None:
            self._store.records.pop(key, None)
        else:
            self._store.records[key] = new
        self._store.tell()
        return new

    async def shared(self, prefix: str) -> dict[str, bytes]:
        self._check_disk()
        return {key: value for key, value in self._store.records.items() if key.startswith(prefix)}

    async def settings(self) -> dict[tuple[str, str], Any]:
        self._check_disk()
        return dict(self._store.set)

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._store.watchers.append(callback)
        return lambda: self._store.watchers.remove(callback)


class Process:
    """The endpoints of one process, and calls made through them as the gate does."""

    def __init__(self, store: SharedRecords, clock: ManualClock, owner: str = "a", **options: Any) -> None:
        self.clock = clock
        self.journal = FakeJournal(store, owner)
        given = EndpointOptions(**{"jitter": 0.0, **options})
        self.endpoints = Endpoints(clock=clock, rng=random.Random(1), options={"tool": given, "model": given})
        self.woken: list[str] = []
        """The runs that were woken, in order."""

    async def __aenter__(self) -> Self:
        await self.endpoints.open(cast("Any", self.journal))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.endpoints.close()

    @property
    def state(self) -> str:
        return self.endpoints["tool:bank"].breaker.phase.state

    def check(self, step: Step, run: RunState, left_s: float = 60.0) -> Any:
        return self.endpoints.check(step, run, left_s, lambda: self.woken.append(run.started.run))

    def begin(self, step: Step, run: RunState, left_s: float = 60.0) -> Step:
        verdict = self.check(step, run, left_s)
        assert isinstance(verdict, Allow), verdict
        return self.endpoints.acquire(step, run, left_s)

    def retry(self, step: Step, run: RunState, result: Result, left_s: float = 60.0, **how: Any) -> str:
        """`no`, `yes` or `waits`."""
        return self.endpoints.may_retry(step, run, result, left_s, **{"used_up": False, **how})

    def call(self, result: Result, *, count: int = 1, name: str = "bank", kind: str = "tool") -> None:
        """Calls of as many runs, one after another, that end at once."""
        for _ in range(count):
            step, run = tool(name) if kind == "tool" else model(name), a_run()
            self.endpoints.release(self.begin(step, run), run, result)

    def says(self, step: Step | None = None, *, run: RunState | None = None, left_s: float = 60.0) -> str:
        """`allow`, `defer` or `refuse`."""
        verdict = self.check(step or tool(), run or a_run(), left_s)
        return "defer" if isinstance(verdict, Defer) else "refuse" if isinstance(verdict, Refuse) else "allow"


_runs = iter(range(1, 1_000_000))


def a_run(active_s: float = 120.0) -> RunState:
    """A run of its own."""
    return begin(
        RunStarted(
            at=0.0,
            run=f"r-{next(_runs)}",
            team="desk",
            team_version="1",
            agent="desk",
            intent=cast("Any", "intent"),
            limits=Limits(active_s=active_s),
            guards={},
        )
    )


def tool(name: str = "bank", *, number: int = 1, delay_s: float = 0.0, outlasts: bool = False) -> Step:
    """A tool step of the endpoint `tool:NAME`."""
    return Step(
        number=number,
        kind="tool",
        name="refund",
        agent="clerk",
        frame=0,
        depth=1,
        delay_s=delay_s,
        outlasts=outlasts,
        endpoint=f"tool:{name}",
    )


def model(name: str = "gpt", *, number: int = 1, delay_s: float = 0.0, outlasts: bool = False) -> Step:
    """A model step."""
    return Step(
        number=number,
        kind="model",
        name=name,
        agent="clerk",
        frame=0,
        depth=1,
        delay_s=delay_s,
        outlasts=outlasts,
        endpoint=f"model:{name}",
    )
