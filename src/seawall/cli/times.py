"""Reads the points in time that options name."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from seawall.cli.render.formats import parse_duration_s
from seawall.core.errors import Misused

_AGO = " ago"
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(rf"{_DATE.pattern}(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
"""Python itself reads more forms, some of them in a surprising way: `2026-11-29+01:00` as one o'clock."""


def parse_time(option: str, text: str, now: float, *, whole_day: bool = False) -> float:
    """Returns the wall seconds of a date or time in ISO 8601, or of the moment that lies a duration before `now`.

    A time without a zone is local time. A date alone stands for its first moment or, with `whole_day`, for the first
    moment of the next day. Raises `Misused` for anything else.
    """
    given = text.strip()
    ago_s = parse_duration_s(given.removesuffix(_AGO))
    if ago_s is not None:
        return now - ago_s
    try:
        if not _TIME.fullmatch(given):
            raise ValueError(given)
        moment = datetime.fromisoformat(given)
        return (moment + timedelta(days=whole_day and _DATE.fullmatch(given) is not None)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise Misused(
            f"{option} {text}: write a time such as 2026-11-29, 2026-11-29T14:05 or 2026-11-29T14:05Z, "
            "or how long ago it was, such as 2h, 3d or 1h30m"
        ) from None
