"""The hard loops and the hard good work: what is described, what becomes of it, and who sees it."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from loop.peers import PEERS
from loop_hard.kinds import KINDS, LONGEST, THIRD, BadKinds, Kind, halves, load
from loop_hard.play import REPLY_MEDIAN_S, REPLY_P90_S, Judgement, play, split_gap
from loop_hard.report import HALVES, caught, figures
from loop_hard.rules import RULES, judge
from loop_hard.script import START_S, Script, make
from loop_hard.texts import Texts, tell_time
from loops import ROOT as REPOSITORY

import warm_python

ALL, THIRD_LIST = load(), load(THIRD)
BY_NAME = {kind.name: kind for kind in ALL}


def script(name: str, seed: int = 1) -> Script:
    return make(BY_NAME[name], seed)


@pytest.mark.parametrize("kinds", [ALL, THIRD_LIST], ids=["first", "third"])
def test_there_are_at_least_forty_kinds_of_each_class_and_half_of_them_is_set_aside(
    kinds: list[Kind],
) -> None:
    count = Counter((kind.cls, kind.half) for kind in kinds if not kind.added)

    for cls in ("loop", "good"):
        is_open, aside = count[cls, "open"], count[cls, "aside"]
        assert is_open + aside >= 40
        assert abs(is_open - aside) <= 6


def test_the_halves_follow_from_the_names_alone() -> None:
    split = [kind for kind in reversed(ALL) if not kind.added]

    assert halves(split) == [kind.half for kind in split]
    later = [kind for kind in reversed(ALL) if kind.added and kind.split]
    assert halves(later, "later") == [kind.half for kind in later]
    assert abs(Counter(kind.half for kind in later)["later"] * 2 - len(later)) <= 6


def test_a_kind_that_was_moved_to_the_other_half_is_named(tmp_path: Path) -> None:
    text = KINDS.read_text(encoding="utf-8")
    moved = tmp_path / "moved.toml"
    kind = ALL[0]
    other = "aside" if kind.half == "open" else "open"
    moved.write_text(text.replace(f'half = "{kind.half}"', f'half = "{other}"', 1), encoding="utf-8")

    with pytest.raises(BadKinds, match=f"not what the hash of the name says: {kind.name}$"):
        load(moved)


@pytest.mark.parametrize("kind", [*ALL, *THIRD_LIST], ids=lambda kind: kind.name)
def test_a_script_is_the_same_for_the_same_seed_and_every_template_is_filled(kind: Kind) -> None:
    made = make(kind, 3)

    assert made == make(kind, 3)
    assert made != make(kind, 4)
    assert [move for move in made.moves if "<<" in move.arguments + move.result + (move.said or "")] == []
    assert all("[[" not in call.result.replace("[[[", "") for _, call, _ in made.calls())
    assert (len(made.moves) >= LONGEST) == (kind.cls == "loop")


def test_others_are_shown_a_hand_off_when_its_answer_is_there() -> None:
    made = script("clerk_looks_again")
    tools = [call.tool for _, call, _ in made.calls()][made.onset :]

    assert tools[:6] == ["get_order", "get_holds", "ask_clerk"] * 2


def test_a_value_is_drawn_anew_or_kept_for_the_round_or_for_the_run() -> None:
    texts = Texts(random.Random(1))
    texts.begin_round(1, 2)
    first = [texts.fill("<<hex:8>> <<hex:8@a>> <<hex:8#a>>").split() for _ in range(2)]
    texts.begin_round(2, 2)
    second = texts.fill("<<hex:8>> <<hex:8@a>> <<hex:8#a>>").split()

    assert first[0][0] != first[1][0] and first[0][1:] == first[1][1:]
    assert second[1] != first[0][1] and second[2] == first[0][2]
    assert texts.fill("<<last:a:<<linear:10:5>> b>> <<cycle:x|y>>") == "15 b y"


def test_times_are_told_by_the_clock_of_the_call() -> None:
    assert tell_time("[[iso]] [[hms+60]] [[epoch_us]]", START_S + 1.5) == (
        "2026-01-01T00:00:01.500Z 00:01:01 1767225601500000"
    )


@pytest.mark.parametrize(
    ("name", "rule", "at"),
    [
        ("read_again", "5 same calls in a row", 5),
        ("two_in_turn", "5 same calls in a row", None),
        ("two_in_turn", "OpenHands' stuck detector, tool part", 7),
        ("clock_in_json", "same call > 3 anywhere", 4),
    ],
)
def test_rules_stop_where_they_are_said_to(name: str, rule: str, at: int | None) -> None:
    made = script(name)
    stopped_at = judge(RULES[rule], made).stopped_at

    assert (stopped_at and stopped_at - made.onset) == at


def test_a_plain_loop_is_stopped_at_its_fifth_call_and_a_queue_of_jobs_is_worked_off() -> None:
    loop, work = script("read_again"), script("queue_of_uuids")

    assert asyncio.run(play(loop)) == Judgement(
        stopped_at=loop.onset + 5, advised=True, by="loops: no_news=3"
    )
    assert asyncio.run(play(work)) == Judgement()


def test_a_reply_takes_what_models_take_and_the_rest_of_a_gap_passes_in_the_tool() -> None:
    move, rng = script("read_again").moves[0], random.Random(1)
    replies = sorted(split_gap(move, 1_000_000, rng)[0] for _ in range(10_000))

    assert replies[5_000] == pytest.approx(REPLY_MEDIAN_S, rel=0.05)
    assert replies[9_000] == pytest.approx(REPLY_P90_S, rel=0.05)
    split = [split_gap(move, 20, rng) for _ in range(100)]
    assert all(reply_s + call_s == pytest.approx(20) for reply_s, call_s in split)
    assert {call_s > 0 for _, call_s in split} == {True, False}


@pytest.mark.parametrize("name", ["cut_and_empty", "each_names_the_other", "rejected_with_reads_between"])
def test_where_nothing_is_performed_all_of_a_gap_is_the_models(name: str) -> None:
    made = script(name)
    moves = [
        move
        for move in made.moves[made.onset :]
        if move.said is not None or move.step.reply is not None or move.step.to or move.step.rejected
    ]

    assert moves
    assert [split_gap(move, 1_000, random.Random(1)) for move in moves] == [(1_000, 0)] * len(moves)


@pytest.mark.parametrize("cls", ["loop", "good"])
def test_nothing_but_the_guard_stops_a_run(cls: str) -> None:
    """Calls, replies, hand-offs, errors of writes, a person's decisions: each script is played to its end."""
    names = {
        "loop": ["missing_field", "each_names_the_other", "cut_and_empty", "rejected_with_reads_between"],
        "good": [
            "rejected_then_changed",
            "tests_after_edits_that_raise",
            "same_policy_for_each",
            "locked_then_free",
        ],
    }
    for name in names[cls]:
        judged = asyncio.run(play(script(name)))
        assert judged.by == "" or judged.by.startswith("loops: "), name


def test_a_stop_before_the_loop_began_is_no_catch() -> None:
    made = script("read_again")

    assert not caught(made, Judgement(stopped_at=made.onset))
    assert caught(made, Judgement(stopped_at=made.onset + 1))
    found = figures([made], [Judgement(stopped_at=made.onset + 4)], made.kind.half)
    assert (found["caught"]["hits"], found["calls_until_caught"]) == (1, 4)


def test_the_program_prints_and_keeps_its_figures(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    program = str(REPOSITORY / "bench" / "loops_hard.py")
    done = warm_python.run(
        [
            program,
            "--seeds",
            "1",
            "--only",
            "order_of_keys,read_again",
            "--ours",
            "--out",
            str(out),
        ],
        text=True,
    )

    assert done.returncode in (0, 1), done.stderr
    kept = json.loads(out.read_text())
    assert set(kept["rows"]) >= {"Seawall", *RULES}
    assert list(kept["kinds"]) == ["open"]
    assert kept["kinds"]["open"]["Seawall"]["order_of_keys"]["stopped"] == 1
    assert set(kept["versions"]) == {peer.package for peer in PEERS.values()}
    assert "of the loops set aside are caught" in done.stdout


def test_the_figures_that_are_kept_are_of_these_kinds_and_of_at_least_five_libraries() -> None:
    kept = json.loads((REPOSITORY / "bench" / "results" / "loops_hard.json").read_text())

    assert kept["split"] == {half: [k.name for k in ALL if k.half == half] for half in HALVES}
    assert len([version for version in kept["versions"].values() if version]) >= 5
    assert len(kept["seeds"]) >= 5
