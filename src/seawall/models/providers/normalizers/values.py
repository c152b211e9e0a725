"""Single values of a reply, in the form that the protocols promise."""

from __future__ import annotations

import json
from typing import Any, cast


class Unreadable(Exception):
    """A reply that can be read in no way; the text says what is wrong with it."""


def as_dict(value: object) -> dict[str, Any]:
    """Returns an object as it is, and anything else as an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Returns a list as it is, null as an empty one, and one object as a list of it."""
    if isinstance(value, list):
        return cast("list[Any]", value)
    return [value] if isinstance(value, dict) else []


def as_text(value: object) -> str | None:
    """Returns text that is not empty; None for anything else."""
    return value if isinstance(value, str) and value else None


def as_index(value: object) -> int | None:
    """Returns a place in a list, also one that is written as `0.0` or `"0"`; None if there is none."""
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
    """Returns an id, also one that is a number; None for one that is missing, empty or of another type."""
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
    """Returns a call's arguments as an object, for protocols that have one. Raises `Unreadable` for what is none."""
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
    """Returns the text of a message, also of one in parts; parts of other types are left out. None: there is none.

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
