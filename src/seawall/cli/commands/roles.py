"""`seawall roles`: shows what each agent did over many runs, and whether its reviewer reviews anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, TenantOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.team.team import Team


def roles(
    app: Annotated[
        str | None,
        typer.Option(
            "--app", metavar="MODULE:TEAM", help="Only this team; its agents that did nothing are shown, too."
        ),
    ] = None,
    team: Annotated[str | None, typer.Option("--team", metavar="NAME", help="Only this team.")] = None,
    tenant: TenantOption = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Only runs that started then or later: 2h, 3d or 1h30m ago, 2026-11-29, 2026-11-29T14:05.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="Only runs that started before that time."),
    ] = None,
    reviews: Annotated[
        int | None,
        typer.Option(
            "--reviews",
            min=1,
            metavar="N",
            help="Approvals without a rejection after which a reviewer is named. Default: 30, which means that it rejects less than one answer in ten, at 95%.",
            show_default=False,
        ),
    ] = None,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Show what each agent did: runs, calls, tokens, cost and tools; and of each reviewer, what it approved and said.

    A reviewer that approves every answer and names no result is noted. This is a signal, not a verdict: seawall probe-reviewer shows whether it would catch a wrong answer. Forks are left out.
    """
    from seawall.cli.loading import load_team
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.cli.times import parse_time
    from seawall.core.clock import SystemClock
    from seawall.core.errors import Misused

    screen = Screen(json=json)
    if app is not None and team is not None:
        raise Misused("--app and --team both name a team: give one of them")
    with screen.redirect_user_prints():
        loaded = None if app is None else load_team(app)
    now = SystemClock().wall_s()
    wanted: dict[str, Any] = {
        "tenant": tenant,
        "since": None if since is None else parse_time("--since", since, now),
        "until": None if until is None else parse_time("--until", until, now, whole_day=True),
    }
    if reviews is not None:
        wanted["min_reviews"] = reviews
    run_async(lambda _: _roles(screen, journal, loaded, team, wanted))


async def _roles(
    screen: Screen, path: Path, loaded: Team | None, team: str | None, wanted: dict[str, Any]
) -> None:
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from seawall.cli.journals import open_journal
    from seawall.cli.render.roles_tables import list_signals, make_agents_table, make_reviewers_table
    from seawall.history.roles import read_roles

    columns = (TextColumn("{task.completed:,.0f} runs read"), TimeElapsedColumn())
    async with open_journal(path) as journal:
        with Progress(
            *columns, console=screen.err, transient=True, disable=not screen.err.is_terminal
        ) as bar:
            task = bar.add_task("roles", total=None)
            found = await read_roles(
                journal,
                team=team if loaded is None else loaded.name,
                members=() if loaded is None else tuple(loaded.members),
                on_run=lambda runs: bar.update(task, completed=runs),
                **wanted,
            )
    if screen.json:
        screen.print_document(found)
        return
    if not found.agents:
        screen.print_note(f"no runs in {path} fit")
        return
    screen.print_table(make_agents_table(found))
    if found.reviewers:
        screen.print_line()
        screen.print_table(make_reviewers_table(found))
    screen.print_lines(list_signals(found))
    left_out = f"; {found.left_out:,} forked or pruned are left out" if found.left_out else ""
    screen.print_note(f"{found.runs:,} runs{left_out}")
