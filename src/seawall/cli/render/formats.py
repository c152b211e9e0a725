"""How numbers, times and texts are written for people."""

from __future__ import annotations

import re
import textwrap
from datetime import datetime
from decimal import Decimal

UNLIMITED = 10**9
"""A width that no text reaches: nothing is shortened."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
_DURATIONS = re.compile(rf"(?:{_DURATION.pattern}\s*)+")
_UNIT_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_UNBROKEN_SPACE = re.compile(r"(?<=\d) (?=(?:ms|s|min|h|d)\b)|(?<=\bstep) (?=\d)|(?<=min) (?=\d)")
"""Spaces at which no line is broken: between a number and its unit."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_MIN_WIDTH = 12
"""Columns that wrapped text has at least."""


def format_seconds(value: float) -> str:
    """Returns a duration: `12 ms`, `1.24 s`, `2 min 05 s`, `3 h 12 min`."""
    if value < 0.00995:
        return f"{value * 1000:.1f} ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.995:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_age(value: float) -> str:
    """Returns how long ago something was, in one unit: `12 s`, `3 min`, `5 h`, `12 d`."""
    value = max(0.0, value)
    for size, unit in ((60, "s"), (3600, "min"), (86400, "h")):
        if value < size:
            return f"{int(value / {'s': 1, 'min': 60, 'h': 3600}[unit])} {unit}"
    return f"{int(value / 86400)} d"


def format_until(at: float | None, now: float) -> str:
    """Returns when something ends: `14:05 (59 min)`, with the date if that is not today; nothing for None."""
    if at is None:
        return ""
    then, today = datetime.fromtimestamp(at).astimezone(), datetime.fromtimestamp(now).astimezone()
    pattern = "%H:%M" if then.date() == today.date() else "%Y-%m-%d %H:%M"
    return f"{then.strftime(pattern)} ({format_age(at - now + 1)})"


def format_count(value: int) -> str:
    """Returns a number of tokens: `999`, `1.2k`, `3.4M`."""
    if value < 1_000:
        return str(value)
    if value < 999_950:
        return f"{value / 1_000:.1f}k"
    return f"{value / 1_000_000:.1f}M"


def format_usd(value: Decimal | str) -> str:
    """Returns US dollars with four decimals below ten, then with two; `-` for zero."""
    amount = Decimal(value)
    if amount == 0:
        return "-"
    if amount < Decimal("0.0001"):
        return "<$0.0001"
    return f"${amount:.4f}" if amount < 10 else f"${amount:.2f}"


def format_size(value: int) -> str:
    """Returns bytes: `812 B`, `1.2 KiB`, `3.4 MiB`."""
    if value < 1024:
        return f"{value} B"
    for unit, factor in (("KiB", 1 << 10), ("MiB", 1 << 20)):
        if value < factor * 1024:
            return f"{value / factor:.1f} {unit}"
    return f"{value / (1 << 30):.1f} GiB"


def format_number(number: int, one: str, several: str | None = None) -> str:
    """Returns a number with its noun: `1 step`, `2 steps`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def parse_duration_s(text: str) -> float | None:
    """Returns the seconds of `30d`, `12h`, `90m`, `45s`, `2w`, `1h30m`; None for anything else."""
    if _DURATIONS.fullmatch(text.strip()) is None:
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION.findall(text))


def replace_controls(text: str) -> str:
    """Returns text in which each control character that could steer a terminal is `�`. New lines and tabs stay."""
    return _CONTROL.sub("�", text)


def join_lines(text: str) -> str:
    """Returns text as one line, with white space folded and control characters replaced."""
    return " ".join(replace_controls(text).split())


def shorten_text(text: str, width: int) -> str:
    """Returns text as one line of at most `width` characters, ending in how many were left out."""
    line = join_lines(text)
    if len(line) <= width:
        return line
    kept = max(1, width - len(f"… +{len(line):,}"))
    return f"{line[:kept]}… +{len(line) - kept:,}"


def wrap_text(text: str, width: int, lines: int | None = None) -> list[str]:
    """Returns text in lines of at most `width` characters; beyond `lines` it ends in how much was left out."""
    line = (
        join_lines(text) if lines is None else shorten_text(text, max(_MIN_WIDTH, lines * width - 4 * lines))
    )
    kept = _UNBROKEN_SPACE.sub("\ue000", line)
    found = textwrap.wrap(kept, max(_MIN_WIDTH, width), break_on_hyphens=False) or [""]
    return [each.replace("\ue000", " ") for each in found]
