"""Makes the tables of `seawall pause`: what is paused, and which steps are still in flight."""

from __future__ import annotations

from collections.abc import Sequence

from seawall.cli.render.formats import format_age, format_until, join_lines
from seawall.cli.render.table import Table
from seawall.guards.pauses import InFlight
from seawall.guards.shared import Pause


def make_pauses_table(pauses: Sequence[Pause], now: float) -> Table:
    """Returns the table of what is paused."""
    table = Table(("PAUSED", "BY", "SINCE", "UNTIL", "WHY"), required=("PAUSED",), below=("WHY",))
    for pause in pauses:
        table.add_row(
            (
                join_lines(pause.what),
                join_lines(pause.by),
                f"{format_age(now - pause.since)} ago",
                format_until(pause.until, now, pause.since),
                join_lines(pause.why),
            )
        )
    return table


def make_in_flight_table(steps: Sequence[InFlight], now: float) -> Table:
    """Returns the table of the steps that had begun before they were paused."""
    table = Table(
        ("IN FLIGHT", "STEP", "CALL", "AGENT", "TENANT", "SINCE"),
        required=("IN FLIGHT", "STEP"),
        right=("STEP",),
    )
    for step in steps:
        table.add_row(
            (
                step.run,
                str(step.step),
                f"{step.kind} {join_lines(step.name)}",
                join_lines(step.agent),
                join_lines(step.tenant),
                f"{format_age(now - step.since)} ago",
            )
        )
    return table
