"""What does a budget save of the tokens that recorded agents were sent, and is anything lost that they used later?

Recorded conversations are played through Seawall with a budget and without one. A scripted model makes the recorded
calls, whatever it is sent; every literal in their arguments that came from an earlier result must be in the context
then, or the context must say how to read it again. Tokens are bytes divided by four.

    python bench/context.py [--data FOLDER] [--budget 4000 8000 16000] [--quick]

Exit status: 0 if nothing was lost, nothing changed below the budget without junk, and the long runs of all files
together took at least 40% fewer tokens under the smallest budget; 1 if not; 2 if there is no data.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assembly.play import BYTES_A_TOKEN, Played, play
from assembly.recorded import BadRecording, Script, load

from seawall import Context

ROOT = Path(__file__).resolve().parent.parent
DATA = Path("..") / "shared" / "data"
FILES = ("conversations/tau_airline.jsonl.gz", "loops/claude_code.jsonl.gz")
LONG = 20_000
"""Tokens sent in all calls of a run from which on it counts as long."""
LEAST_SAVED = 0.4
QUICK = 12
WHOLE = Context(junk_at=1.0)
"""No budget, and junk stays: everything that was said is sent."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help=f"the folder of the recordings (default: {DATA}, from the repository)"
    )
    parser.add_argument(
        "--budget",
        type=int,
        nargs="+",
        default=[4_000, 8_000, 16_000, 100_000],
        help="tokens (default: 4000 8000 16000 100000)",
    )
    parser.add_argument("--quick", action="store_true", help=f"only every so many-th run, {QUICK} of a file")
    parser.add_argument("--json", action="store_true", help="print the results instead of the table")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "context.json")
    return parser.parse_args()


async def _play_all(scripts: Sequence[Script], context: Context, what: str) -> list[Played]:
    print(f"{what}: {len(scripts)} runs", file=sys.stderr, flush=True)
    return [await play(script, context) for script in scripts]


def _measure(whole: Sequence[Played], played: Sequence[Played], context: Context) -> dict[str, Any]:
    """What came of all runs of a file under one budget, beside the same runs without."""
    pairs = list(zip(whole, played, strict=True))
    long = [(before, after) for before, after in pairs if before.tokens >= LONG]
    longest = [(before, after) for before, after in pairs if before.longest >= LONG]
    folds = [fold for each in played for fold in each.folds]
    return {
        "runs": len(played),
        "problems": [f"{each.key}: {problem}" for each in played for problem in each.problems],
        "all": _sum(pairs),
        "long_runs": {"of": len(long), **_sum(long)},
        "long_contexts": {"of": len(longest), **_sum(longest)},
        "model_calls": sum(len(each.sent) for each in played),
        "folds": {
            trigger: sum(fold.trigger == trigger for fold in folds)
            for trigger in ("budget", "junk", "too_long")
        },
        "changed_without_reason": [after.key for before, after in pairs if _changed(before, after, context)],
        "paid": {"without": _pay([before for before, _ in pairs]), "with": _pay(played)},
        "cached": {"without": _cached([before for before, _ in pairs]), "with": _cached(played)},
        "junk": {"without": _junk(whole), "with": _junk(played)},
        "used_later": {
            "of": sum(each.used for each in played),
            "shown": sum(each.shown for each in played),
            "by_reference": sum(each.referred for each in played),
            # What was not shown even whole came back in another form: for example, an error of many lines.
            "lost": [
                f"{after.key}: {literal}"
                for before, after in pairs
                for literal in after.lost
                if literal not in before.lost
            ],
            "never_shown": sum(len(each.lost) for each in whole),
        },
    }


def _sum(pairs: Sequence[tuple[Played, Played]]) -> dict[str, Any]:
    without, with_ = sum(before.tokens for before, _ in pairs), sum(after.tokens for _, after in pairs)
    return {"without": without, "with": with_, "saved": round(1 - with_ / without, 4) if without else 0.0}


def _changed(before: Played, after: Played, context: Context) -> bool:
    """Whether a run was sent anything else than without a budget, though it was below it and nothing was junk."""
    first = min((fold.step for fold in after.folds), default=None)
    if first is None:
        return [each.digest for each in before.sent] != [each.digest for each in after.sent]
    mark = context.fold_at * (context.tokens or 0)
    return any(fold.trigger == "budget" and fold.before <= mark for fold in after.folds)


def _pay(played: Sequence[Played]) -> int:
    """Tokens that are paid for, if those of a beginning that is the same as before cost a tenth."""
    sent = [each for one in played for each in one.sent]
    return sum(each.size - each.kept + each.kept // 10 for each in sent) // BYTES_A_TOKEN


def _cached(played: Sequence[Played]) -> float:
    """The share of what was sent that begins byte-equal with the call before."""
    sent = [each for one in played for each in one.sent]
    return round(sum(each.kept for each in sent) / max(1, sum(each.size for each in sent)), 4)


def _junk(played: Sequence[Played]) -> dict[str, float]:
    """The mean share by bytes, and the shares of calls above some marks."""
    pairs = [(share, sent.size) for one in played for share, sent in zip(one.junk, one.sent, strict=False)]
    total = sum(size for _, size in pairs) or 1
    big = [share for share, size in pairs if size >= 8_000] or [0.0]
    return {
        "mean": round(sum(share * size for share, size in pairs) / total, 4),
        "most": max(big),
        **{
            f"calls_above_{mark}": round(sum(share >= mark for share in big) / len(big), 4)
            for mark in (0.2, 0.3, 0.5)
        },
    }


def main() -> int:
    """Play, print and keep."""
    options = _options()
    folder = options.data or ROOT / DATA
    try:
        files = {name: load(folder / name) for name in FILES}
    except BadRecording as error:
        print(f"{error}\nName the folder of the recordings with --data PATH.", file=sys.stderr)
        return 2
    if options.quick:
        files = {name: scripts[:: max(1, len(scripts) // QUICK)] for name, scripts in files.items()}
    found: dict[str, Any] = {}
    for name, scripts in files.items():
        whole = asyncio.run(_play_all(scripts, WHOLE, f"{name}, no budget"))
        for tokens in options.budget:
            context = Context(tokens=tokens)
            played = asyncio.run(_play_all(scripts, context, f"{name}, {tokens:,} tokens"))
            found.setdefault(name, {})[str(tokens)] = _measure(whole, played, context)
    written = {
        "command": shlex.join(["python", "bench/context.py", *sys.argv[1:]]),
        "python": platform.python_version(),
        "files": found,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(written, indent=1, ensure_ascii=False) if options.json else _draw(found))
    return 0 if _holds(found) else 1


def _holds(found: dict[str, Any]) -> bool:
    """Whether nothing was lost or changed without reason, and the smallest budget saves enough of long runs."""
    rows = [row for budgets in found.values() for row in budgets.values()]
    smallest = [next(iter(budgets.values()))["long_runs"] for budgets in found.values()]
    without, with_ = (sum(each[name] for each in smallest) for name in ("without", "with"))
    whole = not any(
        row["problems"] or row["changed_without_reason"] or row["used_later"]["lost"] for row in rows
    )
    return whole and (not without or 1 - with_ / without >= LEAST_SAVED)


def _draw(found: dict[str, Any]) -> str:
    lines: list[str] = []
    for name, budgets in found.items():
        lines.append(f"{name}: {next(iter(budgets.values()))['runs']} runs")
        head = (
            "budget",
            "long runs",
            "tokens",
            "saved",
            "long contexts",
            "saved",
            "cached",
            "paid",
            "junk",
            "folds",
            "used",
            "by ref",
            "lost",
            "changed",
        )
        rows: list[tuple[str, ...]] = [head]
        for tokens, row in budgets.items():
            rows.append(
                (
                    f"{int(tokens):,}",
                    str(row["long_runs"]["of"]),
                    f"{row['long_runs']['without']:,} → {row['long_runs']['with']:,}",
                    f"{row['long_runs']['saved']:.0%}",
                    str(row["long_contexts"]["of"]),
                    f"{row['long_contexts']['saved']:.0%}",
                    f"{row['cached']['without']:.0%} → {row['cached']['with']:.0%}",
                    f"{row['paid']['without']:,} → {row['paid']['with']:,}",
                    f"{row['junk']['without']['mean']:.0%} → {row['junk']['with']['mean']:.0%}",
                    str(sum(row["folds"].values())),
                    str(row["used_later"]["of"]),
                    str(row["used_later"]["by_reference"]),
                    str(len(row["used_later"]["lost"])),
                    str(len(row["changed_without_reason"])),
                )
            )
        widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
        lines += [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
