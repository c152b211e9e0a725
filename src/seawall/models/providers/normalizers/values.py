"""Converts single values of a reply to the form that the protocols specify."""

from __future__ import annotations

import json
from typing import Any, cast


class Unreadable(Exception):
    """A reply that can't be read; the text says what is wrong with it."""


def as_dict(value: object) -> dict[str, Any]:
    """Returns an object as it is, and an empty object for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Returns a list as it is, an empty list for null, and a list of one item for an object."""
    if isinstance(value, list):
        return cast("list[Any]", value)
    return [value] if isinstance(value, dict) else []


def as_text(value: object) -> str | None:
    """Returns text that is not empty; None for anything else."""
    return value if isinstance(value, str) and value else None


def as_index(value: object) -> int | None:
    """Returns an index, also if it is written as `0.0` or `"0"`; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) else None


def as_number(value: object) -> int | float:
    """Returns a number, such as a time; 0 for anything else."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0


def as_ident(value: object) -> str | None:
    """Returns an id as text, also if it is a number; None if it is missing, empty or of another type."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return as_text(value)


def write_arguments(value: object) -> str:
    """Returns a call's arguments as JSON text: text as it is, an object as compact JSON, nothing as ""."""
    if value is None or value == []:  # some servers write an empty object as an empty list
        return ""
    if isinstance(value, str):
        return value
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if _encodes(text) else json.dumps(value, separators=(",", ":"))


def read_arguments(value: object) -> dict[str, Any]:
    """Returns a call's arguments as an object, for protocols that have an object. Raises `Unreadable` for other values."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Unreadable("sent the arguments of a call as text that is not JSON") from None
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    if value is None or value == "" or value == []:
        return {}
    raise Unreadable(f"sent the arguments of a call as {type(value).__name__}, not as an object")


def join_content(value: object) -> str | None:
    """Returns the text of a message, also if it is in parts; parts of other types are left out. Returns None without text.

    Raises `Unreadable` for content of a type that no protocol has.
    """
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, dict | list):
        raise Unreadable(f"sent the text of its reply as {type(value).__name__}")
    texts: list[str] = []
    for part in as_list(cast("object", value)):
        if isinstance(part, str):
            texts.append(part)
        elif as_dict(part).get("type", "text") in ("text", "output_text") and isinstance(
            text := as_dict(part).get("text"), str
        ):
            texts.append(text)
    return "".join(texts) if texts else None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True
