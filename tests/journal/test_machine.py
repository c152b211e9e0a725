"""Random histories, compared with a model that is too simple to be wrong."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from journal.story import bodies, done, ended, intended, started
from seawall.core.canonical import Ref, ref_of
from seawall.core.errors import Fenced, Misused, Refused, SeawallBug
from seawall.core.events import Event
from seawall.journal.protocol import Booking, Cap, Command, Lease, Spend, Summary
from seawall.journal.sqlite import SqliteJournal
from seawall.testing import ManualClock

TENANTS = st.sampled_from(["acme", "other"])
CONTENTS = st.sampled_from([b"", b"a", b"b", b"c" * 5_000])
HANDLES = st.integers(0, 1)
DAYS = st.sampled_from(["2026-01-01", "2026-01-02"])
CENT = Decimal("0.01")


@dataclass
class Run:
    """A run in the model."""

    tenant: str
    request: str | None
    epoch: int
    owner: int | None
    events: list[Event]
    commands: list[Command] = field(default_factory=list)
    ended_at: float | None = None
    pruned: bool = False


class JournalMachine(RuleBasedStateMachine):
    """Operations on two handles of one file, which are reopened and pruned in between."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.mkdtemp()
        self.clock = ManualClock()
        self.handles = [self.open(), self.open()]
        self.runs: dict[str, Run] = {}
        self.stored: dict[str, set[bytes]] = {"acme": set(), "other": set()}
        self.shared: dict[str, bytes] = {}
        self.spent: Counter[tuple[str, str]] = Counter()  # (tenant, day) → cents
        self.reserved: Counter[tuple[str, str]] = Counter()

    def open(self) -> SqliteJournal:
        return SqliteJournal.open(str(Path(self.directory) / "journal.db"), clock=self.clock)

    def teardown(self) -> None:
        for handle in self.handles:
            self.loop.run_until_complete(handle.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.directory)

    @rule(
        target=leases,
        handle=HANDLES,
        tenant=TENANTS,
        request=st.sampled_from([None, "q"]),
        take=st.booleans(),
    )
    def create(self, handle: int, tenant: str, request: str | None, take: bool) -> object:
        name = f"r-{len(self.runs)}"
        known = [key for key, run in self.runs.items() if (run.tenant, run.request) == (tenant, request)]
        intent = b"%d" % len(self.runs)
        first = started(name, tenant=tenant, request_id=request, intent=ref_of(intent))
        lease = self.loop.run_until_complete(
            self.handles[handle].create(first, [], bodies(intent), take=take)
        )
        if request is not None and known:
            assert (lease.run, lease.epoch) == (known[0], 0)
            return multiple()
        self.stored[tenant].add(intent)
        self.runs[name] = Run(tenant, request, int(take), handle if take else None, [first])
        assert (lease.run, lease.epoch) == (name, int(take))
        return (handle, lease)

    @rule(
        where=leases, contents=st.lists(CONTENTS, max_size=3), gap=st.sampled_from([0, 0, 0, 0, 1]), day=DAYS
    )
    def append(self, where: tuple[int, Lease], contents: list[bytes], gap: int, day: str) -> None:
        handle, lease = where
        run = self.runs[lease.run]
        events: list[Event] = [intended(0), *(done(0, content) for content in contents)]
        seq = len(run.events) + gap
        cents = len(contents)
        booked = [Booking(day=day, spent=Spend(usd=CENT * cents, tokens=cents))]
        appended = self.write(handle, lease, seq, events, bodies(b"{}", *contents), booked=booked)
        if lease.epoch != run.epoch:
            with pytest.raises(Fenced):
                self.loop.run_until_complete(appended)
        elif gap:
            with pytest.raises(SeawallBug):
                self.loop.run_until_complete(appended)
            self.take(handle, lease.run, force=True)
        else:
            self.loop.run_until_complete(appended)
            run.events += events
            self.stored[run.tenant] |= {b"{}", *contents}
            self.spent[run.tenant, day] += cents

    async def write(
        self,
        handle: int,
        lease: Lease,
        seq: int,
        events: list[Event],
        contents: dict[Ref, bytes],
        summary: Summary | None = None,
        booked: Sequence[Booking] = (),
    ) -> None:
        await self.handles[handle].append(lease, seq, events, contents, summary=summary, booked=booked)

    def take(self, handle: int, name: str, force: bool) -> Lease | None:
        run = self.runs[name]
        taken = self.handles[handle].take(name, force=force)
        if run.ended_at is not None:
            with pytest.raises(Misused, match="ended"):
                self.loop.run_until_complete(taken)
            return None
        if run.owner is not None and not force:
            with pytest.raises(Refused):
                self.loop.run_until_complete(taken)
            return None
        lease = self.loop.run_until_complete(taken)
        run.epoch += 1
        run.owner = handle
        assert lease == Lease(name, run.tenant, self.handles[handle].owner, run.epoch)
        return lease

    @rule(target=leases, handle=HANDLES, where=leases, force=st.booleans())
    def take_it(self, handle: int, where: tuple[int, Lease], force: bool) -> object:
        lease = self.take(handle, where[1].run, force)
        return multiple() if lease is None else (handle, lease)

    @rule(where=leases)
    def release(self, where: tuple[int, Lease]) -> None:
        handle, lease = where
        run = self.runs[lease.run]
        self.loop.run_until_complete(self.handles[handle].release(lease))
        if run.epoch == lease.epoch and run.ended_at is None:
            run.owner = None

    @rule(where=consumes(leases))
    def end(self, where: tuple[int, Lease]) -> None:
        handle, lease = where
        run = self.runs[lease.run]
        if run.ended_at is not None or lease.epoch != run.epoch:
            return
        event = ended()
        summary = Summary(status="completed")
        self.loop.run_until_complete(self.write(handle, lease, len(run.events), [event], {}, summary))
        run.events.append(event)
        run.ended_at, run.owner = self.clock.wall_s(), None

    @rule(handle=HANDLES, where=leases, kind=st.sampled_from(["late", "cancel"]))
    def send(self, handle: int, where: tuple[int, Lease], kind: str) -> None:
        run = self.runs[where[1].run]
        command = Command(kind="late" if kind == "late" else "cancel")
        sent = self.handles[handle].send(where[1].run, command)
        if run.ended_at is not None:
            with pytest.raises(Misused):
                self.loop.run_until_complete(sent)
        else:
            assert self.loop.run_until_complete(sent) == len(run.commands)
            run.commands.append(command)

    @rule(handle=HANDLES, key=st.sampled_from(["a", "ab", "b"]), value=st.none() | CONTENTS)
    def change(self, handle: int, key: str, value: bytes | None) -> None:
        old = self.shared.pop(key, None)
        if value is not None:
            self.shared[key] = (old or b"")[-3:] + value
        changed = self.handles[handle].change(
            key, lambda found: None if value is None else (found or b"")[-3:] + value
        )
        assert self.loop.run_until_complete(changed) == self.shared.get(key)

    @rule(handle=HANDLES, tenant=TENANTS, day=DAYS, scope=st.sampled_from(["tenant", "tenant_day", "day"]))
    def reserve(
        self, handle: int, tenant: str, day: str, scope: Literal["tenant", "tenant_day", "day"]
    ) -> None:
        limit = 3
        cap = Cap(scope=scope, tenant="" if scope == "day" else tenant, usd=CENT * limit)
        answer = self.loop.run_until_complete(
            self.handles[handle].reserve(tenant, day, Spend(usd=CENT, tokens=1), [cap])
        )
        key = {"tenant": (tenant, "*"), "tenant_day": (tenant, day), "day": ("*", day)}[scope]
        spent, reserved = self.total(self.spent)[key], self.total(self.reserved)[key]
        if spent + reserved < limit:
            assert answer is None
            self.reserved[tenant, day] += 1
        else:
            assert answer is not None
            assert (answer.value, answer.waits) == (CENT * (spent + reserved + 1), spent < limit)

    @rule(handle=HANDLES, tenant=TENANTS, day=DAYS)
    def settle(self, handle: int, tenant: str, day: str) -> None:
        if self.reserved[tenant, day]:
            cent = Spend(usd=CENT, tokens=1)
            booked = [Booking(day=day, reserved=-cent, spent=cent)]
            self.loop.run_until_complete(self.handles[handle].book(tenant, booked))
            self.reserved[tenant, day] -= 1
            self.spent[tenant, day] += 1

    @staticmethod
    def total(cents: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
        totals: Counter[tuple[str, str]] = Counter()
        for (tenant, day), count in cents.items():
            for key in ((tenant, day), (tenant, "*"), ("*", day)):
                totals[key] += count
        return totals

    @rule(handle=HANDLES, tenant=TENANTS, content=CONTENTS)
    def erase(self, handle: int, tenant: str, content: bytes) -> None:
        count = self.loop.run_until_complete(self.handles[handle].erase(tenant, [ref_of(content)]))
        assert count == (content in self.stored[tenant])
        self.stored[tenant].discard(content)

    @rule(handle=HANDLES)
    def prune(self, handle: int) -> None:
        self.loop.run_until_complete(self.clock.advance(1))
        going = [run for run in self.runs.values() if run.ended_at is not None and not run.pruned]
        plan = self.loop.run_until_complete(
            self.handles[handle].prune(before=self.clock.wall_s(), dry_run=True)
        )
        found = self.loop.run_until_complete(self.handles[handle].prune(before=self.clock.wall_s()))
        assert (found.runs, found.events) == (len(going), sum(len(run.events) for run in going))
        assert (plan.runs, plan.events, plan.bodies) == (found.runs, found.events, found.bodies)
        for run in going:
            run.pruned = True
        for tenant, contents in self.stored.items():
            gone = {ref for run in going if run.tenant == tenant for ref in _mentioned(run)}
            kept = {
                ref
                for run in self.runs.values()
                if run.tenant == tenant and not run.pruned
                for ref in _mentioned(run)
            }
            contents -= {content for content in contents if ref_of(content) in gone - kept}

    @rule(handle=HANDLES)
    def reopen(self, handle: int) -> None:
        self.loop.run_until_complete(self.handles[handle].close())
        self.handles[handle] = self.open()
        for run in self.runs.values():
            if run.owner == handle:
                run.owner = None

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        self.loop.run_until_complete(self.compare())

    async def compare(self) -> None:
        for handle in self.handles:
            rows = {row.run: row for row in await handle.runs()}
            assert set(rows) == set(self.runs)
            for name, run in self.runs.items():
                assert await handle.events(name) == ([] if run.pruned else run.events)
                commands = [] if run.pruned else run.commands
                assert [item.command for item in await handle.inbox(name)] == commands
                assert (rows[name].state == "ended") == (run.ended_at is not None)
                assert rows[name].epoch == run.epoch
            for tenant, contents in self.stored.items():
                found = await handle.bodies(tenant, [ref_of(content) for content in contents])
                assert set(found.values()) == contents
            assert await handle.shared("") == dict(sorted(self.shared.items()))
            assert await handle.shared("a") == {k: v for k, v in self.shared.items() if k[0] == "a"}
            accounts = {(each.tenant, each.day): each for each in await handle.accounts()}
            for cents, name in ((self.spent, "spent"), (self.reserved, "reserved")):
                spends = {key: getattr(account, name) for key, account in accounts.items()}
                totals = self.total(cents)
                assert {key: each.tokens for key, each in spends.items() if each.tokens} == +totals
                assert all(each.usd == CENT * totals[key] for key, each in spends.items())
        found = await self.handles[0].verify()
        assert found.bad is None


def _mentioned(run: Run) -> set[str]:
    refs: set[str] = set()
    for event in run.events:
        for name in ("intent", "input", "output"):
            ref = getattr(event, name, None)
            if ref is not None:
                refs.add(ref)
    return refs


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
