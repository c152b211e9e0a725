"""The amounts that a run's steps add to the accounts of its tenant: the changes of its ledger, by the day of each
step.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from seawall.core.events import CALLED, StepIntended
from seawall.journal.protocol import NOTHING, Booking, Spend
from seawall.run.ledger import EXACT, Ledger

DAY_S = 86_400
"""Seconds of an account's day, from midnight to midnight in UTC."""

_ZERO = NOTHING.usd


def day_of(at: float) -> str:
    """Returns the day (UTC) of a wall time, as `YYYY-MM-DD`."""
    return _day(int(at // DAY_S))


@functools.lru_cache(maxsize=16)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * DAY_S, UTC).date().isoformat()


def need_of(kind: str, tokens: int, usd: Decimal) -> Spend:
    """Returns the amounts that a step reserves, its call included."""
    if kind == "model":
        return Spend(usd=usd, tokens=tokens, model_calls=1)
    return Spend(tool_calls=1) if kind in CALLED else Spend()


class _Change(msgspec.Struct):
    """The amounts to book on one day."""

    reserved_usd: Decimal = _ZERO
    reserved_tokens: int = 0
    reserved_model_calls: int = 0
    reserved_tool_calls: int = 0
    usd: Decimal = _ZERO
    tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    prepaid: Spend = NOTHING


def _add(one: Spend, other: Spend) -> Spend:
    return Spend(
        usd=EXACT.add(one.usd, other.usd),
        tokens=one.tokens + other.tokens,
        model_calls=one.model_calls + other.model_calls,
        tool_calls=one.tool_calls + other.tool_calls,
    )


class SpendDelta:
    """The changes of a run's ledger that are not booked yet, by the day of each step.

    They go to the journal in the commit of the events that caused them.
    """

    def __init__(self) -> None:
        self._changes: dict[str, _Change] = {}

    def __repr__(self) -> str:
        return f"<SpendDelta {', '.join(self._changes) or 'nothing to book'}>"

    def add(self, step: StepIntended, ledger: Ledger, after: Ledger, *, intended: bool) -> None:
        """Adds the difference between `ledger` and `after`, which an event of `step` made: its intent, if `intended`,
        or its result.
        """
        day = step.prepaid or day_of(step.at)
        change = self._changes.get(day)
        if change is None:
            change = self._changes[day] = _Change()
        change.tool_calls += after.tool_calls - ledger.tool_calls
        if step.kind == "model":  # nothing else costs tokens or dollars
            more = EXACT.subtract(after.reserved_usd, ledger.reserved_usd)
            change.reserved_usd = EXACT.add(change.reserved_usd, more)
            change.reserved_tokens += after.reserved_tokens - ledger.reserved_tokens
            change.model_calls += after.model_calls - ledger.model_calls
            if not intended:
                change.usd += after.usd - ledger.usd
                change.tokens += after.tokens - ledger.tokens
        if (
            intended and step.prepaid
        ):  # all of it is reserved already, the call included, which counts as spent now
            need = need_of(step.kind, step.tokens, step.usd)
            change.reserved_usd = EXACT.subtract(change.reserved_usd, need.usd)
            change.reserved_tokens -= need.tokens
            change.reserved_model_calls -= need.model_calls
            change.reserved_tool_calls -= need.tool_calls
            change.prepaid = _add(change.prepaid, need)

    def take_bookings(self) -> list[Booking]:
        """Returns the bookings that are due now, and removes them."""
        if not self._changes:
            return []
        changes, self._changes = self._changes, {}
        bookings: list[Booking] = []
        for day, each in changes.items():
            reserved = Spend(
                usd=each.reserved_usd,
                tokens=each.reserved_tokens,
                model_calls=each.reserved_model_calls,
                tool_calls=each.reserved_tool_calls,
            )
            spent = Spend(
                usd=each.usd,
                tokens=each.tokens,
                model_calls=each.model_calls,
                tool_calls=each.tool_calls,
            )
            # Most steps change only one of the two sums, so `NOTHING` is not added.
            bookings.append(
                Booking(
                    day=day,
                    reserved=NOTHING if reserved == NOTHING else reserved,
                    spent=NOTHING if spent == NOTHING else spent,
                    prepaid=each.prepaid,
                )
            )
        return bookings
