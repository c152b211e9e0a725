"""What a run's steps add to the accounts of its tenant: the changes of its ledger, by the day of each step."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from seawall.core.events import Event, StepDone, StepIntended
from seawall.journal.protocol import Booking, Spend
from seawall.run.ledger import Ledger
from seawall.run.state import RunState

DAY_S = 86_400


def day_of(at: float) -> str:
    """The day (UTC) of a wall time, as `YYYY-MM-DD`."""
    return _day(int(at // DAY_S))


@functools.lru_cache(maxsize=16)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * DAY_S, UTC).date().isoformat()


def need_of(kind: str, tokens: int, usd: Decimal) -> Spend:
    """What a step reserves, its call included."""
    if kind == "model":
        return Spend(usd=usd, tokens=tokens, model_calls=1)
    return Spend(tool_calls=1) if kind == "tool" else Spend()


class SpendDelta:
    """Changes that are not booked yet. They go to the journal with the events that they come from."""

    def __init__(self) -> None:
        self._changes: dict[str, tuple[Spend, Spend]] = {}

    def __repr__(self) -> str:
        return f"<SpendDelta {', '.join(self._changes) or 'nothing to book'}>"

    def note(self, event: Event, before: RunState, after: Ledger) -> None:
        """An event of the run was folded into `before`, and made its ledger `after`."""
        ledger = before.ledger
        if ledger is after:
            return
        step = event if isinstance(event, StepIntended) else None
        if isinstance(event, StepDone):
            step = before.open.get(event.step)
        if step is None:
            return
        reserved = Spend(
            usd=after.reserved_usd - ledger.reserved_usd,
            tokens=after.reserved_tokens - ledger.reserved_tokens,
        )
        spent = Spend(
            usd=after.usd - ledger.usd,
            tokens=after.tokens - ledger.tokens,
            model_calls=after.model_calls - ledger.model_calls,
            tool_calls=after.tool_calls - ledger.tool_calls,
        )
        if step is event and step.prepaid:  # all of it stands as reserved, its call too, which is spent now
            reserved = add_spend(reserved, -need_of(step.kind, step.tokens, step.usd))
        self._add(step.prepaid or day_of(step.at), reserved, spent)

    def _add(self, day: str, reserved: Spend, spent: Spend) -> None:
        known = self._changes.get(day)
        if known is not None:
            reserved, spent = add_spend(known[0], reserved), add_spend(known[1], spent)
        self._changes[day] = reserved, spent

    def take(self) -> list[Booking]:
        """What is to be booked now; the books are empty after it."""
        if not self._changes:
            return []
        changes, self._changes = self._changes, {}
        return [Booking(day=day, reserved=each[0], spent=each[1]) for day, each in changes.items()]


def add_spend(one: Spend, other: Spend) -> Spend:
    """The sum of two."""
    return msgspec.structs.replace(
        one,
        usd=one.usd + other.usd,
        tokens=one.tokens + other.tokens,
        model_calls=one.model_calls + other.model_calls,
        tool_calls=one.tool_calls + other.tool_calls,
    )
