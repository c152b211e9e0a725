"""The table of `seawall runs`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import msgspec
from rich.text import Text

from seawall.cli.journals import texts
from seawall.cli.render import formats, wording
from seawall.cli.render.json_output import asked
from seawall.cli.render.run_header import active_s, cancelling, cancels, decided, lifted, pending, status_of
from seawall.core.clock import SystemClock
from seawall.core.errors import Misused
from seawall.core.events import Status
from seawall.guards.pauses import read_pauses
from seawall.history.record import build_record
from seawall.journal.protocol import Command, Journal, RunRow, Summary
from seawall.run.fold import fold
from seawall.run.outcome import Waiting, list_waits

STATES = ("running", "interrupted", "waiting", "queued", "ended")
GAP = "  "


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run, with what only its events tell if it has not ended."""

    row: RunRow
    spent: Summary
    """What it took so far; the status in it counts only for a run that has ended."""
    waits: Waiting | None = None
    decision: Command | None = None
    """What was decided on that step and not taken up yet."""

    cancel: Command | None = None
    """A cancellation that was not taken up yet."""
    lifted: bool = False
    """It waits for a brake that is off."""

    def document(self) -> dict[str, Any]:
        """The run as JSON."""
        row = msgspec.structs.asdict(self.row)
        del row["summary"]
        spent = msgspec.structs.asdict(self.spent)
        ended = self.row.state == "ended"
        waits: dict[str, Any] | None = None
        if self.waits is not None:
            waits = msgspec.structs.asdict(self.waits)
            del waits["run"]
            if self.waits.kind == "pause":
                waits["lifted"] = self.lifted
            if self.decision is not None:
                waits["decision"] = {"approved": self.decision.approved, "by": self.decision.by}
        return {
            **row,
            **spent,
            "status": spent["status"] if ended else None,
            "waiting": waits,
            "cancel": None if self.cancel is None else asked(self.cancel),
        }


def checked(status: str | None, state: str | None) -> None:
    """Raises `Misused` for a status or state that there is not."""
    known: tuple[str, ...] = get_args(Status)
    for name, value, there in (("status", status, known), ("state", state, STATES)):
        if value is not None and value not in there:
            raise Misused(f"--{name} {value}: it is one of {', '.join(there)}")


async def entry(journal: Journal, row: RunRow) -> Entry:
    """A row, completed from its events if the run has not ended."""
    if row.state == "ended" and row.summary is not None:
        return Entry(row=row, spent=row.summary)
    events = await journal.events(row.run)
    state, told = fold(events), build_record(events)
    ledger = state.ledger
    spent = Summary(
        status="completed",
        usd=str(ledger.usd),
        tokens=ledger.tokens,
        model_calls=ledger.model_calls,
        tool_calls=ledger.tool_calls,
        active_s=round(active_s(state, told), 6),
    )
    waits, decision, off = None, None, False
    if row.state == "waiting" and state.waits:
        inputs = await texts(journal, row.tenant, state.approvals)
        waits = list_waits(state, events, inputs.of)[0]
        decision = (await pending(journal, row.run, state)).get(waits.step)
        if waits.kind == "pause":
            off = waits.what not in await read_pauses(journal, SystemClock().wall_s())
    cancel = await cancelling(journal, row.run, state)
    return Entry(row=row, spent=spent, waits=waits, decision=decision, cancel=cancel, lifted=off)


def _short_s(value: float) -> str:
    return formats.seconds(value).replace(" ", "").replace("min", "m")


def _cells(entry: Entry, now: float) -> dict[str, Text]:
    row, spent = entry.row, entry.spent
    status = status_of(row)
    told = Text(status, style=wording.STATUS_STYLES.get(status, ""))
    if spent.stopped_by:
        told.append(f" {spent.stopped_by}")
    return {
        "RUN": Text(row.run),
        "STATUS": told,
        "COST": Text(formats.usd(spent.usd)),
        "TOKENS": Text(formats.count(spent.tokens)),
        "CALLS": Text(str(spent.model_calls + spent.tool_calls)),
        "TIME": Text(_short_s(spent.active_s)),
        "AGE": Text(formats.age(now - row.started_at)),
        "TEAM": Text(row.team),
        "SESSION": Text(row.session or ""),
        "TENANT": Text(row.tenant),
    }


_RIGHT = {"COST", "TOKENS", "CALLS", "TIME", "AGE"}


def table(entries: list[Entry], width: int, now: float) -> tuple[list[Text], list[str]]:
    """The lines, and the columns that did not fit into `width`."""
    rows = [_cells(each, now) for each in entries]
    columns = [name for name in rows[0] if any(row[name].plain for row in rows)]
    widths = {name: max(len(name), *(row[name].cell_len for row in rows)) for name in columns}
    shown: list[str] = []
    used = -len(GAP)
    for name in columns:
        used += widths[name] + len(GAP)
        if used <= width or name in ("RUN", "STATUS"):
            shown.append(name)
    lines = [_row({name: Text(name, style="dim") for name in shown}, shown, widths)]
    for each, row in zip(entries, rows, strict=True):
        lines.append(_row(row, shown, widths))
        if each.waits is not None:
            lines += _waits(each, each.waits, now, max(20, width - 4))
        if each.cancel is not None:
            text = formats.shortened(f"cancel {cancels(each.cancel)}", max(20, width - 4))
            lines.append(Text(f"  └ {text}", style="yellow"))
    return lines, [name.lower() for name in columns if name not in shown]


def _waits(entry: Entry, waits: Waiting, now: float, width: int) -> Iterator[Text]:
    """What a run waits for, in a line; what is asked about an effect of unknown fate is told whole."""
    decision = entry.decision
    what = "under a brake" if waits.kind == "pause" else f"for a decision on step {waits.step}"
    text = f"waits {formats.age(now - waits.since)} {what}: "
    text += wording.question(waits, max(20, width - len(text)))
    if decision is not None:
        text = f"step {waits.step} {decided(decision, waits)}"
    elif entry.lifted:
        text = lifted(waits)
    asks_fate = decision is None and waits.kind == "unknown"  # only there the answers mean something else
    for number, line in enumerate(
        formats.wrapped(text, width) if asks_fate or entry.lifted else [formats.shortened(text, width)]
    ):
        yield Text(f"  {' ' if number else '└'} {line}", style="magenta")


def _row(cells: dict[str, Text], shown: list[str], widths: dict[str, int]) -> Text:
    line = Text()
    for name in shown:
        cell = cells[name]
        space = " " * (widths[name] - cell.cell_len)
        line += Text(space) + cell if name in _RIGHT else cell + Text(space)
        line.append(GAP)
    line.rstrip()
    return line
