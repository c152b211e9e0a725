"""Figures, tables and bars of `bench/loops_hard.py`."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from loop.score import wilson

from loop_hard.kinds import Half
from loop_hard.play import Judgement
from loop_hard.script import Script

LEAST_CAUGHT, MOST_STOPPED = 0.95, 0.02
"""Of the loops and of the good work of the half that was set aside."""
HALVES: tuple[Half, ...] = ("open", "aside", "later")
NAMES = {"open": "open half", "aside": "set aside", "later": "set aside later"}
Judgements = Sequence[Judgement]


def caught(script: Script, judgement: Judgement) -> bool:
    """Whether a loop was stopped, and not before it had begun."""
    return judgement.stopped_at is not None and judgement.stopped_at > script.onset


def figures(scripts: Sequence[Script], judgements: Judgements, half: Half) -> dict[str, Any]:
    """What a rule comes to on one half of the kinds."""
    pairs = [(s, v) for s, v in zip(scripts, judgements, strict=True) if s.kind.half == half]
    loops = [(s, v) for s, v in pairs if s.kind.cls == "loop"]
    good = [(s, v) for s, v in pairs if s.kind.cls == "good"]
    calls = [v.stopped_at - s.onset for s, v in loops if caught(s, v) and v.stopped_at is not None]
    return {
        "caught": _share([caught(s, v) for s, v in loops]),
        "stopped_too_early": sum(v.stopped_at is not None and not caught(s, v) for s, v in loops),
        "calls_until_caught": statistics.median(calls) if calls else None,
        "good_stopped": _share([v.stopped_at is not None for _, v in good]),
        "good_advised": _share([v.advised for _, v in good]),
    }


def _share(hits: Sequence[bool]) -> dict[str, Any]:
    low, high = wilson(sum(hits), len(hits))
    share = sum(hits) / len(hits) if hits else 0.0
    return {"hits": sum(hits), "of": len(hits), "share": share, "low": low, "high": high}


def by_kind(scripts: Sequence[Script], judgements: Judgements, half: Half) -> dict[str, dict[str, Any]]:
    """For each kind of a half: of how many seeds it was stopped, at which call, and by what."""
    found: dict[str, dict[str, Any]] = {}
    for script, judgement in zip(scripts, judgements, strict=True):
        kind = script.kind
        if kind.half != half:
            continue
        row = found.setdefault(
            kind.name,
            {
                "class": kind.cls,
                "family": kind.family,
                "seeds": 0,
                "stopped": 0,
                "at": [],
                "by": [],
            },
        )
        row["seeds"] += 1
        if caught(script, judgement) if kind.cls == "loop" else judgement.stopped_at is not None:
            assert judgement.stopped_at is not None
            row["stopped"] += 1
            row["at"].append(judgement.stopped_at - script.onset)
        if judgement.by and judgement.by not in row["by"]:
            row["by"].append(judgement.by)
    return found


def table(rows: Mapping[str, Mapping[str, Any]], half: Half) -> str:
    """One line for each rule."""
    head = [NAMES[half], "loops caught", "calls until caught", "good work stopped", "good work advised"]
    body = [[name, *_cells(each[half])] for name, each in rows.items()]
    widths = [max(len(row[place]) for row in [head, *body]) for place in range(len(head))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *body]
    )


def _cells(of: Mapping[str, Any]) -> list[str]:
    calls = of["calls_until_caught"]
    return [
        _cell(of["caught"]),
        "–" if calls is None else f"{calls:g}",
        _cell(of["good_stopped"]),
        _cell(of["good_advised"]) if of["good_advised"]["hits"] else "–",
    ]


def _cell(share: Mapping[str, Any]) -> str:
    return f"{share['hits']}/{share['of']} {share['share']:.1%}" if share["of"] else "–"


def problems(kinds: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The kinds that are not as they should be, one line for each family."""
    lines: dict[str, list[str]] = defaultdict(list)
    for name, row in kinds.items():
        wrong = row["seeds"] - row["stopped"] if row["class"] == "loop" else row["stopped"]
        if wrong:
            what = "goes on" if row["class"] == "loop" else "is stopped"
            by = f" ({'; '.join(row['by'])})" if row["by"] else ""
            lines[f"{row['class']}/{row['family']}"].append(f"{name} {what} {wrong} of {row['seeds']}{by}")
    return [f"{family}: {', '.join(each)}" for family, each in sorted(lines.items())]


def bars(ours: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """The bars on the halves set aside, each with whether it is met; none for what was not played."""
    found: list[tuple[str, bool]] = []
    for half in HALVES[1:]:
        loops, good = ours[half]["caught"], ours[half]["good_stopped"]
        if loops["of"]:
            text = f"at least {LEAST_CAUGHT:.0%} of the loops {NAMES[half]} are caught: {loops['share']:.1%}"
            found.append((text, loops["share"] >= LEAST_CAUGHT))
        if good["of"]:
            text = (
                f"at most {MOST_STOPPED:.0%} of the good work {NAMES[half]} is stopped: {good['share']:.1%}"
            )
            found.append((text, good["share"] <= MOST_STOPPED))
    return found
