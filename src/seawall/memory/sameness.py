"""Decides which values of memory are the same: equal, or different only in the time and the request of a look-up."""

from __future__ import annotations

import functools
import re
from typing import Any, cast

import msgspec

from seawall.core.canonical import digest_of

LOOKED_UP_FIELDS = frozenset(
    [
        *(
            "checked_at",
            "fetched_at",
            "generated_at",
            "observed_at",
            "queried_at",
            "retrieved_at",
            "server_time",
        ),
        *("correlation_id", "correlationid", "request_id", "requestid", "span_id", "trace_id", "traceid"),
        *("elapsed", "elapsed_ms", "elapsed_s", "latency_ms", "took", "took_ms"),
    ]
)
"""JSON fields that say when and how a fact was looked up. `timestamp` and `duration` are left out: they may be the fact."""
_CLOCK = r"(?:\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[ ]?[+-]\d\d:?\d\d)?)?|\d\d?:\d\d:\d\d(?:[.,]\d+)?)"
_LOOKED_UP = rf"""
      \b(?:(?:checked|fetched|generated|observed|queried|retrieved|looked[ ]up)(?:[ ](?:at|on))?|as[ ]of)[ :=]*{_CLOCK}
    | \b(?:took|elapsed)[ :=]*\d+(?:\.\d+)?[ ]?(?:ns|us|µs|ms|s|secs?|seconds?)\b
    | \b(?:request|trace|span|correlation)[_-]?id[ :="']*[0-9a-zA-Z]*\d[0-9a-zA-Z-]{{5,}}
"""


@functools.cache
def _compile() -> re.Pattern[str]:
    return re.compile(_LOOKED_UP, re.VERBOSE | re.IGNORECASE)


def make_loose(text: str) -> str:
    """Returns a digest that is equal for values that are the same. An appointment or an id is a fact, and makes a difference."""
    if text[:1] in ("{", "["):
        try:
            return digest_of(_strip(msgspec.json.decode(text)))
        except (msgspec.DecodeError, RecursionError):
            pass
    return digest_of(_mask(text))


def _mask(text: str) -> str:
    return " ".join(_compile().sub("…", text).split())


def _strip(value: object) -> object:
    if isinstance(value, str):
        return _mask(value)
    if isinstance(value, list):
        return [_strip(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: _strip(each) for name, each in fields.items() if name.lower() not in LOOKED_UP_FIELDS}
    return value
