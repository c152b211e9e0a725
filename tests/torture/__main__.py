"""`python -m torture`: kills processes at random moments for so many seconds, and checks every promise.

It prints its progress to stderr, and at the end each statement that was checked with how often. Exit code 0 if all
hold, 1 if one does not, 130 after Ctrl-C. A seed gives the same cases, faults and blows; the operating system still
decides which process comes first.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from seawall.core.clock import SystemClock
from torture.harness import ROUND_S, Harness, Totals

FAILED, INTERRUPTED = 1, 130


def main() -> int:
    """Runs the harness as the command line says; returns the exit code."""
    options = _parse()
    logging.disable(logging.CRITICAL)
    seed = options.seed or os.urandom(4).hex()
    harness = Harness(seed, directory=options.keep, max_kills=options.kills)
    # a shell has SIGINT ignored in what it starts in the background
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):
        signal.signal(number, lambda *_: harness.interrupt())
    clock = SystemClock()
    began_s = clock.monotonic_s()
    code = 0
    _print(f"seed {seed}: {options.seconds:g} seconds in rounds of {ROUND_S:g}")
    try:
        while (left_s := options.seconds - (clock.monotonic_s() - began_s)) > 0 and not harness.is_over:
            findings = harness.run_round(min(ROUND_S, left_s))
            if findings is None:
                _print("interrupted: the round under way was not checked")
                code = code or INTERRUPTED
                break
            _print(_describe_progress(harness.totals, clock.monotonic_s() - began_s))
            if findings.failures:
                code = FAILED
                if not options.go_on:
                    break
    finally:
        harness.close()
    took_s = clock.monotonic_s() - began_s
    if options.json:
        sys.stdout.write(msgspec.json.encode(_build_document(harness.totals, took_s)).decode() + "\n")
    else:
        sys.stdout.write(_describe(harness.totals, took_s))
    return code


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m torture", description=(__doc__ or "").partition("\n\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to go on (default: 60)")
    parser.add_argument("--kills", type=int, help="stop after so many kills, if that is sooner")
    parser.add_argument("--seed", default="", help="what an earlier run printed; random by default")
    parser.add_argument("--keep", type=Path, help="where journals and worlds are made; those that fail stay")
    parser.add_argument("--go-on", action="store_true", help="go on after a failure")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 -- progress is what a program prints


def _describe_progress(totals: Totals, took_s: float) -> str:
    counts = totals.findings.counts
    return (
        f"[{took_s:6.0f} s] round {totals.rounds}: {totals.killed:,} kills, {totals.kills.get('stop', 0):,} stops, "
        f"{counts.get('runs', 0):,} runs, {counts.get('effects that happened', 0):,} effects, "
        f"{sum(totals.findings.checked.values()):,} checks, {len(totals.findings.failures)} failed"
    )


def _build_document(totals: Totals, took_s: float) -> dict[str, Any]:
    findings = totals.findings
    return {
        "seed": totals.seed,
        "seconds": round(took_s, 1),
        "rounds": totals.rounds,
        "blows": totals.kills,
        "counts": findings.counts,
        "checked": findings.checked,
        "excused": findings.excused,
        "failures": findings.failures,
        "kept": [str(path) for path in totals.kept],
    }


def _describe(totals: Totals, took_s: float) -> str:
    findings = totals.findings
    lines = [f"seed {totals.seed}, {totals.rounds} rounds in {took_s:.0f} s"]
    for title, table in (
        ("done to processes", totals.kills),
        ("seen", findings.counts),
        ("checked", findings.checked),
        ("excused", findings.excused),
    ):
        lines.append(f"\n{title}")
        lines.extend(f"  {count:>9,}  {what}" for what, count in sorted(table.items()))
    if findings.failures:
        lines.append("\nFAILED")
    for failure in findings.failures:
        lines.append(f"  {failure.statement}")
        lines.append(f"    run {failure.run or '-'}: {failure.detail}")
    lines.extend(f"\nkept: {path} (journal.db, world, notes.*)" for path in totals.kept)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
