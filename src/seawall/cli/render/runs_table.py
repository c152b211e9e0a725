"""Makes the table of `seawall runs`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from seawall.cli.render import wording
from seawall.cli.render.formats import (
    format_age,
    format_count,
    format_seconds,
    format_usd,
    shorten_text,
    wrap_text,
)
from seawall.cli.render.table import Table
from seawall.core.events import RunStarted, StepDeferred
from seawall.journal.protocol import Command, RunRow, Summary
from seawall.run.outcome import Waiting

_COLUMNS = ("RUN", "STATUS", "COST", "TOKENS", "CALLS", "TIME", "AGE", "TEAM", "SESSION", "TENANT")
_MIN_NOTE_WIDTH = 20


@dataclass(frozen=True, kw_only=True)
class RunEntry:
    """One run of the list. If it has not ended, some of this comes from its events."""

    row: RunRow
    spent: Summary
    """What the run took so far; its status is valid only if the run has ended."""
    started: RunStarted | None = None
    """How the run was started, if it has not ended."""
    waits: Waiting | None = None
    decision: Command | None = None
    """A decision on the step that waits, which no process has taken up yet."""
    cancel: Command | None = None
    """A cancellation that no process has taken up yet."""
    deferred: StepDeferred | None = None
    """The oldest step of the run that waits for an endpoint which is out of order."""
    lifted: bool = False
    """True if the run waits for a pause that has ended."""


def make_runs_table(entries: Sequence[RunEntry], width: int, now: float) -> Table:
    """Returns the table; what runs wait for is shortened to `width`."""
    table = Table(
        _COLUMNS,
        right=("COST", "TOKENS", "CALLS", "TIME", "AGE"),
        required=("RUN", "STATUS"),
    )
    for entry in entries:
        notes = list(_draw_notes(entry, now, max(_MIN_NOTE_WIDTH, width - 4)))
        table.add_row(_format_cells(entry, now), notes)
    return table


def _format_cells(entry: RunEntry, now: float) -> list[str | Text]:
    row, spent = entry.row, entry.spent
    name = wording.format_status(row)
    status = Text(name, style=wording.STATUS_STYLES.get(name, ""))
    if by := wording.format_stopped_by(spent.stopped_by):
        status.append(f" {by}")
    return [
        row.run,
        status,
        format_usd(spent.usd),
        format_count(spent.tokens),
        str(spent.model_calls + spent.tool_calls),
        _join_units(format_seconds(spent.active_s)),
        _join_units(format_age(now - row.started_at)),
        row.team,
        row.session or "",
        row.tenant,
    ]


def _join_units(duration: str) -> str:
    """Returns a duration without spaces: `1h30m`."""
    return duration.replace(" ", "").replace("min", "m")


def _draw_notes(entry: RunEntry, now: float, width: int) -> Iterator[Text]:
    """Yields the lines below a run: what it waits for, and a cancellation."""
    if entry.waits is not None:
        for number, line in enumerate(_format_waits(entry, entry.waits, now, width)):
            yield Text(f"  {' ' if number else '└'} {line}", style="magenta")
    if entry.deferred is not None:
        text = f"waits {format_age(now - entry.deferred.at)}: {wording.format_deferred(entry.deferred)}"
        yield Text(f"  └ {shorten_text(text, width)}", style="yellow")
    if entry.cancel is not None:
        text = shorten_text(f"cancel {wording.format_pending_cancel(entry.cancel)}", width)
        yield Text(f"  └ {text}", style="yellow")


def _format_waits(entry: RunEntry, waits: Waiting, now: float, width: int) -> list[str]:
    """Returns what a run waits for in one line; a question about an effect of unknown fate is shown whole."""
    decision, started = entry.decision, entry.started
    if decision is not None and started is not None:
        text = f"step {waits.step} {wording.format_pending_decision(decision, waits, started)}"
    elif entry.lifted and started is not None:
        text = wording.format_lifted(waits, started)
    else:
        what = "while paused" if waits.kind == "pause" else f"for a decision on step {waits.step}"
        text = f"waits {format_age(now - waits.since)} {what}: "
        text += wording.format_question(waits, max(_MIN_NOTE_WIDTH, width - len(text)))
    asks_fate = decision is None and waits.kind == "unknown"  # its answers are not "approve" and "reject"
    return wrap_text(text, width) if asks_fate or entry.lifted else [shorten_text(text, width)]
