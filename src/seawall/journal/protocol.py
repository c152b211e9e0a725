"""What a journal is: the append-only record of every run, and the one truth.

Implementations: `seawall.journal.sqlite.SqliteJournal`. Every one passes `tests/journal/contract.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, Protocol

import msgspec

from seawall.core.canonical import Ref
from seawall.core.errors import Misused
from seawall.core.events import Event, RunStarted, Status


class Lease(msgspec.Struct, frozen=True):
    """The right to append to one run. It ends when another owner takes the run under a higher epoch."""

    run: str
    tenant: str
    owner: str
    epoch: int


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message to a run's owner, from any process."""

    kind: Literal["cancel", "decide", "late"]
    """`late`: the receipt of effect step `step` came after its step had ended."""
    by: str = ""
    reason: str = ""
    step: int | None = None
    approved: bool | None = None
    output: Ref | None = None


class InboxItem(msgspec.Struct, frozen=True):
    """One command as it lies in the inbox of `run`; `number` counts from 0 within the run."""

    run: str
    number: int
    command: Command


SettingKind = Literal["guard", "pause", "endpoint"]

VALUES: Mapping[SettingKind, tuple[str, ...]] = {
    "guard": ("auto", "off", "observe", "enforce"),
    "pause": ("on", "off"),
    "endpoint": ("auto", "open", "closed", "isolated"),
}
"""What a setting of each kind can say."""


class Setting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody set live, for all processes on this journal. The newest of a kind and name counts.

    Raises `Misused` for a value that its kind does not have.
    """

    kind: SettingKind
    name: str
    """A guard's name; `tool:refund`, `agent:clerk`, `tenant:acme`, `run:r-…` or `all` for a pause;
    `tool:refund` or `model:openai:gpt-5.2` for an endpoint."""
    value: str
    """One of `VALUES[kind]`."""
    by: str
    why: str = ""
    at: float
    until: float | None = None
    """Wall seconds; after that it is as if it had never been set."""

    def __post_init__(self) -> None:
        """Check the value."""
        values = VALUES.get(self.kind)
        if values is None:
            raise Misused(f"there is no setting of kind {self.kind!r}; the kinds are {', '.join(VALUES)}")
        if self.value not in values:
            there = ", ".join(values)
            raise Misused(f"{self.kind} {self.name!r} can't be set to {self.value!r}; it is one of {there}")


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A finished run in one row; it can be made again from the run's events."""

    status: Status
    stopped_by: str | None = None
    usd: str = "0"
    tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    active_s: float = 0.0


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run as `seawall runs` lists it."""

    run: str
    tenant: str
    session: str | None
    team: str
    app: str | None
    state: Literal["running", "interrupted", "waiting", "ended", "queued"]
    """`interrupted`: it has not ended, is not waiting, and no live process owns it."""
    started_at: float
    ended_at: float | None
    owner: str | None
    epoch: int
    summary: Summary | None
    events: int


class Spend(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What steps cost. Sums are exact: money has up to 48 decimals, and no rounding ever."""

    usd: Decimal = Decimal(0)
    tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0

    def __neg__(self) -> Spend:
        """What takes it back, to the last decimal."""
        return Spend(
            usd=self.usd.copy_negate(),  # a minus sign would round to the context's digits
            tokens=-self.tokens,
            model_calls=-self.model_calls,
            tool_calls=-self.tool_calls,
        )


NOTHING = Spend()


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to the accounts of a tenant and a day; below zero takes it back.

    To settle a step is one booking: its reservation taken back, and what it cost as spent.
    """

    day: str
    """`YYYY-MM-DD`, UTC. A reservation is taken back on the day on which it was made."""
    reserved: Spend = NOTHING
    spent: Spend = NOTHING


class Cap(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be spent and reserved in one account. None: as much as one likes."""

    scope: Literal["tenant", "tenant_day", "day"]
    """The tenant for ever, the tenant on the day, or all tenants on the day."""
    tenant: str = ""
    """Whose; empty for the scope `day` (and for the tenant that has no name)."""
    usd: Decimal | None = None
    tokens: int | None = None
    model_calls: int | None = None
    tool_calls: int | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent and is reserved by a tenant on a day."""

    tenant: str
    """`*` stands for all tenants together."""
    day: str
    """`YYYY-MM-DD`, UTC; `*` stands for all days together."""
    spent: Spend = NOTHING
    reserved: Spend = NOTHING


class OverCap(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed does not fit under `cap`, and nothing was reserved."""

    cap: Cap
    what: Literal["usd", "tokens", "model_calls", "tool_calls"]
    limit: Decimal | int
    value: Decimal | int
    """What would be spent and reserved with it."""
    waits: bool
    """It would fit if the reservations of now came to nothing: a step in flight may take less than its bound.
    A reservation whose process died stays, so this may never come."""


class BadBatch(msgspec.Struct, frozen=True):
    """The first place where the journal is not what was written."""

    batch: int
    what: str
    run: str | None = None
    seq: int | None = None


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found. `ok` is true when nothing is bad; erased and pruned parts are not bad."""

    ok: bool
    batches: int
    events: int
    bodies: int
    erased: int
    pruned_events: int
    head: str
    bad: BadBatch | None = None


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What `prune` removed, or would remove."""

    runs: int
    events: int
    bodies: int
    body_bytes: int
    file_bytes_before: int
    file_bytes_after: int


class Journal(Protocol):
    """The seam. All times are wall seconds from the journal's injected clock.

    Order: appends of one run become durable in the order of the calls, all or a prefix. The value that
    `append` returns is awaited for durability; it is enqueued before `append` returns.
    """

    @property
    def owner(self) -> str:
        """This process, as leases name it: `host:pid:start`."""
        ...

    async def create(
        self,
        started: RunStarted,
        events: Sequence[Event],
        bodies: Mapping[Ref, bytes],
        *,
        take: bool = True,
        after: str | None = None,
        waiting: bool = False,
        summary: Summary | None = None,
        booked: Sequence[Booking] = (),
    ) -> Lease:
        """Make a run durable, with `started` as seq 0 and `events` after it.

        Waits for room (back-pressure). If `(tenant, request_id)` is known already, nothing is written and
        the lease names the existing run with epoch 0. With `take=False` nobody owns the run yet.
        `after` is the run that has to be its session's newest ("": there is none), so that two processes
        can't both go on from it. `waiting` and `summary` as in `append`, for a run that parks or ends at its
        very first step; `booked` as there too. Raises `Refused(guard="session")` if it is not, `Misused` for
        a tenant `*`, `JournalFull`, `JournalFailed`.
        """
        ...

    def append(
        self,
        lease: Lease,
        first_seq: int,
        events: Sequence[Event],
        bodies: Mapping[Ref, bytes],
        *,
        waiting: bool | None = None,
        summary: Summary | None = None,
        booked: Sequence[Booking] = (),
    ) -> Awaitable[None]:
        """Enqueue events at `first_seq`, now; the result is awaited until they are durable.

        What is enqueued is written whatever becomes of the task that awaits it: a cancellation of that task
        arrives once the write is done.

        `waiting` sets or clears the run's waiting state: whoever likes may take a run that waits, until
        the same owner goes on with it. `summary` marks it ended and frees the lease. `booked` is added to
        the accounts of the run's tenant in the same commit: both are recorded, or neither.
        The awaitable raises `Fenced` (old epoch), `JournalFull`, `JournalFailed`; then none of the
        events is recorded, nor any that was enqueued for that run after them.
        """
        ...

    async def room(self) -> None:
        """Return once the queue is below its bound."""
        ...

    async def take(self, run: str, *, force: bool = False) -> Lease:
        """Own a run that nobody alive owns, under the next epoch.

        Raises `Misused` for an unknown run, `Refused(guard="lease")` naming the owner if it is alive.
        `force` takes it from a live owner; that one is then fenced off.
        """
        ...

    async def release(self, lease: Lease) -> None:
        """Give the run up (parked, or handed over). An old lease is ignored."""
        ...

    async def events(self, run: str, *, after: int = -1) -> list[Event]:
        """The run's events with seq > `after`, in order. Raises `Misused` for an unknown run."""
        ...

    async def bodies(self, tenant: str, refs: Sequence[Ref]) -> dict[Ref, bytes]:
        """The bodies that are there. What is absent was erased."""
        ...

    async def find(self, prefix: str) -> str:
        """The full id of the one run whose id starts or ends with `prefix`, or the newest for `last`.

        Raises `Misused` naming the candidates.
        """
        ...

    async def row(self, run: str) -> RunRow:
        """One run's row. Raises `Misused` for an unknown run."""
        ...

    async def runs(
        self,
        *,
        status: str | None = None,
        state: str | None = None,
        session: str | None = None,
        tenant: str | None = None,
        limit: int = 100,
    ) -> list[RunRow]:
        """Newest first."""
        ...

    async def request(self, tenant: str, request_id: str) -> str | None:
        """The run that answers this request, or None if it has not come yet."""
        ...

    async def session_tail(self, tenant: str, session: str, *, before: str | None = None) -> RunRow | None:
        """The session's newest run, or its newest run started before run `before`."""
        ...

    async def send(self, run: str, command: Command, bodies: Mapping[Ref, bytes] | None = None) -> int:
        """Put a command into a run's inbox, durably, with the bodies that it refers to.

        Raises `Misused` for an unknown or ended run.
        """
        ...

    async def inbox(self, run: str, *, after: int = -1) -> list[InboxItem]:
        """The run's commands with number > `after`, in order."""
        ...

    async def commands(self, *, after: int) -> tuple[int, list[InboxItem]]:
        """The commands of all runs that came after cursor `after`, in order, and the new cursor.

        A negative `after` gives the cursor of now, and no commands.
        """
        ...

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back, on the running loop, after anything was written by any process; returns a stop.

        Writes of this process are told at once, those of others within 100 ms. May call spuriously.
        """
        ...

    async def set(self, setting: Setting) -> None:
        """Record a live setting for all processes on this journal."""
        ...

    async def settings(self) -> dict[tuple[SettingKind, str], Setting]:
        """The newest setting of each kind and name, expired or not."""
        ...

    async def change(self, key: str, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Read, change and write one shared record as one, across all processes; what it is now.

        A shared record is a small value that all processes agree on. It survives them, and is no part of the
        chain: advice, not history. `change` gets the value (None: there is none) and gives the new one (None
        deletes it). It runs in the thread that writes, perhaps more than once, so it is quick and pure.
        What it raises reaches the caller, and the record stays as it was. Raises `Misused` for a key of more
        than 512 bytes or a value of more than 64 KiB, `JournalFull`, `JournalFailed`.
        """
        ...

    async def shared(self, prefix: str) -> dict[str, bytes]:
        """The shared records whose keys begin with `prefix`, in order of their keys."""
        ...

    async def reserve(self, tenant: str, day: str, need: Spend, caps: Sequence[Cap]) -> OverCap | None:
        """Reserve `need` for a tenant and a day if it fits under every cap, as one across all processes.

        None: it is reserved, until a `Booking` takes it back. A reservation whose process died stays, and
        counts, until whoever resumes the run takes it back: money is never thought unspent that may be gone.
        Otherwise nothing changes, and the answer names the cap, first one that waiting does not help with.
        Of what nothing is needed, no cap is looked at. Raises `Misused` for a cap of another tenant, a
        `need` below zero, and numbers that `book` does not take.
        """
        ...

    async def book(self, tenant: str, booked: Sequence[Booking]) -> None:
        """Add to the accounts of a tenant: the day, all its days, and the day of all tenants.

        Raises `Misused` for a day that is none, a tenant `*`, and for what an account can't hold: money of
        more than 48 decimals or 10^15 dollars, other numbers beyond 63 bits. Then none of it is booked.
        """
        ...

    async def accounts(self, *, tenant: str | None = None, day: str | None = None) -> list[Account]:
        """The accounts, by tenant and day; of one tenant or one day only (`*`: all of them together).

        Pruning and erasing leave them as they are.
        """
        ...

    async def erase(self, tenant: str, refs: Sequence[Ref] | None = None) -> int:
        """Erase bodies (all of the tenant's with None); the number erased. `verify` says `erased`."""
        ...

    async def prune(self, *, before: float, tenant: str | None = None, dry_run: bool = False) -> Pruned:
        """Fold runs that ended before `before` into their summary rows, and shrink the file.

        Their events and answers are gone, and so are replay and fork of them. Their sessions go on: a
        conversation whose newest run was pruned begins anew, any other keeps all that its runs refer to.
        """
        ...

    async def verify(self, *, progress: Callable[[int, int], None] | None = None) -> Verification:
        """Check the chain, every event and body. `progress(batches_done, batches_all)`."""
        ...

    async def close(self) -> None:
        """Make durable what is enqueued and let go of the file."""
        ...
