"""Going on with interrupted runs: which, with which team, in which order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.text import Text

from seawall.cli.hints import copyable, hint
from seawall.cli.loading import load
from seawall.cli.noting import noting
from seawall.cli.render.outcome import document
from seawall.cli.render.progress import Board, followed
from seawall.cli.render.run_header import pending
from seawall.cli.render.wording import STATUS_STYLES, asked_at, question
from seawall.cli.signals import Stop
from seawall.core.clock import SystemClock
from seawall.core.errors import Misused, SeawallError
from seawall.core.events import RunStarted, RunTaken
from seawall.guards.pauses import read_pauses
from seawall.journal.protocol import Journal, RunRow
from seawall.run.fold import fold
from seawall.run.outcome import Outcome, Waiting
from seawall.runtime.recovery import MAX_RUNS, SetAside, find_resumable
from seawall.runtime.seawall import Seawall
from seawall.team.team import Team

AT_ONCE = 8
"""Runs that go on at the same time: enough to overlap their models, few enough to read along."""


@asynccontextmanager
async def opened(path: Path, stop: Stop | None = None) -> AsyncGenerator[Seawall]:
    """A `Seawall` on a journal that must be there. Raises `Misused` if it is not."""
    async with Seawall(noting(path, stop or Stop(), create=False)) as sea:
        yield sea


class Interrupted(NamedTuple):
    """The interrupted runs of a journal, and those that wait and were decided on, or whose brake was lifted."""

    here: list[RunRow]
    """To go on with: their last owner was a process of this host. Oldest first, those that wait last."""
    set_aside: list[SetAside]
    """Of this host too, and left alone: they may be what ends their worker."""
    elsewhere: list[str]


async def interrupted(journal: Journal) -> Interrupted:
    """Who may be taken up again here."""
    host = journal.owner.partition(":")[0]
    found = await find_resumable(journal)
    found.resumable.extend(await _decided(journal))
    elsewhere = [
        row.run
        for row in (*found.resumable, *(aside.row for aside in found.set_aside))
        if (await _last_owner(journal, row) or host).partition(":")[0] != host
    ]
    return Interrupted(
        [row for row in found.resumable if row.run not in elsewhere],
        [aside for aside in found.set_aside if aside.row.run not in elsewhere],
        elsewhere,
    )


async def _decided(journal: Journal) -> list[RunRow]:
    """Runs that wait, and need not: with a decision that nobody has taken up, or whose brake is off. Oldest first."""
    rows = reversed(await journal.runs(state="waiting", limit=MAX_RUNS))
    on = await read_pauses(journal, SystemClock().wall_s())
    found: list[RunRow] = []
    for row in rows:
        state = fold(await journal.events(row.run))
        lifted = any(brake.what not in on for brake in state.paused)
        if lifted or await pending(journal, row.run, state):
            found.append(row)
    return found


async def _last_owner(journal: Journal, row: RunRow) -> str | None:
    if row.owner:
        return row.owner
    taken = [event.owner for event in await journal.events(row.run) if isinstance(event, RunTaken)]
    return taken[-1] if taken else None


async def recorded(journal: Journal, name: str) -> tuple[RunRow, RunStarted]:
    """A run whose events are there. Raises `Misused` if they were pruned."""
    row = await journal.row(await journal.find(name))
    first = next(iter(await journal.events(row.run)), None)
    if not isinstance(first, RunStarted):
        raise Misused(f"run {row.run}: its events were pruned, only its summary is left")
    return row, first


def team_of(row: RunRow, started: RunStarted, app: str | None) -> Team:
    """The team of `--app`, or the one that is recorded. Raises `Misused` if there is neither."""
    path = app if app is not None else row.app
    if path is None:
        raise Misused(f"run {row.run}: {_no_app(row)}")
    return checked(load(path), path, started)


def _no_app(row: RunRow) -> str:
    return f"no app is recorded with it: give one with --app MODULE:TEAM (its team is {row.team!r})"


def checked(team: Team, path: str, started: RunStarted) -> Team:
    """The team, if it can go on with the run at all. Raises `Misused` if it is another one."""
    if started.agent not in team.members:
        there = ", ".join(team.members)
        raise Misused(
            f"{path} is another team: agent {started.agent!r}, which leads run {started.run} of team "
            f"{started.team!r}, is not in it (there: {there})"
        )
    return team


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one run."""

    run: str
    rest: Outcome | Waiting | None = None
    problem: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        if self.rest is None:
            return {"run": self.run, "status": None, "problem": self.problem}
        return {**document(self.rest), "problem": None}

    def line(self) -> Text:
        """In one line."""
        line = Text(f"{self.run}  ")
        if self.rest is None:
            line.append(f"could not go on: {self.problem}", style="red")
            return line
        status = "waiting" if isinstance(self.rest, Waiting) else self.rest.status
        line.append(status, style=STATUS_STYLES[status])
        if isinstance(self.rest, Waiting):
            line.append(f", {asked_at(self.rest)}: {question(self.rest)}")
        elif self.rest.stopped_by is not None:
            line.append(f" by {self.rest.stopped_by.guard}: {self.rest.stopped_by.reason}")
        return line


class Resumption:
    """Takes interrupted runs up again, each with its team."""

    def __init__(self, sea: Seawall, board: Board, stop: Stop, app: str | None) -> None:
        self._sea = sea
        self._board = board
        self._stop = stop
        self._app = app
        self._teams: dict[str, Team] = {}

    def __repr__(self) -> str:
        return f"<Resumption with {', '.join(self._teams) or 'no team yet'}>"

    def _team(self, row: RunRow, started: RunStarted, *, strict: bool) -> Team:
        """The team to go on with: `--app`, else what is recorded. `strict`: `--app` only for its own runs."""
        path = row.app
        if self._app is not None and (not strict or self._load(self._app).name == row.team):
            path = self._app
        if path is None:
            raise Misused(_no_app(row))
        return checked(self._load(path), path, started)

    def _load(self, app: str) -> Team:
        if app not in self._teams:
            self._teams[app] = load(app)
        return self._teams[app]

    async def go_on(self, row: RunRow, *, force: bool = False, strict: bool = False) -> Outcome | Waiting:
        """Go on with one run until it rests. Raises what keeps it from going on."""
        _, started = await recorded(self._sea.journal, row.run)
        try:
            team = self._team(row, started, strict=strict)
        except Misused as error:
            raise Misused(f"run {row.run}: {error}") from error
        if self._stop.note == Stop().note:
            self._stop.note = f"go on with:\n  {hint(f'resume {row.run}')}"
        run = await self._sea.resume(row.run, team, force=force)
        return await followed(self._sea, run, self._board, told_before=row.events)

    async def go_on_with_all(self, rows: Sequence[RunRow]) -> list[Result]:
        """Go on with all of them, at most `AT_ONCE` at the same time; runs of one session one after another."""
        self._stop.note = f"what has not ended is recorded; go on with:\n  {hint('resume')}"
        places = asyncio.Semaphore(AT_ONCE)
        chains: dict[object, list[RunRow]] = {}
        for row in rows:
            chains.setdefault((row.tenant, row.session) if row.session is not None else row.run, []).append(
                row
            )
        results: dict[str, Result] = {}

        async def work(chain: list[RunRow]) -> None:
            for row in chain:
                async with places:
                    results[row.run] = await self._result(row)

        async with asyncio.TaskGroup() as group:
            for chain in chains.values():
                group.create_task(work(chain))
        return [results[row.run] for row in rows]

    async def _result(self, row: RunRow) -> Result:
        try:
            return Result(run=row.run, rest=await self.go_on(row, strict=True))
        except SeawallError as error:
            return Result(run=row.run, problem=copyable(str(error).removeprefix(f"run {row.run}: ")))
