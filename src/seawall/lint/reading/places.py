"""Finds the line in which each agent is defined: the first line of a file with the agent's name in quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from seawall.lint.description import SourcePlace


def find_places(file: Path, names: Sequence[str]) -> dict[str, SourcePlace]:
    """Returns the place of each name: the first line of a file with the name in quotes, or the file without a line if there is
    none.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return {name: SourcePlace(str(file), find_line(text, name)) for name in names}


def find_line(text: str, name: str) -> int | None:
    """Returns the first line, counted from 1, with a name in quotes; None if there is none."""
    found = re.search(rf"""(["']){re.escape(name)}\1""", text)
    return None if found is None else text.count("\n", 0, found.start()) + 1
