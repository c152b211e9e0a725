"""Loops in recorded runs: which rule stops runaways, and which stops good work?

Every rule goes over the same recordings; the guard goes through `seawall.audit`, which is the gate. Its options are
chosen by cross-validation, grouped by task, by model and by source: what is reported there was found on runs that had
no part in the choice. Beside it stands the guard as it is by default, on all runs.

    python bench/loops.py [--data FOLDER] [--seed 1]

Exit status: 0 if the guard as it is by default is within the bars, 1 if not, 2 if there is no data.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loop import report
from loop.recordings import BadRecording, Labelled, load
from loop.rivals import RIVALS
from loop.score import GRID, MOST_GOOD_STOPPED, Findings, by_guard, by_rule, figures, settings, validated

ROOT = Path(__file__).resolve().parent.parent
DATA = Path("..") / "shared" / "data" / "loops"
DEFAULT = "Seawall"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help=f"a folder of recordings (default: {DATA}, from the repository)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the folds by task (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the results instead of the tables")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "loops.json")
    return parser.parse_args()


def measure(runs: Sequence[Labelled], seed: int) -> dict[str, Any]:
    """Everything that is reported."""
    found: dict[str, Findings] = {name: by_rule(runs, rule) for name, rule in RIVALS.items()}
    found[DEFAULT] = by_guard(runs, {})
    chosen: dict[str, Any] = {}
    print(f"playing {len(runs):,} runs with every choice of {GRID}", file=sys.stderr, flush=True)
    candidates = settings(runs)
    for by in ("task", "model", "source"):
        name = f"{DEFAULT}, chosen without the {by}"
        found[name], chosen[by] = validated(candidates, runs, by, seed)
    sources = sorted({run.source for run in runs})
    return {
        "pooled": {name: figures(runs, each) for name, each in found.items()},
        "sources": {source: _of_source(runs, found, source) for source in sources},
        "chosen": chosen,
        "missed": _named(runs, found[DEFAULT], lambda run, halted: run.runaway and not halted),
        "good_stopped": _named(runs, found[DEFAULT], lambda run, halted: run.good and halted),
    }


def _of_source(runs: Sequence[Labelled], found: dict[str, Any], source: str) -> dict[str, Any]:
    here = [index for index, run in enumerate(runs) if run.source == source]
    return {
        name: figures([runs[index] for index in here], [each[index] for index in here])
        for name, each in found.items()
    }


def _named(runs: Sequence[Labelled], found: Any, which: Any) -> list[str]:
    return [
        f"{run.source} {run.model} {run.run.id}{' (true loop)' if run.loop else ''}"
        for run, each in zip(runs, found, strict=True)
        if which(run, each.halted_at is not None)
    ]


def main() -> int:
    """Measure, print and keep."""
    options = _options()
    try:
        runs = load(options.data or ROOT / DATA)
    except BadRecording as error:
        print(f"{error}\nName a folder of recordings with --data PATH.", file=sys.stderr)
        return 2
    measured = measure(runs, options.seed)
    written = {
        "command": shlex.join(["python", "bench/loops.py", "--seed", str(options.seed)]),
        "python": platform.python_version(),
        "seed": options.seed,
        "runs": len(runs),
        "grid": GRID,
        **measured,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(written, indent=1, ensure_ascii=False))
    else:
        _print(measured)
    return _verdict(measured["pooled"][DEFAULT])


def _print(measured: dict[str, Any]) -> None:
    print(report.table("all sources", measured["pooled"]))
    for source, rows in measured["sources"].items():
        print("\n" + report.table(source, rows))
    for by, chosen in measured["chosen"].items():
        told = "; ".join(f"{count} × {name}" for name, count in chosen.items())
        print(f"\nchosen without the {by}: {told}")
    for name in ("missed", "good_stopped"):
        print(f"\n{name.replace('_', ' ')}: {'; '.join(measured[name]) or 'none'}")


def _verdict(ours: dict[str, Any]) -> int:
    within = (ours["good_stopped"]["share"] or 0.0) <= MOST_GOOD_STOPPED
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
