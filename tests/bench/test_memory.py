"""The memory program, small: what it measures is done, and its figures are of all of it."""

from __future__ import annotations

import re
from pathlib import Path

import warm_python

ROOT = Path(__file__).parents[2]


def test_it_merges_reads_reverts_collects_and_says_what_holds() -> None:
    command = [str(ROOT / "bench" / "memory.py"), "--quick", "--alone"]
    done = warm_python.run(command, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    versions, keys = done.stdout.split("seawall, keys\n")
    figures = dict(re.findall(r"^ +(.+): ([0-9.,]+)$", versions, flags=re.MULTILINE))
    assert figures.keys() == dict(re.findall(r"^ +(.+): ([0-9.,]+)$", keys, flags=re.MULTILINE)).keys()
    assert all(float(value.replace(",", "")) > 0 for value in figures.values())
    assert {"merge ratio", "read by key ratio", "read by text ratio", "revert p50 ratio"} <= set(figures)
    assert float(figures["MB"]) > float(figures["MB after gc and prune"]) > 0
    assert float(figures["file / live"]) < 2, "a size, and not a time: it is the same on every machine"
    assert len(re.findall(r"^(?:holds|MISSED): ", done.stdout, flags=re.MULTILINE)) == 5
