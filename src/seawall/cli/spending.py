"""Computes what `seawall budget` shows of each account, from what is booked, the caps, and the time of day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from seawall.guards.budget.options import Budget, CapScope
from seawall.journal.protocol import Account, Cap, Spend
from seawall.run.spend_delta import DAY_S, day_of

What = Literal["usd", "tokens", "model_calls", "tool_calls"]
WHATS: tuple[What, ...] = ("usd", "tokens", "model_calls", "tool_calls")
RATE_AFTER_S = 60.0
"""Seconds since the beginning of a day before a rate is computed from it."""


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of spending in one account."""

    scope: CapScope
    tenant: str
    """`*`: all tenants together."""
    what: What
    spent: Decimal | int
    reserved: Decimal | int
    cap: Decimal | int | None
    left: Decimal | int | None
    per_hour: Decimal | None
    """The rate of today so far; None in the first minute of a day."""
    runs_out_s: float | None
    """Seconds from now until the account is used up at that rate; None if that never happens, or if the account is a
    day's account that lasts to the end of its day."""
    too_much: Decimal | int | None = None
    """The smallest bound of a call that did not fit into what is left; None if every call did."""


def list_tenants(accounts: Sequence[Account], today: str, budget: Budget) -> list[str]:
    """Returns the tenants that have an account or caps of their own; those that spent most today come first."""
    spent = dict.fromkeys(budget.tenants.keys() | budget.tenants_day.keys(), Decimal(0))
    spent |= {each.tenant: Decimal(0) for each in accounts if each.tenant != "*"}
    spent |= {each.tenant: each.spent.usd for each in accounts if each.tenant in spent and each.day == today}
    return sorted(spent, key=lambda name: (-spent[name], name))


def list_spending(
    accounts: Sequence[Account],
    tenants: Sequence[str],
    budget: Budget,
    now: float,
    *,
    everybody: bool,
    short: Mapping[tuple[str, str, str], Decimal] | None = None,
) -> list[Spending]:
    """Returns the spending in money of every account, and the spending of the other kinds that have a cap.

    `everybody` adds today's account of all tenants together. `short` holds the smallest upper bound of a call that did
    not fit, by scope, tenant and kind of spending.
    """
    today = day_of(now)
    booked = {(each.tenant, each.day): each for each in accounts}
    found: list[Spending] = []
    for tenant in tenants:
        caps = {cap.scope: cap for cap in budget.list_caps(tenant)}
        spent_today = booked.get((tenant, today), Account(tenant=tenant, day=today))
        in_all = booked.get((tenant, "*"), Account(tenant=tenant, day="*"))
        found += _list_account_spending(
            "tenant_day", spent_today, caps.get("tenant_day"), spent_today.spent, now
        )
        found += _list_account_spending("tenant", in_all, caps.get("tenant"), spent_today.spent, now)
    total = booked.get(("*", today), Account(tenant="*", day=today))
    cap = next((cap for cap in budget.list_caps("") if cap.scope == "day"), None)
    if everybody and (tenants or cap is not None):
        found += _list_account_spending("day", total, cap, total.spent, now)
    return [_add_too_much(each, short or {}) for each in found]


def _add_too_much(spending: Spending, short: Mapping[tuple[str, str, str], Decimal]) -> Spending:
    tenant = "" if spending.scope == "day" else spending.tenant
    need = short.get((spending.scope, tenant, spending.what))
    if need is None or spending.left is None or need <= spending.left:
        return spending
    return msgspec.structs.replace(spending, too_much=need if spending.what == "usd" else int(need))


def _list_account_spending(
    scope: CapScope, account: Account, cap: Cap | None, today: Spend, now: float
) -> Iterator[Spending]:
    midnight = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    passed_s = now - midnight.timestamp()
    for what in WHATS:
        limit: Decimal | int | None = None if cap is None else getattr(cap, what)
        if what != "usd" and limit is None:
            continue
        spent, reserved = getattr(account.spent, what), getattr(account.reserved, what)
        left = None if limit is None else max(limit - spent - reserved, type(limit)(0))
        per_hour = None
        if passed_s >= RATE_AFTER_S:
            per_hour = Decimal(getattr(today, what)) * 3600 / Decimal(round(passed_s))
        runs_out_s = None
        if left is not None and not left:
            runs_out_s = 0.0
        elif left is not None and per_hour:
            runs_out_s = float(Decimal(left) * 3600 / per_hour)
            if scope != "tenant" and runs_out_s > DAY_S - passed_s:
                runs_out_s = None
        yield Spending(
            scope=scope,
            tenant=account.tenant,
            what=what,
            spent=spent,
            reserved=reserved,
            cap=limit,
            left=left,
            per_hour=None if per_hour is None else round(per_hour, 6),
            runs_out_s=runs_out_s,
        )
