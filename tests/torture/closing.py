"""The end of a round: everything that is left goes on to its end, without faults and kills, and all is checked."""

from __future__ import annotations

import asyncio

from seawall import Broken, Misused, Refused, Run, Seawall, Waiting
from seawall.core.clock import SystemClock
from seawall.core.errors import describe_error
from seawall.journal.protocol import RunRow
from torture.cases import make_case
from torture.desk import make_desk
from torture.notes import Ended, Notes, Problem
from torture.oracle import Findings, check_round
from torture.people import Person
from torture.place import Place, make_seawall, open_journal

PATIENCE_S = 60.0
"""What is left at the end of a round takes a few seconds."""
AT_ONCE = 16


class Closer:
    """Takes up everything that has not ended, and decides everything that waits."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._clock = SystemClock()
        self._notes = Notes(place.notes("closer"))
        self._person = Person(place, 0, place.rng("closing"))
        self._team = make_desk(place.socket)
        self._busy: dict[str, asyncio.Task[None]] = {}

    async def drain(self) -> None:
        """Returns once every run has ended or is left to wait on purpose, or when the patience is over."""
        async with make_seawall(open_journal(self._place), self._notes) as sea:
            until_s = self._clock.monotonic_s() + PATIENCE_S
            while self._clock.monotonic_s() < until_s:
                for pause in await sea.pauses():
                    await sea.unpause(pause.what, by="closer")
                try:
                    await self._person.decide_all(sea)
                    if not await self._take_up(sea):
                        return
                except (Refused, Broken):
                    pass
                await self._clock.sleep(0.1)

    async def _take_up(self, sea: Seawall) -> bool:
        """Takes up what no task drives; returns whether anything is left."""
        left = [row for row in await sea.journal.runs(limit=100_000) if row.state != "ended"]
        todo = [row for row in reversed(left) if not await self._is_left_to_wait(sea, row)]
        for row in todo:
            if row.run not in self._busy and len(self._busy) < AT_ONCE:
                self._busy[row.run] = asyncio.get_running_loop().create_task(self._go_on(sea, row))
        return bool(todo)

    async def _is_left_to_wait(self, sea: Seawall, row: RunRow) -> bool:
        if row.session is not None and row.state in ("queued", "interrupted") and row.events == 1:
            return await self._is_behind_one(sea, row)
        if row.state != "waiting":
            return False
        state = await sea.state(row.run)
        case = make_case(self._place.seed, state.started.request_id or "")
        return "f" in case.flags and bool(state.approvals)

    async def _is_behind_one(self, sea: Seawall, row: RunRow) -> bool:
        """Returns whether a run in line is behind one that is left to wait."""
        tail = await sea.journal.session_tail(row.tenant, row.session or "", before=row.run)
        while tail is not None and tail.state == "ended":
            tail = await sea.journal.session_tail(row.tenant, row.session or "", before=tail.run)
        return tail is not None and await self._is_left_to_wait(sea, tail)

    async def _go_on(self, sea: Seawall, row: RunRow) -> None:
        try:
            run: Run = await sea.resume(row.run, self._team)
            rest = await run.rest()
            if not isinstance(rest, Waiting):
                self._notes.write(Ended(case="", outcome=rest))
        except (Refused, Broken):
            pass
        except Misused as error:
            if "ended" not in str(error):
                self._notes.write(Problem(text=f"closing {row.run}: {describe_error(error)}"))
        except Exception as error:  # noqa: BLE001 -- whatever it is, the report names it
            self._notes.write(Problem(text=f"closing {row.run}: {describe_error(error)}"))
        finally:
            self._busy.pop(row.run, None)


async def close_round(place: Place) -> Findings:
    """Brings every run of the round to rest, and returns what the checks found."""
    await Closer(place).drain()
    journal = open_journal(place)
    try:
        return await check_round(place, journal)
    finally:
        await journal.close()
