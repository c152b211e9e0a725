"""`seawall resume`: goes on with runs after a crash, a Ctrl-C or a decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.exits import Exit, get_rest_code
from seawall.cli.options import DEFAULT_JOURNAL, AppOption, JournalOption, JsonOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import Shutdown


def resume(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run's id, or the beginning or the end of it; or 'last'. Without it: all runs of this host that can go on.",
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
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Go on with a run from what is recorded; no recorded step is made again.

    Without RUN, resume every interrupted run that this host owned, and every waiting run that a person has decided on or whose pause was lifted. Each is resumed with the team that is recorded with it, or with --app.

    A run that was taken up three times without completing a step is set aside: it may be what ends its worker. The exit code is 0 if each run ended or waits, and 1 if some could not go on.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    if run is None and force:
        raise typer.BadParameter("--force is for one run: name it")
    with screen.redirect_user_prints():
        if run is None:
            raise typer.Exit(run_async(lambda shutdown: _resume_all(screen, shutdown, journal, app)))
        raise typer.Exit(run_async(lambda shutdown: _resume_one(screen, shutdown, journal, run, app, force)))


async def _resume_one(
    screen: Screen, shutdown: Shutdown, path: Path, name: str, app: str | None, force: bool
) -> int:
    from seawall.cli.journals import open_seawall
    from seawall.cli.render.outcome import print_rest
    from seawall.cli.render.progress import ProgressDisplay
    from seawall.cli.resuming import Resumer

    async with open_seawall(path, shutdown) as sea:
        row = await sea.journal.row(await sea.journal.find(name))
        if row.state == "ended":
            screen.print_note(f"run {row.run} has ended already")
            rest = await (await sea.attach(row.run)).outcome()
        else:
            display = ProgressDisplay(screen)
            with display.show():
                rest = await Resumer(sea, display, shutdown, app).resume(row, force=force)
        print_rest(screen, rest)
        return get_rest_code(rest)


async def _resume_all(screen: Screen, shutdown: Shutdown, path: Path, app: str | None) -> int:
    from seawall.cli.hints import complete_commands
    from seawall.cli.journals import open_seawall
    from seawall.cli.render.json_output import build_resumed_document
    from seawall.cli.render.outcome import draw_resumed
    from seawall.cli.render.progress import ProgressDisplay
    from seawall.cli.resuming import Resumer, find_resumable_here

    async with open_seawall(path, shutdown) as sea:
        rows, set_aside, elsewhere = await find_resumable_here(sea.journal)
        if elsewhere:
            screen.print_note(
                f"{len(elsewhere)} interrupted on other hosts, left alone: {', '.join(elsewhere)}"
            )
        for aside in set_aside:
            screen.print_note(f"set aside: {complete_commands(aside.reason)}")
        aside_document = [{"run": aside.row.run, "reason": aside.reason} for aside in set_aside]
        if not rows:
            if screen.json:
                screen.print_document({"runs": [], "set_aside": aside_document})
            elif not set_aside:
                screen.print_note(f"no interrupted run in {path}")
            return Exit.BROKEN if set_aside else Exit.OK
        screen.print_note(f"{len(rows)} to go on with")
        display = ProgressDisplay(screen, prefix=len(rows) > 1)
        with display.show():
            results = await Resumer(sea, display, shutdown, app).resume_all(rows)
    if screen.json:
        documents = [build_resumed_document(each) for each in results]
        screen.print_document({"runs": documents, "set_aside": aside_document})
    else:
        for each in results:
            screen.print_line(draw_resumed(each))
    return Exit.BROKEN if set_aside or any(each.problem for each in results) else Exit.OK
