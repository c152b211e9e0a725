"""The tables of `bench/loops.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = (
    ("runaways_caught", "runaways caught"),
    ("true_loops_caught", "true loops"),
    ("good_advised", "good runs advised"),
    ("good_stopped", "good runs stopped"),
    ("long_good_stopped", "of those ≥ 10 calls"),
)


def cell(value: Mapping[str, Any]) -> str:
    """Hits, what of, and the interval."""
    if not value["of"]:
        return "–"
    text = f"{value['hits']}/{value['of']}"
    return f"{text} {value['share']:.1%} [{value['low']:.1%}–{value['high']:.1%}]"


def table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """One table; each row is a rule."""
    head = ["", *(name for _, name in COLUMNS), "calls until", "calls saved", "not finished"]
    body: list[list[str]] = []
    for name, each in rows.items():
        saved = each["calls_saved"]
        line = [cell(each[key]) for key, _ in COLUMNS]
        until = each["calls_until_stopped"]
        line += ["–" if until is None else f"{until:g}", f"{saved['saved']} of {saved['of']:,}"]
        body.append([name, *line, str(each["not_finished"])])
    widths = [max(len(row[place]) for row in [head, *body]) for place in range(len(head))]
    lines = [title]
    lines += [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *body]
    ]
    return "\n".join(lines)
