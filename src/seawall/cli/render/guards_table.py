"""Makes the table of `seawall guards`."""

from __future__ import annotations

from collections.abc import Mapping

from seawall.cli.render.formats import format_age, format_until, join_lines
from seawall.cli.render.table import Table
from seawall.journal.protocol import Setting


def make_guards_table(settings: Mapping[str, Setting | None], now: float) -> Table:
    """Returns the table: each guard with the setting in force, or None where the code's own mode holds."""
    table = Table(
        ("GUARD", "MODE", "BY", "SINCE", "UNTIL", "WHY"), required=("GUARD", "MODE"), below=("WHY",)
    )
    for name, setting in settings.items():
        if setting is None:
            table.add_row((name, "as the code says", "", "", "", ""))
            continue
        table.add_row(
            (
                name,
                setting.value,
                join_lines(setting.by),
                f"{format_age(now - setting.at)} ago",
                format_until(setting.until, now, setting.at),
                join_lines(setting.why),
            )
        )
    return table
