"""Loops in recorded runs: which rule stops runaways, and which stops good work?

Every rule goes over the same recordings, and so do the loop guards of other libraries, where they are installed; the
guard goes through `seawall.audit`, which is the gate. Its options are chosen by cross-validation, grouped by task, by
model and by source: what is reported there was found on runs that had no part in the choice. Beside it stands the guard
as it is by default, on all runs.

    python bench/loops.py [--data FOLDER] [--seed 1] [--quick] [--only ROW,ROW]

Exit status: 0 if the guard as it is by default is within the bars, 1 if not, 2 if there is no data.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from loop import report
from loop.peers import PEERS
from loop.recordings import BadRecording, Labelled, load
from loop.rivals import RIVALS
from loop.score import (
    ALONE,
    BUDGET_S,
    GRID,
    MOST_GOOD_STOPPED,
    Findings,
    Found,
    Setting,
    by_choice,
    by_guard,
    by_peer,
    by_rule,
    choices,
    count_changed,
    figures,
    find_touched,
    get_extremes,
    validated,
)

ROOT = Path(__file__).resolve().parent.parent
DATA = Path("..") / "shared" / "data" / "loops"
DEFAULT = "Seawall"
CHOSEN = "chosen"
"""Stands for the rows whose options are chosen by cross-validation."""
ROWS = (*RIVALS, *PEERS, DEFAULT, CHOSEN)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help=f"a folder of recordings (default: {DATA}, from the repository)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the folds by task (default: 1)")
    parser.add_argument(
        "--quick", action="store_true", help=f"all rows but {CHOSEN!r}, which takes most of the time"
    )
    parser.add_argument(
        "--only", type=_rows, default=ROWS, help=f"these rows, with commas: {', '.join(ROWS)}"
    )
    parser.add_argument("--json", action="store_true", help="print the results instead of the tables")
    parser.add_argument("--out", type=Path, help="default: bench/results/loops.json, if every row is played")
    return parser.parse_args()


def _rows(text: str) -> tuple[str, ...]:
    names = {name.strip() for name in text.split(",")}
    if unknown := sorted(names - set(ROWS)):
        raise argparse.ArgumentTypeError(f"there is no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return tuple(name for name in ROWS if name in names)


@cache
def _load(folder: Path) -> list[Labelled]:
    """The runs, once in each process."""
    return load(folder)


def _play_guard(folder: Path, options: Any) -> list[Found]:
    return by_guard(_load(folder), options)


def _play_choice(folder: Path, strictest: Findings, touched: Sequence[int], options: Any) -> list[Found]:
    return by_choice(_load(folder), strictest, touched, options)


def _play_peer(folder: Path, name: str) -> list[Found]:
    return by_peer(_load(folder), PEERS[name])


def measure(folder: Path, rows: Sequence[str], seed: int) -> dict[str, Any]:
    """Everything that is reported of these rows. Raises `BadRecording`."""
    runs = _load(folder)
    peers = [name for name in rows if name in PEERS and PEERS[name].version is not None]
    found: dict[str, Findings] = {name: by_rule(runs, RIVALS[name]) for name in rows if name in RIVALS}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        default = pool.submit(_play_guard, folder, {})
        asked = {name: pool.submit(_play_peer, folder, name) for name in peers}
        played = _ask_choices(pool, folder) if CHOSEN in rows else []
        for name, each in asked.items():
            found[name] = each.result()
            print(f"  {name}: {len(runs):,} runs", file=sys.stderr, flush=True)
        if DEFAULT in rows:
            found[DEFAULT] = default.result()
        candidates = _collect(played)
    chosen: dict[str, Any] = {}
    for by in ("task", "model", "source") if candidates else ():
        name = f"{DEFAULT}, chosen without the {by}"
        found[name], chosen[by] = validated(candidates, runs, by, seed)
    sources = sorted({run.source for run in runs})
    ours = found.get(DEFAULT, [])
    return {
        "runs": len(runs),
        "not_installed": [name for name in rows if name in PEERS and name not in peers],
        "pooled": {name: figures(runs, each) for name, each in found.items()},
        "sources": {source: _of_source(runs, found, source) for source in sources},
        "chosen": chosen,
        "changed_alone": count_changed(candidates, default.result()) if candidates else {},
        "missed": _named(runs, ours, lambda run, halted: run.runaway and not halted),
        "good_stopped": _named(runs, ours, lambda run, halted: run.good and halted),
    }


def _ask_choices(pool: Executor, folder: Path) -> list[tuple[Any, Future[list[Found]]]]:
    extremes = [pool.submit(_play_guard, folder, options) for options in get_extremes()]
    strictest, mildest = (each.result() for each in extremes)
    touched = find_touched(strictest, mildest)
    print(f"  {len(touched):,} runs on which a choice of options matters", file=sys.stderr, flush=True)
    return [
        (options, pool.submit(_play_choice, folder, strictest, touched, options)) for options in choices()
    ]


def _collect(played: Sequence[tuple[Any, Future[list[Found]]]]) -> list[Setting]:
    settings: list[Setting] = []
    for number, (options, findings) in enumerate(played, start=1):
        settings.append(Setting(options, findings.result()))
        if number % 25 == 0 or number == len(played):
            print(f"  {number} of {len(played)} choices of options", file=sys.stderr, flush=True)
    return settings


def _of_source(runs: Sequence[Labelled], found: dict[str, Any], source: str) -> dict[str, Any]:
    here = [index for index, run in enumerate(runs) if run.source == source]
    return {
        name: figures([runs[index] for index in here], [each[index] for index in here])
        for name, each in found.items()
    }


def _named(runs: Sequence[Labelled], found: Findings, which: Callable[[Labelled, bool], bool]) -> list[str]:
    """The runs of which this is so; none if the guard was not played."""
    return [
        f"{run.source} {run.model} {run.run.id}{' (true loop)' if run.loop else ''}"
        for run, each in zip(runs, found or [Found(None)] * len(runs), strict=True)
        if which(run, each.halted_at is not None)
    ]


def main() -> int:
    """Measure, print and keep."""
    options = _options()
    rows = tuple(name for name in options.only if not (options.quick and name == CHOSEN))
    try:
        measured = measure((options.data or ROOT / DATA).resolve(), rows, options.seed)
    except BadRecording as error:
        print(f"{error}\nName a folder of recordings with --data PATH.", file=sys.stderr)
        return 2
    written = {
        "command": shlex.join(["python", "bench/loops.py", *sys.argv[1:]]),
        "python": platform.python_version(),
        "versions": {PEERS[name].package: PEERS[name].version for name in rows if name in PEERS},
        "seed": options.seed,
        "grid": GRID,
        "alone": ALONE,
        "budget_s": BUDGET_S,
        **measured,
    }
    out = options.out or Path(__file__).parent / "results" / (
        "loops.json" if rows == ROWS else "loops-quick.json"
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(written, indent=1, ensure_ascii=False))
    else:
        _print(measured)
    return _verdict(measured["pooled"].get(DEFAULT))


def _print(measured: dict[str, Any]) -> None:
    print(report.table("all sources", measured["pooled"]))
    if measured["not_installed"]:
        print(f"not installed here: {', '.join(measured['not_installed'])} (`make .venv/stamps/loop-peers`)")
    for source, rows in measured["sources"].items():
        print("\n" + report.table(source, rows))
    for by, chosen in measured["chosen"].items():
        told = "; ".join(f"{count} × {name}" for name, count in chosen.items())
        print(f"\nchosen without the {by}: {told}")
    for key, of in measured["changed_alone"].items():
        told = ", ".join(f"{count} runs with {value}" for value, count in of.items())
        print(f"\n{key}, tried alone, stops at another call than by default: {told}")
    for name in ("missed", "good_stopped") if DEFAULT in measured["pooled"] else ():
        print(f"\n{name.replace('_', ' ')}: {'; '.join(measured[name]) or 'none'}")


def _verdict(ours: dict[str, Any] | None) -> int:
    within = ours is None or (ours["good_stopped"]["share"] or 0.0) <= MOST_GOOD_STOPPED
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
