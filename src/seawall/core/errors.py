"""Errors say whose move is next.

- `Refused`: a guard or a limit said no. The caller may adapt, or come back later.
- `Broken`: the outside world (a disk, a provider, another process) did not do its part.
- `Misused`: the caller's code or input is wrong.
- `SeawallBug`: we are wrong; please report it.

Every message holds the value that was met and the limit that it met.
"""

from __future__ import annotations


class SeawallError(Exception):
    """The base of every error that Seawall raises on purpose."""


class Refused(SeawallError):
    """A guard or a limit said no.

    `guard` names it, `limit` and `value` are what met, `retry_after_s` says when the same
    request may succeed (None: not by waiting).
    """

    def __init__(
        self,
        message: str,
        *,
        guard: str,
        limit: object = None,
        value: object = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.guard = guard
        self.limit = limit
        self.value = value
        self.retry_after_s = retry_after_s


class Broken(SeawallError):
    """The outside world did not do its part: a disk, a provider, another process."""


class Misused(SeawallError):
    """The caller's code or input is wrong; the message says what to change."""


class SeawallBug(SeawallError):
    """An invariant of ours does not hold. Please report it with the run's id."""


class Fenced(Broken):
    """This process no longer owns the run: another one took it under a newer epoch."""


class JournalFailed(Broken):
    """A write to the journal failed and none is tried again (a failed fsync, a lost tail)."""


class JournalFull(Broken):
    """The disk is full: nothing was written. Reads work; writes work again when there is space."""


def describe_error(error: BaseException) -> str:
    """An error's kind and text, also where the text itself raises."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 -- somebody's own exception class may do anything
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def wrap_unexpected(error: Exception, run: str, where: str) -> Exception:
    """What ended a run in this process: as it is if it says whose move is next, else as a bug of ours."""
    if isinstance(error, Broken | SeawallBug):
        return error
    return SeawallBug(f"run {run}, {where}: {type(error).__name__}: {error}")
