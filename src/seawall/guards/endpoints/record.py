"""The record of an endpoint that all processes on a journal share, and how a change of one process is merged in.

Names of fields in the stored JSON never change, even if attributes are renamed.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from seawall.guards.endpoints.window import AgedBucket

PREFIX = "endpoint:"
"""Prefix of the keys of these records in the journal."""
LEASE_S = 5.0
"""Seconds for which the right to probe lasts. While a breaker is half open, one process may probe. The right ends this
long after that process last renewed it, so that a process that dies while it probes does not block the others for
longer."""
SILENT_S = 15.0
"""Seconds without a report after which the calls in flight of a process count as ended. A process with calls in flight
reports every few seconds."""
MAX_PROCESSES = 32
"""Most processes in one record, to keep it below 64 KiB; those with the oldest reports are dropped."""
KEEP_S = 3_600.0
"""Seconds after which a report is dropped: no window reaches so far back."""

BreakerState = Literal["closed", "open", "half_open"]
OpenCause = Literal["", "failed", "slow", "spend_limit", "person"]


class Phase(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The state of a breaker that is in force. In all processes together, each later phase has a higher serial."""

    serial: int = 0
    state: BreakerState = "closed"
    at: float = 0.0
    """Wall seconds when it began; for people, and for a process that starts later."""
    cause: OpenCause = ""
    """Open, half open: the reason why the breaker opened."""
    bad: int = 0
    calls: int = 0
    """Open, half open: `bad` of the newest `calls` had failed, or had failed or were slow."""
    openings: int = 0
    """How often the breaker has opened since it was closed."""
    open_s: float = 0.0
    """Open: the seconds for which the breaker stays open."""
    prober: str = ""
    """Half open: the process that may probe."""
    beat: int = 0
    """Half open: how often that process has renewed its right to probe."""
    by: str = ""
    """The person who set the phase; "" if no person did."""

    @property
    def version(self) -> tuple[int, int]:
        """The sort key of phases: the later one is greater."""
        return (self.serial, self.beat)


class ProcessCounts(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The report of one process on an endpoint."""

    at: float
    """Wall seconds of the report."""
    number: int
    """The number of the report, so that others see that it is new."""
    serial: int = 0
    """The phase in which the calls were counted. In any other phase they do not count."""
    in_flight: int = 0
    buckets: tuple[AgedBucket, ...] = ()
    window_s: float = 180.0
    """Seconds that the buckets look back."""


class RetryAfter(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A `Retry-After` of the endpoint's server: it asked not to be called for some seconds."""

    at: float = 0.0
    """Wall seconds when it came."""
    seconds: float = 0.0


class EndpointRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One endpoint, as it is stored in the journal."""

    phase: Phase = Phase()
    retry_after: RetryAfter = msgspec.field(default=RetryAfter(), name="hold")
    processes: dict[str, ProcessCounts] = msgspec.field(default={}, name="parts")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The report of one process, which is merged into the record."""

    owner: str
    counts: ProcessCounts | None
    """The counts of the process; None: it has nothing in flight and no counts any more."""
    phase: Phase | None = None
    """The phase that the process moved to, if it did."""
    after: tuple[int, int] = (0, 0)
    """The version of the phase that the process moved from. If the record has a later version, another process was
    faster, and the phase of the record holds."""
    retry_after: RetryAfter | None = None


_decoder = msgspec.json.Decoder(EndpointRecord)


def decode_record(data: bytes | None) -> EndpointRecord:
    """Returns the record in these bytes. Bytes that can't be read (of a later version, say) count as an empty record."""
    if data is None:
        return EndpointRecord()
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError:
        return EndpointRecord()


def encode_record(record: EndpointRecord) -> bytes:
    """Returns the record as it is stored."""
    return msgspec.json.encode(record)


def merge_change(record: EndpointRecord, change: Change, wall_s: float) -> EndpointRecord:
    """Returns the record with the change of one process. Pure."""
    phase = record.phase
    if change.phase is not None and phase.version <= change.after:
        phase = change.phase
    retry_after, new = record.retry_after, change.retry_after
    if new is not None and new.at + new.seconds > retry_after.at + retry_after.seconds:
        retry_after = new
    processes = {
        owner: counts
        for owner, counts in record.processes.items()
        if owner != change.owner and wall_s - counts.at < KEEP_S
    }
    if change.counts is not None:
        processes[change.owner] = change.counts
    if len(processes) > MAX_PROCESSES:
        newest = sorted(processes, key=lambda owner: processes[owner].at)[-MAX_PROCESSES:]
        processes = {owner: counts for owner, counts in processes.items() if owner in newest}
    return EndpointRecord(phase=phase, retry_after=retry_after, processes=processes)
