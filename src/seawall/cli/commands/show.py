"""`seawall show`: shows one run, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, RunArgument

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def show(
    run: RunArgument = "last",
    full: Annotated[bool, typer.Option("--full", help="Do not shorten inputs and outputs.")] = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Show a run's steps as a tree: who called whom, what it took, what each guard returned.

    Texts are shortened to one line, with the number of characters that were left out; --full and --json show all of them.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _show(screen, journal, run, full))


async def _show(screen: Screen, path: Path, name: str, full: bool) -> None:
    from seawall.cli.decisions import read_pending_cancel, read_pending_decisions
    from seawall.cli.journals import open_journal, read_texts
    from seawall.cli.render.json_output import build_run_document
    from seawall.cli.render.run_header import draw_run_header
    from seawall.cli.render.tree import StepTree
    from seawall.core.clock import SystemClock
    from seawall.guards.pauses import read_pauses
    from seawall.history.record import build_record
    from seawall.run.fold import fold

    async with open_journal(path) as journal:
        row = await journal.row(await journal.find(name))
        events = await journal.events(row.run)
        texts = await read_texts(journal, row.tenant, events)
        live = fold(events) if events and row.state != "ended" else None
        decisions = {} if live is None else await read_pending_decisions(journal, row.run, live)
        cancel = None if live is None else await read_pending_cancel(journal, row.run, live)
        now = SystemClock().wall_s()
        paused = await read_pauses(journal, now) if live is not None and live.paused else {}
    record = build_record(events) if events else None
    if screen.json:
        screen.print_document(build_run_document(row, record, events, texts, cancel))
        return
    header = draw_run_header(
        row,
        record,
        events,
        texts,
        screen.width,
        now,
        decisions=decisions,
        cancel=cancel,
        paused=paused,
        full=full,
    )
    screen.print_lines(header)
    if record is None:
        screen.print_note("its events were pruned; this is what was kept")
        return
    screen.print_line()
    screen.print_lines(StepTree(record, texts, screen.width, full=full).draw_lines())
