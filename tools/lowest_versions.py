"""Prints the lowest versions that an extra of `pyproject.toml` allows, as requirements: `langchain==1.5`.

    python tools/lowest_versions.py langchain

`make constraints` pins them for `make test-adapters`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def read_lowest(extra: str) -> dict[str, str]:
    """Returns the lowest version of each package that an extra names. Raises `ValueError` if one has no lower bound."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    lowest: dict[str, str] = {}
    for requirement in project["optional-dependencies"][extra]:
        found = re.fullmatch(r"([\w.-]+)(?:\[[^]]*\])?>=([\d.]+)(?:,.*)?", requirement)
        if found is None:
            raise ValueError(f"extra {extra}: {requirement} has no lower bound")
        lowest[found[1]] = found[2]
    return lowest


if __name__ == "__main__":
    for name, version in read_lowest(sys.argv[1]).items():
        print(f"{name}=={version}")
