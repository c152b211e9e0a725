"""What the commands share that set something live: who does it, for how long, and how that is told."""

from __future__ import annotations

import getpass
from datetime import datetime

from seawall.cli.render import formats
from seawall.core.errors import Misused


def who(by: str) -> str:
    """Who does it: `--by`, or the user that the system knows. Raises `Misused` if it knows none."""
    if by.strip():
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise Misused("who does this? give --by NAME; it is recorded") from None


def for_s(text: str | None) -> float | None:
    """Seconds of `--for`. Raises `Misused` if it is no duration."""
    if text is None:
        return None
    found = formats.duration_s(text)
    if not found:
        raise Misused(f"--for {text}: write a number above zero and a unit, such as 90s, 30m, 1h30m or 2d")
    return found


def until(at: float | None, now: float) -> str:
    """When a setting runs out: `14:05 (59 min)`; with the date if that is not today's."""
    if at is None:
        return ""
    then, today = datetime.fromtimestamp(at).astimezone(), datetime.fromtimestamp(now).astimezone()
    shown = "%H:%M" if then.date() == today.date() else "%Y-%m-%d %H:%M"
    return f"{then.strftime(shown)} ({formats.age(at - now + 1)})"
