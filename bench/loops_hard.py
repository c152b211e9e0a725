"""Hard loops and hard good work: which rule sees a loop through its noise, and which takes work for one?

Some 120 kinds of loops and 190 of good work that looks like a loop, as `bench/loop_kinds.toml` describes them.
Each kind is played with several seeds through the real runtime, with the guards as they are by default and every
limit far away; agents take no advice. One-line rules and the loop guards of other libraries are shown the same calls
with the same results. Half of the first kinds was set aside before anything was tuned, and half of a later list of
good work before the guard was shown any of it.

A description says how much time passes from one result to the next, not where. One rule says it for all kinds: the reply
takes as long as replies of models take, a time drawn from a published measurement (median 5.7 s, 90th percentile 22.2 s;
`loop_hard/play.py`), and at most the whole; the rest passes in the tool that is called, which blocks until its result is
there. In that measurement, too, replies and tools make up all of the time between a request and its answer (41% and 60%).
Where no tool is performed (a useless reply, a call that can't be made or is rejected, a hand-off, an answer), all of the
time is the model's. The guard counts the time of models as a wait later than other time, so the rule is not without
effect; it was written down before its effect was measured.

    python bench/loops_hard.py [--seeds 5] [--only name,family] [--half open|aside|later] [--ours] [--show] [--list]
    python bench/loops_hard.py --kinds bench/loop_kinds_third.toml [--ours]

Exit status: 0 if Seawall is within the bars on what was set aside, 1 if not, 2 if the descriptions are no use.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from loop.peers import PEERS
from loop_hard import report
from loop_hard.kinds import KINDS, BadKinds, Half, Kind, load
from loop_hard.play import Judgement, play
from loop_hard.rules import RULES, judge_peer
from loop_hard.rules import judge as judge_rule
from loop_hard.script import Script, make

OURS = "Seawall"
SEEDS = 5


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kinds", type=Path, default=KINDS, help="another file of descriptions")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"runs of each kind (default: {SEEDS})")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--only", default="", help="names of kinds, or of families, with commas between")
    parser.add_argument("--half", choices=(*report.HALVES, "both"), default="both")
    parser.add_argument("--ours", action="store_true", help="leave out the other libraries")
    parser.add_argument(
        "--reveal", action="store_true", help="say what is wrong in the half set aside, too: not while tuning"
    )
    parser.add_argument("--list", action="store_true", help="print the kinds and stop")
    parser.add_argument(
        "--show", action="store_true", help="print the calls of the first seed of each kind and stop"
    )
    parser.add_argument("--json", action="store_true", help="print the results instead of the tables")
    parser.add_argument("--out", type=Path, help="default: bench/results/loops_hard.json, if all is played")
    return parser.parse_args()


def _chosen(kinds: Sequence[Kind], options: argparse.Namespace) -> list[Kind]:
    names = {name for name in options.only.split(",") if name}
    return [
        kind
        for kind in kinds
        if (options.half in ("both", kind.half)) and (not names or names & {kind.name, kind.family})
    ]


def judge_all(kind: Kind, seed: int, peers: Sequence[str]) -> dict[str, Judgement]:
    """What every rule, these peers and the guard do with one script."""
    script = make(kind, seed)
    return {
        **{name: judge_rule(rule, script) for name, rule in RULES.items()},
        **{name: judge_peer(PEERS[name], script) for name in peers},
        OURS: asyncio.run(play(script)),
    }


def measure(scripts: Sequence[Script], *, ours: bool = False, reveal: bool = False) -> dict[str, Any]:
    """Everything that is reported; `ours` leaves out the other libraries. Of the half set aside the kinds are only
    told apart with `reveal`.
    """
    peers = [] if ours else [name for name, peer in PEERS.items() if peer.version is not None]
    missing = sorted({peer.package for peer in PEERS.values() if peer.version is None})
    if missing and not ours:
        print(f"not installed here, and left out: {', '.join(missing)}", file=sys.stderr)
    judged: list[dict[str, Judgement]] = []
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        asked = [pool.submit(judge_all, script.kind, script.seed, peers) for script in scripts]
        for number, each in enumerate(asked, start=1):
            judged.append(each.result())
            if number % 100 == 0 or number == len(asked):
                print(f"  {number} of {len(asked)} runs", file=sys.stderr, flush=True)
    found = {name: [each[name] for each in judged] for name in (*RULES, *peers, OURS)}
    return {
        "rows": {
            name: {half: report.figures(scripts, each, half) for half in report.HALVES}
            for name, each in found.items()
        },
        "kinds": {
            half: {name: report.by_kind(scripts, each, half) for name, each in found.items()}
            for half in _shown(reveal)
        },
    }


def _shown(reveal: bool) -> tuple[Half, ...]:
    return report.HALVES if reveal else ("open",)


def _output(options: argparse.Namespace) -> Path:
    """Where the results go; those of a part do not replace those of the whole."""
    part = options.ours or options.only or options.half != "both" or options.seeds < SEEDS
    whole = "loops_hard.json" if options.kinds == KINDS else f"{options.kinds.stem}.json"
    name = "loops_hard-quick.json" if part else whole
    return options.out or Path(__file__).parent / "results" / name


def main() -> int:
    """Measure, print and keep."""
    options = _options()
    try:
        kinds = _chosen(load(options.kinds), options)
    except BadKinds as error:
        print(error, file=sys.stderr)
        return 2
    if options.list or options.show:
        for kind in kinds:
            _show(kind, options.first_seed if options.show else None)
        return 0
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    scripts = [make(kind, seed) for kind in kinds for seed in seeds]
    begun_s = time.perf_counter()
    measured = measure(scripts, ours=options.ours, reveal=options.reveal)
    written = {
        "command": shlex.join(["python", "bench/loops_hard.py", *sys.argv[1:]]),
        "python": platform.python_version(),
        "versions": {peer.package: peer.version for peer in PEERS.values()},
        "seeds": list(seeds),
        "split": {half: [kind.name for kind in kinds if kind.half == half] for half in report.HALVES},
        "seconds": round(time.perf_counter() - begun_s, 1),
        **measured,
    }
    out = _output(options)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(written, indent=1, ensure_ascii=False))
    else:
        _print(measured, kinds, len(scripts))
    return 0 if all(met for _, met in report.bars(measured["rows"][OURS])) else 1


def _show(kind: Kind, seed: int | None) -> None:
    print(f"{kind.cls}/{kind.family} {kind.name} ({report.NAMES[kind.half]}): {kind.what}")
    if seed is not None:
        for moves, call, at_s in make(kind, seed).calls():
            what = "!" if call.failed else " "
            print(
                f"  {moves:3} {at_s:7.1f} s {what} {call.agent}: {call.tool} {call.arguments} → {call.result[:150]!r}"
            )


def _print(measured: dict[str, Any], kinds: Sequence[Kind], runs: int) -> None:
    loops = sum(kind.cls == "loop" for kind in kinds)
    print(f"{loops} kinds of loops, {len(kinds) - loops} of good work; {runs} runs\n")
    for half in report.HALVES:
        print(report.table(measured["rows"], half) + "\n")
    for half, of in measured["kinds"].items():
        print(f"{OURS}, {report.NAMES[half]}, what is not as it should be:")
        print("\n".join(f"  {line}" for line in report.problems(of[OURS])) or "  nothing")
        print()
    for text, met in report.bars(measured["rows"][OURS]):
        print(f"{'met' if met else 'NOT MET'}: {text}")


if __name__ == "__main__":
    sys.exit(main())
