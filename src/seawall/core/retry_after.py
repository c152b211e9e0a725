"""How long a server asks its client to wait before it tries again."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SECONDS = re.compile(r"\d+(?:\.\d+)?[ ]?s?(?:[ ]?,[ ]?\d+(?:\.\d+)?[ ]?s?)*")
_MAX_CHARS = 128
_NAMES = (("retry-after-ms", 1e-3), ("x-ms-retry-after-ms", 1e-3), ("retry-after", 1.0))


def read_retry_after_s(headers: Mapping[str, str], wall_s: float | None = None) -> float | None:
    """Returns the seconds of `Retry-After-Ms`, also with Azure's prefix, or of `Retry-After` as a number or an HTTP date; None
    without any of them, or if they can't be read.

    The names of `headers` are in lower case. Of several numbers, which a proxy joins with commas, it is the largest. A
    date is compared with `wall_s`, in seconds since the Unix epoch, or else with the date of the response.
    """
    for name, scale in _NAMES:
        value = headers.get(name, "").strip()
        if len(value) <= _MAX_CHARS and _SECONDS.fullmatch(value):
            seconds = max(map(float, _NUMBER.findall(value))) * scale
            return seconds if math.isfinite(seconds) else None
    date = headers.get("retry-after")
    if not date or (wall_s is None and "date" not in headers):
        return None
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 -- takes 5 ms to import; few servers send dates

    try:
        begun_s = parsedate_to_datetime(headers["date"]).timestamp() if wall_s is None else wall_s
        return max(0.0, parsedate_to_datetime(date).timestamp() - begun_s)
    except (ValueError, OverflowError, TypeError):
        return None
