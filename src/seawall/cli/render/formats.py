"""How numbers, times and texts are written for people."""

from __future__ import annotations

import re
import textwrap
from decimal import Decimal

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
_DURATIONS = re.compile(rf"(?:{_DURATION.pattern}\s*)+")
_UNIT_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_TOGETHER = re.compile(r"(?<=\d) (?=(?:ms|s|min|h|d)\b)|(?<=\bstep) (?=\d)|(?<=min) (?=\d)")
"""Spaces that no line is broken at: between a number and its unit."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def seconds(value: float) -> str:
    """A duration: `12 ms`, `1.24 s`, `2 min 05 s`, `3 h 12 min`."""
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


def age(value: float) -> str:
    """How long ago, in one unit: `12 s`, `3 min`, `5 h`, `12 d`."""
    value = max(0.0, value)
    for size, unit in ((60, "s"), (3600, "min"), (86400, "h")):
        if value < size:
            return f"{int(value / {'s': 1, 'min': 60, 'h': 3600}[unit])} {unit}"
    return f"{int(value / 86400)} d"


def count(value: int) -> str:
    """A number of tokens: `999`, `1.2k`, `3.4M`."""
    if value < 1_000:
        return str(value)
    if value < 999_950:
        return f"{value / 1_000:.1f}k"
    return f"{value / 1_000_000:.1f}M"


def usd(value: Decimal | str) -> str:
    """US dollars: four decimals below ten, then two; `-` for nothing."""
    amount = Decimal(value)
    if amount == 0:
        return "-"
    if amount < Decimal("0.0001"):
        return "<$0.0001"
    return f"${amount:.4f}" if amount < 10 else f"${amount:.2f}"


def size(value: int) -> str:
    """Bytes: `812 B`, `1.2 KiB`, `3.4 MiB`."""
    if value < 1024:
        return f"{value} B"
    for unit, factor in (("KiB", 1 << 10), ("MiB", 1 << 20)):
        if value < factor * 1024:
            return f"{value / factor:.1f} {unit}"
    return f"{value / (1 << 30):.1f} GiB"


def many(number: int, one: str, several: str | None = None) -> str:
    """`1 step`, `2 steps`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def duration_s(text: str) -> float | None:
    """Seconds of `30d`, `12h`, `90m`, `45s`, `2w`, `1h30m`; None for anything else."""
    if _DURATIONS.fullmatch(text.strip()) is None:
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION.findall(text))


def visible(text: str) -> str:
    """Text whose control characters can't steer a terminal: each becomes `�`. New lines and tabs stay."""
    return _CONTROL.sub("�", text)


def one_line(text: str) -> str:
    """Text in one line, white space folded."""
    return " ".join(visible(text).split())


def shortened(text: str, width: int) -> str:
    """Text in one line of at most `width` characters, saying how many were left out."""
    line = one_line(text)
    if len(line) <= width:
        return line
    kept = max(1, width - len(f"… +{len(line):,}"))
    return f"{line[:kept]}… +{len(line) - kept:,}"


def wrapped(text: str, width: int, lines: int | None = None) -> list[str]:
    """Text in lines of at most `width` characters; beyond `lines` it says how much was left out."""
    line = one_line(text) if lines is None else shortened(text, max(12, lines * width - 4 * lines))
    kept = _TOGETHER.sub("\ue000", line)
    found = textwrap.wrap(kept, max(12, width), break_on_hyphens=False) or [""]
    return [each.replace("\ue000", " ") for each in found]
