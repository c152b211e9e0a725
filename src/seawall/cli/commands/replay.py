"""`seawall replay`: decides again over recorded runs, with today's team, limits and guards."""

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
    from collections.abc import Iterator

    from rich.text import Text

    from seawall.cli.render.screen import Screen
    from seawall.history.replay import Replay
    from seawall.runtime.seawall import Seawall


def replay(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Runs: ids, or the beginnings or the ends of them; or 'last'."),
    ],
    app: AppOption = None,
    limits: LimitsOption = None,
    mode: ModeOption = None,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Decide again over recorded results, and name each decision that would be different today.

    Nothing is performed: no model and no tool is called. A run whose steps a framework's loop asked for needs no team: guards and limits judge the recorded steps again. Exit code 1 if there is a difference.
    """
    from seawall.cli.limits_file import parse_modes
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    options = {"app": app, "limits": limits, "modes": parse_modes(mode or ())}
    with screen.redirect_user_prints():
        raise typer.Exit(run_async(lambda _: _replay_all(screen, journal, runs, options)))


async def _replay_all(screen: Screen, path: Path, names: list[str], options: dict[str, Any]) -> int:
    from seawall.cli.journals import open_seawall

    found: list[Replay] = []
    async with open_seawall(path, writes=False) as sea:
        for name in names:
            one = await _replay_one(sea, name, **options)
            found.append(one)
            if not screen.json:
                screen.print_lines(_draw_replay(one, screen.width))
                if not screen.has_reader:
                    return Exit.OK  # `main` turns it into the code for a closed pipe
    if screen.json:
        screen.print_document({"replays": found})
    elif len(found) > 1:
        differ = sum(1 for one in found if one.differences)
        screen.print_note(f"{differ} of {len(found)} runs would differ")
    return Exit.BROKEN if any(one.differences for one in found) else Exit.OK


async def _replay_one(sea: Seawall, name: str, *, app: str | None, limits: Path | None, modes: Any) -> Replay:
    from seawall.cli.journals import read_start
    from seawall.cli.limits_file import read_limits
    from seawall.cli.loading import load_recorded_team
    from seawall.core.errors import Misused

    row, started = await read_start(sea.journal, name)
    if started.loop and app is not None:
        raise Misused(
            f"run {row.run}: its steps were asked for by the loop of {started.loop}, so no team decides over it: leave out --app"
        )
    team = None if started.loop else load_recorded_team(row, started, app)
    given = None if limits is None else read_limits(started.limits, limits)
    return await sea.replay(row.run, team, limits=given, modes=modes)


def _draw_replay(replay: Replay, width: int) -> Iterator[Text]:
    from rich.text import Text

    from seawall.cli.render.formats import format_number, wrap_text

    line = Text(replay.run, style="bold")
    steps = format_number(replay.steps, "step")
    if not replay.differences:
        yield line.append(f"  decided the same in {steps}", style="green")
        return
    yield line.append(f"  {format_number(len(replay.differences), 'difference')} in {steps}", style="yellow")
    for each in replay.differences:
        where = f"step {each.step}" if each.step is not None else "the run"
        unmade = f"; {format_number(each.unmade, 'recorded step')} would not be made" if each.unmade else ""
        yield Text(f"  {where} ({each.what}{unmade})", style="bold")
        for label, text, style in (("recorded", each.recorded, ""), ("today", each.today, "yellow")):
            if not text:
                yield Text(f"  {label}", style=style)
                continue
            for number, part in enumerate(wrap_text(text, width - 14)):
                yield Text(f"    {'' if number else label:<10}", style="dim") + Text(part, style=style)
