"""Makes the table of `seawall budget`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from seawall.cli.render.formats import format_age, format_count, format_usd, join_lines
from seawall.cli.render.table import Table
from seawall.cli.spending import Spending
from seawall.guards.budget.options import CapScope
from seawall.run.spend_delta import DAY_S

_COLUMNS = ("ACCOUNT", "OF", "SPENT", "RESERVED", "CAP", "LEFT", "AN HOUR", "RUNS OUT")
_LONGEST_S = 365 * DAY_S
"""Seconds after which no time is forecast: the rate of one day does not hold for more than a year."""
_SCOPES: dict[CapScope, str] = {"tenant_day": "today", "tenant": "in all", "day": "today"}


def make_budget_table(found: Sequence[Spending]) -> Table:
    """Returns the table: a row for each kind of spending in each account."""
    table = Table(_COLUMNS, required=("ACCOUNT", "OF", "SPENT", "LEFT"), right=_COLUMNS[2:7])
    for spending in found:
        table.add_row(format_spending(spending))
    return table


def format_spending(spending: Spending) -> tuple[str, ...]:
    """Returns the cells of one row."""
    everybody = spending.tenant == "*"
    account = "all tenants" if everybody else join_lines(spending.tenant) or "no tenant"
    cap, left, per_hour = spending.cap, spending.left, spending.per_hour
    return (
        f"{account} {_SCOPES[spending.scope]}",
        spending.what.replace("_", " "),
        _format_amount(spending, spending.spent),
        _format_amount(spending, spending.reserved),
        "no cap" if cap is None else _format_amount(spending, cap, zero="0"),
        "" if left is None else _format_amount(spending, left, zero="0"),
        "" if per_hour is None else _format_rate(spending, per_hour),
        _format_runs_out(spending),
    )


def _format_runs_out(spending: Spending) -> str:
    if spending.runs_out_s == 0:
        return "now"
    if spending.too_much is not None:
        return f"now, for a call of up to {_format_amount(spending, spending.too_much)}"
    if spending.runs_out_s is None:
        return ""
    if spending.runs_out_s > _LONGEST_S:
        return "in more than a year"
    return f"in {format_age(spending.runs_out_s)}"


def _format_rate(spending: Spending, per_hour: Decimal | int) -> str:
    if spending.what != "usd" and 0 < per_hour < 1:
        return "<1"
    return _format_amount(spending, per_hour)


def _format_amount(spending: Spending, value: Decimal | int, *, zero: str = "-") -> str:
    if not value:
        return zero
    return format_usd(Decimal(value)) if spending.what == "usd" else format_count(round(value))
