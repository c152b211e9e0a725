"""`seawall why`: follows recorded causes back from a run's outcome."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, RunArgument

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.history.record import RunRecord
    from seawall.journal.protocol import Journal


def why(
    run: RunArgument = "last",
    full: Annotated[
        bool, typer.Option("--full", help="Show every step of the way, and texts in full.")
    ] = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Explain why a run ended as it did: follow recorded causes back from its outcome, or from what stopped it.

    Values are followed first (a literal of that result is in this input), then what a model had been shown. The way ends at the first step that recorded causes lead to: it is where to look first, not proof that the fault lies there. Over memory and the session's conversation it leads on to the steps of other runs.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _why(screen, journal, run, full))


async def _why(screen: Screen, path: Path, name: str, full: bool) -> None:
    from seawall.cli.decisions import read_pending_decisions
    from seawall.cli.going_on import explain_decision, explain_raising, explain_resume
    from seawall.cli.journals import BodyTexts, open_journal, read_bodies, read_texts
    from seawall.cli.render.json_output import build_why_document
    from seawall.cli.render.origins_report import draw_origins
    from seawall.cli.render.why_report import WhyReport
    from seawall.core.errors import Misused
    from seawall.history.origins import find_origins
    from seawall.history.record import build_record
    from seawall.history.why import explain
    from seawall.run.fold import fold
    from seawall.run.outcome import list_waits

    async with open_journal(path) as journal:
        row = await journal.row(await journal.find(name))
        events = await journal.events(row.run)
        texts = await read_texts(journal, row.tenant, events)
        if not events:
            raise Misused(f"run {row.run}: its events were pruned, so nothing leads back from its outcome")
        record = build_record(events)
        found = explain(record, texts.get, earlier=await _read_earlier(journal, record))
        origins = await find_origins(journal, row.run, events, found.starts)
        refs = [ref for each in origins for ref in (each.key, each.value)]
        remembered = BodyTexts(await read_bodies(journal, row.tenant, refs))
        state = fold(events)
        decisions = await read_pending_decisions(journal, row.run, state)
    wasted = state.waste.wasted
    if screen.json:
        screen.print_document(build_why_document(found, row.state, texts, origins, remembered, wasted))
        return
    waits = list_waits(state, events, texts.get)
    open_waits = [each for each in waits if each.step not in decisions]
    next_steps = [how for each in open_waits if (how := explain_decision(state, each))]
    if row.state == "interrupted" or decisions:
        next_steps.append(explain_resume(state.started))
    if record.ended is not None and (how := explain_raising(state.started, record.ended)):
        next_steps.append(how)
    report = WhyReport(
        found,
        row,
        record,
        texts,
        screen.width,
        waits=waits,
        next_steps=next_steps,
        wasted=wasted,
        full=full,
    )
    screen.print_lines(report.draw_lines())
    screen.print_lines(draw_origins(origins, remembered, screen.width, full=full))


async def _read_earlier(journal: Journal, record: RunRecord) -> list[str]:
    """Returns the messages of the session's conversation before a run."""
    from seawall.core.redact import Redactor
    from seawall.run.bodies import Bodies
    from seawall.runtime.sessions import Sessions

    history = record.segments[0].taken.history if record.segments else None
    bodies = Bodies(Redactor(), {})
    messages = await Sessions().load_messages(journal, record.started.tenant, history, bodies)
    return [bodies.text(message.ref) for message in messages]
