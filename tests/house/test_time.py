"""Nothing sleeps, and the machine's clock is read in one place. (ruff bans the rest by name.)"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from house import code

WAITS = {"asyncio.sleep", "anyio.sleep", "trio.sleep", "time.sleep"}
READS = {"time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns"}


def _calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    text = path.read_text(encoding="utf-8")
    if not any(name in text for name in WAITS | READS):
        return
    for node in ast.walk(code.tree(path)):
        if isinstance(node, ast.Call):
            yield code.dotted(node.func), node


def _yields_only(call: ast.Call) -> bool:
    """Whether it is `sleep(0)`, which lets other tasks run and takes no time."""
    return len(call.args) == 1 and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0


def test_no_test_sleeps_or_reads_the_clock() -> None:
    found = [
        f"{code.name(path)}:{call.lineno}: {name}"
        for path in code.python("tests")
        for name, call in _calls(path)
        if (name in WAITS and not _yields_only(call)) or name in READS
    ]

    assert found == []


def test_the_package_waits_by_its_clock_alone() -> None:
    found = [
        f"{code.name(path)}:{call.lineno}: {name}"
        for path in code.python("src")
        for name, call in _calls(path)
        if name in WAITS and not _yields_only(call) and path != code.SRC / "core" / "clock.py"
    ]

    assert found == []
