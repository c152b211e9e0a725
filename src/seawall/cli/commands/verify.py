"""`seawall verify`: checks the journal's file, its hash chain, every event, body and row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.exits import Exit
from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption
from seawall.core.errors import Misused

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def verify(
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            metavar="HASH",
            help="A head that you kept: it must be in the chain, with everything before it.",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="The signing key: checks the signatures of batches."),
    ] = None,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Check the whole journal. If it is not what was written, print the first bad place and exit with 1.

    Erased and pruned data is not bad. Without options this finds damage, but not an attacker who rewrites the whole chain. A head that you kept elsewhere (--head) proves that nothing before it was changed or cut. The key (--key) proves that the writer of the newest batch had it. Neither finds changes by somebody who has the key, or a cut after the newest head that you kept.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    raise typer.Exit(run_async(lambda _: _verify(screen, journal, _check_head(head), key)))


def _check_head(head: str | None) -> str | None:
    if head is None or re.fullmatch("[0-9a-f]{64}", head.strip().lower()):
        return head and head.strip().lower()
    raise Misused(f"--head {head}: a head has 64 hexadecimal digits, as `seawall verify` prints it")


async def _verify(screen: Screen, path: Path, head: str | None, key: Path | None) -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from seawall.cli.hints import explain_damage
    from seawall.cli.journals import open_journal
    from seawall.cli.render.formats import format_number

    columns = (TextColumn("batches"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with open_journal(path) as journal:
        with Progress(
            *columns, console=screen.err, transient=True, disable=not screen.err.is_terminal
        ) as bar:
            task = bar.add_task("verify", total=None)
            found = await journal.verify(
                progress=lambda done, every: bar.update(task, completed=done, total=every),
                head=head,
                key=key,
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
    if found.signed_from is not None:
        parts.append(f"signed from batch {found.signed_from} on")
    if found.bad is None:
        screen.print_line(f"ok: {', '.join(parts)}; head {found.head}")
        if not found.marked:
            screen.print_note(
                f"there is no {path}.mark: newest batches that are gone would not be noticed; copy it beside the journal"
            )
        return Exit.OK
    bad = found.bad
    where = f", run {bad.run}" if bad.run is not None else ""
    where += f", event {bad.seq}" if bad.seq is not None else ""
    batch = f"batch {bad.batch}" if bad.batch else "the file"
    screen.print_line(f"bad: {batch}{where}: {bad.what}")
    screen.print_note(f"before it: {', '.join(parts)}")
    screen.print_note(explain_damage(verified=True))
    return Exit.BROKEN
