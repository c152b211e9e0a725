"""The loops program on runs of our own; and the guard, as it is by default, on the recordings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from loop.recordings import BadRecording, Labelled, load
from loop.rivals import RIVALS, five_in_a_row, no_news, same_call, same_tool, stuck
from loop.score import Setting, by_guard, choose, figures, grouped, wilson
from loops import DATA
from loops import ROOT as REPOSITORY

from audit.runs import Row, recorded, runs_of, write
from seawall.audit import RecordedCall

RECORDINGS = "SEAWALL_RECORDINGS"
"""Names another folder than the one beside the repository."""
MOST_GOOD_STOPPED, LEAST_TRUE_LOOPS = 0.005, 0.9


def calls(rows: list[Row]) -> tuple[RecordedCall, ...]:
    from seawall.audit.recording import parse_run

    found = parse_run(json.dumps(recorded(rows)).encode(), "memory", 1)
    assert not isinstance(found, tuple)
    return found.calls


def sample(folder: Path) -> Path:
    loop = [("read", {}, "same")] * 12
    work = [("read", {"n": n}, f"{n}") for n in range(12)]
    labels = [(loop, False, True), (work, True, False), (work, False, True), (loop[:3], True, False)]
    rows = [
        recorded(each, id=f"{n}-0-{n}", success=good, runaway=runaway, source="ours", model=f"m{n % 2}")
        for n, (each, good, runaway) in enumerate(labels)
    ]
    write(folder / "ours.jsonl", rows)
    return folder


SAME: Row = ("a", {}, "x")
OTHER: Row = ("b", {}, "y")


@pytest.mark.parametrize(
    ("rule", "rows", "halted"),
    [
        (same_tool, [("a", {"n": n}, f"{n}") for n in range(9)], 3),
        (same_call, [SAME, OTHER] * 9, 6),
        (five_in_a_row, [SAME] * 9, 4),
        (five_in_a_row, [SAME, OTHER] * 9, None),
        (stuck, [SAME] * 9, 4),
        (stuck, [("a", {}, "no", True)] * 9, 3),
        (stuck, [SAME, OTHER] * 9, 6),
        (no_news, [SAME, OTHER] * 9, 5),
        (no_news, [("a", {"n": n}, "no", True) for n in range(9)], 4),
    ],
)
def test_the_rivals_stop_where_they_are_said_to(rule: object, rows: list[Row], halted: int | None) -> None:
    assert rule in RIVALS.values()
    assert callable(rule) and rule(calls(rows)) == halted


def test_the_program_prints_and_keeps_its_figures(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    program = str(REPOSITORY / "bench" / "loops.py")
    done = subprocess.run(
        [sys.executable, program, "--data", str(sample(tmp_path)), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    ours = json.loads(out.read_text())["pooled"]["Seawall"]
    assert (ours["runaways_caught"]["hits"], ours["runaways_caught"]["of"]) == (1, 2)
    assert (ours["true_loops_caught"]["hits"], ours["good_stopped"]["hits"]) == (1, 0)
    assert ours["good_advised"]["hits"] == 1
    assert ours["calls_saved"] == {"saved": 8, "of": 24}
    assert "Seawall, chosen without the model" in done.stdout


def test_data_that_is_not_there_or_has_no_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match="no recordings"):
        load(tmp_path)
    write(tmp_path / "a.jsonl", [recorded([SAME])])
    with pytest.raises(BadRecording, match=r"a\.jsonl:1: a run to measure with has 'success' and 'runaway'"):
        load(tmp_path)


def test_the_choice_is_made_on_other_runs_and_no_group_is_torn(tmp_path: Path) -> None:
    runs = load(sample(tmp_path))
    strict, lax = (Setting({"no_news": n}, by_guard(runs, {"no_news": n, "stretch": n})) for n in (2, 30))

    assert choose([lax, strict], runs, range(len(runs))) is strict
    assert sorted(map(len, grouped(runs, "model", 1))) == [2, 2]
    assert sorted(index for fold in grouped(runs, "task", 1) for index in fold) == [0, 1, 2, 3]


def test_an_interval_holds_its_share() -> None:
    low, high = wilson(3, 965)

    assert low < 3 / 965 < high
    assert (round(low, 4), round(high, 4)) == (0.0011, 0.0091)  # by the formula, with z = 1.96
    assert wilson(0, 0) == (0.0, 1.0)


def recordings() -> list[Labelled]:
    """The recordings, wherever they are. CI has them beside the repository."""
    return load(Path(os.environ.get(RECORDINGS) or REPOSITORY / DATA))


def test_the_guard_as_it_is_by_default_is_within_the_bars() -> None:
    """On the recordings; where they are not, and this is not CI, by the figures that were kept of them."""
    kept = json.loads((REPOSITORY / "bench" / "results" / "loops.json").read_text())["pooled"]["Seawall"]
    try:
        runs = recordings()
    except BadRecording:
        assert "CI" not in os.environ, f"CI has no recordings in {REPOSITORY / DATA}"
        found = kept
    else:
        found = figures(runs, by_guard(runs, {}))

    assert found == kept
    assert found["good_stopped"]["share"] <= MOST_GOOD_STOPPED
    assert found["true_loops_caught"]["share"] >= LEAST_TRUE_LOOPS


def test_a_recording_of_one_run_is_read_as_the_audit_reads_it(tmp_path: Path) -> None:
    (first, *_) = load(sample(tmp_path))

    assert first.run.calls == runs_of(tmp_path / "ours.jsonl")[0].calls
    assert (first.task, first.source, first.loop) == ("ours/0", "ours", True)
