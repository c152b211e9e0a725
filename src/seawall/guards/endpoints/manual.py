"""What a person sees of the endpoints on a journal, and what they can set."""

from __future__ import annotations

from typing import Literal, cast

import msgspec
from msgspec.structs import replace

from seawall.core.errors import Misused
from seawall.guards.endpoints.record import (
    PREFIX,
    SILENT_S,
    Cause,
    EndpointRecord,
    Phase,
    RetryAfter,
    decode_record,
    encode_record,
)
from seawall.journal.protocol import Journal, Setting

OPEN_S = 60.0
"""For how long a breaker is open that a person opened without saying for how long; then it is tried."""

Value = Literal["auto", "open", "closed", "isolated"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint, over all processes on the journal."""

    endpoint: str
    state: Literal["closed", "open", "half_open", "isolated"]
    cause: Cause
    """What opened it, while it is not closed."""
    since: float | None
    """Wall seconds when it came into this state; None: it always was."""
    calls: int
    """Of the window, since it was last closed."""
    failed: int
    slow: int
    in_flight: dict[str, int]
    """By process."""
    next_probe_s: float | None
    """Open: seconds until a call is let through."""
    left_alone_s: float | None
    """For how many seconds the other side still wants to be left alone (`Retry-After`)."""
    set_to: str | None
    """`closed` or `isolated`, if a person has set that and it still holds."""
    by: str | None
    why: str | None
    until: float | None
    """Wall seconds; None: until it is lifted."""


async def read_rows(journal: Journal, wall_s: float) -> list[Row]:
    """Every endpoint that was called or set, by name."""
    records = {
        key.removeprefix(PREFIX): decode_record(raw) for key, raw in (await journal.shared(PREFIX)).items()
    }
    settings = {
        name: setting for (kind, name), setting in (await journal.settings()).items() if kind == "endpoint"
    }
    names = sorted(records.keys() | {name for name, each in settings.items() if _holds(each, wall_s)})
    return [make_row(name, records.get(name, EndpointRecord()), settings.get(name), wall_s) for name in names]


def make_row(name: str, record: EndpointRecord, setting: Setting | None, wall_s: float) -> Row:
    """One endpoint as its record and what a person has set say."""
    phase = record.phase
    calls = failed = slow = 0
    in_flight: dict[str, int] = {}
    for owner, part in record.parts.items():
        age_s = max(0.0, wall_s - part.at)
        if age_s < SILENT_S and part.in_flight:
            in_flight[owner] = part.in_flight
        if part.serial != phase.serial:
            continue
        for bucket in part.buckets:
            if bucket.age_s + age_s < part.window_s:
                calls, failed, slow = calls + bucket.calls, failed + bucket.failed, slow + bucket.slow
    held = setting if setting is not None and _holds(setting, wall_s) else None
    open_left_s = phase.open_s - max(0.0, wall_s - phase.at) if phase.state == "open" else None
    alone_s = record.hold.seconds - max(0.0, wall_s - record.hold.at)
    if phase.state != "closed" and not calls:
        calls = phase.calls
        failed, slow = (0, phase.bad) if phase.cause == "slow" else (phase.bad, 0)
    state: Literal["closed", "open", "half_open", "isolated"] = phase.state
    if held is not None:
        state = "isolated" if held.value == "isolated" else "closed"
    return Row(
        endpoint=name,
        state=state,
        cause=phase.cause,
        since=(held.at if held is not None else phase.at) or None,
        calls=calls,
        failed=failed,
        slow=slow,
        in_flight=in_flight,
        next_probe_s=None if open_left_s is None or held is not None else round(max(0.0, open_left_s), 3),
        left_alone_s=round(alone_s, 3) if alone_s > 0 else None,
        set_to=None if held is None else held.value,
        by=held.by if held is not None else phase.by or None,
        why=None if setting is None or not (setting.why and (held or phase.by)) else setting.why,
        until=None if held is None else held.until,
    )


def _holds(setting: Setting, wall_s: float) -> bool:
    """Whether it still binds: to open a breaker is an act, not a state that lasts."""
    binds = setting.value in ("closed", "isolated")
    return binds and (setting.until is None or wall_s < setting.until)


async def set_breaker(
    journal: Journal,
    endpoint: str,
    value: Value,
    *,
    by: str,
    why: str = "",
    at: float,
    for_s: float | None = None,
) -> None:
    """Set a breaker for all processes on the journal; it acts within a second.

    `isolated`: nobody calls the endpoint. `closed`: whatever its calls bring, it is called, beginning with a clean
    slate. Both hold until `auto`, or for `for_s` seconds. `open`: it opens now, for `for_s` seconds, and recovers
    by itself as after any outage. `auto`: it goes by its calls again; one that a person opened is closed. Raises `Misused` if `by` is empty.
    """
    if not by.strip():
        raise Misused(f"breaker of {endpoint!r}: by is {by!r}; name who does it, it is recorded")
    if not isinstance(cast("object", for_s), int | float | None) or not (for_s is None or for_s > 0):
        raise Misused(
            f"breaker of {endpoint!r}: for_s is {for_s!r}; it must be a number of seconds above zero"
        )

    def change(raw: bytes | None) -> bytes | None:
        record = decode_record(raw)
        if value == "auto" and (record.phase.state == "closed" or record.phase.cause != "person"):
            return raw
        return encode_record(_moved(record, value, by, at, OPEN_S if for_s is None else for_s))

    if value != "isolated":
        await journal.change(PREFIX + endpoint, change)
    until = None if for_s is None else at + for_s
    await journal.set(
        Setting(kind="endpoint", name=endpoint, value=value, by=by, why=why, at=at, until=until)
    )


def _moved(record: EndpointRecord, value: Value, by: str, at: float, open_s: float) -> EndpointRecord:
    serial = record.phase.serial + 1
    if value == "closed":
        return replace(record, phase=Phase(serial=serial, at=at, by=by), hold=RetryAfter())
    if value == "auto":
        return replace(record, phase=Phase(serial=serial, at=at, by=by))
    phase = Phase(serial=serial, state="open", at=at, cause="person", openings=1, open_s=open_s, by=by)
    return replace(record, phase=phase)
