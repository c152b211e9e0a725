"""`seawall backup`: copies the journal while others write to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Copy the journal to FILE, with its high-water mark, and verify the copy. Others may go on writing meanwhile.

    FILE has the whole copy or, if anything fails or you stop it, what it had before.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _back_up(screen, journal, file, force))


async def _back_up(screen: Screen, path: Path, file: Path, force: bool) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from seawall.cli.journals import open_journal
    from seawall.cli.render.formats import format_number, format_size

    columns = (TextColumn("pages"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with open_journal(path) as journal:
        with Progress(
            *columns, console=screen.err, transient=True, disable=not screen.err.is_terminal
        ) as bar:
            task = bar.add_task("backup", total=None)
            found = await journal.backup(
                str(file),
                force=force,
                progress=lambda done, every: bar.update(task, completed=done, total=every),
            )
    if screen.json:
        screen.print_document(found)
        return
    checked = found.verification
    parts = f"{format_number(checked.batches, 'batch', 'batches')}, {format_number(checked.events, 'event')}"
    screen.print_line(
        f"{found.path}: {format_size(found.file_bytes)}, verified: {parts}; head {checked.head}"
    )
