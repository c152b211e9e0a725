"""`seawall erase`: erases every text of a tenant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.exits import Exit
from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def erase(
    tenant: Annotated[
        str,
        typer.Option(
            "--tenant", "-t", metavar="NAME", help="The tenant whose texts are erased.", show_default=False
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Erase all requests, arguments, results and answers of a tenant, for good.

    What happened and when stays on record, without its content, and `seawall verify` reports it as erased.
    """
    from seawall.cli.journals import require_file
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    require_file(journal)
    if not yes:
        if not sys.stdin.isatty():
            raise Misused(f"erasing the texts of tenant {tenant!r} can't be undone: confirm with --yes")
        if not typer.confirm(f"Erase all texts of tenant {tenant!r} in {journal}, for good?", err=True):
            typer.echo("seawall: nothing was erased", err=True)
            raise typer.Exit(Exit.MISUSED)
    screen = Screen(json=json)
    run_async(lambda _: _erase(screen, journal, tenant))


async def _erase(screen: Screen, path: Path, tenant: str) -> None:
    from seawall.cli.journals import open_journal
    from seawall.cli.render.formats import format_number

    async with open_journal(path, writes=True) as journal:
        with screen.show_status("erasing"):
            erased = await journal.erase(tenant)
    if screen.json:
        screen.print_document({"tenant": tenant, "erased": erased})
    else:
        screen.print_line(f"erased {format_number(erased, 'body', 'bodies')} of tenant {tenant!r}")
