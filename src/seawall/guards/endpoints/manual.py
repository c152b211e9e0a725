"""The manual side of endpoints: the list of a journal's endpoints for people, and the settings that people make."""

from __future__ import annotations

from typing import Literal, cast

import msgspec
from msgspec.structs import replace

from seawall.core.errors import Misused
from seawall.guards.endpoints.record import (
    PREFIX,
    SILENT_S,
    EndpointRecord,
    OpenCause,
    Phase,
    RetryAfter,
    decode_record,
    encode_record,
)
from seawall.journal.protocol import Journal, Setting

OPEN_S = 60.0
"""Seconds for which a breaker stays open that a person opened without a duration; then it lets probes through."""

BreakerSetting = Literal["auto", "open", "closed", "isolated"]
ShownState = Literal["closed", "open", "half_open", "isolated"]


class EndpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint, over all processes on the journal, as `seawall breakers` shows it."""

    endpoint: str
    state: ShownState
    cause: OpenCause
    """The reason why the breaker opened, while it is not closed."""
    since: float | None
    """Wall seconds when the breaker entered this state; None: it was always in it."""
    calls: int
    """The calls in the window, since the breaker was last closed."""
    failed: int
    slow: int
    in_flight: dict[str, int]
    """Calls in flight, by process."""
    next_probe_s: float | None
    """Open: seconds until a probe is let through."""
    left_alone_s: float | None
    """Remaining seconds of a `Retry-After`; None if there is none."""
    set_to: str | None
    """`closed` or `isolated`, if a person has set that and it still holds."""
    by: str | None
    why: str | None
    until: float | None
    """Wall seconds; None: until a person lifts it."""


async def read_rows(journal: Journal, wall_s: float) -> list[EndpointRow]:
    """Reads every endpoint that was called or set, by name."""
    records = {
        key.removeprefix(PREFIX): decode_record(raw) for key, raw in (await journal.shared(PREFIX)).items()
    }
    settings = {
        name: setting for (kind, name), setting in (await journal.settings()).items() if kind == "endpoint"
    }
    names = sorted(records.keys() | {name for name, each in settings.items() if _is_binding(each, wall_s)})
    return [
        build_row(name, records.get(name, EndpointRecord()), settings.get(name), wall_s) for name in names
    ]


def build_row(name: str, record: EndpointRecord, setting: Setting | None, wall_s: float) -> EndpointRow:
    """Returns the row of one endpoint from its record and its setting."""
    phase = record.phase
    calls = failed = slow = 0
    in_flight: dict[str, int] = {}
    for owner, counts in record.processes.items():
        age_s = max(0.0, wall_s - counts.at)
        if age_s < SILENT_S and counts.in_flight:
            in_flight[owner] = counts.in_flight
        if counts.serial != phase.serial:
            continue
        for bucket in counts.buckets:
            if bucket.age_s + age_s < counts.window_s:
                calls, failed, slow = calls + bucket.calls, failed + bucket.failed, slow + bucket.slow
    binding = setting if setting is not None and _is_binding(setting, wall_s) else None
    open_left_s = phase.open_s - max(0.0, wall_s - phase.at) if phase.state == "open" else None
    retry_after = record.retry_after
    left_alone_s = retry_after.seconds - max(0.0, wall_s - retry_after.at)
    if phase.state != "closed" and not calls:
        calls = phase.calls
        failed, slow = (0, phase.bad) if phase.cause == "slow" else (phase.bad, 0)
    state: ShownState = phase.state
    if binding is not None:
        state = "isolated" if binding.value == "isolated" else "closed"
    return EndpointRow(
        endpoint=name,
        state=state,
        cause=phase.cause,
        since=(binding.at if binding is not None else phase.at) or None,
        calls=calls,
        failed=failed,
        slow=slow,
        in_flight=in_flight,
        next_probe_s=None if open_left_s is None or binding is not None else round(max(0.0, open_left_s), 3),
        left_alone_s=round(left_alone_s, 3) if left_alone_s > 0 else None,
        set_to=None if binding is None else binding.value,
        by=binding.by if binding is not None else phase.by or None,
        why=None if setting is None or not (setting.why and (binding or phase.by)) else setting.why,
        until=None if binding is None else binding.until,
    )


def _is_binding(setting: Setting, wall_s: float) -> bool:
    """Returns whether the setting still holds. `open` is a single action, and not a lasting state."""
    lasts = setting.value in ("closed", "isolated")
    return lasts and (setting.until is None or wall_s < setting.until)


async def set_breaker(
    journal: Journal,
    endpoint: str,
    value: BreakerSetting,
    *,
    by: str,
    why: str = "",
    at: float,
    for_s: float | None = None,
) -> None:
    """Sets a breaker for all processes on the journal; it acts within a second.

    - `isolated`: the endpoint is not called.
    - `closed`: the endpoint is called even if its calls fail, and its counts start again.
    - `open`: the breaker opens now, for `for_s` seconds (`OPEN_S` without), and recovers by itself as after any outage.
    - `auto`: the breaker follows its calls again; a breaker that a person opened is closed.

    `isolated` and `closed` hold until `auto` is set, or for `for_s` seconds. Raises `Misused` if `by` is empty or
    `for_s` is not above zero.
    """
    if not by.strip():
        raise Misused(
            f"breaker of {endpoint!r}: by is {by!r}; name the person who sets it, which is recorded"
        )
    if not isinstance(cast("object", for_s), int | float | None) or not (for_s is None or for_s > 0):
        raise Misused(
            f"breaker of {endpoint!r}: for_s is {for_s!r}; it must be a number of seconds above zero"
        )

    def change(raw: bytes | None) -> bytes | None:
        record = decode_record(raw)
        if value == "auto" and (record.phase.state == "closed" or record.phase.cause != "person"):
            return raw
        return encode_record(_apply(record, value, by, at, OPEN_S if for_s is None else for_s))

    if value != "isolated":
        await journal.change(PREFIX + endpoint, change)
    until = None if for_s is None else at + for_s
    await journal.set(
        Setting(kind="endpoint", name=endpoint, value=value, by=by, why=why, at=at, until=until)
    )


def _apply(
    record: EndpointRecord, value: BreakerSetting, by: str, at: float, open_s: float
) -> EndpointRecord:
    """Returns the record in the phase that a person has set: open, or closed for `closed` and `auto`."""
    serial = record.phase.serial + 1
    if value == "closed":
        return replace(record, phase=Phase(serial=serial, at=at, by=by), retry_after=RetryAfter())
    if value == "auto":
        return replace(record, phase=Phase(serial=serial, at=at, by=by))
    phase = Phase(serial=serial, state="open", at=at, cause="person", openings=1, open_s=open_s, by=by)
    return replace(record, phase=phase)
