"""Errors say whose move is next.

- `Refused`: a guard or a limit refused. The caller may adapt, or try again later.
- `Broken`: the outside world (a disk, a provider, another process) failed.
- `Misused`: the caller's code or input is wrong.
- `SeawallBug`: Seawall is wrong; please report it.

Every message holds the values: what was found, and the limit that it met.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable

from typing_extensions import TypeIs, TypeVar

E = TypeVar("E", bound=BaseException, default=BaseException)


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


class JournalReadOnly(Misused):
    """The journal can't be written from here: a read-only file system, or permissions. It can be read."""


MAX_TEXT_CHARS = 20_000
"""Characters of an error's text that are kept, some 5,000 tokens: an agent is shown the text, and an event may hold
it."""
MAX_NAME_CHARS = 200
"""Characters of the name of an error's class that are kept."""
_GROUP_ERRORS = 3
"""Errors of a group that its description names, and levels of groups within groups."""

# An error class of the user may have a `__class__`, a `__str__`, attributes and a metaclass that raise or lie. The
# functions below ask the interpreter and not the error, so they can be used where nothing may raise.


def is_error(error: BaseException, kind: type[E] | tuple[type[E], ...]) -> TypeIs[E]:
    """Returns whether an error is of this kind, without asking its `__class__`, as `isinstance` does."""
    return issubclass(type(error), kind)


def name_error(error: BaseException) -> str:
    """Returns the name of an error's class, without asking its metaclass."""
    return type.__dict__["__name__"].__get__(type(error))[:MAX_NAME_CHARS]


def list_inner(error: BaseException) -> tuple[BaseException, ...]:
    """Returns the errors of a group; none of any other error."""
    return BaseExceptionGroup.exceptions.__get__(error) if is_error(error, BaseExceptionGroup) else ()


def read_error_text(error: BaseException) -> str:
    """Returns an error's text, or "" if making it raises. A text that is too long is cut after a word."""
    try:
        text = str.__str__(str(error))  # a subclass of str may do anything, too
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 -- a user's own exception class may do anything
        return ""
    if len(text) <= MAX_TEXT_CHARS:
        return text
    whole = text[:MAX_TEXT_CHARS].rsplit(maxsplit=1)[:-1]  # half a secret would not be recognised as one
    return f"{''.join(whole)} [cut: the text has {len(text):,} characters]".lstrip()


def describe_error(error: BaseException, *, _level: int = 0) -> str:
    """Returns an error's kind and text, even if making the text raises. A group is described with its first errors."""
    text = read_error_text(error)
    if _level < _GROUP_ERRORS and (inner := list_inner(error)):
        told = [describe_error(each, _level=_level + 1) for each in inner[:_GROUP_ERRORS]]
        text = f"{text}: {'; '.join(told)}"
    name = name_error(error)
    return f"{name}: {text}" if text else name


MAX_TRACE_CHARS = 16_000
"""Characters of a traceback that are recorded. Of a longer traceback the end is kept, which says what was raised and
where."""


def format_trace(error: BaseException, redact: Callable[[str], str]) -> str:
    """Returns an error's traceback without secrets, with the errors that caused it; "" if it can't be made."""
    try:
        text = "".join(traceback.format_exception(error))
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 -- a user's own exception class may do anything
        return ""
    # Twice the kept characters are searched: a secret that this cut splits lies in the half that is dropped.
    text = redact(text[-2 * MAX_TRACE_CHARS :]).strip()
    return text if len(text) <= MAX_TRACE_CHARS else f"[…]\n{text[-MAX_TRACE_CHARS:]}"


def wrap_unexpected(error: BaseException, run: str, where: str) -> Exception:
    """Returns `Broken` and `SeawallBug` unchanged; wraps any other error in `SeawallBug`, an interrupt in `Broken`."""
    if is_error(error, (Broken, SeawallBug)):
        return error
    if is_error(error, (KeyboardInterrupt, SystemExit)):
        return Broken(f"run {run}, {where}: the process was interrupted ({name_error(error)}); resume it")
    return SeawallBug(f"run {run}, {where}: {describe_error(error)}")
