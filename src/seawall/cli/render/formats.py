"""Writes numbers, times and texts for people."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from rich.cells import cell_len

UNLIMITED = 10**9
"""A width that no text reaches: nothing is shortened."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)")
_DURATIONS = re.compile(rf"(?:{_DURATION.pattern}\s*)+")
_UNIT_MS = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
_SHOWN_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
MAX_DURATION_S = 36_525 * 86_400.0
"""A hundred years in seconds. Longer durations are refused, because their end may lie beyond the calendar."""
_ALONE_FROM = 10
"""From this number on, an age is shown in one unit."""
_JUST_SET_S = 5.0
"""Seconds after a setting was made during which its whole duration is shown instead of the time that is left."""
_UNBROKEN_SPACE = re.compile(
    r"(?<=\d) (?=(?:ms|s|min|h|d)\b)|(?<=\bstep) (?=\d)|(?<=min) (?=\d)|(?<=\d [hd]) (?=\d)"
)
"""Spaces between a number and its unit, at which no line is broken."""
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Characters that steer a terminal, turn a line round, or can't be seen. The joiners that some scripts need are not among them."""
_MIN_WIDTH = 12
"""The smallest number of columns for wrapped text."""


def format_seconds(value: float) -> str:
    """Returns a measured duration: `1.2 ms`, `45 ms`, `1.24 s`, `2 min 05 s`, `3 h 12 min`, `1 h 30 min 15 s`.

    Below a minute it has three digits at most, from a minute on whole seconds. `parse_duration_s` reads the result.
    """
    if value < 0.00995:
        return f"{max(0.0, value) * 1000:.1f} ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    whole = round(value)
    hours, rest = divmod(whole, 3600)
    minutes, seconds = divmod(rest, 60)
    if not hours:
        return f"{minutes} min {seconds:02d} s"
    parts = [f"{hours} h"]
    if minutes or seconds:
        parts.append(f"{minutes:02d} min")
    if seconds:
        parts.append(f"{seconds:02d} s")
    return " ".join(parts)


def format_duration(value: float) -> str:
    """Returns a duration that somebody has set, exactly: `90 s` is `1 min 30 s`, `0.25` is `250 ms`.

    `parse_duration_s` returns the same number for it.
    """
    if 0 < value < 1 and round(value * 1000) / 1000 == value:
        return f"{round(value * 1000)} ms"
    if value < 60 or value % 1:
        return f"{_format_exactly(value)} s"
    parts: list[str] = []
    left = int(value)
    for unit, size in _SHOWN_UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def _format_exactly(value: float) -> str:
    """Returns a number in the fewest digits that read back as the same one, without an exponent."""
    text = f"{Decimal(repr(float(value))):f}"
    return text.removesuffix(".0")


def format_age(value: float) -> str:
    """Returns how long ago something was, rounded down: `12 s`, `1 min 30 s`, `25 min`, `1 h 30 min`, `12 d`.

    A second unit stands beside a number below ten, where it matters.
    """
    left = int(max(0.0, value))
    units = [(unit, size) for unit, size in _SHOWN_UNITS if left >= size] or [("s", 1)]
    parts: list[str] = []
    for unit, size in units[:2]:
        count, left = divmod(left, size)
        if count or not parts:
            parts.append(f"{count} {unit}")
        if count >= _ALONE_FROM:
            break
    return " ".join(parts)


def format_until(at: float | None, now: float, since: float | None = None) -> str:
    """Returns when something ends: `14:05 (59 min 30 s)`, with the date if that is not today; nothing for None.

    The brackets hold the time that is left or, if it was set at `since` less than `_JUST_SET_S` ago, its whole duration.
    """
    if at is None:
        return ""
    is_new = since is not None and 0 <= now - since < _JUST_SET_S
    left = format_duration(round(at - since, 3)) if since is not None and is_new else format_age(at - now + 1)
    try:
        then, today = datetime.fromtimestamp(at).astimezone(), datetime.fromtimestamp(now).astimezone()
    except (OverflowError, OSError, ValueError):  # beyond the calendar
        return f"in {left}"
    pattern = "%H:%M" if then.date() == today.date() else "%Y-%m-%d %H:%M"
    return f"{then.strftime(pattern)} ({left})"


def format_count(value: int) -> str:
    """Returns a number in short form: `999`, `1.2k`, `3.4M`."""
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
    """Returns the seconds of `30d`, `12h`, `90m`, `45s`, `250ms`, `2w`, `1h30m`; None for anything else.

    It also reads every duration that `seawall` shows. None for one above `MAX_DURATION_S`.
    """
    if not text.isascii() or _DURATIONS.fullmatch(text.strip()) is None:
        return None
    total_ms = sum(Decimal(number) * _UNIT_MS[unit] for number, unit in _DURATION.findall(text))
    seconds = float(total_ms / 1000)
    return seconds if math.isfinite(seconds) and seconds <= MAX_DURATION_S else None


def replace_controls(text: str) -> str:
    """Returns text in which each character that could steer a terminal, or that can't be seen, is `�`. New lines and tabs stay."""
    return _CONTROL.sub("�", text)


def join_lines(text: str) -> str:
    """Returns text as one line, with white space folded and control characters replaced."""
    return " ".join(replace_controls(text).split())


def format_filters(given: Mapping[str, str | None]) -> str:
    """Returns the filters of a list that shows nothing, as ` with tenant acme, team desk`; "" for none."""
    parts = [
        f"{name} {join_lines(value) or repr(value)}" for name, value in given.items() if value is not None
    ]
    return f" with {', '.join(parts)}" if parts else ""


def shorten_text(text: str, width: int) -> str:
    """Returns text as one line of at most `width` columns, which ends with the number of characters left out."""
    line = join_lines(text)
    if cell_len(line) <= width:
        return line
    room = max(1, width - len(f"… +{len(line):,}"))
    kept = len(chop_text(line, room)[0])
    return f"{line[:kept]}… +{len(line) - kept:,}"


def chop_text(text: str, width: int) -> list[str]:
    """Returns text in pieces of at most `width` columns; a character may take two columns. Returns at least one piece."""
    if text.isascii():
        return [text[at : at + width] for at in range(0, len(text), width)] or [""]
    pieces, used = [""], 0
    for character in text:
        size = cell_len(character)
        if used + size > width and pieces[-1]:
            pieces.append("")
            used = 0
        pieces[-1] += character
        used += size
    return pieces


def wrap_text(text: str, width: int, lines: int | None = None) -> list[str]:
    """Returns text in lines of at most `width` columns; beyond `lines` it ends with the number of characters left out."""
    line = (
        join_lines(text) if lines is None else shorten_text(text, max(_MIN_WIDTH, lines * width - 4 * lines))
    )
    kept = _UNBROKEN_SPACE.sub("\ue000", line)
    room = max(_MIN_WIDTH, width)
    found = textwrap.wrap(kept, room, break_on_hyphens=False) or [""]
    if cell_len(line) > len(line):  # some characters take two columns
        found = _wrap_cells(kept, room)
    return [each.replace("\ue000", " ") for each in found]


def _wrap_cells(text: str, width: int) -> list[str]:
    """Returns text in lines of at most `width` columns, where a character may take two."""
    lines = [""]
    for word in text.split(" "):
        for piece in chop_text(word, width):
            joined = f"{lines[-1]} {piece}" if lines[-1] else piece
            if cell_len(joined) <= width:
                lines[-1] = joined
            else:
                lines.append(piece)
    return [line for line in lines if line] or [""]
