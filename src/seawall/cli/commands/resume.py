"""`seawall resume`: go on with runs after a crash, a Ctrl-C or a decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli import exits
from seawall.cli.options import DEFAULT_JOURNAL, AppOption, JournalOption, JsonOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import Stop


def resume(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run's id, its beginning or its end, or 'last'. Without: all of this host that can go on.",
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

    Without RUN, every interrupted run that this host owned goes on, and every one that waits and was decided on or whose brake was lifted,
    with the team that is recorded with it (or --app). A run that was taken up three times without a step getting done is set aside: it may be what ends
    its worker. The exit code is 0 if each came to an outcome or waits, and 1 if some could not go on.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    if run is None and force:
        raise typer.BadParameter("--force is for one run: name it")
    with screen.aside():
        if run is None:
            raise typer.Exit(run_async(lambda stop: _all(screen, stop, journal, app)))
        raise typer.Exit(run_async(lambda stop: _one(screen, stop, journal, run, app, force)))


async def _one(screen: Screen, stop: Stop, path: Path, name: str, app: str | None, force: bool) -> int:
    from seawall.cli.render.outcome import tell
    from seawall.cli.render.progress import Board
    from seawall.cli.resuming import Resumption, opened

    async with opened(path) as sea:
        row = await sea.journal.row(await sea.journal.find(name))
        if row.state == "ended":
            screen.note(f"run {row.run} has ended already")
            rest = await (await sea.attach(row.run)).outcome()
        else:
            board = Board(screen)
            with board.shown():
                rest = await Resumption(sea, board, stop, app).go_on(row, force=force)
        tell(screen, rest)
        return exits.of_rest(rest)


async def _all(screen: Screen, stop: Stop, path: Path, app: str | None) -> int:
    from seawall.cli.hints import copyable
    from seawall.cli.render.progress import Board
    from seawall.cli.resuming import Resumption, interrupted, opened

    async with opened(path) as sea:
        rows, set_aside, elsewhere = await interrupted(sea.journal)
        if elsewhere:
            screen.note(f"{len(elsewhere)} interrupted on other hosts, left alone: {', '.join(elsewhere)}")
        for aside in set_aside:
            screen.note(f"set aside: {copyable(aside.reason)}")
        aside_document = [{"run": aside.row.run, "reason": aside.reason} for aside in set_aside]
        if not rows:
            if screen.json:
                screen.document({"runs": [], "set_aside": aside_document})
            elif not set_aside:
                screen.note(f"no interrupted run in {path}")
            return exits.Exit.BROKEN if set_aside else exits.Exit.OK
        screen.note(f"{len(rows)} to go on with")
        board = Board(screen, prefix=len(rows) > 1)
        with board.shown():
            results = await Resumption(sea, board, stop, app).go_on_with_all(rows)
    if screen.json:
        screen.document({"runs": [each.document() for each in results], "set_aside": aside_document})
    else:
        for each in results:
            screen.line(each.line())
    return exits.Exit.BROKEN if set_aside or any(each.problem for each in results) else exits.Exit.OK
