"""The names of guards as journals record them.

The guard that enforces `Limits` was once named `budget`, and the one that enforces `Budget` was named `accounts`.
Every version records the old names. So a journal means the same to every version, and its chained events are never
rewritten. A journal calls `to_recorded` before it writes and `from_recorded` after it has read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from seawall.core.events import Event, GuardSet, Judged, RunEnded, RunStarted, RunTaken
from seawall.journal.protocol import Setting, Summary

_RECORDED = {"limits": "budget", "budget": "accounts", "accounts": "limits"}
"""The recorded name by today's name. A user may name a guard `accounts`; the third pair keeps that unambiguous."""
_KNOWN = {recorded: name for name, recorded in _RECORDED.items()}

T = TypeVar("T", Setting, Summary)


def to_recorded(events: Sequence[Event]) -> Sequence[Event]:
    """Returns the events as they are recorded."""
    if _RENAMES.keys().isdisjoint(map(type, events)):  # most batches name no guard
        return events
    return _rename_events(events, _RECORDED)


def from_recorded(events: Iterable[Event]) -> list[Event]:
    """Returns the events with today's names of guards."""
    return _rename_events(events, _KNOWN)


def to_recorded_name(item: T) -> T:
    """Returns a setting or a summary as it is recorded."""
    return _rename_item(item, _RECORDED)


def from_recorded_name(item: T) -> T:
    """Returns a setting or a summary with today's names of guards."""
    return _rename_item(item, _KNOWN)


def _rename_item(item: T, names: Mapping[str, str]) -> T:
    if isinstance(item, Setting):
        return replace(item, name=names.get(item.name, item.name)) if item.kind == "guard" else item
    by = item.stopped_by
    return item if by is None or by not in names else replace(item, stopped_by=names[by])


def _rename_events(events: Iterable[Event], names: Mapping[str, str]) -> list[Event]:
    find = _RENAMES.get
    return [event if (rename := find(type(event))) is None else rename(event, names) for event in events]


def _rename_keys(mapping: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in mapping.items()}


def _rename_started(event: RunStarted, names: Mapping[str, str]) -> RunStarted:
    return replace(event, guards=_rename_keys(event.guards, names))


def _rename_handover(event: RunTaken, names: Mapping[str, str]) -> RunTaken:
    return replace(event, handover=_rename_keys(event.handover, names)) if event.handover else event


def _rename_guard(event: Judged | GuardSet, names: Mapping[str, str]) -> Judged | GuardSet:
    return replace(event, guard=names[event.guard]) if event.guard in names else event


def _rename_ended(event: RunEnded, names: Mapping[str, str]) -> RunEnded:
    stopped_by = event.stopped_by
    if event.handover:
        event = replace(event, handover=_rename_keys(event.handover, names))
    if stopped_by is not None and stopped_by.guard in names:
        event = replace(event, stopped_by=replace(stopped_by, guard=names[stopped_by.guard]))
    return event


_RENAMES: Mapping[type, Callable[[Any, Mapping[str, str]], Event]] = {
    RunStarted: _rename_started,
    RunTaken: _rename_handover,
    Judged: _rename_guard,
    GuardSet: _rename_guard,
    RunEnded: _rename_ended,
}
"""The kinds of events that name guards."""
