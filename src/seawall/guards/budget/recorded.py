"""The caps on tenants and days, as the journal has them: whoever gave some last gave them for every process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import msgspec

from seawall.core.errors import SeawallError
from seawall.guards.budget.options import Budget, Caps
from seawall.journal.protocol import Journal, OverCap

CAPS = "caps"
"""The shared record of the caps that were given last. One beside it, `caps:NAME`, for each tenant with caps of
its own: a record is small."""
SHORT = "short:"
"""Before the shared records of calls that did not fit under a cap: one for each account in which that happened."""

_log = logging.getLogger("seawall")


class RecordedCaps:
    """The caps that hold in this process: those on the journal, which `given` took the place of when it opened."""

    def __init__(self, given: Budget | None) -> None:
        self._given = given
        self._budget = given
        self._seen: dict[str, bytes] = {}
        self._follows = True
        self._reading = 0
        """How many readings have begun, and which of them was taken in last."""
        self._read = 0

    @property
    def budget(self) -> Budget | None:
        """What holds now; None if nothing is capped."""
        return self._budget

    def usd(self, tenant: str) -> Decimal | None:
        """The lowest cap on money that this tenant's calls fall under; None if there is none."""
        caps = () if self._budget is None else self._budget.caps(tenant)
        return min((cap.usd for cap in caps if cap.usd is not None), default=None)

    async def open(self, journal: Journal) -> None:
        """Write down what was given; it then holds for every process. Without, take in what is recorded."""
        self._follows = True
        self._seen = {}
        self._budget = self._given
        if self._given is not None:
            try:
                await _tell(journal, self._given)
            except SeawallError as error:  # they hold here all the same, and what is recorded does not
                _log.warning("the caps could not be written down for other processes: %s", error)
                self._follows = False
        await self.read(journal)

    async def read(self, journal: Journal) -> bool:
        """Take in what is recorded, unless a reading that began later came before; whether it has changed."""
        if not self._follows:
            return False
        self._reading += 1
        number = self._reading
        records = await journal.shared(CAPS)
        if number < self._read:
            return False
        self._read = number
        if records == self._seen:
            return False
        self._seen = records
        before, found = self._budget, _decoded(records)
        self._budget = None if found == Budget() else found
        return self._budget != before


async def read_caps(journal: Journal) -> Budget:
    """The caps that a process on this journal gave last."""
    return _decoded(await journal.shared(CAPS))


async def record_shortfall(journal: Journal, over: OverCap, day: str, need: Decimal | int) -> None:
    """Record that a call of up to `need` did not fit any more; of a day and account the least is kept."""
    day = "*" if over.cap.scope == "tenant" else day

    def change(raw: bytes | None) -> bytes | None:
        known = _Short(day) if raw is None else msgspec.json.decode(raw, type=_Short)
        if known.day != day:
            known = _Short(day)
        least = known.needs.get(over.what)
        if least is not None and least <= need:
            return raw
        return msgspec.json.encode(_Short(day, {**known.needs, over.what: Decimal(need)}))

    await journal.change(f"{SHORT}{over.cap.scope}:{over.cap.tenant}", change)


async def read_shortfalls(journal: Journal, today: str) -> dict[tuple[str, str, str], Decimal]:
    """The least upper bounds of calls that did not fit any more, by scope, tenant and what was short."""
    found: dict[tuple[str, str, str], Decimal] = {}
    for key, raw in (await journal.shared(SHORT)).items():
        scope, _, tenant = key.removeprefix(SHORT).partition(":")
        short = msgspec.json.decode(raw, type=_Short)
        if short.day in ("*", today):
            found |= {(scope, tenant, what): need for what, need in short.needs.items()}
    return found


class _Short(msgspec.Struct):
    """Of one account on one day: what a call needed at least that did not fit, by what was short."""

    day: str
    needs: dict[str, Decimal] = {}


class _Own(msgspec.Struct, omit_defaults=True):
    """Caps of one tenant's own, as they are recorded."""

    tenant: Caps | None = None
    tenant_day: Caps | None = None


def _decoded(records: dict[str, bytes]) -> Budget:
    known = records.get(CAPS)
    budget = Budget() if known is None else msgspec.json.decode(known, type=Budget)
    own = {
        key.removeprefix(f"{CAPS}:"): msgspec.json.decode(each, type=_Own)
        for key, each in records.items()
        if key != CAPS
    }
    return replace(
        budget,
        tenants={name: each.tenant for name, each in own.items() if each.tenant is not None},
        tenants_day={name: each.tenant_day for name, each in own.items() if each.tenant_day is not None},
    )


async def _tell(journal: Journal, budget: Budget) -> None:
    names = budget.tenants.keys() | budget.tenants_day.keys()
    own = {name: _Own(budget.tenants.get(name), budget.tenants_day.get(name)) for name in names}
    wanted = {f"{CAPS}:{name}": msgspec.json.encode(each) for name, each in own.items()}
    wanted[CAPS] = msgspec.json.encode(replace(budget, tenants={}, tenants_day={}))
    known = await journal.shared(CAPS)
    changed = [key for key in known.keys() | wanted.keys() if known.get(key) != wanted.get(key)]
    await asyncio.gather(*(journal.change(key, _become(wanted.get(key))) for key in changed))


def _become(record: bytes | None) -> Callable[[bytes | None], bytes | None]:
    return lambda _: record
