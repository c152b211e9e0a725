"""What the conversations came to in each framework: a table for people, JSON for keeping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from conversation.result import Result
from conversation.through.play import Through

SHOWN = 5
"""Problems that are printed; the JSON has all of them."""


def rows(played: Through) -> dict[str, str]:
    """One column of the table."""
    gated = played.gated
    wires = Counter(one.wire for one in gated)
    halted = [one for one in gated if one.halted_by is not None]
    return {
        "conversations": f"{len(gated):,}",
        "  streamed / plain": f"{wires['stream']:,} / {wires['plain']:,}",
        "  halted, recorded success": _halts([one for one in halted if one.script.success]),
        "  halted, recorded failure": _halts([one for one in halted if not one.script.success]),
        "  halted where native is not": f"{sum(_is_strict(one) for one in gated):,}",
        "runs": f"{sum(one.runs for one in gated):,}",
        "steps in the journal": f"{sum(one.steps for one in gated):,}",
        "calls advised on": f"{sum(one.advised for one in gated):,}",
        "requests equal to the byte": f"{sum(one.same for one in played.compared):,}",
        "  but for the guard's advice": f"{sum(one.advised for one in played.compared):,}",
        "  not made after a halt": f"{sum(one.halted for one in played.compared):,}",
        "mismatches": f"{played.mismatches:,}",
    }


def _is_strict(one: Result) -> bool:
    """Whether it was halted where the rule of the native guard does not halt it."""
    return one.halted_by is not None and not any(run.halted for run in one.script.runs)


def _halts(halted: list[Result]) -> str:
    by = Counter(str(one.halted_by) for one in halted)
    guards = ", ".join(f"{guard} {count}" for guard, count in sorted(by.items()))
    return f"{len(halted)} ({guards})" if guards else "0"


def list_problems(played: Through) -> list[str]:
    """Every mismatch in words."""
    told = [problem for one in played.compared for problem in one.problems] + played.problems
    for who, results in (("plain", played.plain), ("gated", played.gated)):
        told += [f"{who} {one.script.key}: {problem}" for one in results for problem in one.problems]
    return told


def table(frameworks: Mapping[str, Through]) -> str:
    """All frameworks side by side, then problems in words."""
    columns = {name: rows(played) for name, played in frameworks.items()}
    lines = [f"{'':30}" + "".join(f"{name:>16}" for name in columns)]
    lines += [
        f"{title:30}" + "".join(f"{column[title]:>16}" for column in columns.values())
        for title in next(iter(columns.values()))
    ]
    for name, played in frameworks.items():
        lines += [f"{name}: MISMATCH {problem}" for problem in list_problems(played)[:SHOWN]]
    return "\n".join(lines)


def as_json(played: Through) -> dict[str, Any]:
    """One framework with all conversations; no recorded text is in it."""
    pairs = zip(played.gated, played.compared, strict=True)
    return {
        "table": rows(played),
        "mismatches": played.mismatches,
        "conversations": [
            {
                "id": one.script.key,
                "success": one.script.success,
                "wire": one.wire,
                "runs": one.runs,
                "steps": one.steps,
                "advised": one.advised,
                "halted_by": one.halted_by,
                "requests_same": compared.same,
                "requests_advised": compared.advised,
                "problems": len(one.problems) + len(compared.problems),
            }
            for one, compared in sorted(pairs, key=lambda pair: pair[0].script.key)
        ],
    }
