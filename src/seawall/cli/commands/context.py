"""`seawall context`: shows what a model was sent at one step, message by message."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, RunArgument

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def context(
    run: RunArgument = "last",
    step: Annotated[
        int | None,
        typer.Argument(metavar="STEP", help="The number of a model call; without it the newest one."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Do not shorten texts.")] = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Show what a model was sent at one step: each message, why it is there, what was shortened or left out, and the share of junk.

    Texts are shortened to one line, with the number of characters that were left out; --full and --json show all of them.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _context(screen, journal, run, step, full))


async def _context(screen: Screen, path: Path, name: str, step: int | None, full: bool) -> None:
    from seawall.cli.journals import open_journal, read_bodies
    from seawall.cli.render.context_report import draw_context
    from seawall.core.canonical import Ref
    from seawall.core.errors import Misused
    from seawall.core.events import RunStarted, RunTaken, StepIntended
    from seawall.core.redact import Redactor
    from seawall.core.refs import refs_of
    from seawall.history.sent import find_asked, find_sent
    from seawall.run.bodies import Bodies
    from seawall.runtime.sessions import Sessions

    async with open_journal(path) as journal:
        row = await journal.row(await journal.find(name))
        events = await journal.events(row.run)
        if not events:
            raise Misused(f"run {row.run}: its events were pruned, so what its models were sent is not known")
        bodies = Bodies(Redactor(), await read_bodies(journal, row.tenant, refs_of(events)))
        taken = next((each for each in events if isinstance(each, RunTaken)), None)
        history = None if taken is None else taken.history
        messages = await Sessions().load_messages(journal, row.tenant, history, bodies)
        if step is None:
            models = [each.step for each in events if isinstance(each, StepIntended) and each.kind == "model"]
            step = models[-1] if models else 1
        if isinstance(events[0], RunStarted) and events[0].loop:

            async def read(ref: Ref) -> bytes | None:
                return (await journal.bodies(row.tenant, [ref])).get(ref)

            found = await find_asked(events, step, read)
        else:
            found = find_sent(events, step, bodies, messages)
    if screen.json:
        screen.print_document(found)
        return
    screen.print_lines(draw_context(found, screen.width, full=full))
