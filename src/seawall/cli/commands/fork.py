"""`seawall fork`: go on from a step of a recorded run as another run, with one thing changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli import exits
from seawall.cli.options import DEFAULT_JOURNAL, AppOption, JournalOption, JsonOption, RunArgument

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import Stop


def fork(
    run: RunArgument,
    at: Annotated[
        int,
        typer.Option("--at", metavar="STEP", help="Go on after the result of this step.", show_default=False),
    ],
    change: Annotated[
        str | None, typer.Option("--set", metavar="result=TEXT", help="What that step came to instead.")
    ] = None,
    live_effects: Annotated[
        bool, typer.Option("--live-effects", help="Perform effects. Without it they are simulated.")
    ] = False,
    app: AppOption = None,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Go on live from a step of a recorded run, as a new run on a branch that never merges.

    Models and tools are called again from there; effects are simulated unless --live-effects, receipts can't be
    changed, and approvals are not inherited. The exit code is that of the new run.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    result: str | None = None
    if change is not None:
        key, equals, result = change.partition("=")
        if key != "result" or not equals:
            raise Misused(f"--set {change}: only the result of a step can be changed: --set result=TEXT")
    screen = Screen(json=json)
    with screen.aside():
        raise typer.Exit(
            run_async(lambda stop: _fork(screen, stop, journal, run, at, result, app, live_effects))
        )


async def _fork(
    screen: Screen,
    stop: Stop,
    path: Path,
    name: str,
    at: int,
    result: str | None,
    app: str | None,
    live_effects: bool,
) -> int:
    from seawall.cli.commands.run import started
    from seawall.cli.render.outcome import tell
    from seawall.cli.render.progress import Board, followed
    from seawall.cli.resuming import opened, recorded, team_of
    from seawall.core.events import CommandTaken, StepDone

    async with opened(path, stop) as sea:
        row, begun = await recorded(sea.journal, name)
        team = team_of(row, begun, app)
        run = await started(
            stop, sea.fork(row.run, team, at=at, result=result, live_effects=live_effects, app=app)
        )
        screen.note(f"run {run.id}, a fork of {row.run} at step {at}")
        events = await sea.journal.events(row.run)
        done_at = next(i for i, e in enumerate(events) if isinstance(e, StepDone) and e.step == at)
        known = sum(1 for each in events[: done_at + 1] if not isinstance(each, CommandTaken))
        board = Board(screen)
        with board.shown():
            rest = await followed(sea, run, board, told_before=known)
        tell(screen, rest)
        return exits.of_rest(rest)
