"""Makes the report of `seawall probe-reviewer`."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from seawall.cli.render.formats import join_lines
from seawall.cli.render.roles_tables import format_interval
from seawall.cli.render.table import Table
from seawall.history.probes import ProbeReport

_COLUMNS = ("PLANTED", "JUDGED", "CAUGHT", "SHARE", "95%", "NAMED")


def make_kinds_table(report: ProbeReport) -> Table:
    """Returns the table: a row for each kind of contradiction, and one for all."""
    table = Table(_COLUMNS, required=_COLUMNS[:5], right=_COLUMNS[1:])
    for each in (*report.kinds, report.all):
        table.add_row(
            (
                each.kind,
                f"{each.judged:,}",
                f"{each.caught:,}",
                f"{each.caught / each.judged:.0%}",
                format_interval(each.low, each.high),
                f"{each.named:,}",
            )
        )
    return table


def list_misses(report: ProbeReport) -> Iterator[Text]:
    """Yields each planted contradiction that the reviewer approved or did not judge, with the run that shows it."""
    for each in report.probes:
        if each.kind == "unchanged" or each.judgement == "rejected":
            continue
        what = f"{each.original} became {each.planted}" if each.original else f"added: {each.planted}"
        style = "yellow" if each.judgement == "approved" else "dim"
        why = f" ({join_lines(each.feedback)})" if each.judgement == "not judged" else ""
        yield Text(f"{each.judgement}{why}: {join_lines(what)}  run {each.run}", style=style)
