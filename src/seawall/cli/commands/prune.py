"""`seawall prune`: reduces old runs to their summaries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, TenantOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def prune(
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than",
            metavar="AGE",
            help="Only runs that ended longer ago than this: 30d, 12h, 90min.",
            show_default=False,
        ),
    ],
    tenant: TenantOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Remove nothing; print what would be removed.")
    ] = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Remove the events of old runs and the texts that only they had. Their summaries stay, and the file shrinks."""
    from seawall.cli.render.formats import parse_duration_s
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    age_s = parse_duration_s(older_than)
    if age_s is None:
        raise Misused(f"--older-than {older_than}: write a number and a unit, such as 30d, 12h, 90min or 45s")
    screen = Screen(json=json)
    run_async(lambda _: _prune(screen, journal, age_s, tenant, dry_run))


async def _prune(screen: Screen, path: Path, age_s: float, tenant: str | None, dry_run: bool) -> None:
    from seawall.cli.journals import open_journal
    from seawall.cli.render.formats import format_number, format_size
    from seawall.core.clock import SystemClock

    async with open_journal(path, writes=True) as journal:
        with screen.show_status("pruning"):
            before = SystemClock().wall_s() - age_s
            pruned = await journal.prune(before=before, tenant=tenant, dry_run=dry_run)
    if screen.json:
        screen.print_document(pruned)
        return
    what = f"{format_number(pruned.runs, 'run')}, {format_number(pruned.events, 'event')}"
    bodies = f"{format_number(pruned.bodies, 'body', 'bodies')} of {format_size(pruned.body_bytes)}"
    if dry_run:
        screen.print_line(f"would remove {what}, {bodies}")
        return
    sizes = f"{format_size(pruned.file_bytes_before)} before, {format_size(pruned.file_bytes_after)} now"
    screen.print_line(f"removed {what}, {bodies}; the file: {sizes}")
