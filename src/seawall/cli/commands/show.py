"""`seawall show`: one run, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    """Show a run's steps as a tree: who called whom, what it took, what each guard said.

    Texts are shortened to one line, with the number of characters that were left out; --full and --json have
    all of them.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _show(screen, journal, run, full))


async def _show(screen: Screen, path: Path, name: str, full: bool) -> None:
    from seawall.cli import journals
    from seawall.cli.render.json_output import asked, document
    from seawall.cli.render.run_header import cancelling, head, pending
    from seawall.cli.render.tree import Tree
    from seawall.core.clock import SystemClock
    from seawall.guards.pauses import read_pauses
    from seawall.history.record import build_record
    from seawall.run.fold import fold

    async with journals.reading(path) as journal:
        row = await journal.row(await journal.find(name))
        events = await journal.events(row.run)
        texts = await journals.texts(journal, row.tenant, events)
        live = fold(events) if events and row.state != "ended" else None
        decisions = {} if live is None else await pending(journal, row.run, live)
        cancel = None if live is None else await cancelling(journal, row.run, live)
        now = SystemClock().wall_s()
        brakes = await read_pauses(journal, now) if live is not None and live.paused else {}
    told = build_record(events) if events else None
    if screen.json:
        shown: dict[str, Any] = document(row, told, events, texts)
        screen.document({**shown, "cancel": None if cancel is None else asked(cancel)})
        return
    for line in head(
        row,
        told,
        events,
        texts,
        screen.width,
        now,
        decisions=decisions,
        cancel=cancel,
        brakes=brakes,
        full=full,
    ):
        screen.line(line)
    if told is None:
        screen.note("its events were pruned; this is what was kept")
        return
    screen.line()
    for line in Tree(told, texts, screen.width, full=full).lines():
        screen.line(line)
