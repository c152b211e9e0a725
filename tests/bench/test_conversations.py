"""The conversations program on a sample of our own: what it plays, and that it notices what is not as recorded."""

from __future__ import annotations

import asyncio
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from conversation import alone, report, split, world
from conversation.play import play
from conversation.recorded import Call, load
from conversation.result import Wire
from conversation.rule import Rule
from conversation.script import Script

import warm_python

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "data" / "conversations.jsonl"
TIMEOUT_S = 120


def program(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "bench" / "conversations.py"), *map(str, arguments)]
    return warm_python.run(command, text=True, timeout=TIMEOUT_S)


@pytest.mark.parametrize("wire", ["stream", "plain"])
@pytest.mark.parametrize("variant", ["alone", "team"])
def test_the_sample_is_played_as_it_is_recorded(variant: str, wire: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = program("--data", SAMPLE, "--variant", variant, "--wire", wire, "--out", out)

    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(out.read_text())["variants"][variant]
    assert written["mismatches"] == 0
    assert written["requests"]["mismatched"] == 0
    conversations = {one["id"]: one for one in written["conversations"]}
    assert {one["wire"] for one in conversations.values()} == {wire}
    assert {name: one["halted_by"] for name, one in conversations.items() if one["halted_by"]} == {
        "round-in-circles": "loops"
    }
    assert {name: one["advised"] for name, one in conversations.items() if one["advised"]} == {
        "asked-twice": 1,
        "errors": 1,
        "round-in-circles": 3,
    }
    assert [one["id"] for one in conversations.values() if one["problems"]] == []


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = program("--data", tmp_path / "nothing.jsonl.gz")

    assert done.returncode == 2
    assert "nothing.jsonl.gz" in done.stderr
    assert "--data" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_line_that_is_no_conversation_is_named(tmp_path: Path) -> None:
    data = tmp_path / "bad.jsonl"
    data.write_text(SAMPLE.read_text() + '{"id": "x", "success": true, "messages": [{"role": "user"}]}\n')
    done = program("--data", data)

    assert done.returncode == 2
    assert "bad.jsonl, line 10" in done.stderr


def scripts(variant: str, *names: str) -> list[Script]:
    make = {"alone": alone, "team": split}[variant].script
    return [make(one) for one in load(SAMPLE) if one.key in names]


def problems(played: list[Script], wire: Wire, place: Path) -> list[str]:
    """Play these scripts; what was not as recorded."""
    done = asyncio.run(play(played, wires=[wire], in_flight=4, seed=1, directory=place))
    return report.problems(done)


def with_another(script: Script, old: str, new: str) -> Script:
    """The script with a difference in what the server expects, and nowhere else."""
    rows = json.loads(json.dumps(script.rows, ensure_ascii=False).replace(old, new))
    assert rows != list(script.rows)
    return replace(script, rows=tuple(rows))


@pytest.mark.parametrize("variant", ["alone", "team"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("I would change the address", "I would  change the address"),  # in an answer: one space
        ("Let me look that up", "Let me look this up"),  # beside a call
        ("Please send it", "Please sent it"),  # in what the user said
        ("parcels, cabins or crossings", "parcels or crossings"),  # in the system prompt
    ],
)
def test_a_difference_of_one_character_is_found(variant: str, old: str, new: str, tmp_path: Path) -> None:
    (script,) = scripts(variant, "words-beside-calls")

    found = problems([with_another(script, old, new)], "plain", tmp_path)

    assert any("words-beside-calls" in problem for problem in found)


def test_a_result_that_is_not_as_recorded_is_found(tmp_path: Path) -> None:
    (script,) = scripts("alone", "errors")
    run = script.runs[0]
    ((call,), *rest) = run.batches
    changed = replace(run, batches=((replace(call, result="Error: not found"),), *rest))

    found = problems([replace(script, runs=(changed, *script.runs[1:]))], "plain", tmp_path)

    assert any("content differs" in problem for problem in found)


def test_reads_that_do_not_overlap_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(world, "TOGETHER_S", 0.05)
    (script,) = scripts("team", "many-at-once")
    first, second = script.runs
    apart = replace(first, batches=(first.batches[0] + first.batches[1], *first.batches[2:]))

    found = problems([replace(script, runs=(apart, second))], "plain", tmp_path)

    assert any("was in flight without" in problem for problem in found)


def test_independent_reads_go_out_together_and_dependent_ones_do_not() -> None:
    (script,) = scripts("team", "many-at-once")

    assert [[call.name for call in batch] for batch in script.runs[0].batches] == [
        ["get_parcel", "get_parcel", "get_parcel", "get_booking"],
        ["get_crossing"],
    ]
    assert [len(batch) for batch in script.runs[1].batches] == [1, 1, 1, 2]
    ids = [call.id for call in script.runs[0].batches[0]]
    assert len(set(ids)) == len(ids)


def test_a_round_is_named_in_the_order_in_which_its_calls_were_made_last() -> None:
    rule = Rule()
    book = Call(id="b", name="book_reservation", arguments='{"seat": 7}', result="Error: no seat")
    think = Call(id="t", name="think", arguments='{"thought": "Try again."}', result="")

    notes = [rule.learn("agent", call, step) for step, call in enumerate([book, think] * 3, 1)]

    assert notes[-1] is not None and notes[-1].startswith(
        "[book_reservation → think has come round 3 times with the same answers, since step 4."
    )
