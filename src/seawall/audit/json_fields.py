"""Reads fields of decoded JSON that may lack the fields, or have other types than expected."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from seawall.core.canonical import escape_surrogates_in_json, to_canonical_bytes

Fields = dict[str, Any]
"""A JSON object."""


def decode_json(line: bytes) -> Any:
    """Decodes JSON, and also two things that only Python's `json` writes: NaN, and halves of surrogate pairs.

    Raises `msgspec.DecodeError`, `UnicodeDecodeError` or `RecursionError` for a line that is not JSON.
    """
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        try:
            value = json.loads(line, parse_constant=lambda _: None)
        except ValueError:
            raise error from None
        return msgspec.json.decode(escape_surrogates_in_json(json.dumps(value, ensure_ascii=False)))


def get_fields(value: Any, *names: str) -> Fields:
    """Returns the object under the first of `names` that holds one; without names, `value` itself. If there is no object, it
    returns an empty one.
    """
    if not names:
        return cast("Fields", value) if isinstance(value, dict) else {}
    fields = get_fields(value)
    for name in names:
        found = fields.get(name)
        if isinstance(found, dict):
            return cast("Fields", found)
    return {}


def get_list(value: Any, *names: str) -> list[Any]:
    """Returns the list under the first of `names` that holds one; without names, `value` itself. If there is no list, it
    returns an empty one.
    """
    if not names:
        return cast("list[Any]", value) if isinstance(value, list) else []
    fields = get_fields(value)
    for name in names:
        found = fields.get(name)
        if isinstance(found, list):
            return cast("list[Any]", found)
    return []


def get_text(value: Any, *names: str) -> str:
    """Returns the first text under `names` that is not empty; a number counts as a text. Returns "" if there is none."""
    fields = get_fields(value)
    for name in names:
        found = fields.get(name)
        if isinstance(found, str) and found:
            return found
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
    return ""


def get_count(value: Any, *names: str) -> int:
    """Returns the first number under `names` that is above zero; 0 if there is none."""
    fields = get_fields(value)
    for name in names:
        found = fields.get(name)
        if isinstance(found, str) and found.isdecimal() and len(found) < MAX_DIGITS:
            found = int(found)
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if isinstance(found, int) and not isinstance(found, bool) and found > 0:
            return found
    return 0


MAX_TIME = 10**20
"""A larger number can't be a time, in any unit."""
MAX_DIGITS = 20
"""Digits of a time that is written as a text, at most. A time in nanoseconds has 19."""


def get_time(value: Any, *names: str) -> float:
    """Returns the first time under `names`, in seconds since 1970: a number, or an ISO 8601 text; 0 if there is none."""
    fields = get_fields(value)
    for name in names:
        found = fields.get(name)
        if isinstance(found, int | float) and not isinstance(found, bool):
            return float(found) if abs(found) < MAX_TIME else 0.0
        if isinstance(found, str) and found:
            try:
                parsed = datetime.fromisoformat(found)
                return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
            except (ValueError, OverflowError):
                continue
    return 0.0


def open_json(value: Any) -> Any:
    """Returns the object or list in a text of JSON; any other value unchanged."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return value
    return value


def format_text(value: Any) -> str:
    """Returns a text unchanged, "" for null, and any other value as canonical JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else to_canonical_bytes(value).decode()


def normalise_arguments(value: Any) -> str:
    """Returns arguments in a canonical form, so that the order of keys and white space do not matter."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return value
    return "{}" if value is None else to_canonical_bytes(value).decode()


def describe_type(value: object) -> str:
    """Returns the kind of a JSON value with its article, such as "a list"."""
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a number"
