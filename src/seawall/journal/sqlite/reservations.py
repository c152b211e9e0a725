"""Reservations: amounts that a process has reserved for its runs, and that no step has taken over yet.

They are a part of the reserved sums of the accounts. They are stored by process, run and day, so that they can be given
back when the process is dead. Each row is written in the transaction that changes its account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from seawall.core.errors import Fenced, Misused
from seawall.journal.protocol import NOTHING, Booking, Spend
from seawall.journal.sqlite.accounts import (
    AccountRows,
    Key,
    add_spend,
    list_keys,
    money_to_text,
)
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.row_sum import LEAF_BYTES, RESERVATION, RowSum, check_row, digest_row

_SELECT = f"SELECT leaf, {RESERVATION} FROM reservations"
_OF_RUN = f"{_SELECT} WHERE owner = ? AND run = ?"
_OF_OWNER = f"{_SELECT} WHERE owner = ?"
_OWNERS = "SELECT DISTINCT owner FROM reservations"
_OWNERS_OF_RUN = "SELECT owner FROM reservations WHERE run = ?"
_WRITE = f"INSERT OR REPLACE INTO reservations({RESERVATION}, leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM reservations WHERE owner = ? AND run = ? AND day = ?"

ROWS_KEPT = 10_000
"""Runs whose reservations are kept in memory: more than can be in flight."""


class _Held:
    """One row: the amount that a process has reserved for a run on a day."""

    __slots__ = ("digest", "spend", "tenant")

    def __init__(self, tenant: int, spend: Spend, digest: bytes | None) -> None:
        self.tenant = tenant
        self.spend = spend
        self.digest = digest
        """The digest of the row in the file; None if the file has no such row."""


Holder = tuple[str, str]
"""A process and one of its runs."""
Days = Mapping[str, _Held]


class Reservations:
    """The reservations that a commit reads and changes. They are kept from commit to commit as `AccountRows` are."""

    def __init__(self, database: Database, total: RowSum, accounts: AccountRows) -> None:
        self._database = database
        self._sum = total
        self._accounts = accounts
        self._found: dict[Holder, Days] = {}
        self._changed: dict[Holder, Days] = {}
        self._written: dict[Holder, Days] = {}

    def clear(self) -> None:
        """Forgets the changes that were not written."""
        self._changed.clear()
        self._written.clear()

    def forget(self) -> None:
        """Forgets all rows, because another process has written or a commit failed."""
        self._found.clear()
        self.clear()

    def keep(self) -> None:
        """Keeps what was written, because the commit succeeded."""
        for holder, days in self._written.items():
            if days:
                self._found[holder] = days
            else:
                self._found.pop(holder, None)
        if len(self._found) > ROWS_KEPT:
            self._found.clear()

    @property
    def changed(self) -> bool:
        """True if there are rows to write."""
        return bool(self._changed)

    def _load(self, holder: Holder) -> Days:
        days = self._changed.get(holder)
        if days is None:
            days = self._found.get(holder)
        if days is None:
            days = self._found[holder] = _to_days(self._database.fetch_all(_OF_RUN, holder))
        return days

    def _change(self, holder: Holder, day: str, tenant: int, spend: Spend) -> None:
        days = self._load(holder)
        digest = days[day].digest if day in days else None
        self._changed[holder] = {**days, day: _Held(tenant, spend, digest)}

    def reserve(self, holder: Holder, tenant: int, day: str, need: Spend) -> None:
        """Adds an amount to the reservation of a run. Raises `Misused`, and changes nothing, if an account can't hold
        it.
        """
        held = self._load(holder).get(day)
        if held is not None and held.tenant != tenant and held.spend != NOTHING:
            raise Misused(f"run {holder[1]} has reserved for another tenant on {day}")
        total = need if held is None else add_spend(held.spend, need)
        self._accounts.book(tenant, [Booking(day=day, reserved=need)])
        self._change(holder, day, tenant, total)

    def book(self, holder: Holder, tenant: int, booked: Sequence[Booking]) -> None:
        """Books the amounts of a run's events in its accounts; the steps take over the amounts that were reserved for
        them. Raises `Fenced` if the reservation was given back meanwhile, and `Misused` if an account can't hold the
        sum; in both cases nothing is booked.
        """
        left: dict[str, Spend] = {}
        for booking in booked:
            if booking.prepaid is NOTHING or booking.prepaid == NOTHING:
                continue
            held = self._load(holder).get(booking.day)
            have = left.get(booking.day) or (NOTHING if held is None else held.spend)
            rest = add_spend(have, -booking.prepaid)
            if _is_below_zero(rest) or (held is not None and held.tenant != tenant):
                raise Fenced(
                    f"run {holder[1]}: what was reserved for its next steps was given back, because the lease of this "
                    f"process ({holder[0]}) had run out; resume the run"
                )
            left[booking.day] = rest
        self._accounts.book(tenant, booked)
        for day, rest in left.items():
            self._change(holder, day, tenant, rest)

    def give_back(self, holder: Holder, day: str | None = None, part: Spend | None = None) -> bool:
        """Gives back a process's reservation for a run, or up to `part` of it; returns whether there was any."""
        given = False
        for each, held in list(self._load(holder).items()):
            if held.spend == NOTHING or day not in (None, each):
                continue
            back = held.spend if part is None else _take_lower(held.spend, part)
            if back != NOTHING:
                self._accounts.book(held.tenant, [Booking(day=each, reserved=-back)])
                self._change(holder, each, held.tenant, add_spend(held.spend, -back))
                given = True
        return given

    def give_back_all(self, owner: str) -> bool:
        """Gives back all reservations of a process; returns whether there were any."""
        given = False
        for run in dict.fromkeys(row[2] for row in self._database.fetch_all(_OF_OWNER, (owner,))):
            given = self.give_back((owner, run)) or given
        return given

    def list_owners(self, run: str | None = None) -> list[str]:
        """Returns the processes with reservations in the file; with `run`, only those with a reservation for that
        run.
        """
        if run is None:
            return [row[0] for row in self._database.fetch_all(_OWNERS)]
        return [row[0] for row in self._database.fetch_all(_OWNERS_OF_RUN, (run,))]

    def write(self) -> None:
        """Writes every row that has changed, and deletes empty ones."""
        put: list[Row] = []
        gone: list[Row] = []
        for holder, days in self._changed.items():
            kept: dict[str, _Held] = {}
            for day, held in days.items():
                before = self._found.get(holder, {}).get(day)
                if before is held:
                    kept[day] = held
                    continue
                if held.digest is not None:
                    self._sum.remove(held.digest)
                if held.spend == NOTHING:
                    if held.digest is not None:
                        gone.append((*holder, day))
                    continue
                row = (*holder, day, held.tenant, *_to_row(held.spend))
                digest = digest_row("reservations", row)
                self._sum.add(digest)
                put.append((*row, digest[:LEAF_BYTES]))
                kept[day] = _Held(held.tenant, held.spend, digest)
            self._written[holder] = kept
        if put:
            self._database.run_many(_WRITE, put)
        if gone:
            self._database.run_many(_DELETE, gone)


def _is_below_zero(spend: Spend) -> bool:
    return spend.usd < 0 or spend.tokens < 0 or spend.model_calls < 0 or spend.tool_calls < 0


def _take_lower(one: Spend, other: Spend) -> Spend:
    return Spend(
        usd=min(one.usd, other.usd),
        tokens=min(one.tokens, other.tokens),
        model_calls=min(one.model_calls, other.model_calls),
        tool_calls=min(one.tool_calls, other.tool_calls),
    )


def _to_row(spend: Spend) -> Row:
    return money_to_text(spend.usd), spend.tokens, spend.model_calls, spend.tool_calls


def _to_days(rows: Iterable[Row]) -> dict[str, _Held]:
    days: dict[str, _Held] = {}
    for leaf, *values in rows:
        digest = check_row("reservations", values, leaf)
        _, _, day, tenant, *spend = values
        days[day] = _Held(tenant, _to_spend(spend), digest)
    return days


def _to_spend(values: Sequence[Any]) -> Spend:
    usd, tokens, model_calls, tool_calls = values
    return Spend(usd=Decimal(usd), tokens=tokens, model_calls=model_calls, tool_calls=tool_calls)


def read_lost(database: Database, alive: Callable[[str], bool]) -> dict[Key, Spend]:
    """Returns, by account, the reservations of dead processes. The next process that reserves gives them back."""
    lost: dict[Key, Spend] = {}
    for leaf, *values in database.fetch_all(_SELECT):
        check_row("reservations", values, leaf)
        owner, _, day, tenant, *spend = values
        if not alive(owner):
            for key in list_keys(tenant, day):
                lost[key] = add_spend(lost.get(key, NOTHING), _to_spend(spend))
    return lost
