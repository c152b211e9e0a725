"""`seawall fork`: goes on from a step of a recorded run as another run, with one result changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    RunArgument,
)

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.cli.resuming import Raise
    from seawall.cli.signals import Shutdown
    from seawall.runtime.seawall import Seawall


def fork(
    run: RunArgument,
    at: Annotated[
        int | None,
        typer.Option(
            "--at",
            metavar="STEP",
            help="Go on after the result of this step. Default: the last one that has a result.",
            show_default=False,
        ),
    ] = None,
    change: Annotated[
        str | None, typer.Option("--set", metavar="result=TEXT", help="Another result for that step.")
    ] = None,
    live_effects: Annotated[
        bool, typer.Option("--live-effects", help="Perform effects. Without it they are simulated.")
    ] = False,
    app: AppOption = None,
    request_id: Annotated[
        str | None,
        typer.Option(
            "--request-id",
            metavar="ID",
            help="Of a run whose steps a framework's loop asks for: the id with which it goes on with the fork.",
        ),
    ] = None,
    limits: RaisedLimitsOption = None,
    by: RaiserOption = "",
    key_file: RaiserKeyOption = None,
    reason: ReasonOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Go on live from a step of a recorded run, as a new run on a branch that never merges.

    Models and tools are called again from there. With --limits it has other limits, and who gave them is recorded. Effects are simulated unless --live-effects is given, receipts can't be changed, and approvals are not inherited. The exit code is that of the new run.

    A run whose steps a framework's loop asks for goes on with that loop alone: with --request-id its fork is recorded, and the output says how it goes on.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.resuming import make_raise
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    raises = make_raise(limits, key_file, by, reason)

    result: str | None = None
    if change is not None:
        key, equals, result = change.partition("=")
        if key != "result" or not equals:
            raise Misused(f"--set {change}: only the result of a step can be changed: --set result=TEXT")
    screen = Screen(json=json)
    with screen.redirect_user_prints():
        raise typer.Exit(
            run_async(
                lambda shutdown: _fork(
                    screen, shutdown, journal, run, at, result, app, live_effects, request_id, raises
                )
            )
        )


async def _fork(
    screen: Screen,
    shutdown: Shutdown,
    path: Path,
    name: str,
    at: int | None,
    result: str | None,
    app: str | None,
    live_effects: bool,
    request_id: str | None,
    raises: Raise | None,
) -> int:
    from seawall.cli.journals import open_seawall, read_start
    from seawall.cli.limits_file import read_limits
    from seawall.cli.loading import load_recorded_team
    from seawall.cli.render.outcome import print_rest
    from seawall.cli.render.progress import ProgressDisplay, follow_run
    from seawall.cli.signals import await_start
    from seawall.core.errors import Misused
    from seawall.core.events import CommandTaken, StepDone
    from seawall.history.fork import find_last_result

    async with open_seawall(path, shutdown) as sea:
        row, started = await read_start(sea.journal, name)
        if started.loop and app is not None:
            raise Misused(f"leave out --app: the steps of run {row.run} are asked for by {started.loop}")
        given: dict[str, Any] = {"result": result, "live_effects": live_effects, "app": app}
        if raises is not None:
            given["limits"] = read_limits((await sea.state(row.run)).started.limits, raises.file)
            given |= {"by": raises.by, "credential": raises.credential, "reason": raises.reason}
        if started.loop:
            run = await sea.fork(row.run, at=at, request_id=request_id, **given)
            await _print_recorded(screen, sea, run.id, row.run)
            return Exit.OK
        team = load_recorded_team(row, started, app)
        events = await sea.journal.events(row.run)
        at = find_last_result(events) if at is None else at
        starting = sea.fork(row.run, team, at=at, request_id=request_id, **given)
        run = await await_start(shutdown, starting)
        screen.print_note(f"run {run.id}, a fork of {row.run} at step {at}")
        done_at = next(i for i, e in enumerate(events) if isinstance(e, StepDone) and e.step == at)
        copied = sum(1 for each in events[: done_at + 1] if not isinstance(each, CommandTaken))
        display = ProgressDisplay(screen)
        with display.show():
            rest = await follow_run(sea, run, display, shown_before=copied)
        print_rest(screen, rest)
        return get_rest_code(rest)


async def _print_recorded(screen: Screen, sea: Seawall, run: str, origin: str) -> None:
    """Says that a fork is recorded with which a framework's loop goes on, and how it does."""
    from rich.text import Text

    from seawall.cli.journals import read_start
    from seawall.runtime.foreign.own_loop import explain_own_loop

    _, started = await read_start(sea.journal, run)
    at, how = 0 if started.fork is None else started.fork.at_step, explain_own_loop(started)
    if screen.json:
        screen.print_document({"run": run, "fork_of": origin, "at_step": at, "goes_on": how})
    else:
        screen.print_line(Text(f"run {run}, a fork of {origin} at step {at}, is recorded; {how}"))
