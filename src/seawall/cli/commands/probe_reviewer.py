"""`seawall probe-reviewer`: plants contradictions into recorded answers, and counts which of them the reviewer catches."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seawall.cli.exits import Exit
from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, TenantOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import Shutdown
    from seawall.history.probes import ProbeReport
    from seawall.team.team import Team


def probe_reviewer(
    app: Annotated[
        str,
        typer.Argument(metavar="MODULE:TEAM", help="The team, for example app:desk for `desk` in app.py."),
    ],
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Runs: ids, or the beginnings or the ends of them. Default: the newest with a review.",
            show_default=False,
        ),
    ] = None,
    last: Annotated[
        int,
        typer.Option("--last", min=1, max=1000, metavar="N", help="Without RUN: how many newest runs."),
    ] = 5,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="Plant only this: number, date, id, name or claim. May be repeated.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same number plants the same.")] = 0,
    calls: Annotated[
        int | None, typer.Option("--calls", min=1, metavar="N", help="Model calls of all probes, at most.")
    ] = None,
    usd: Annotated[
        str | None, typer.Option("--usd", metavar="USD", help="US dollars of all probes, at most.")
    ] = None,
    at_least: Annotated[
        float | None,
        typer.Option(
            "--at-least",
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Exit code 1 if a smaller share was caught, for example 0.8, or if nothing was judged.",
        ),
    ] = None,
    tenant: TenantOption = None,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Plant contradictions into recorded answers, have the team's reviewer judge them, and count which ones it catches.

    Each probe is a fork of a recorded run that calls only the reviewer, and its answer is never delivered. It costs what a review costs, on the account of that run's tenant. An answer that is rejected unchanged is not used. --calls and --usd are never exceeded; probes that do not fit are not made.
    """
    from seawall.cli.loading import load_team
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    given = {"kinds": _check_kinds(kind or []), "seed": seed, "calls": calls, "usd": _read_usd(usd)}
    with screen.redirect_user_prints():
        team = load_team(app)
        found = run_async(
            lambda shutdown: _probe(
                screen,
                shutdown,
                journal,
                team,
                {"runs": runs or [], "last": last, "tenant": tenant},
                {**given, "app": app},
            )
        )
    raise typer.Exit(_print_report(screen, found, at_least))


def _check_kinds(kinds: list[str]) -> tuple[str, ...]:
    from seawall.core.errors import Misused
    from seawall.history.planting import KINDS

    for each in kinds:
        if each not in KINDS:
            raise Misused(f"--kind {each}: it is one of {', '.join(KINDS)}")
    return tuple(each for each in KINDS if not kinds or each in kinds)


def _read_usd(text: str | None) -> Decimal | None:
    from seawall.core.errors import Misused

    if text is None:
        return None
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal(0)
    if not found.is_finite() or found <= 0:
        raise Misused(f"--usd {text}: it must be a number above zero, such as 0.50")
    return found


async def _probe(
    screen: Screen,
    shutdown: Shutdown,
    path: Path,
    team: Team,
    which: dict[str, Any],
    given: dict[str, Any],
) -> ProbeReport:
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from seawall.cli.journals import open_seawall
    from seawall.runtime.probing import probe_reviewer as probe_runs

    columns = (TextColumn("{task.completed:,.0f} reviews made"), TimeElapsedColumn())
    async with open_seawall(path, shutdown) as sea:
        runs = [await sea.journal.find(name) for name in which["runs"]]
        with Progress(
            *columns, console=screen.err, transient=True, disable=not screen.err.is_terminal
        ) as bar:
            task = bar.add_task("probes", total=None)
            return await probe_runs(
                sea,
                team,
                runs or which["last"],
                tenant=which["tenant"],
                on_probe=lambda _: bar.advance(task),
                **given,
            )


def _print_report(screen: Screen, found: ProbeReport, at_least: float | None) -> Exit:
    from seawall.cli.render.formats import format_number, format_usd
    from seawall.cli.render.probe_report import list_misses, make_kinds_table

    share = found.share
    if screen.json:
        screen.print_document(found)
    else:
        if share is not None:
            screen.print_table(make_kinds_table(found))
            screen.print_lines(list_misses(found))
        else:
            screen.print_note("nothing planted was judged, so nothing is known of the reviewer")
        for run, why in found.skipped.items():
            screen.print_note(f"run {run} is not used: {why}")
        if found.unmade:
            screen.print_note(f"{format_number(found.unmade, 'probe')} not made: the limit was used up")
        cost = f", {format_usd(found.usd)}" if found.usd else ""
        screen.print_note(
            f"{format_number(found.model_calls, 'model call')}, {found.tokens:,} tokens{cost}; seed {found.seed}"
        )
    if at_least is None:
        return Exit.OK
    return Exit.OK if share is not None and share >= at_least else Exit.BROKEN
