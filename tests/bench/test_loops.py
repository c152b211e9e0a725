"""The loops program on runs of our own; and the guard, as it is by default, on the recordings."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from itertools import count, product
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop.distance import compute_edit_distance, compute_share_to_edit
from loop.peers import PEERS, Peer, Said, Tools, Watch
from loop.recordings import BadRecording, Labelled, load
from loop.rivals import RIVALS, five_in_a_row, no_news, same_call, same_tool, stuck
from loop.score import (
    ALONE,
    BUDGET_S,
    GRID,
    Found,
    Setting,
    by_choice,
    by_guard,
    by_peer,
    choices,
    choose,
    count_changed,
    figures,
    find_touched,
    get_extremes,
    grouped,
    wilson,
)
from loops import DATA, DEFAULT
from loops import ROOT as REPOSITORY

import warm_python
from audit.runs import Row, recorded, runs_of, write
from seawall.audit import RecordedCall
from seawall.guards.loops.options import LoopKeywords

RECORDINGS = "SEAWALL_RECORDINGS"
"""Names another folder than the one beside the repository."""
MOST_GOOD_STOPPED, LEAST_TRUE_LOOPS = 0.005, 0.9


def calls(rows: list[Row]) -> tuple[RecordedCall, ...]:
    from seawall.audit.formats.calls import parse_row

    found = parse_row(recorded(rows), "memory", 1)
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


def say(said: Sequence[Said], *, advises: bool = False, told: list[Tools] | None = None) -> Peer:
    """A library that says this of the calls of each run."""

    def begin(tools: Tools) -> Watch:
        if told is not None:
            told.append(tools)
        sayings = iter(said)
        return lambda call, at_s: next(sayings)

    return Peer(package="none", module="none", what="", begin=begin, advises=advises)


@pytest.mark.parametrize(
    ("said", "stopped_at"),
    [
        (["", "", "stop"], 2),  # the third call is not made
        (["", "end", ""], 2),  # the second call is made, the third is not
        (["", "", "end"], None),  # nothing is left to stop
        (["", "advise", ""], None),
    ],
)
def test_a_library_stops_a_run_at_the_first_call_that_is_not_made(
    tmp_path: Path, said: list[Said], stopped_at: int | None
) -> None:
    plain = load(sample(tmp_path))[3]

    assert by_peer([plain], say(said)) == [Found(stopped_at)]
    assert by_peer([plain], say(said, advises=True)) == [Found(stopped_at, "advise" in said)]


def test_a_library_is_told_which_tools_write_as_far_as_their_names_say_it(tmp_path: Path) -> None:
    rows: list[Row] = [("get_user", {}, "1"), ("send_mail", {}, "2"), ("Bash", {}, "3")]
    write(tmp_path / "a.jsonl", [recorded(rows, success=True, runaway=False)])
    told: list[Tools] = []
    by_peer(load(tmp_path), say(["", "", ""], told=told))

    assert told == [{"get_user": False, "send_mail": True, "Bash": None}]


def test_a_library_that_takes_too_long_has_not_finished_and_is_counted(tmp_path: Path) -> None:
    runs = load(sample(tmp_path))
    ticks = count(0.0, BUDGET_S / 5)
    silent: list[Said] = ["" for _ in range(12)]
    findings = by_peer(runs, say(silent), now=lambda: next(ticks))

    assert [found.finished for found in findings] == [False, False, False, True]
    assert figures(runs, findings)["not_finished"] == 3


WORDS = st.text("abé", max_size=9)


@given(WORDS, WORDS)
def test_the_edit_distance_is_that_of_the_usual_table(one: str, other: str) -> None:
    line = list(range(len(one) + 1))
    for row, letter in enumerate(other, start=1):
        above, line = line, [row]
        for column, before in enumerate(one, start=1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (before != letter)))

    assert compute_edit_distance(one, other) == line[-1]
    assert 0 <= compute_share_to_edit(one, other) <= 1


def run_program(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = str(REPOSITORY / "bench" / "loops.py")
    command = [program, "--data", str(folder), "--out", str(folder / "out.json"), *arguments]
    return warm_python.run(command, text=True)


def test_the_program_prints_and_keeps_its_figures(tmp_path: Path) -> None:
    done = run_program(sample(tmp_path))

    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "out.json").read_text())
    ours = kept["pooled"]["Seawall"]
    assert (ours["runaways_caught"]["hits"], ours["runaways_caught"]["of"]) == (1, 2)
    assert (ours["true_loops_caught"]["hits"], ours["good_stopped"]["hits"]) == (1, 0)
    assert ours["good_advised"]["hits"] == 1
    assert ours["calls_saved"] == {"saved": 8, "of": 24}
    assert (ours["calls_until_stopped"], ours["not_finished"]) == (4, 0)
    assert "Seawall, chosen without the model" in done.stdout
    missing = [name for name, peer in PEERS.items() if peer.version is None]
    assert kept["not_installed"] == missing
    assert (f"not installed here: {', '.join(missing)}" in done.stdout) == bool(missing)
    assert {key: set(of) for key, of in kept["changed_alone"].items()} == {
        key: {str(value) for value in values} for key, values in ALONE.items()
    }


def test_rows_can_be_played_alone_and_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run_program(sample(tmp_path), "--only", "same tool > 3, Seawall")
    wrong = run_program(tmp_path, "--only", "Seewall")

    assert done.returncode == 0, done.stderr
    assert list(json.loads((tmp_path / "out.json").read_text())["pooled"]) == ["same tool > 3", DEFAULT]
    assert (wrong.returncode, "there is no row Seewall; there are same tool > 3, " in wrong.stderr) == (
        2,
        True,
    )


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


def test_every_combination_of_the_grid_is_tried_and_the_other_values_one_at_a_time(tmp_path: Path) -> None:
    tried = choices()
    runs = load(sample(tmp_path))
    default, other = [Found(None)] * 4, [Found(3), Found(None), Found(None), Found(None)]
    candidates = [
        Setting(cast(LoopKeywords, each), other if each["failures"] == 3 else default) for each in tried
    ]

    assert len(tried) == len(list(product(*GRID.values()))) + sum(map(len, ALONE.values()))
    assert all(set(each) == {*GRID, *ALONE} for each in tried)
    counted = count_changed(candidates, default)
    assert counted["failures"]["3"] == 1
    assert sum(number for of in counted.values() for number in of.values()) == 1
    assert choose(candidates, runs, range(4)).options.get("failures") == 3


def test_a_choice_finds_the_same_if_it_is_not_played_where_the_strictest_and_the_mildest_agree(
    tmp_path: Path,
) -> None:
    runs = load(sample(tmp_path))
    strictest, mildest = (by_guard(runs, cast(LoopKeywords, options)) for options in get_extremes())
    touched = find_touched(strictest, mildest)

    assert touched == [0]  # two bring something new each time, and one ends before anything is said of it
    for options in (choices()[0], choices()[len(choices()) // 2], choices()[-1]):
        assert by_choice(runs, strictest, touched, options) == by_guard(runs, cast(LoopKeywords, options))


def test_the_figures_that_are_kept_have_at_least_five_libraries_and_all_have_finished() -> None:
    kept = json.loads((REPOSITORY / "bench" / "results" / "loops.json").read_text())
    played = [name for name in PEERS if name in kept["pooled"]]

    assert len({PEERS[name].package for name in played}) >= 5
    assert [name for name in played if kept["pooled"][name]["not_finished"]] == []


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
