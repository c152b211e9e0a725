"""`seawall effects`: lists effects and what became of them, shows one, and lets one be undone or done again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from seawall.cli.options import (
    DEFAULT_JOURNAL,
    AppOption,
    DeciderOption,
    JournalOption,
    JsonOption,
    KeyFileOption,
    TenantOption,
)
from seawall.core.errors import Misused
from seawall.core.events import EffectState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import Shutdown
    from seawall.core.events import RunStarted
    from seawall.journal.protocol import EffectFilter, Journal
    from seawall.run.outcome import Outcome, Waiting
    from seawall.runtime.approval_views import RecordedEffect


def effects(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID | undo|again ID",
            help="ID: show one effect as a whole, with its key and its receipt. undo: start a run that undoes an effect, which a person has to approve. again: allow the same effect once more, if that is intended. Without it: list effects.",
            show_default=False,
        ),
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            help="proposed, approved, attempting, committed, failed or unknown.",
        ),
    ] = None,
    tool: Annotated[str | None, typer.Option("--tool", metavar="NAME", help="Only of this tool.")] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Only of this run: its id, or the beginning or end of it."),
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", "-s", metavar="NAME", help="Only of this session.")
    ] = None,
    tenant: TenantOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many at most.")] = 20,
    key_file: KeyFileOption = None,
    by: DeciderOption = "",
    app: AppOption = None,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """List effects, newest first: those that were done, that wait, that failed, and of unknown fate; with an ID, show one.

    To record what became of an effect of unknown fate, use: seawall reconcile
    """
    from seawall.cli.options import read_credential
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    states: tuple[str, ...] = get_args(EffectState)
    if status is not None and status not in states:
        raise Misused(f"--status {status}: it is one of {', '.join(states)}")
    match words or []:
        case []:
            given = {"state": status, "tenant": tenant, "tool": tool, "run": run, "session": session}
            run_async(lambda _: _list(screen, journal, given, limit))
        case ["again", effect]:
            credential = read_credential(key_file, by)
            run_async(lambda _: _allow_again(screen, journal, effect, credential, by))
        case ["undo", effect]:
            from seawall.cli.exits import get_rest_code

            credential = read_credential(key_file, by)
            with screen.redirect_user_prints():
                rest = run_async(
                    lambda shutdown: _undo(screen, shutdown, journal, effect, credential, by, app)
                )
            raise typer.Exit(get_rest_code(rest))
        case [effect] if effect not in ("again", "undo"):
            run_async(lambda _: _show(screen, journal, effect))
        case _:
            raise Misused(
                f"{' '.join(words or [])!r} is not a call: write  seawall effects ID,  seawall effects undo ID  or  "
                "seawall effects again ID"
            )


async def _list(screen: Screen, path: Path, given: dict[str, str | None], limit: int) -> None:
    from seawall.cli.going_on import explain_cut_off
    from seawall.cli.hints import format_command
    from seawall.cli.journals import open_journal
    from seawall.cli.render.approvals_table import make_effects_table
    from seawall.cli.render.formats import format_filters
    from seawall.core.clock import SystemClock
    from seawall.journal.protocol import EffectFilter
    from seawall.runtime.approval_views import build_effects

    async with open_journal(path) as journal:
        if given["run"] is not None:
            given["run"] = await journal.find(given["run"])
        wanted: EffectFilter = EffectFilter(**given)  # pyright: ignore[reportArgumentType] -- the state was checked
        records = await journal.effects(wanted, limit=limit + 1)
        found, cut = await build_effects(journal, records[:limit]), len(records) > limit
        cut_off = await _find_cut_off(journal, found)
    if screen.json:
        screen.print_document({"effects": found, "cut": cut})
        return
    if not found:
        screen.print_note(f"no effects in {path}{format_filters(given)}")
        return
    screen.print_table(make_effects_table(found, screen.width, SystemClock().wall_s()))
    if cut:
        screen.print_note(f"the newest {limit}; there are more: --limit {limit * 5}")
    screen.print_note(f"look at one as a whole, with its key: {format_command('effects ID')}")
    if any(each.state == "unknown" for each in found):
        say = format_command("reconcile ID --committed FILE")
        screen.print_note(
            f"find out what became of those that are unknown, and say it with: {say}   (or --failed TEXT)"
        )
    for started in cut_off:
        screen.print_note(explain_cut_off(started))


async def _find_cut_off(journal: Journal, found: Iterable[RecordedEffect]) -> list[RunStarted]:
    """Returns the runs whose processes have ended while they attempted one of these effects."""
    from seawall.cli.journals import read_start

    runs = dict.fromkeys(each.run for each in found if each.state == "attempting")
    starts = [await read_start(journal, run) for run in runs]
    return [started for row, started in starts if row.state == "interrupted"]


async def _show(screen: Screen, path: Path, effect: str) -> None:
    from seawall.cli.going_on import explain_cut_off
    from seawall.cli.journals import open_journal
    from seawall.cli.render.effect_report import draw_effect
    from seawall.core.clock import SystemClock
    from seawall.runtime.approval_views import build_effects

    async with open_journal(path) as journal:
        (found,) = await build_effects(journal, [await journal.effect(effect)])
        cut_off = await _find_cut_off(journal, [found])
    if screen.json:
        screen.print_document(found)
        return
    screen.print_lines(draw_effect(found, screen.width, SystemClock().wall_s()))
    for started in cut_off:
        screen.print_note(explain_cut_off(started))


async def _undo(
    screen: Screen,
    shutdown: Shutdown,
    path: Path,
    effect: str,
    credential: str | None,
    by: str,
    app: str | None,
) -> Outcome | Waiting:
    from seawall.cli.journals import open_seawall
    from seawall.cli.loading import load_team_of_row
    from seawall.cli.render.outcome import print_rest
    from seawall.cli.render.progress import ProgressDisplay, follow_run
    from seawall.cli.signals import await_start

    async with open_seawall(path, shutdown) as sea:
        row = await sea.journal.row((await sea.journal.effect(effect)).run)  # its events may have been pruned
        team = load_team_of_row(row, app)
        undoing = sea.undo(effect, credential=credential, by=by, team=team, app=app)
        run = await await_start(shutdown, undoing)
        screen.print_note(f"run {run.id}")
        display = ProgressDisplay(screen)
        with display.show():
            rest = await follow_run(sea, run, display)
        print_rest(screen, rest)
        return rest


async def _allow_again(screen: Screen, path: Path, effect: str, credential: str | None, by: str) -> None:
    from seawall.cli.journals import open_seawall

    async with open_seawall(path) as sea:
        found = await sea.allow_again(effect, credential=credential, by=by)
    if screen.json:
        screen.print_document(found)
    else:
        screen.print_line(
            f"{found.tool} may be done once more as the same effect, says {found.again} ({found.id})"
        )
