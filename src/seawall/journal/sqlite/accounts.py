"""Accounts: what tenants and days have spent and reserved, as rows that a commit reads, changes and writes.

A booking changes three rows: the tenant's on the day, the tenant's for all days, and that of all tenants on the day.
They are read in the writer's transaction, added up here and written once a commit, so they are recorded if and only if
the commit is. Money is stored as decimal text, because SQLite would sum it as floating point, or round it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from functools import lru_cache
from typing import Any, Literal

from seawall.core.errors import Misused
from seawall.journal.protocol import NOTHING, Account, Booking, Cap, OverCap, Spend
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.row_sum import (
    ACCOUNT,
    LEAF_BYTES,
    RowSum,
    check_row,
    check_tenant_row,
    digest_row,
)

ALL = "*"
"""The name that stands for all tenants, or for all days."""
ALL_TENANTS = -1
"""The key of all tenants; real ones have the keys of their rows, from 0."""

MAX_USD = Decimal(10) ** 15
_NO_USD = NOTHING.usd
_MIN_USD = -MAX_USD
MAX_DECIMALS = 48
"""Most decimals of an amount. The price of one token, made from a binary fraction, has 34."""
MAX_COUNT = (1 << 63) - 1

_What = Literal["usd", "tokens", "model_calls", "tool_calls"]
_Number = Decimal | int

_exact = Context(prec=64, traps=[InvalidOperation, Overflow, Inexact])  # 10^15 and 48 decimals fit
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COUNTS: tuple[_What, ...] = ("tokens", "model_calls", "tool_calls")

_ONE = f"SELECT leaf, {ACCOUNT} FROM accounts WHERE tenant = ? AND day = ?"
_COLUMNS = [*ACCOUNT.split(", "), "leaf"]
_WRITE = f"INSERT OR REPLACE INTO accounts({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_UPDATE = "UPDATE accounts SET {} WHERE tenant = ?1 AND day = ?2".format(
    ", ".join(f"{column} = ?{place}" for place, column in enumerate(_COLUMNS[2:], 3))
)
"""Takes the values of `_WRITE`, for a row that is in the file: it takes two thirds of the time."""
_SELECT = f"SELECT t.name, t.leaf, a.leaf, {ACCOUNT} FROM accounts a LEFT JOIN tenants t ON t.id = a.tenant"
_SELECT_DAY = f"""
WITH t(id, name, leaf) AS (SELECT {ALL_TENANTS}, NULL, NULL UNION ALL SELECT id, name, leaf FROM tenants)
SELECT t.name, t.leaf, a.leaf, {ACCOUNT} FROM t CROSS JOIN accounts a ON a.tenant = t.id
"""
"""Looks up a day once for each tenant, because there are fewer tenants than accounts: each day adds a row for each
tenant."""

Key = tuple[int, str]
Balance = tuple[Spend, Spend]
"""The spent and the reserved amounts."""

_EMPTY: Balance = (NOTHING, NOTHING)


def validate_bookings(booked: Sequence[Booking]) -> Sequence[Booking]:
    """Returns the bookings that change something. Raises `Misused` for what no account can hold."""
    kept: list[Booking] = []
    for booking in booked:
        check_day(booking.day)
        changes = False
        for spend in (booking.spent, booking.reserved, booking.prepaid):
            if spend is not NOTHING:
                check_spend(spend)
                changes = changes or spend != NOTHING
        if changes:
            kept.append(booking)
    return kept


@lru_cache(maxsize=64)
def check_day(day: str) -> None:
    """Raises `Misused` if `day` is not a date."""
    try:
        if _DAY.fullmatch(day) and date.fromisoformat(day):
            return
    except ValueError:
        pass
    raise Misused(f"an account's day is {day!r}; it must be a day as YYYY-MM-DD")


def check_tenant(tenant: str) -> None:
    """Raises `Misused` for the name that stands for all tenants."""
    if tenant == ALL:
        raise Misused(f"no tenant can be called {ALL!r}: it stands for all of them")


def check_spend(spend: Spend) -> None:
    """Raises `Misused` for what no account can hold."""
    usd = spend.usd
    if usd is not _NO_USD:
        _check_money(usd)
        if usd:
            exponent = usd.as_tuple().exponent
            if isinstance(exponent, int) and exponent < -MAX_DECIMALS:
                raise Misused(f"usd {usd} has {-exponent} decimals; an account holds {MAX_DECIMALS}")
    _check_bounds(spend)


def _check_money(usd: object) -> None:
    if not isinstance(usd, Decimal) or not usd.is_finite():
        raise Misused(f"an account takes usd as a finite Decimal, not {usd!r}")


def _check_bounds(spend: Spend) -> None:
    if (
        _MIN_USD <= spend.usd <= MAX_USD
        and -MAX_COUNT <= spend.tokens <= MAX_COUNT
        and -MAX_COUNT <= spend.model_calls <= MAX_COUNT
        and -MAX_COUNT <= spend.tool_calls <= MAX_COUNT
    ):
        return
    if not _MIN_USD <= spend.usd <= MAX_USD:
        raise Misused(f"an account holds up to {MAX_USD:f} usd, not {spend.usd}")
    for what in _COUNTS:
        count: int = getattr(spend, what)
        if not -MAX_COUNT <= count <= MAX_COUNT:
            raise Misused(f"an account holds up to {MAX_COUNT} {what}, not {count}")


def add_spend(one: Spend, other: Spend) -> Spend:
    """Returns the exact sum. Raises `Misused` if an account can't hold it."""
    if other is NOTHING:
        return one
    total = Spend(
        usd=_exact.add(one.usd, other.usd) if other.usd else one.usd,
        tokens=one.tokens + other.tokens,
        model_calls=one.model_calls + other.model_calls,
        tool_calls=one.tool_calls + other.tool_calls,
    )
    _check_bounds(total)
    return total


def check_need(need: Spend, tenant: str, caps: Sequence[Cap]) -> None:
    """Raises `Misused` for a reservation below zero, one that no account can hold, and a cap of another tenant."""
    check_spend(need)
    if need.usd < 0 or any(getattr(need, name) < 0 for name in _COUNTS):
        raise Misused(f"{need} can't be reserved: it is below zero; a booking takes a reservation back")
    for cap in caps:
        if cap.scope != "day" and cap.tenant != tenant:
            raise Misused(f"a cap of tenant {cap.tenant!r} does not apply to tenant {tenant!r}")
        if cap.usd is not None:
            _check_money(cap.usd)


ROWS_KEPT = 10_000
"""Accounts that are kept in memory: those of some thousand tenants on one day, about 10 MB."""


class AccountRows:
    """The accounts that a commit reads and changes.

    They are kept from commit to commit. Like the runs of a `Transaction` they are valid as long as no other process
    has written: every commit that changes an account adds a batch.
    """

    def __init__(self, database: Database, total: RowSum) -> None:
        self._database = database
        self._sum = total
        self._found: dict[Key, Balance] = {}
        self._digests: dict[Key, int] = {}
        """The digests of the rows that are in the file, as numbers."""
        self._written: dict[Key, int] = {}
        self._changed: dict[Key, Balance] = {}

    def clear(self) -> None:
        """Forgets the changes that were not written."""
        self._changed.clear()
        self._written.clear()

    def forget(self) -> None:
        """Forgets all rows, because another process has written or a commit failed."""
        self._found.clear()
        self._digests.clear()
        self.clear()

    def keep(self) -> None:
        """Keeps what was written, because the commit succeeded."""
        self._found.update(self._changed)
        self._digests.update(self._written)
        if len(self._found) > ROWS_KEPT:
            self._found.clear()
            self._digests.clear()

    @property
    def changed(self) -> bool:
        """True if there are rows to write."""
        return bool(self._changed)

    def _load(self, key: Key) -> Balance:
        both = self._changed.get(key) or self._found.get(key)
        if both is None:
            row = self._database.fetch_first(_ONE, key)
            if row is not None:
                self._digests[key] = int.from_bytes(check_row("accounts", row[1:], row[0]), "big")
            both = self._found[key] = _EMPTY if row is None else _to_balance(row[3:])
        return both

    def book(self, tenant: int, booked: Iterable[Booking]) -> None:
        """Adds each booking to three rows. Raises `Misused`, and changes nothing, if one can't hold the sum."""
        new: dict[Key, Balance] = {}
        for booking in booked:
            for key in list_keys(tenant, booking.day):
                spent, reserved = new.get(key) or self._load(key)
                if booking.spent is not NOTHING:
                    spent = add_spend(spent, booking.spent)
                if booking.reserved is not NOTHING:
                    reserved = add_spend(reserved, booking.reserved)
                new[key] = (spent, reserved)
        self._changed.update(new)

    def find_exceeded_cap(
        self, tenant: int | None, day: str, need: Spend, caps: Sequence[Cap]
    ) -> OverCap | None:
        """Returns a cap that `need` would exceed, preferably one where waiting does not help; None if it fits under
        all.
        """
        waits: OverCap | None = None
        for cap in caps:
            of = ALL_TENANTS if cap.scope == "day" else tenant
            both = _EMPTY if of is None else self._load((of, ALL if cap.scope == "tenant" else day))
            for what, limit, sure, value in _measure_against(cap, both, need):
                if value > limit:
                    over = OverCap(cap=cap, what=what, limit=limit, value=value, waits=sure <= limit)
                    if not over.waits:
                        return over
                    waits = waits or over
        return waits

    def write(self) -> None:
        """Writes every row that has changed."""
        new: list[Row] = []
        known: list[Row] = []
        for key, (spent, reserved) in self._changed.items():
            row = (
                *key,
                *(money_to_text(spent.usd), spent.tokens, spent.model_calls, spent.tool_calls),
                *(money_to_text(reserved.usd), reserved.tokens, reserved.model_calls, reserved.tool_calls),
            )
            digest = digest_row("accounts", row)
            old = self._digests.get(key, 0)
            self._written[key] = self._sum.replace(old, digest)
            (known if old else new).append((*row, digest[:LEAF_BYTES]))
        database = self._database
        if known:
            before = database.total_changes
            database.run_many(_UPDATE, known)
            if database.total_changes - before != len(known):  # another program has deleted one of these rows
                new += known
        if new:
            database.run_many(_WRITE, new)


def list_keys(tenant: int, day: str) -> tuple[Key, Key, Key]:
    """Returns the three accounts that a booking changes."""
    return (tenant, day), (tenant, ALL), (ALL_TENANTS, day)


def _measure_against(
    cap: Cap, both: Balance, need: Spend
) -> Iterator[tuple[_What, _Number, _Number, _Number]]:
    """Yields, for each kind of cost in `need` that `cap` limits: the limit, the amount that would be spent, and that
    amount plus what is reserved.
    """
    spent, reserved = both
    if cap.usd is not None and need.usd:
        usd = _exact.add(spent.usd, need.usd)
        yield "usd", cap.usd, usd, _exact.add(usd, reserved.usd)
    for what in _COUNTS:
        limit: int | None = getattr(cap, what)
        wanted: int = getattr(need, what)
        if limit is not None and wanted:
            sure: int = getattr(spent, what) + wanted
            yield what, limit, sure, sure + getattr(reserved, what)


def money_to_text(usd: Decimal) -> str:
    """Returns money as it is stored."""
    return format(usd.normalize(_exact), "f") if usd else "0"


def _to_balance(row: Sequence[Any]) -> Balance:
    spent = Spend(usd=Decimal(row[0]), tokens=row[1], model_calls=row[2], tool_calls=row[3])
    reserved = Spend(usd=Decimal(row[4]), tokens=row[5], model_calls=row[6], tool_calls=row[7])
    return spent, reserved


def read_accounts(
    database: Database, tenant: str | None, day: str | None, lost: Mapping[Key, Spend]
) -> list[Account]:
    """Returns the accounts by tenant and day; `lost` holds, by account, the reservations of dead processes, which are
    left out.
    """
    where: list[str] = []
    values: list[object] = []
    if tenant == ALL:
        where.append(f"a.tenant = {ALL_TENANTS}")
    elif tenant is not None:
        where.append("a.tenant = (SELECT id FROM tenants WHERE name = ?)")
        values.append(tenant)
    if day is not None:
        where.append("a.day = ?")
        values.append(day)
    select = _SELECT_DAY if tenant is None and day is not None else _SELECT
    rows = database.fetch_all(
        f"{select} WHERE {' AND '.join(where) or '1'} ORDER BY coalesce(t.name, '{ALL}'), a.day", values
    )
    found: list[Account] = []
    for name, tenant_leaf, leaf, *row in rows:
        check_row("accounts", row, leaf)
        key, of, *values = row
        owner = ALL if key == ALL_TENANTS else check_tenant_row(key, name, tenant_leaf)
        spent, reserved = _to_balance(values)
        reserved = add_spend(reserved, -lost.get((key, of), NOTHING))
        found.append(Account(tenant=owner, day=of, spent=spent, reserved=reserved))
    return found
