"""What the conversations came to: tables for people, JSON for keeping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from conversation.result import Played, Result

SHOWN = 5
"""Problems that are printed; the JSON has all of them."""


def rows(played: Played) -> dict[str, str]:
    """One column of the table."""
    results = played.results
    halted = [one for one in results if one.halted_by is not None]
    steps = sum(one.steps for one in results)
    finished = sum(1 for one in results if one.halted_by is None and not one.problems)
    wires = Counter(one.wire for one in results)
    batches = sum(len(batch) > 1 for one in results for run in one.script.runs for batch in run.batches)
    return {
        "conversations": f"{len(results):,}",
        "  streamed / plain": f"{wires['stream']:,} / {wires['plain']:,}",
        "  finished as recorded": f"{finished:,}",
        "  halted, recorded success": _halts([one for one in halted if one.script.success]),
        "  halted, recorded failure": _halts([one for one in halted if not one.script.success]),
        "runs": f"{sum(one.runs for one in results):,}",
        "steps": f"{steps:,}",
        "tool calls": f"{_calls(results):,}",
        "  batches in flight at once": f"{sum(one.overlapped for one in results):,} of {batches:,}",
        "calls advised on": f"{sum(one.advised for one in results):,}",
        "  in recorded successes": f"{sum(one.advised for one in results if one.script.success):,}",
        "requests matched": f"{played.server['matched']:,}",
        "mismatches": f"{mismatches(played):,}",
        "steps/s": f"{steps / played.wall_s:,.0f}",
        "journal bytes a step": f"{played.journal_bytes / max(1, steps):,.0f}",
    }


def _halts(halted: list[Result]) -> str:
    by = Counter(str(one.halted_by) for one in halted)
    guards = ", ".join(f"{guard} {count}" for guard, count in sorted(by.items()))
    return f"{len(halted)} ({guards})" if guards else "0"


def _calls(results: list[Result]) -> int:
    return sum(len(batch) for one in results for run in one.script.runs for batch in run.batches)


def mismatches(played: Played) -> int:
    """Everything that is not as recorded: what the server refused, and what the journal has otherwise."""
    requests = int(played.server["mismatched"])
    return requests + sum(len(one.problems) for one in played.results)


def table(variants: Mapping[str, Played]) -> str:
    """All variants side by side, then halts and problems in words."""
    columns = {name: rows(played) for name, played in variants.items()}
    lines = [f"{'':30}" + "".join(f"{name:>16}" for name in columns)]
    lines += [
        f"{title:30}" + "".join(f"{column[title]:>16}" for column in columns.values())
        for title in next(iter(columns.values()))
    ]
    for name, played in variants.items():
        for one in sorted(played.results, key=lambda one: one.script.key):
            if one.halted_by is not None:
                label = "success" if one.script.success else "failure"
                lines.append(f"{name}: {one.script.key} (recorded {label}) was halted: {one.halted_why}")
        lines += [f"{name}: MISMATCH {problem}" for problem in problems(played)[:SHOWN]]
    return "\n".join(lines)


def problems(played: Played) -> list[str]:
    """Every mismatch in words."""
    told = [
        f"{one['conversation']}, message {one['at']}: {one['problem']}\n"
        f"  expected {one['expected']}\n  got      {one['got']}"
        for one in played.server["mismatches"]
    ]
    return told + [f"{one.script.key}: {problem}" for one in played.results for problem in one.problems]


def as_json(played: Played) -> dict[str, Any]:
    """One variant with all conversations; no recorded text is in it."""
    results = sorted(played.results, key=lambda one: one.script.key)
    steps = sum(one.steps for one in results)
    return {
        "table": rows(played),
        "wall_s": played.wall_s,
        "steps": steps,
        "steps_per_s": steps / played.wall_s,
        "journal_bytes": played.journal_bytes,
        "journal_bytes_per_step": played.journal_bytes / max(1, steps),
        "mismatches": mismatches(played),
        "requests": {name: played.server[name] for name in ("requests", "matched", "mismatched")},
        "conversations": [
            {
                "id": one.script.key,
                "success": one.script.success,
                "wire": one.wire,
                "runs": one.runs,
                "steps": one.steps,
                "advised": one.advised,
                "halted_by": one.halted_by,
                "halted_why": one.halted_why,
                "problems": len(one.problems),
            }
            for one in results
        ],
    }
