"""Makes the table of `seawall breakers`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from seawall.cli.render.formats import format_age, format_seconds, format_until, join_lines
from seawall.cli.render.table import Table
from seawall.guards.endpoints.manual import EndpointRow

_COLUMNS = ("ENDPOINT", "STATE", "SINCE", "CALLS", "FAILED", "SLOW", "IN FLIGHT", "NEXT PROBE")
_CAUSES = {
    "failed": "opened because too many calls failed",
    "slow": "opened because too many calls were slow",
    "spend_limit": "opened because its provider says that the money is used up",
}


def make_breakers_table(rows: Sequence[EndpointRow], now: float) -> Table:
    """Returns the table: each endpoint, and below it why its breaker is in this state."""
    table = Table(
        _COLUMNS,
        required=("ENDPOINT", "STATE"),
        right=("CALLS", "FAILED", "SLOW", "IN FLIGHT"),
        keep_empty=True,
    )
    for row in rows:
        table.add_row(_format_cells(row, now), [Text(f"  └ {note}") for note in _list_notes(row, now)])
    return table


def _format_cells(row: EndpointRow, now: float) -> tuple[str, ...]:
    probe = ""
    if row.next_probe_s is not None:
        probe = f"in {format_seconds(row.next_probe_s)}" if row.next_probe_s else "at the next call"
    elif row.state == "half_open":
        probe = "now"
    return (
        join_lines(row.endpoint),
        row.state.replace("_", " "),
        "" if row.since is None else format_age(now - row.since),
        str(row.calls),
        str(row.failed),
        str(row.slow),
        str(sum(row.in_flight.values())),
        probe,
    )


def _list_notes(row: EndpointRow, now: float) -> Iterator[str]:
    why = f": {join_lines(row.why)}" if row.why else ""
    if row.set_to is not None:
        until = "" if row.until is None else f" until {format_until(row.until, now, row.since)}"
        yield f"kept {row.set_to} by {join_lines(row.by or '')}{until}{why}"
    elif row.state != "closed" and row.cause == "person":
        yield f"opened by {join_lines(row.by or '')}{why}"
    elif row.state != "closed" and row.cause in _CAUSES:
        yield _CAUSES[row.cause]
    if row.left_alone_s is not None:
        yield f"asked not to be called for {format_seconds(row.left_alone_s)} more (Retry-After)"
    for owner, count in sorted(row.in_flight.items()):
        yield f"{count} in flight in {join_lines(owner)}"
