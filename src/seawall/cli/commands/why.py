"""`seawall why`: from the outcome back along recorded causes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, RunArgument

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def why(
    run: RunArgument = "last",
    full: Annotated[bool, typer.Option("--full", help="Every step of the way, and texts in full.")] = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Say why a run ended as it did: back along recorded causes, from its outcome or from what stopped it.

    Values are followed first (a literal of that result is in this input), then what a model had been shown. It
    leads to the first step that recorded causes lead to: where to look first, no proof that the fault lies there.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _why(screen, journal, run, full))


async def _why(screen: Screen, path: Path, name: str, full: bool) -> None:
    from seawall.cli import journals
    from seawall.cli.render.why_report import Explanation, document
    from seawall.core.errors import Misused
    from seawall.history.record import build_record
    from seawall.history.why import explain as explained
    from seawall.run.fold import fold
    from seawall.run.outcome import list_waits

    async with journals.reading(path) as journal:
        row = await journal.row(await journal.find(name))
        events = await journal.events(row.run)
        texts = await journals.texts(journal, row.tenant, events)
    if not events:
        raise Misused(f"run {row.run}: its events were pruned, so nothing leads back from its outcome")
    told = build_record(events)
    found = explained(told, texts.of)
    if screen.json:
        screen.document(document(found, row.state, texts))
        return
    waits = list_waits(fold(events), events, texts.of)
    for line in Explanation(found, row, told, texts, screen.width, waits=waits, full=full).lines():
        screen.line(line)
