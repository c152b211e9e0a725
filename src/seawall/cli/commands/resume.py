"""`seawall resume`: goes on with runs after a crash, a Ctrl-C or a decision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.exits import Exit, get_rest_code
from seawall.cli.options import (
    DEFAULT_JOURNAL,
    AppOption,
    JournalOption,
    JsonOption,
    RaisedLimitsOption,
    RaiserKeyOption,
    RaiserOption,
    ReasonOption,
)

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.cli.resuming import Raise, Resumed
    from seawall.cli.signals import Shutdown
    from seawall.runtime.recovery import Recovery


def resume(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run's id, or the beginning or the end of it; or 'last'. Without it: all runs that can go on.",
            show_default=False,
        ),
    ] = None,
    app: AppOption = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Take the run from a live process, which then can't write to it any more."
        ),
    ] = False,
    all_hosts: Annotated[
        bool,
        typer.Option(
            "--all-hosts",
            help="Say that no other machine has the journal open: also take runs that another machine may drive.",
        ),
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Wait, at most for one lease, until it is known whether the process of each run lives.",
        ),
    ] = False,
    limits: RaisedLimitsOption = None,
    by: RaiserOption = "",
    key_file: RaiserKeyOption = None,
    reason: ReasonOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Go on with a run from what is recorded; no recorded step is made again.

    With --limits a run that one of its limits has halted goes on: the limits in the file replace its own, and who gave them is recorded. They may not be below what it has spent. A run whose steps a framework's loop asks for goes on with that loop alone: its limits are raised, and the output says how it goes on.

    Without RUN, resume every interrupted run, wherever it ran before, and every waiting run that a person has decided on or whose pause was lifted. Each is resumed with the team that is recorded with it, or with --app.

    A run that was taken up three times without completing a step is set aside: it may be the cause that its process ends. A run whose process was in another container or on another machine is left alone while its lease runs. The exit code is 0 if each run ended or waits, 1 if some could not go on, and 8 if some were left alone.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.resuming import make_raise
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    raises = make_raise(limits, key_file, by, reason)
    if run is None and raises is not None:
        raise typer.BadParameter("--limits is for one run: name it")
    if run is None and force:
        raise typer.BadParameter("--force is for one run: name it")
    if run is not None and wait:
        raise typer.BadParameter("--wait is for all runs: name none")
    with screen.redirect_user_prints():
        if run is None:
            raise typer.Exit(
                run_async(lambda shutdown: _resume_all(screen, shutdown, journal, app, all_hosts, wait))
            )
        raise typer.Exit(
            run_async(
                lambda shutdown: _resume_one(screen, shutdown, journal, run, app, force, all_hosts, raises)
            )
        )


async def _resume_one(
    screen: Screen,
    shutdown: Shutdown,
    path: Path,
    name: str,
    app: str | None,
    force: bool,
    all_hosts: bool,
    raises: Raise | None,
) -> int:
    from seawall.cli.journals import open_seawall, read_start
    from seawall.cli.render.outcome import print_rest
    from seawall.cli.render.progress import ProgressDisplay
    from seawall.cli.resuming import Resumer, raise_for_loop

    async with open_seawall(path, shutdown, all_hosts=all_hosts) as sea:
        row = await sea.journal.row(await sea.journal.find(name))
        if raises is not None:
            _, started = await read_start(sea.journal, row.run)
            if started.loop:
                _print_raised(screen, row.run, await raise_for_loop(sea, row, started, raises))
                return Exit.OK
        if row.state == "ended" and raises is None:
            screen.print_note(f"run {row.run} has ended already")
            rest = await (await sea.attach(row.run)).outcome()
        else:
            display = ProgressDisplay(screen)
            with display.show():
                rest = await Resumer(sea, display, shutdown, app).resume(row, force=force, raises=raises)
        print_rest(screen, rest)
        return get_rest_code(rest)


def _print_raised(screen: Screen, run: str, how: str) -> None:
    """Says that the limits of a run are raised, and how the framework's loop goes on with it."""
    from rich.text import Text

    if screen.json:
        screen.print_document({"run": run, "raised": True, "goes_on": how})
    else:
        screen.print_line(Text(f"the limits of run {run} are raised; {how}"))


async def _resume_all(
    screen: Screen, shutdown: Shutdown, path: Path, app: str | None, all_hosts: bool, wait: bool
) -> int:
    from seawall.cli.journals import open_seawall
    from seawall.cli.render.outcome import draw_resumed
    from seawall.cli.render.progress import ProgressDisplay
    from seawall.cli.resuming import Resumer, find_runs_to_resume
    from seawall.core.clock import SystemClock
    from seawall.runtime.recovery import await_leases

    async with open_seawall(path, shutdown, all_hosts=all_hosts) as sea:
        found = await find_runs_to_resume(sea.journal)
        if wait and found.left_alone:
            screen.print_note(f"{len(found.left_alone)} may be driven elsewhere; waiting for their leases")
            await await_leases(sea.journal, SystemClock())
            found = await find_runs_to_resume(sea.journal)
        _print_left_out(screen, path, found)
        results: list[Resumed] = []
        if found.resumable:
            screen.print_note(f"{len(found.resumable)} to go on with")
            display = ProgressDisplay(screen, prefix=len(found.resumable) > 1)
            with display.show():
                results = await Resumer(sea, display, shutdown, app).resume_all(found.resumable)
    if screen.json:
        screen.print_document(_build_document(found, results))
    for each in () if screen.json else results:
        screen.print_line(draw_resumed(each))
    if found.set_aside or any(each.problem for each in results):
        return Exit.BROKEN
    return Exit.LEFT_ALONE if found.left_alone else Exit.OK


def _print_left_out(screen: Screen, path: Path, found: Recovery) -> None:
    """Says which runs are not resumed, and why."""
    from seawall.cli.hints import complete_commands
    from seawall.cli.resuming import explain_left_alone

    for left in explain_left_alone(found.left_alone):
        screen.print_note(f"left alone: {complete_commands(left.reason)}")
    for aside in found.set_aside:
        screen.print_note(f"set aside: {complete_commands(aside.reason)}")
    if not screen.json and not any(found):
        screen.print_note(f"no interrupted run in {path}")


def _build_document(found: Recovery, results: Sequence[Resumed]) -> dict[str, object]:
    from seawall.cli.render.json_output import build_resumed_document

    return {
        "runs": [build_resumed_document(each) for each in results],
        "set_aside": [{"run": aside.row.run, "reason": aside.reason} for aside in found.set_aside],
        "left_alone": [
            {"run": row.run, "owner": row.owner, "lease": row.lease, "retry_after_s": row.lease_left_s}
            for row in found.left_alone
        ],
    }
