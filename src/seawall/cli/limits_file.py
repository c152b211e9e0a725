"""Reads `limits.toml`, `--active-s` and `--mode`: what a run may spend, and which guards only observe."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast, get_args

import msgspec

from seawall.core.errors import Misused
from seawall.core.events import Mode
from seawall.core.limits import AtLimit, Limits


def read_limits(base: Limits, file: Path | None, active_s: float | None = None) -> Limits:
    """Returns the team's limits, replaced by those of `file`, and `active_s` by the value given here.

    Raises `Misused` naming the key and the value that is wrong.
    """
    given: dict[str, Any] = {} if file is None else _read_file(file)
    if active_s is not None:
        given["active_s"] = active_s
    if not given:
        return base
    return msgspec.structs.replace(base, **given)


def _read_file(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        raise Misused(f"there is no file {file}") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Misused(f"{file} can't be read: {why}") from None
    except tomllib.TOMLDecodeError as error:
        raise Misused(f"{file} is not TOML: {error}") from None
    return {key: _convert_value(file, key, value) for key, value in table.items()}


def _convert_value(file: Path, key: str, value: Any) -> Any:
    """Returns one limit in the type of its field. Raises `Misused` for an unknown limit or a value of a wrong type."""
    known = Limits.__struct_fields__
    if key not in known:
        near = get_close_matches(key, known, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise Misused(
            f"{file}: {key} = {_format_value(value)} is not a limit{hint}; there are: {', '.join(known)}"
        )
    if key == "at_limit":
        if value not in get_args(AtLimit):
            raise Misused(f"{file}: at_limit = {_format_value(value)}; it must be 'answer' or 'halt'")
        return value
    if key == "count_failed":
        if not isinstance(value, bool):
            raise Misused(f"{file}: {key} = {_format_value(value)}; it must be true or false")
        return value
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Misused(f"{file}: {key} = {_format_value(value)}; it must be a number")
    if not (value.is_finite() if isinstance(value, Decimal) else True) or not value > 0:
        raise Misused(f"{file}: {key} = {value}; it must be above zero")
    if key == "usd":
        return Decimal(value)
    if key in ("active_s", "warn_at"):
        return float(value)
    if not isinstance(value, int):
        raise Misused(f"{file}: {key} = {value}; it must be a whole number")
    return value


def _format_value(value: object) -> str:
    return repr(str(value)) if isinstance(value, str) else str(value)


def parse_modes(given: Sequence[str]) -> Mapping[str, Mode]:
    """Returns `loops=observe` as a mapping. Raises `Misused` naming what is wrong."""
    known: tuple[str, ...] = get_args(Mode)
    found: dict[str, Mode] = {}
    for each in given:
        guard, equals, mode = each.partition("=")
        if not equals or not guard or mode not in known:
            raise Misused(f"--mode {each}: write GUARD=MODE, where MODE is one of {', '.join(known)}")
        found[guard] = cast("Mode", mode)
    return found
