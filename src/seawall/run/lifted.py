"""Halts that a raised limit has lifted: which events of a run's record hold, as if it had not been halted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from seawall.core.events import Event, Judged, LimitsRaised, RunEnded, StepDone

RAISABLE = ("limits", "deadline", "budget")
"""The guards whose halt can be lifted: what they bound may be raised, or is another day's. What any other guard halts
for does not change with a limit."""
_CUT = ("cancelled", "unknown")
"""What steps in flight come to when their run ends over them."""


def is_raisable(event: Event) -> bool:
    """Returns whether an event halts its run for a limit."""
    return (
        isinstance(event, Judged)
        and (event.verdict, event.mode) == ("halt", "enforce")
        and event.guard in RAISABLE
    )


def answers_at_limit(ended: RunEnded) -> bool:
    """Returns whether a run has answered with what it had, because a limit was used up."""
    return ended.status == "completed" and any(map(_names_limit, ended.pruned))


def leave_out_limits(pruned: Iterable[str]) -> tuple[str, ...]:
    """Returns what was pruned for other reasons than a limit."""
    return tuple(name for name in pruned if not _names_limit(name))


def _names_limit(name: str) -> bool:
    return name.partition(":")[0] == "limits"


def is_lifted(event: Event) -> bool:
    """Returns whether an event after such a halt holds no more once the halt is lifted: the halt, its cuts, the end."""
    return isinstance(event, Judged | RunEnded) or (isinstance(event, StepDone) and event.status in _CUT)


def find_raise(events: Sequence[Event]) -> int:
    """Returns the place of the last `LimitsRaised`; -1 if there is none."""
    places = [place for place, event in enumerate(events) if isinstance(event, LimitsRaised)]
    return places[-1] if places else -1


def leave_out_lifted(events: Iterable[Event]) -> list[Event]:
    """Returns the events without those that hold no more, because `LimitsRaised` came after them."""
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
