"""What the processes on one journal agree on about an endpoint, and how a change of one process is merged in."""

from __future__ import annotations

from typing import Literal

import msgspec

from seawall.guards.endpoints.window import Aged

PREFIX = "endpoint:"
"""Of the keys of these records in the journal."""
LEASE_S = 5.0
"""A half-open breaker's probes are one process's; the right lapses this long after that process last renewed it,
so one that died while it probed blocks nobody for longer."""
SILENT_S = 15.0
"""A process that has calls in flight says so every few seconds; after this its calls in flight count as gone."""
MAX_PARTS = 32
"""Processes in one record; the ones silent for longest are dropped. Keeps a record below 64 KiB."""
KEEP_S = 3_600.0
"""What a process told longer ago than this is dropped: no window reaches so far back."""

State = Literal["closed", "open", "half_open"]
Cause = Literal["", "failed", "slow", "spend_limit", "person"]


class Phase(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The state that is in force. Each later one has a higher serial, in all processes."""

    serial: int = 0
    state: State = "closed"
    at: float = 0.0
    """Wall seconds when it began; for people, and for a process that begins later."""
    cause: Cause = ""
    """Open, half open: what opened it."""
    bad: int = 0
    calls: int = 0
    """Open, half open: `bad` of the newest `calls` had failed (or were slow)."""
    openings: int = 0
    """How often it has opened since it was closed."""
    open_s: float = 0.0
    """Open: for how long."""
    prober: str = ""
    """Half open: the process that may probe."""
    beat: int = 0
    """Half open: how often that process has renewed its right."""
    by: str = ""
    """The person who set it, if one did."""

    @property
    def place(self) -> tuple[int, int]:
        """What orders phases."""
        return (self.serial, self.beat)


class ProcessCounts(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What one process has seen of the endpoint."""

    at: float
    """Wall seconds when it was told."""
    number: int
    """Counts what this process told, so that others see that it is new."""
    serial: int = 0
    """The phase in which the calls were counted; in any other they say nothing."""
    in_flight: int = 0
    buckets: tuple[Aged, ...] = ()
    window_s: float = 180.0
    """How far back they count."""


class RetryAfter(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The other side asked to be left alone."""

    at: float = 0.0
    """Wall seconds."""
    seconds: float = 0.0


class EndpointRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One endpoint, as it lies in the journal."""

    phase: Phase = Phase()
    hold: RetryAfter = RetryAfter()
    parts: dict[str, ProcessCounts] = {}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What one process has to say."""

    owner: str
    part: ProcessCounts | None
    """None: it has nothing in flight and counts nothing any more."""
    phase: Phase | None = None
    """The phase that it moved to."""
    after: tuple[int, int] = (0, 0)
    """The place of the phase that it moved from. Where another process was faster, that one's counts."""
    hold: RetryAfter | None = None


_decoder = msgspec.json.Decoder(EndpointRecord)


def decode_record(data: bytes | None) -> EndpointRecord:
    """The record in these bytes. What can't be read (of a later version, say) counts as none: it is advice."""
    if data is None:
        return EndpointRecord()
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError:
        return EndpointRecord()


def encode_record(record: EndpointRecord) -> bytes:
    """The record as it is kept."""
    return msgspec.json.encode(record)


def merge_change(record: EndpointRecord, change: Change, wall_s: float) -> EndpointRecord:
    """The record with what one process has to say. Pure."""
    phase = record.phase
    if change.phase is not None and phase.place <= change.after:
        phase = change.phase
    hold = record.hold
    if change.hold is not None and change.hold.at + change.hold.seconds > hold.at + hold.seconds:
        hold = change.hold
    parts = {
        owner: part
        for owner, part in record.parts.items()
        if owner != change.owner and wall_s - part.at < KEEP_S
    }
    if change.part is not None:
        parts[change.owner] = change.part
    if len(parts) > MAX_PARTS:
        newest = sorted(parts, key=lambda owner: parts[owner].at)[-MAX_PARTS:]
        parts = {owner: part for owner, part in parts.items() if owner in newest}
    return EndpointRecord(phase=phase, hold=hold, parts=parts)
