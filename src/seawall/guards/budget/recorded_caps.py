"""The caps as the journal has them, for every process: those that were given last hold.

Beside them the journal keeps, for `seawall budget`, the calls that did not fit under a cap any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import msgspec

from seawall.core.errors import SeawallError
from seawall.guards.budget.options import Budget, Caps
from seawall.journal.protocol import Cap, Journal, OverCap

CAPS = "caps"
"""Key of the journal's shared record of the caps. Caps of a single tenant are in a record of their own beside it,
`caps:NAME`, as a record has a bounded size."""
SHORT = "short:"
"""Prefix of the shared records of calls that did not fit under a cap: one for each account in which that happened."""
MAX_TENANTS = 1_000
"""Tenants whose caps are kept ready for the next call; with more the cache starts anew. A process seldom has runs of
more tenants in flight, and an entry that is missing costs four microseconds."""

_log = logging.getLogger("seawall")


class RecordedCaps:
    """The caps that hold in this process: those in the journal, which `given` replaced when it was opened."""

    def __init__(self, given: Budget | None) -> None:
        self._given = given
        self._budget = given
        self._by_tenant: dict[str, Sequence[Cap]] = {}
        self._records: dict[str, bytes] = {}
        """The records as they were read last."""
        self._follows = True
        """Whether the journal's records hold here; False if `given` could not be recorded."""
        self._reads_begun = 0
        self._newest_read = 0
        """The number of the read whose result was taken over last: two reads may overlap."""

    @property
    def budget(self) -> Budget | None:
        """The budget that holds now; None if nothing is capped."""
        return self._budget

    def list_caps(self, tenant: str) -> Sequence[Cap]:
        """Returns the caps that hold for this tenant's calls."""
        if self._budget is None:
            return ()
        caps = self._by_tenant.get(tenant)
        if caps is None:
            if len(self._by_tenant) >= MAX_TENANTS:
                self._by_tenant.clear()
            caps = self._by_tenant[tenant] = tuple(self._budget.list_caps(tenant))
        return caps

    def get_usd_cap(self, tenant: str) -> Decimal | None:
        """Returns the lowest cap on money that holds for this tenant's calls; None if there is none."""
        return min((cap.usd for cap in self.list_caps(tenant) if cap.usd is not None), default=None)

    async def open(self, journal: Journal) -> None:
        """Records the caps that were given, for every process; without given ones, reads what is recorded."""
        self._follows = True
        self._records = {}
        self._set_budget(self._given)
        if self._given is not None:
            try:
                await _record_caps(journal, self._given)
            except (
                SeawallError
            ) as error:  # the given caps hold here all the same, and the recorded ones do not
                _log.warning("the caps could not be written down for other processes: %s", error)
                self._follows = False
        await self.read(journal)

    async def read(self, journal: Journal) -> bool:
        """Takes the recorded caps over, unless a newer read has already done so; returns whether they changed."""
        if not self._follows:
            return False
        self._reads_begun += 1
        number = self._reads_begun
        records = await journal.shared(CAPS)
        if number < self._newest_read:
            return False
        self._newest_read = number
        if records == self._records:
            return False
        self._records = records
        before, found = self._budget, _decode_budget(records)
        self._set_budget(None if found == Budget() else found)
        return self._budget != before

    def _set_budget(self, budget: Budget | None) -> None:
        self._budget = budget
        self._by_tenant = {}


async def read_caps(journal: Journal) -> Budget:
    """Reads the caps that a process on this journal gave last."""
    return _decode_budget(await journal.shared(CAPS))


async def record_shortfall(journal: Journal, over: OverCap, day: str, need: Decimal | int) -> None:
    """Records that a call of up to `need` did not fit under a cap. Of each account and day the least need is kept."""
    day = "*" if over.cap.scope == "tenant" else day

    def change(raw: bytes | None) -> bytes | None:
        known = _Shortfalls(day) if raw is None else msgspec.json.decode(raw, type=_Shortfalls)
        if known.day != day:
            known = _Shortfalls(day)
        least = known.needs.get(over.what)
        if least is not None and least <= need:
            return raw
        return msgspec.json.encode(_Shortfalls(day, {**known.needs, over.what: Decimal(need)}))

    await journal.change(f"{SHORT}{over.cap.scope}:{over.cap.tenant}", change)


async def read_shortfalls(journal: Journal, today: str) -> dict[tuple[str, str, str], Decimal]:
    """Reads the least needs that did not fit under a cap, by scope, tenant and capped field."""
    found: dict[tuple[str, str, str], Decimal] = {}
    for key, raw in (await journal.shared(SHORT)).items():
        scope, _, tenant = key.removeprefix(SHORT).partition(":")
        short = msgspec.json.decode(raw, type=_Shortfalls)
        if short.day in ("*", today):
            found |= {(scope, tenant, what): need for what, need in short.needs.items()}
    return found


class _Shortfalls(msgspec.Struct):
    """One account on one day: the least need that did not fit, by capped field."""

    day: str
    needs: dict[str, Decimal] = {}


class _TenantCaps(msgspec.Struct, omit_defaults=True):
    """The caps of a single tenant, as they are recorded."""

    tenant: Caps | None = None
    tenant_day: Caps | None = None


def _decode_budget(records: dict[str, bytes]) -> Budget:
    known = records.get(CAPS)
    budget = Budget() if known is None else msgspec.json.decode(known, type=Budget)
    own = {
        key.removeprefix(f"{CAPS}:"): msgspec.json.decode(each, type=_TenantCaps)
        for key, each in records.items()
        if key != CAPS
    }
    return replace(
        budget,
        tenants={name: each.tenant for name, each in own.items() if each.tenant is not None},
        tenants_day={name: each.tenant_day for name, each in own.items() if each.tenant_day is not None},
    )


async def _record_caps(journal: Journal, budget: Budget) -> None:
    """Writes the records that differ from the budget, and removes those of tenants that it does not name."""
    names = budget.tenants.keys() | budget.tenants_day.keys()
    own = {name: _TenantCaps(budget.tenants.get(name), budget.tenants_day.get(name)) for name in names}
    wanted = {f"{CAPS}:{name}": msgspec.json.encode(each) for name, each in own.items()}
    wanted[CAPS] = msgspec.json.encode(replace(budget, tenants={}, tenants_day={}))
    known = await journal.shared(CAPS)
    changed = [key for key in known.keys() | wanted.keys() if known.get(key) != wanted.get(key)]
    await asyncio.gather(*(journal.change(key, _replace_with(wanted.get(key))) for key in changed))


def _replace_with(record: bytes | None) -> Callable[[bytes | None], bytes | None]:
    return lambda _: record
