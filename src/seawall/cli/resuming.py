"""Resumes interrupted runs: finds them, loads their teams, and drives them at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from seawall.cli.decisions import read_pending_decisions
from seawall.cli.hints import complete_commands
from seawall.cli.journals import read_start
from seawall.cli.limits_file import read_limits
from seawall.cli.loading import check_leader, explain_missing_app, load_team
from seawall.cli.options import name_raiser
from seawall.cli.render.formats import format_number
from seawall.cli.render.progress import ProgressDisplay, follow_run
from seawall.cli.render.wording import explain_lease
from seawall.cli.signals import Shutdown
from seawall.core.clock import SystemClock
from seawall.core.errors import Misused, Refused, SeawallError
from seawall.core.events import RunStarted
from seawall.guards.pauses import read_pauses
from seawall.journal.protocol import Journal, RunFilter, RunRow
from seawall.run.fold import fold
from seawall.run.outcome import Outcome, Waiting
from seawall.runtime.foreign.own_loop import explain_own_loop
from seawall.runtime.foreign.team import ForeignTeam
from seawall.runtime.recovery import MAX_RUNS, Recovery, find_resumable
from seawall.runtime.seawall import Seawall
from seawall.team.team import Team

NAMED_RUNS = 20
"""Runs left alone that are named for each owner; the others are counted. `--json` has all of them."""
AT_ONCE = 8
"""Runs that go on at the same time: enough to overlap their models, few enough to read their progress."""


async def find_runs_to_resume(journal: Journal) -> Recovery:
    """Returns the interrupted runs; among the resumable ones also the waiting runs that need not wait any more."""
    found = await find_resumable(journal)
    found.resumable.extend(await _find_released(journal))
    return found


class LeftAlone(NamedTuple):
    """The runs of one owner that are left alone."""

    rows: list[RunRow]
    reason: str


def explain_left_alone(rows: Iterable[RunRow]) -> list[LeftAlone]:
    """Groups the runs that are left alone by their owner, and explains for each owner what to do."""
    owned: dict[str, list[RunRow]] = {}
    for row in rows:
        owned.setdefault(row.owner or "", []).append(row)
    return [LeftAlone(each, _explain(owner, each)) for owner, each in owned.items()]


def _explain(owner: str, rows: Sequence[RunRow]) -> str:
    named = ", ".join(row.run for row in rows[:NAMED_RUNS])
    if len(rows) > NAMED_RUNS:
        named += f" and {len(rows) - NAMED_RUNS:,} more"
    whose = f"{format_number(len(rows), 'run')} of {owner}: {named}"
    what = f"{whose}; {explain_lease(rows[0])}. "
    if rows[0].lease == "doubted":
        return (
            f"{what}If no other machine has this journal open, go on with: seawall resume --all-hosts; "
            "else let it watch for up to a lease: seawall resume --wait"
        )
    return f"{what}If it has ended, go on after that, or wait for it with: seawall resume --wait"


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


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """What became of one run."""

    run: str
    rest: Outcome | Waiting | None = None
    problem: str | None = None
    """Why the run could not go on; None if it did, or if another process goes on with it."""


@dataclass(frozen=True, kw_only=True)
class Raise:
    """Other limits for a run, and who gives them."""

    file: Path
    """The TOML file with the limits."""
    by: str
    credential: str | None = None
    reason: str = ""


def make_raise(file: Path | None, key_file: Path | None, by: str, reason: str) -> Raise | None:
    """Returns what `--limits`, `--by`, `--key-file` and `--reason` give; None without any of them.

    Raises `Misused` if one of the others is given without `--limits`.
    """
    if file is None:
        if key_file is not None or by or reason:
            raise Misused(
                "--by, --key-file and --reason say who gives the run other limits: give --limits FILE, too"
            )
        return None
    credential, by = name_raiser(key_file, by)
    return Raise(file=file, by=by, credential=credential, reason=reason)


async def _read_raise(sea: Seawall, row: RunRow, raises: Raise) -> dict[str, Any]:
    """Returns the arguments with which `Seawall.resume` gives the run other limits."""
    limits = read_limits((await sea.state(row.run)).started.limits, raises.file)
    return {"limits": limits, "by": raises.by, "credential": raises.credential, "reason": raises.reason}


async def raise_for_loop(sea: Seawall, row: RunRow, started: RunStarted, raises: Raise) -> str:
    """Raises the limits of a run that a framework's loop drives, and returns how that loop goes on with it."""
    given = await _read_raise(sea, row, raises)
    await sea.resume(row.run, ForeignTeam.stand_in(started), **given)
    return explain_own_loop(started)


def _tell_problem(row: RunRow, error: SeawallError) -> str:
    return complete_commands(str(error).removeprefix(f"run {row.run}: "))


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

    async def resume(
        self, row: RunRow, *, force: bool = False, strict: bool = False, raises: Raise | None = None
    ) -> Outcome | Waiting:
        """Resumes one run and returns once it ends or waits. Raises a `SeawallError` if it can't go on.

        `strict`: `--app` is used only for runs of the team that it names. `raises`: other limits for the run.
        """
        _, started = await read_start(self._sea.journal, row.run)
        if started.loop:
            raise Misused(f"run {row.run}: {explain_own_loop(started)}")
        try:
            team = self._load_team(row, started, strict=strict)
        except Misused as error:
            raise Misused(f"run {row.run}: {error}") from error
        if self._shutdown.message == Shutdown().message:
            self._shutdown.note_run(row.run)
        if raises is None:
            run = await self._sea.resume(row.run, team, force=force)
        else:
            given = await _read_raise(self._sea, row, raises)
            run = await self._sea.resume(row.run, team, force=force, **given)
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
        except Refused as refused:
            if refused.guard == "lease":  # another process took it meanwhile
                return Resumed(run=row.run)
            return Resumed(run=row.run, problem=_tell_problem(row, refused))
        except SeawallError as error:
            return Resumed(run=row.run, problem=_tell_problem(row, error))

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
