"""Effects and approvals in numbers: is it paid once, and what do uniqueness and approvals cost?

A bank in a process of its own counts payments; runs, people and workers are processes, too. What does not hold is named.

    python bench/effects.py [--quick] [--bars 1,2,3,4,5,8] [--seed 1] [--json]

Exit status: 0 if every bar holds, 1 if not.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # the bank and the desk; a package there has this program's name

from effect import bars, costs  # noqa: E402 -- it needs the path above
from effect.bars import Measured, Place, Sizes  # noqa: E402 -- it needs the path above
from effect.report import table  # noqa: E402 -- it needs the path above

BARS: dict[str, Callable[[Place], Measured]] = {
    "1": bars.storm,
    "2": bars.races,
    "3": bars.five_effects,
    "4": bars.starter_dead,
    "5": bars.flood,
    "8": lambda place: costs.measure(place.directory, place.sizes),
}
QUICK = Sizes(processes=4, runs_each=10, races=50, waits=5, open_proposals=500, steps=50, rounds=3)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer of everything")
    parser.add_argument("--bars", default=",".join(BARS), help=f"which (default: {','.join(BARS)})")
    parser.add_argument("--seed", type=int, default=1, help="of the runs' ids (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the results instead of the table")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "effects.json")
    options = parser.parse_args()
    options.chosen = options.bars.split(",")
    if unknown := [each for each in options.chosen if each not in BARS]:
        parser.error(f"--bars has {', '.join(unknown)}; there are {', '.join(BARS)}")
    return options


def measure(chosen: list[str], sizes: Sizes, directory: Path) -> list[Measured]:
    """Measures these bars, one after another."""
    place = Place(directory, sizes)
    try:
        found: list[Measured] = []
        for each in chosen:
            print(f"bar {each}", file=sys.stderr, flush=True)
            found.append(BARS[each](place))
        return found
    finally:
        place.close()


def main() -> int:
    """Measure, print and keep."""
    options = _options()
    sizes = replace(QUICK if options.quick else Sizes(), seed=options.seed)
    with tempfile.TemporaryDirectory() as directory:
        measured = measure(options.chosen, sizes, Path(directory))
    written = {
        "command": shlex.join(["python", "bench/effects.py", *sys.argv[1:]]),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("seawall", "apsw")},
        },
        "machine": platform.machine(),
        "seed": options.seed,
        "sizes": asdict(sizes),
        "broken": [message for each in measured for message in each.broken],
        "bars": [asdict(each) for each in measured],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(written, indent=1) if options.json else table(measured))
    return 1 if written["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
