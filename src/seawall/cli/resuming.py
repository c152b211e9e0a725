"""Resumes interrupted runs: finds them, loads their teams, and drives them at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from seawall.cli.decisions import read_pending_decisions
from seawall.cli.hints import complete_commands
from seawall.cli.journals import read_start
from seawall.cli.loading import check_leader, explain_missing_app, load_team
from seawall.cli.render.progress import ProgressDisplay, follow_run
from seawall.cli.signals import Shutdown
from seawall.core.clock import SystemClock
from seawall.core.errors import Misused, SeawallError
from seawall.core.events import RunStarted, RunTaken
from seawall.guards.pauses import read_pauses
from seawall.journal.protocol import Journal, RunFilter, RunRow
from seawall.run.fold import fold
from seawall.run.outcome import Outcome, Waiting
from seawall.runtime.recovery import MAX_RUNS, SetAside, find_resumable
from seawall.runtime.seawall import Seawall
from seawall.team.team import Team

AT_ONCE = 8
"""Runs that go on at the same time: enough to overlap their models, few enough to read their progress."""


class ResumableRuns(NamedTuple):
    """The interrupted runs of a journal, and the waiting runs that were decided on or are no longer paused."""

    here: list[RunRow]
    """To resume: their last owner was a process of this host. Oldest first, waiting ones last."""
    set_aside: list[SetAside]
    """Also of this host, and not resumed: they may be what ends their worker."""
    elsewhere: list[str]
    """Last owned by a process of another host."""


async def find_resumable_here(journal: Journal) -> ResumableRuns:
    """Returns the runs that can be resumed, divided by where they ran last."""
    host = journal.owner.partition(":")[0]
    found = await find_resumable(journal)
    found.resumable.extend(await _find_released(journal))
    elsewhere = [
        row.run
        for row in (*found.resumable, *(aside.row for aside in found.set_aside))
        if (await _read_last_owner(journal, row) or host).partition(":")[0] != host
    ]
    return ResumableRuns(
        [row for row in found.resumable if row.run not in elsewhere],
        [aside for aside in found.set_aside if aside.row.run not in elsewhere],
        elsewhere,
    )


async def _find_released(journal: Journal) -> list[RunRow]:
    """Returns the waiting runs that need not wait: a decision is in their inbox, or their pause has ended. Oldest first."""
    rows = reversed(await journal.runs(RunFilter(state="waiting"), limit=MAX_RUNS))
    on = await read_pauses(journal, SystemClock().wall_s())
    found: list[RunRow] = []
    for row in rows:
        state = fold(await journal.events(row.run))
        lifted = any(pause.what not in on for pause in state.paused)
        if lifted or await read_pending_decisions(journal, row.run, state):
            found.append(row)
    return found


async def _read_last_owner(journal: Journal, row: RunRow) -> str | None:
    if row.owner:
        return row.owner
    owners = [event.owner for event in await journal.events(row.run) if isinstance(event, RunTaken)]
    return owners[-1] if owners else None


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """What became of one run."""

    run: str
    rest: Outcome | Waiting | None = None
    problem: str | None = None
    """Why the run could not go on; None if it did."""


class Resumer:
    """Resumes runs of one journal, each with its team."""

    def __init__(self, sea: Seawall, display: ProgressDisplay, shutdown: Shutdown, app: str | None) -> None:
        self._sea = sea
        self._display = display
        self._shutdown = shutdown
        self._app = app
        self._teams: dict[str, Team] = {}

    def __repr__(self) -> str:
        return f"<Resumer with {', '.join(self._teams) or 'no team yet'}>"

    async def resume(self, row: RunRow, *, force: bool = False, strict: bool = False) -> Outcome | Waiting:
        """Resumes one run until it ends or waits. Raises what keeps it from going on.

        `strict`: `--app` is used only for runs of the team that it names.
        """
        _, started = await read_start(self._sea.journal, row.run)
        try:
            team = self._load_team(row, started, strict=strict)
        except Misused as error:
            raise Misused(f"run {row.run}: {error}") from error
        if self._shutdown.message == Shutdown().message:
            self._shutdown.note_run(row.run)
        run = await self._sea.resume(row.run, team, force=force)
        return await follow_run(self._sea, run, self._display, shown_before=row.events)

    async def resume_all(self, rows: Sequence[RunRow]) -> list[Resumed]:
        """Resumes all of them, at most `AT_ONCE` at the same time; runs of one session one after another."""
        self._shutdown.note_all()
        slots = asyncio.Semaphore(AT_ONCE)
        chains: dict[object, list[RunRow]] = {}
        for row in rows:
            key = (row.tenant, row.session) if row.session is not None else row.run
            chains.setdefault(key, []).append(row)
        results: dict[str, Resumed] = {}

        async def work(chain: list[RunRow]) -> None:
            for row in chain:
                async with slots:
                    results[row.run] = await self._try_resume(row)

        async with asyncio.TaskGroup() as group:
            for chain in chains.values():
                group.create_task(work(chain))
        return [results[row.run] for row in rows]

    async def _try_resume(self, row: RunRow) -> Resumed:
        try:
            return Resumed(run=row.run, rest=await self.resume(row, strict=True))
        except SeawallError as error:
            problem = complete_commands(str(error).removeprefix(f"run {row.run}: "))
            return Resumed(run=row.run, problem=problem)

    def _load_team(self, row: RunRow, started: RunStarted, *, strict: bool) -> Team:
        path = row.app
        if self._app is not None and (not strict or self._load(self._app).name == row.team):
            path = self._app
        if path is None:
            raise Misused(explain_missing_app(row))
        return check_leader(self._load(path), path, started)

    def _load(self, app: str) -> Team:
        if app not in self._teams:
            self._teams[app] = load_team(app)
        return self._teams[app]
