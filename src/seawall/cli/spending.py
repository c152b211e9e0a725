"""What `seawall budget` tells of each account: computed from what is booked, the caps, and the time of the day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from seawall.cli.render import formats
from seawall.guards.budget.options import Budget, Scope
from seawall.journal.protocol import Account, Cap, Spend
from seawall.run.spend_delta import DAY_S, day_of

What = Literal["usd", "tokens", "model_calls", "tool_calls"]
WHATS: tuple[What, ...] = ("usd", "tokens", "model_calls", "tool_calls")
LEAST_S = 60.0
"""Of a day, before there is a rate of it."""
YEAR_S = 365 * DAY_S
"""Beyond this a time says nothing: no rate of a day holds so long."""
_SCOPES: dict[Scope, str] = {"tenant_day": "today", "tenant": "in all", "day": "today"}


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of spending in one account."""

    scope: Scope
    tenant: str
    """`*`: all tenants together."""
    what: What
    spent: Decimal | int
    reserved: Decimal | int
    cap: Decimal | int | None
    left: Decimal | int | None
    per_hour: Decimal | None
    """Of today so far; None in the first minute of a day."""
    runs_out_s: float | None
    """From now, at that rate; None: not at all, or of a day's account not on that day."""
    too_much: Decimal | int | None = None
    """The least that a call could take and that does not fit into what is left; None if there was no such call."""

    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        whose = "all tenants" if self.tenant == "*" else formats.one_line(self.tenant) or "no tenant"
        return (
            f"{whose} {_SCOPES[self.scope]}",
            self.what.replace("_", " "),
            self._amount(self.spent),
            self._amount(self.reserved),
            "no cap" if self.cap is None else self._amount(self.cap, zero=True),
            "" if self.left is None else self._amount(self.left, zero=True),
            "" if self.per_hour is None else self._amount(self.per_hour),
            self._runs_out(),
        )

    def _runs_out(self) -> str:
        if self.runs_out_s == 0:
            return "now"
        if self.too_much is not None:
            return f"now, for a call of up to {self._amount(self.too_much)}"
        if self.runs_out_s is None:
            return ""
        return "in more than a year" if self.runs_out_s > YEAR_S else f"in {formats.age(self.runs_out_s)}"

    def _amount(self, value: Decimal | int, *, zero: bool = False) -> str:
        if not value:
            return "0" if zero else "-"
        return formats.usd(Decimal(value)) if self.what == "usd" else formats.count(round(value))


def tenants_of(accounts: Sequence[Account], today: str, budget: Budget) -> list[str]:
    """The tenants with an account, or caps of their own; who spent most today first."""
    spent = dict.fromkeys(budget.tenants.keys() | budget.tenants_day.keys(), Decimal(0))
    spent |= {each.tenant: Decimal(0) for each in accounts if each.tenant != "*"}
    spent |= {each.tenant: each.spent.usd for each in accounts if each.tenant in spent and each.day == today}
    return sorted(spent, key=lambda name: (-spent[name], name))


def spendings(
    accounts: Sequence[Account],
    tenants: Sequence[str],
    budget: Budget,
    now: float,
    *,
    everybody: bool,
    short: Mapping[tuple[str, str, str], Decimal] | None = None,
) -> list[Spending]:
    """What there is to tell: money of every account, and of the rest what is capped.

    `short`: the least that calls needed which did not fit, by scope, tenant and what was short.
    """
    today = day_of(now)
    booked = {(each.tenant, each.day): each for each in accounts}
    found: list[Spending] = []
    for tenant in tenants:
        caps = {cap.scope: cap for cap in budget.caps(tenant)}
        spent_today = booked.get((tenant, today), Account(tenant=tenant, day=today))
        in_all = booked.get((tenant, "*"), Account(tenant=tenant, day="*"))
        found += _told("tenant_day", spent_today, caps.get("tenant_day"), spent_today.spent, now)
        found += _told("tenant", in_all, caps.get("tenant"), spent_today.spent, now)
    total = booked.get(("*", today), Account(tenant="*", day=today))
    cap = next((cap for cap in budget.caps("") if cap.scope == "day"), None)
    if everybody and (tenants or cap is not None):
        found += _told("day", total, cap, total.spent, now)
    return [_with_short(each, short or {}) for each in found]


def _with_short(told: Spending, short: Mapping[tuple[str, str, str], Decimal]) -> Spending:
    need = short.get((told.scope, "" if told.scope == "day" else told.tenant, told.what))
    if need is None or told.left is None or need <= told.left:
        return told
    return msgspec.structs.replace(told, too_much=need if told.what == "usd" else int(need))


def _told(scope: Scope, account: Account, cap: Cap | None, today: Spend, now: float) -> Iterator[Spending]:
    midnight = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    passed_s = now - midnight.timestamp()
    for what in WHATS:
        limit: Decimal | int | None = None if cap is None else getattr(cap, what)
        if what != "usd" and limit is None:
            continue
        spent, reserved = getattr(account.spent, what), getattr(account.reserved, what)
        left = None if limit is None else max(limit - spent - reserved, type(limit)(0))
        per_hour = None
        if passed_s >= LEAST_S:
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
