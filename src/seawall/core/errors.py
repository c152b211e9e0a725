"""Errors say whose move is next.

- `Refused`: a guard or a limit refused. The caller may adapt, or try again later.
- `Broken`: the outside world (a disk, a provider, another process) failed.
- `Misused`: the caller's code or input is wrong.
- `SeawallBug`: Seawall is wrong; please report it.

Every message holds the values: what was found, and the limit that it met.
"""

from __future__ import annotations

from typing import cast


class SeawallError(Exception):
    """The base of every error that Seawall raises on purpose."""


class Refused(SeawallError):
    """A guard or a limit refused.

    `guard` names it, and `value` met `limit`. `retry_after_s` says when the same request may succeed (None:
    waiting does not help).
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
    """The outside world failed: a disk, a provider, another process."""


class Misused(SeawallError):
    """The caller's code or input is wrong; the message says what to change."""


class SeawallBug(SeawallError):
    """An invariant of Seawall does not hold. Please report it with the run's id."""


class Fenced(Broken):
    """This process no longer owns the run: another one took it under a newer epoch."""


class JournalFailed(Broken):
    """A write to the journal failed, and writing has stopped for good (a failed fsync, a lost tail)."""


class JournalDamaged(Broken):
    """A part of the journal is not what was written, so nothing acts on it. `seawall verify` checks all of it."""


class JournalFull(Broken):
    """The disk is full, and nothing was written. Reads work; writes work again once there is space."""


_GROUP_ERRORS = 3
"""Errors of a group that its description names, and levels of groups within groups."""


def read_error_text(error: BaseException) -> str:
    """Returns an error's text, or "" if making it raises."""
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 -- a user's own exception class may do anything
        return ""


def describe_error(error: BaseException, *, _level: int = 0) -> str:
    """Returns an error's kind and text, even if making the text raises. A group is described with its first errors."""
    text = read_error_text(error)
    if isinstance(error, BaseExceptionGroup) and _level < _GROUP_ERRORS:
        errors = cast("BaseExceptionGroup[BaseException]", error).exceptions[:_GROUP_ERRORS]
        inner = [describe_error(each, _level=_level + 1) for each in errors]
        text = f"{text}: {'; '.join(inner)}"
    name = type(cast("BaseException", error)).__name__
    return f"{name}: {text}" if text else name


def wrap_unexpected(error: BaseException, run: str, where: str) -> Exception:
    """Returns `Broken` and `SeawallBug` unchanged; wraps any other error in `SeawallBug`, an interrupt in `Broken`."""
    if isinstance(error, Broken | SeawallBug):
        return error
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return Broken(f"run {run}, {where}: the process was interrupted ({type(error).__name__}); resume it")
    return SeawallBug(f"run {run}, {where}: {describe_error(error)}")
