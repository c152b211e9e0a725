"""`seawall verify`: check the journal's chain, every event and every body."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from seawall.cli.exits import Exit
from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def verify(journal: JournalOption = DEFAULT_JOURNAL, json: JsonOption = False) -> None:
    """Check the whole journal; exit code 1 and the first bad batch if it is not what was written.

    What was erased or pruned is not bad. Without exported heads this finds corruption, not an attacker.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    raise typer.Exit(run_async(lambda _: _verify(screen, journal)))


async def _verify(screen: Screen, path: Path) -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from seawall.cli.journals import reading
    from seawall.cli.render import formats

    columns = (TextColumn("batches"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with reading(path) as journal:
        with Progress(
            *columns, console=screen.err, transient=True, disable=not screen.err.is_terminal
        ) as bar:
            task = bar.add_task("verify", total=None)
            found = await journal.verify(
                progress=lambda done, every: bar.update(task, completed=done, total=every)
            )
    if screen.json:
        screen.document(found)
        return Exit.OK if found.ok else Exit.BROKEN
    parts = [formats.many(found.batches, "batch", "batches"), formats.many(found.events, "event")]
    parts.append(formats.many(found.bodies, "body", "bodies"))
    if found.erased:
        parts.append(f"{found.erased:,} erased")
    if found.pruned_events:
        parts.append(f"{formats.many(found.pruned_events, 'event')} pruned")
    if found.bad is None:
        screen.line(f"ok: {', '.join(parts)}; head {found.head}")
        return Exit.OK
    bad = found.bad
    where = f", run {bad.run}" if bad.run is not None else ""
    where += f", event {bad.seq}" if bad.seq is not None else ""
    screen.line(f"bad: batch {bad.batch}{where}: {bad.what}")
    screen.note(f"before it: {', '.join(parts)}")
    return Exit.BROKEN
