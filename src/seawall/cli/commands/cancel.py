"""`seawall cancel`: ends a run, from any process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from seawall.cli.options import (
    DEFAULT_JOURNAL,
    AuthorOption,
    JournalOption,
    JsonOption,
    ReasonOption,
    RunArgument,
    resolve_author,
)

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def cancel(
    run: RunArgument,
    by: AuthorOption = "",
    reason: ReasonOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """End a run as cancelled. Steps in flight are given up, and what is done stays done.

    A process that drives the run ends it. A run that no process drives is ended here.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    author = resolve_author(by)
    run_async(lambda _: _cancel(screen, journal, run, author, reason))


async def _cancel(screen: Screen, path: Path, name: str, by: str, reason: str) -> None:
    from seawall.cli.decisions import refuse_ended, send_command
    from seawall.cli.journals import open_seawall
    from seawall.journal.protocol import Command

    async with open_seawall(path) as sea:
        row = await sea.journal.row(await sea.journal.find(name))
        refuse_ended(row)
        command = Command(kind="cancel", by=by, reason=reason)
        await send_command(screen, sea, row, "cancel", sea.cancel(row.run, command), "cancelled")
