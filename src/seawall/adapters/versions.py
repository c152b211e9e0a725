"""Checks that an adapter was tested with the installed version of its framework."""

from __future__ import annotations

import re
import warnings
from importlib.metadata import PackageNotFoundError, version

from seawall.core.errors import Misused


def check_version(package: str, *, lowest: str, below: str, extra: str) -> None:
    """Raises `Misused` if a framework is missing or too old, and warns if it is newer than the tested versions."""
    try:
        found = version(package)
    except PackageNotFoundError as error:
        raise Misused(
            f"this adapter needs {package} {lowest} or newer, and it is not installed: pip install 'path/to/seawall[{extra}]'"
        ) from error
    if _read_version(found) < _read_version(lowest):
        raise Misused(f"this adapter needs {package} {lowest} or newer, and {found} is installed")
    if _read_version(found) >= _read_version(below):
        warnings.warn(
            f"this adapter was tested with {package} from {lowest} to below {below}, and {found} is installed: test what "
            "it gates with `engine.coverage()`",
            stacklevel=3,
        )


def _read_version(text: str) -> tuple[int, ...]:
    """Returns the leading numbers of a version, without zeros at the end, so that 2 and 2.0.0 are equal."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(part) for part in found.group().split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
