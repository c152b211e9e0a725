"""What a rule comes to, with intervals, and the choice of the guard's options by cross-validation."""

from __future__ import annotations

import contextlib
import io
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from statistics import median
from typing import Any

from loop.peers import Peer, Tools
from loop.recordings import Labelled
from seawall.audit import AuditResult, RecordedCall, ToolNames, audit, make_guards
from seawall.guards.loops.options import LoopKeywords, LoopOptions

MOST_GOOD_STOPPED = 0.005
"""The bar: of a hundred good runs at most half a one is stopped."""
FOLDS = 10
GRID: dict[str, tuple[int, ...]] = {
    "no_news": (2, 3, 4, 5),
    "stretch": (4, 6, 8),
    "errors": (4, 8),
    "cycles": (2, 3, 4),
    "again": (3, 4),
}
"""Options of which every combination is tried."""
ALONE: dict[str, tuple[int, ...]] = {"alike": (4, 32), "failures": (3, 5, 15), "rounds": (3, 12)}
"""Options of which each value is tried alone, with all others as by default. The recordings hardly exercise them, and
in every combination they would take 36 times as long. What is in neither table is always as by default."""
BUDGET_S = 20.0
"""CPU seconds that a library gets for one recording; after that the recording counts as not finished. The slowest one
takes 0.1 s for any recording, and 16 s with its own edit distance in place of ours (`distance.py`)."""


@dataclass(frozen=True)
class Found:
    """What a rule did with one run."""

    halted_at: int | None
    advised: bool | None = None
    """None: the rule has no advice."""
    finished: bool = True
    """False: a library ran out of time before it said anything."""


Findings = Sequence[Found]


def by_rule(runs: Iterable[Labelled], rule: Callable[[Any], int | None]) -> list[Found]:
    """A rival's findings."""
    return [Found(rule(each.run.calls)) for each in runs]


def by_guard(runs: Iterable[Labelled], options: LoopKeywords) -> list[Found]:
    """The guard's findings, by `seawall.audit`."""
    names = ToolNames()
    loops = make_guards(names, options)
    return [_found(audit(each.run, loops, names)) for each in runs]


def _found(one: AuditResult) -> Found:
    return Found(one.halted_at, bool(one.advised_at))


def by_peer(
    runs: Iterable[Labelled], peer: Peer, now: Callable[[], float] = time.process_time
) -> list[Found]:
    """A library's findings. `now` is the time in s of which it gets `BUDGET_S` for a run."""
    with contextlib.redirect_stdout(io.StringIO()):  # some of them print
        return [_watched(each.run.calls, peer, now) for each in runs]


def _watched(calls: Sequence[RecordedCall], peer: Peer, now: Callable[[], float]) -> Found:
    begun_s = now()
    watch = peer.begin(_told(calls))
    advised = False
    for index, call in enumerate(calls):
        said = watch(call, 0.0)  # recordings have no times; the guard is told none either
        if said in ("stop", "end"):
            made = index + (said == "end")
            return Found(made if made < len(calls) else None, advised if peer.advises else None)
        advised = advised or said == "advise"
        if now() - begun_s > BUDGET_S:
            return Found(None, advised if peer.advises else None, finished=False)
    return Found(None, advised if peer.advises else None)


def _told(calls: Iterable[RecordedCall]) -> Tools:
    """Which tools write, by their names, as the guard is told it."""
    names = ToolNames()
    return {
        call.tool: True if names.is_effect(call) else None if names.may_write(call) else False
        for call in calls
    }


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The 95% interval of a share (Wilson's score interval)."""
    if not of:
        return 0.0, 1.0
    share, square = hits / of, z * z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = z * math.sqrt(share * (1 - share) / of + square / (4 * of * of)) / (1 + square / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def share(hits: int, of: int) -> dict[str, Any]:
    """A share as it is written down."""
    low, high = wilson(hits, of)
    return {"hits": hits, "of": of, "share": hits / of if of else None, "low": low, "high": high}


def figures(runs: Sequence[Labelled], findings: Findings) -> dict[str, Any]:
    """All figures of a rule on these runs."""
    pairs = list(zip(runs, findings, strict=True))

    def stopped(which: Callable[[Labelled], bool]) -> dict[str, Any]:
        of = [found for run, found in pairs if which(run)]
        return share(sum(found.halted_at is not None for found in of), len(of))

    advised = [found.advised for run, found in pairs if run.good and found.advised is not None]
    saved = [
        (len(run.run.calls) - found.halted_at, len(run.run.calls))
        for run, found in pairs
        if run.runaway and found.halted_at is not None
    ]
    made = [found.halted_at for run, found in pairs if run.runaway and found.halted_at is not None]
    in_runaways = sum(len(run.run.calls) for run in runs if run.runaway)
    return {
        "runaways_caught": stopped(lambda run: run.runaway),
        "true_loops_caught": stopped(lambda run: run.loop),
        "good_stopped": stopped(lambda run: run.good),
        "long_good_stopped": stopped(lambda run: run.good and len(run.run.calls) >= 10),
        "good_advised": share(sum(advised), len(advised)),
        "failed_stopped": stopped(lambda run: not run.good and not run.runaway),
        "calls_until_stopped": median(made) if made else None,
        "not_finished": sum(not found.finished for _, found in pairs),
        "calls_saved": {"saved": sum(each for each, _ in saved), "of": in_runaways},
    }


# ---- cross-validation


@dataclass(frozen=True)
class Setting:
    """One choice of options, and what it does with every run."""

    options: LoopKeywords
    findings: Findings


def choices() -> list[Any]:
    """Every choice that is played: all combinations of `GRID`, then the values of `ALONE`, each by itself."""
    combined = [_choose_by_hand(**dict(zip(GRID, values, strict=True))) for values in product(*GRID.values())]
    return combined + [_choose_by_hand(**{key: value}) for key, values in ALONE.items() for value in values]


def get_extremes() -> tuple[dict[str, int], dict[str, int]]:
    """The strictest and the mildest choice: the least and the greatest value of every option that is tried."""
    values = {
        key: (value, *GRID.get(key, ()), *ALONE.get(key, ())) for key, value in _choose_by_hand().items()
    }
    return {key: min(each) for key, each in values.items()}, {key: max(each) for key, each in values.items()}


def find_touched(strictest: Findings, mildest: Findings) -> list[int]:
    """The indices of the runs of which these two choices find different things. Of the others every choice finds the
    same: each option is how often something may happen, so a greater value acts later or never.
    """
    pairs = zip(strictest, mildest, strict=True)
    return [index for index, (one, other) in enumerate(pairs) if one != other]


def by_choice(
    runs: Sequence[Labelled], strictest: Findings, touched: Sequence[int], options: Any
) -> list[Found]:
    """The guard's findings with a choice of options, which is played over the runs where it can matter."""
    findings = list(strictest)
    for index, found in zip(touched, by_guard([runs[index] for index in touched], options), strict=True):
        findings[index] = found
    return findings


def _choose_by_hand(**chosen: int) -> dict[str, int]:
    default = asdict(LoopOptions())
    return {key: default[key] for key in (*GRID, *ALONE)} | chosen


def count_changed(candidates: Sequence[Setting], default: Findings) -> dict[str, dict[str, int]]:
    """On how many runs each value of `ALONE` stops another call than the default does, or none."""
    counted: dict[str, dict[str, int]] = {key: {} for key in ALONE}
    for key, values in ALONE.items():
        for value in values:
            alone = next(each for each in candidates if each.options == _choose_by_hand(**{key: value}))
            pairs = zip(alone.findings, default, strict=True)
            counted[key][str(value)] = sum(one.halted_at != other.halted_at for one, other in pairs)
    return counted


def choose(candidates: Sequence[Setting], runs: Sequence[Labelled], of: Sequence[int]) -> Setting:
    """The setting that catches most among those that stop few enough; then the one that stops least, then last.

    If none stops few enough, the one that stops the fewest good runs.
    """

    def counts(setting: Setting) -> tuple[int, int, int]:
        good = [index for index in of if runs[index].good]
        stopped = sum(setting.findings[index].halted_at is not None for index in good)
        caught = sum(runs[i].runaway and setting.findings[i].halted_at is not None for i in of)
        lenient = sum(value for value in setting.options.values() if isinstance(value, int))
        over = stopped > MOST_GOOD_STOPPED * len(good)
        return (-stopped if over else len(runs), -caught if over else caught, -stopped * 1_000 + lenient)

    return max(candidates, key=counts)


def grouped(runs: Sequence[Labelled], by: str, seed: int) -> list[list[int]]:
    """Indices in folds. Runs of one group are in one fold; by model and source a group is a fold."""
    groups: dict[str, list[int]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(getattr(run, by), []).append(index)
    if by != "task":
        return list(groups.values())
    names = sorted(groups)
    random.Random(seed).shuffle(names)
    return [[index for name in names[fold::FOLDS] for index in groups[name]] for fold in range(FOLDS)]


def validated(
    candidates: Sequence[Setting], runs: Sequence[Labelled], by: str, seed: int
) -> tuple[Findings, Mapping[str, int]]:
    """Findings on runs that had no part in the choice, and how often which choice was made."""
    findings: list[Found] = [Found(None)] * len(runs)
    chosen: dict[str, int] = {}
    for held_out in grouped(runs, by, seed):
        out = set(held_out)
        setting = choose(candidates, runs, [index for index in range(len(runs)) if index not in out])
        name = ", ".join(f"{key}={value}" for key, value in setting.options.items())
        chosen[name] = chosen.get(name, 0) + 1
        for index in held_out:
            findings[index] = setting.findings[index]
    return findings, chosen
