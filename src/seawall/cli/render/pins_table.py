"""Makes the table of `seawall mcp list`: the tools of MCP servers and their state."""

from __future__ import annotations

from collections.abc import Sequence

from seawall.adapters.mcp.pins import Pin
from seawall.cli.render.formats import format_age, join_lines
from seawall.cli.render.table import Table
from seawall.core.odd_text import show_plainly


def make_pins_table(pins: Sequence[Pin], now: float) -> Table:
    """Returns the table of tools: whether each may be called, who decided that, or why it may not be called."""
    table = Table(("TOOL", "STATE", "SINCE", "BY", "WHY"), required=("TOOL", "STATE"), below=("WHY",))
    for pin in pins:
        match pin.state:
            case "quarantined":
                since, by, why = pin.offered_at, "", "; ".join(pin.reasons)
            case "pinned":
                since, by, why = pin.at, pin.by, pin.why
            case "rejected":
                since, by, why = 0.0, pin.rejected_by, pin.rejected_why
        age = f"{format_age(now - since)} ago" if since else ""
        name = show_plainly(f"{pin.server}.{pin.tool}")
        table.add_row((name, pin.state, age, join_lines(by), join_lines(show_plainly(why))))
    return table
