"""`seawall verify`: checks the journal's hash chain, every event and every body."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from seawall.cli.exits import Exit
from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def verify(journal: JournalOption = DEFAULT_JOURNAL, json: JsonOption = False) -> None:
    """Check the whole journal. Exit code 1 and the first bad batch if it is not what was written.

    Erased and pruned data is not bad. Without exported heads this finds corruption, not an attacker.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    raise typer.Exit(run_async(lambda _: _verify(screen, journal)))


async def _verify(screen: Screen, path: Path) -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from seawall.cli.journals import open_journal
    from seawall.cli.render.formats import format_number

    columns = (TextColumn("batches"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with open_journal(path) as journal:
        with Progress(
            *columns, console=screen.err, transient=True, disable=not screen.err.is_terminal
        ) as bar:
            task = bar.add_task("verify", total=None)
            found = await journal.verify(
                progress=lambda done, every: bar.update(task, completed=done, total=every)
            )
    if screen.json:
        screen.print_document(found)
        return Exit.OK if found.ok else Exit.BROKEN
    parts = [format_number(found.batches, "batch", "batches"), format_number(found.events, "event")]
    parts.append(format_number(found.bodies, "body", "bodies"))
    if found.erased:
        parts.append(f"{found.erased:,} erased")
    if found.pruned_events:
        parts.append(f"{format_number(found.pruned_events, 'event')} pruned")
    if found.bad is None:
        screen.print_line(f"ok: {', '.join(parts)}; head {found.head}")
        return Exit.OK
    bad = found.bad
    where = f", run {bad.run}" if bad.run is not None else ""
    where += f", event {bad.seq}" if bad.seq is not None else ""
    screen.print_line(f"bad: batch {bad.batch}{where}: {bad.what}")
    screen.print_note(f"before it: {', '.join(parts)}")
    return Exit.BROKEN
