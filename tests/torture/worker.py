"""A worker: it starts the cases of its clients, and takes up what other workers left."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from seawall import Broken, Misused, Refused, Run, Seawall, SeawallBug, Waiting
from seawall.cli.decisions import read_pending_decisions
from seawall.core.clock import SystemClock
from seawall.core.errors import describe_error
from seawall.journal.protocol import RunRow
from torture.cases import Case, make_case
from torture.desk import make_desk
from torture.disk import choose_disk
from torture.notes import Ended, Notes, Problem, Rejected, Started, Tried, read_notes
from torture.place import Place, make_seawall, open_journal

AT_ONCE = 5
"""Cases of one worker that are under way at once."""
LOOK_S = 0.15
FAULTY = 0.3
"""The share of workers whose disk has a fault."""
NEW_VERSION = 0.15
"""The share of workers with a newer version of a tool."""


class Worker:
    """One life of a worker. A later life with the same number goes on with what its clients did not get answered."""

    def __init__(self, place: Place, number: int, life: int) -> None:
        self._place = place
        self._number = number
        self._rng = place.rng(f"worker-{number}-{life}")
        self._clock = SystemClock()
        self._notes = Notes(place.notes(f"worker-{number}"))
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[str] = set()
        """Runs that this worker takes up now."""
        version = "2" if self._rng.random() < NEW_VERSION else "1"
        self._team = make_desk(place.socket, version)

    async def live(self) -> None:
        """Works until it is killed, or until its journal can't be written any more."""
        disk = choose_disk(self._rng) if self._rng.random() < FAULTY else None
        mounted = None if disk is None else disk.mount()
        try:
            journal = open_journal(self._place, disk)
        except (Broken, Misused) as error:
            if disk is None and not isinstance(error, Broken):
                self._notes.write(Problem(text=f"opening: {describe_error(error)}"))
            return
        try:
            async with make_seawall(journal, self._notes) as sea:
                self._start(self._serve_clients(sea))
                while journal.problem is None:
                    await self._take_up(sea)
                    await self._clock.sleep(LOOK_S)
        except Broken:
            if disk is None:
                return
        finally:
            del mounted

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._note_errors(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _note_errors(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (Refused, Broken):  # somebody else has the run, or the disk has its fault
            pass
        except Misused as error:
            if not any(text in str(error) for text in ("is not open", "is closed", "ended")):
                self._notes.write(Problem(text=describe_error(error)))
        except SeawallBug as error:
            if not isinstance(error.__cause__, asyncio.CancelledError):
                self._notes.write(Problem(text=describe_error(error)))
        except Exception as error:  # noqa: BLE001 -- whatever it is, the report names it
            self._notes.write(Problem(text=describe_error(error)))

    # -- clients

    async def _serve_clients(self, sea: Seawall) -> None:
        """Starts cases one after another, first those that an earlier life left unanswered."""
        slots = asyncio.Semaphore(AT_ONCE)
        open_cases, count = self._read_open_cases()
        while True:
            await slots.acquire()
            if open_cases:
                name = open_cases.pop(0)
            else:
                name, count = f"c{self._number}-{count}", count + 1
            self._start(self._serve_in_slot(sea, make_case(self._place.seed, name), slots))
            await self._clock.sleep(self._rng.uniform(0, 0.1))

    def _read_open_cases(self) -> tuple[list[str], int]:
        tried: dict[str, None] = {}
        for note in read_notes(self._place.notes(f"worker-{self._number}")):
            if isinstance(note, Tried):
                tried[note.case] = None
            elif isinstance(note, Started | Rejected):
                tried.pop(note.case, None)
        count = 1 + max((int(name.partition("-")[2]) for name in self._list_tried()), default=-1)
        return list(tried), count

    def _list_tried(self) -> list[str]:
        notes = read_notes(self._place.notes(f"worker-{self._number}"))
        return [note.case for note in notes if isinstance(note, Tried)]

    async def _serve_in_slot(self, sea: Seawall, case: Case, slots: asyncio.Semaphore) -> None:
        try:
            await self._serve(sea, case)
        finally:
            slots.release()

    async def _serve(self, sea: Seawall, case: Case) -> None:
        self._notes.write(Tried(case=case.name))
        try:
            run = await sea.start(
                self._team,
                case.request,
                request_id=case.name,
                tenant=case.tenant,
                session=case.session,
                limits=case.limits,
                stream="a" in case.flags,
            )
        except Refused as error:
            self._notes.write(Rejected(case=case.name, why=error.guard))
            return
        self._notes.write(Started(case=case.name, run=run.id))
        if "x" in case.flags:
            await self._clock.sleep(self._rng.uniform(0, 0.3))
            await run.cancel(by=f"client of {case.name}")
        await self._follow(run, case.name)

    async def _follow(self, run: Run, case: str) -> None:
        rest = await run.rest()
        if not isinstance(rest, Waiting):
            self._notes.write(Ended(case=case, outcome=rest))

    # -- what others left

    async def _take_up(self, sea: Seawall) -> None:
        for row in await list_resumable(sea, self._rng):
            if row.run not in self._busy and not sea.supervisor.registry.holds(row.run):
                self._busy.add(row.run)
                self._start(self._go_on(sea, row))

    async def _go_on(self, sea: Seawall, row: RunRow) -> None:
        try:
            force = self._rng.random() < 0.03
            run = await sea.resume(row.run, self._team, force=force)
            await self._follow(run, "")
        finally:
            self._busy.discard(row.run)


async def list_resumable(sea: Seawall, rng: random.Random) -> list[RunRow]:
    """Returns the runs that somebody should take up, oldest first; a few of those in line, and of those that run."""
    found: list[RunRow] = []
    paused = {pause.what for pause in await sea.pauses()}
    for row in reversed(await sea.journal.runs(limit=10_000)):
        if row.state == "interrupted":
            found.append(row)
        elif row.state == "queued":
            if rng.random() < 0.1:
                found.append(row)
        elif row.state == "running":
            if rng.random() < 0.002:
                found.append(row)
        elif row.state == "waiting":
            state = await sea.state(row.run)
            lifted = any(each.what not in paused for each in state.paused)
            if lifted or await read_pending_decisions(sea.journal, row.run, state):
                found.append(row)
    return found
