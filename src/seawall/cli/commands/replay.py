"""`seawall replay`: decide again over recorded runs, with today's team, limits and guards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seawall.cli.exits import Exit
from seawall.cli.options import (
    DEFAULT_JOURNAL,
    AppOption,
    JournalOption,
    JsonOption,
    LimitsOption,
    ModeOption,
)

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.history.replay import Replay
    from seawall.runtime.seawall import Seawall


def replay(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Runs: ids, their beginnings or ends; or 'last'.")
    ],
    app: AppOption = None,
    limits: LimitsOption = None,
    mode: ModeOption = None,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Decide again over recorded results and name each decision that would be taken differently today.

    Nothing is performed, no model and no tool is called. Exit code 1 if there is a difference.
    """
    from seawall.cli.limits_file import modes
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    options = {"app": app, "limits": limits, "modes": modes(mode or ())}
    with screen.aside():
        raise typer.Exit(run_async(lambda _: _replay(screen, journal, runs, options)))


async def _replay(screen: Screen, path: Path, names: list[str], options: dict[str, Any]) -> int:
    from seawall.cli.resuming import opened

    found: list[Replay] = []
    async with opened(path) as sea:
        for name in names:
            one = await _one(sea, name, **options)
            found.append(one)
            if not screen.json:
                _tell(screen, one)
    if screen.json:
        screen.document({"replays": found})
    elif len(found) > 1:
        differ = sum(1 for one in found if one.differences)
        screen.note(f"{differ} of {len(found)} runs would differ")
    return Exit.BROKEN if any(one.differences for one in found) else Exit.OK


async def _one(sea: Seawall, name: str, *, app: str | None, limits: Path | None, modes: Any) -> Replay:
    from seawall.cli.limits_file import limits as limited
    from seawall.cli.resuming import recorded, team_of

    row, started = await recorded(sea.journal, name)
    team = team_of(row, started, app)
    given = None if limits is None else limited(started.limits, limits)
    return await sea.replay(row.run, team, limits=given, modes=modes)


def _tell(screen: Screen, one: Replay) -> None:
    from rich.text import Text

    from seawall.cli.render import formats

    line = Text(one.run, style="bold")
    steps = formats.many(one.steps, "step")
    if not one.differences:
        line.append(f"  decided the same in {steps}", style="green")
        screen.line(line)
        return
    line.append(f"  {formats.many(len(one.differences), 'difference')} in {steps}", style="yellow")
    screen.line(line)
    for each in one.differences:
        where = f"step {each.step}" if each.step is not None else "the run"
        unmade = f"; {formats.many(each.unmade, 'recorded step')} would not be made" if each.unmade else ""
        for label, text, style in (
            (f"{where} ({each.what}{unmade})", "", "bold"),
            ("recorded", each.recorded, ""),
            ("today", each.today, "yellow"),
        ):
            if not text:
                screen.line(Text(f"  {label}", style=style))
                continue
            for number, part in enumerate(formats.wrapped(text, screen.width - 14)):
                screen.line(Text(f"    {'' if number else label:<10}", style="dim") + Text(part, style=style))
