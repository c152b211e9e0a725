"""Finds the lines in which agents are defined: where a file first has their names in quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from seawall.lint.description import SourcePlace


def find_places(file: Path, names: Sequence[str]) -> dict[str, SourcePlace]:
    """Returns for each name the first line of a file in which it stands in quotes; without a line if there is none."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return {name: SourcePlace(str(file), find_line(text, name)) for name in names}


def find_line(text: str, name: str) -> int | None:
    """Returns the first line, from 1, in which a name stands in quotes; None if it does not."""
    found = re.search(rf"""(["']){re.escape(name)}\1""", text)
    return None if found is None else text.count("\n", 0, found.start()) + 1
