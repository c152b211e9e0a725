"""`seawall cancel`: end a run, from any process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import DEFAULT_JOURNAL, ByOption, JournalOption, JsonOption, ReasonOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def cancel(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, its beginning or its end; or 'last'.")
    ],
    by: ByOption = "",
    reason: ReasonOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """End a run as cancelled: what is in flight is given up, what is done stays done.

    A process that has the run ends it; a run that nobody drives is ended here.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _cancel(screen, journal, run, by, reason))


async def _cancel(screen: Screen, path: Path, name: str, by: str, reason: str) -> None:
    from seawall.cli.decisions import deliver
    from seawall.cli.resuming import opened
    from seawall.core.errors import Misused
    from seawall.journal.protocol import Command

    async with opened(path) as sea:
        row = await sea.journal.row(await sea.journal.find(name))
        if row.state == "ended":
            how = row.summary.status if row.summary is not None else "ended"
            raise Misused(f"run {row.run} has ended already: {how}")
        sent = Command(kind="cancel", by=by, reason=reason)
        await deliver(screen, sea, row, "cancel", sea.cancel(row.run, sent), "cancelled")
