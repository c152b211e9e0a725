"""`seawall worker`: a process that goes on with the runs of its teams, whichever process started them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import Shutdown
    from seawall.team.team import Team


def worker(
    apps: Annotated[
        list[str],
        typer.Argument(metavar="MODULE:TEAM", help="The teams, for example app:desk for `desk` in app.py."),
    ],
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="Go on with the runs that there are now, and end once each has ended or waits."
        ),
    ] = False,
    max_runs: Annotated[
        int | None,
        typer.Option(
            "--max-runs",
            metavar="N",
            min=1,
            help="End after this many runs have ended or wait. The service that restarts the worker then gives it a new process.",
        ),
    ] = None,
    all_hosts: Annotated[
        bool,
        typer.Option(
            "--all-hosts",
            help="Say that no other machine has the journal open: also take runs that another machine may drive.",
        ),
    ] = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document for each run, one a line, instead of text."),
    ] = False,
) -> None:
    """Go on with the runs of these teams, whichever process started them, until it is stopped.

    It takes up interrupted runs, and waiting runs that a person has decided on, in whatever process, or whose pause was lifted. A run of another team is left alone. Runs whose process was in another container or on another machine are taken up once their lease has run out.

    Once a minute it asks the other side what became of effects of unknown fate, where their tools can.

    A run that was taken up three times without completing a step is set aside: it may be the cause that its process ends.

    Each run that ends or waits is one line on stdout. A termination signal or Ctrl-C gives up the runs in flight; any worker can go on with them. With --once the exit code is 0 if each run ended or waits, and 1 if some could not go on.
    """
    from seawall.cli.loading import load_team
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    with screen.redirect_user_prints():
        teams = [load_team(app) for app in apps]
        raise typer.Exit(
            run_async(lambda shutdown: _work(screen, shutdown, journal, teams, once, max_runs, all_hosts))
        )


async def _work(
    screen: Screen,
    shutdown: Shutdown,
    path: Path,
    teams: Sequence[Team],
    once: bool,
    max_runs: int | None,
    all_hosts: bool,
) -> int:
    from seawall.cli.exits import Exit
    from seawall.cli.journals import open_seawall
    from seawall.cli.working import WorkerDisplay
    from seawall.core.clock import SystemClock
    from seawall.runtime.reconciling import Reconciler
    from seawall.runtime.worker import Worker

    where = _describe_journal(path)
    async with open_seawall(path, shutdown, create=True, all_hosts=all_hosts) as sea:
        shutdown.note_all()
        names = ", ".join(team.name for team in teams)
        screen.print_note(f"worker of {names} on {where}")
        display = WorkerDisplay(sea, screen)
        try:
            with display.show():
                clock = SystemClock()
                sweep = Reconciler(clock, teams, sea.supervisor.make_bodies).sweep
                worker = Worker(sea.supervisor, clock, display, teams, sweep=sweep)
                await worker.run(once=once, max_runs=max_runs)
                await display.finish()
        finally:
            display.close()
    return Exit.BROKEN if display.has_problem else Exit.OK


def _describe_journal(path: Path) -> str:
    """Returns the path, and says if the journal is new, because the user may have meant another one."""
    from seawall.journal.sqlite.identity import find_size

    return str(path) if find_size(str(path)) is not None else f"{path}, which was not there and is empty"
