"""The tables of `bench/lint.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Overlap: each row is a way of judging."""
    head = ["", "precision", "recall", "F1", "AUC", "flagged", "strong found", "AUC strong"]
    body = [
        [
            name,
            _cell(each, "precision"),
            _cell(each, "recall"),
            f"{each['f1']:.2f}",
            _cell(each, "auc"),
            f"{each['right']} of {each['flagged']}",
            f"{each['strong_found']} of {each['strong']}",
            _number(each["auc_strong"]),
        ]
        for name, each in rows.items()
    ]
    return _align(title, [head, *body])


def defects(title: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The other defects: each row is a kind."""
    body = [
        [name, f"{each['found']} of {each['labelled']}", str(each["false"]), ", ".join(each["codes"])]
        for name, each in rows.items()
    ]
    return _align(title, [["", "found", "false", "codes"], *body])


def _cell(each: Mapping[str, Any], name: str) -> str:
    ends = each.get("interval", {}).get(name)
    return _number(each[name]) + (f" [{ends[0]:.2f}–{ends[1]:.2f}]" if ends else "")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _align(title: str, rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([title, *lines])
