"""Halts that a raised limit has lifted: decides which events of a run's record still hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from seawall.core.events import Event, Judged, LimitsRaised, RunEnded, StepDone

RAISABLE = ("limits", "deadline", "budget")
"""The guards whose halt can be lifted: their limit may be raised, or a new day may begin. The reason of any other
guard's halt does not change with a limit."""
_CUT = ("cancelled", "unknown")
"""The statuses of steps that were in flight when their run ended."""


def is_raisable(event: Event) -> bool:
    """Returns whether an event halts its run because of a limit."""
    return (
        isinstance(event, Judged)
        and (event.verdict, event.mode) == ("halt", "enforce")
        and event.guard in RAISABLE
    )


def answers_at_limit(ended: RunEnded) -> bool:
    """Returns whether a run answered early with what it had, because a limit was used up."""
    return ended.status == "completed" and any(map(_names_limit, ended.pruned))


def leave_out_limits(pruned: Iterable[str]) -> tuple[str, ...]:
    """Returns the names in `pruned` whose reason is not a limit."""
    return tuple(name for name in pruned if not _names_limit(name))


def _names_limit(name: str) -> bool:
    return name.partition(":")[0] == "limits"


def is_lifted(event: Event) -> bool:
    """Returns whether a lifted halt removes an event: the halt itself, the steps that it cut off, and the end of the
    run.
    """
    return isinstance(event, Judged | RunEnded) or (isinstance(event, StepDone) and event.status in _CUT)


def find_raise(events: Sequence[Event]) -> int:
    """Returns the index of the last `LimitsRaised`; -1 if there is none."""
    places = [place for place, event in enumerate(events) if isinstance(event, LimitsRaised)]
    return places[-1] if places else -1


def leave_out_lifted(events: Iterable[Event]) -> list[Event]:
    """Returns the events without those that a later `LimitsRaised` has removed."""
    kept: list[Event] = []
    halt: int | None = None
    for event in events:
        if isinstance(event, LimitsRaised) and halt is not None:
            kept[halt:] = [each for each in kept[halt:] if not is_lifted(each)]
            halt = None
        if halt is None and is_raisable(event):
            halt = len(kept)
        kept.append(event)
    return kept
