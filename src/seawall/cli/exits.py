"""Exit codes: what a script learns from `seawall` without reading its output."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, assert_never

from seawall.core.errors import Misused, Refused, SeawallBug, SeawallError
from seawall.core.events import Status

if TYPE_CHECKING:
    from seawall.run.outcome import Outcome, Waiting


class Exit(IntEnum):
    """Every code that `seawall` exits with."""

    OK = 0
    """The run completed, or the command did its work."""
    BROKEN = 1
    """The outside world failed, or a check found something: a bad batch, a run that can't go on."""
    MISUSED = 2
    """The call is wrong: an option, an import path, a run id."""
    REFUSED = 3
    """A guard, a reviewer or a limit refused the run; or a decision or a cancellation comes too late."""
    HALTED = 4
    """A guard ended the run."""
    FAILED = 5
    """The run failed: a model, a tool or the team's own code."""
    CANCELLED = 6
    """Somebody cancelled the run."""
    WAITING = 7
    """The run waits for a person, or is paused."""
    LEFT_ALONE = 8
    """`seawall resume` left runs alone: a process elsewhere may still drive them."""
    BUG = 70
    """Seawall has a bug; please report it."""
    INTERRUPTED = 130
    """Ctrl-C. (143 for a termination signal: 128 and the signal's number.)"""
    UNREAD = 141
    """All went well, but the reader of the output (`| head`) closed the pipe before it had read everything."""


HELP = (
    "Exit codes: 0 completed, 1 something broke or a check found something, 2 the call is wrong, 3 refused, "
    "4 halted, 5 failed, 6 cancelled, 7 waits for a person or is paused, 8 runs were left alone, 70 a bug of Seawall, "
    "130 interrupted, 141 well, but the reader of the output had gone."
)


def get_status_code(status: Status) -> Exit:
    """Returns the code of a run that ended."""
    match status:
        case "completed":
            return Exit.OK
        case "refused":
            return Exit.REFUSED
        case "halted":
            return Exit.HALTED
        case "failed":
            return Exit.FAILED
        case "cancelled":
            return Exit.CANCELLED
        case _:
            assert_never(status)


def get_rest_code(rest: Outcome | Waiting) -> Exit:
    """Returns the code of a run that ended or waits."""
    status = getattr(rest, "status", None)
    return Exit.WAITING if status is None else get_status_code(status)


def get_error_code(error: SeawallError) -> Exit:
    """Returns the code of an error, which says whose move is next."""
    match error:
        case Misused():
            return Exit.MISUSED
        case Refused():
            return Exit.REFUSED
        case SeawallBug():
            return Exit.BUG
        case _:
            return Exit.BROKEN
