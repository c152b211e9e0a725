"""Reading recorded calls, and what holds for every audit."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.runs import recorded, runs_of, write
from seawall.audit import BadLine, RecordedRun, ToolNames, audit, make_guards, read_runs
from seawall.audit.auditing import audit_to_end
from seawall.audit.formats.calls import parse_row
from seawall.core.redact import Redactor
from seawall.guards.loops import LoopOptions, Loops
from seawall.run.bodies import Bodies
from seawall.run.step import Step
from seawall.run.verdict import Verdict

GOOD = recorded([("read", {"a": 1}, "x")])


def lines(path: Path, **options: Any) -> list[RecordedRun | BadLine]:
    return list(read_runs(path, **options))


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".anything"])
def test_plain_and_gzipped_files_are_recognised_by_their_content(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"runs{suffix}"
    text = f"{json.dumps(GOOD)}\n\n{json.dumps(GOOD)}".encode()
    path.write_bytes(gzip.compress(text) if "gz" in suffix else text)

    assert [each.id for each in runs_of(path)] == ["r", "r"]


def test_a_run_may_lack_all_but_its_calls_and_their_tools(tmp_path: Path) -> None:
    path = write(tmp_path / "runs.jsonl", [{"calls": [{"tool": "t"}], "label": 1}, {"calls": []}])
    first, second = runs_of(path)

    assert first.id == "1"
    assert first.row == {"label": 1}
    assert (first.calls[0].arguments, first.calls[0].result, first.calls[0].failed) == ("{}", "", False)
    assert audit(second, make_guards(ToolNames())).halted_at is None


def test_results_and_errors_of_any_kind_are_taken(tmp_path: Path) -> None:
    calls = [
        {"tool": "t", "arguments": '{"b": 1,\n "a": 2}', "result": {"z": 1, "a": [None]}, "error": "boom"},
        {"tool": "t", "arguments": {"a": 2, "b": 1}, "result": 1.5, "error": None},
        {"tool": "t", "arguments": "not JSON {", "result": None, "error": True},
    ]
    (run,) = runs_of(write(tmp_path / "runs.jsonl", [{"id": 7, "calls": calls}]))

    assert run.id == "7"
    assert run.calls[0].arguments == run.calls[1].arguments == '{"a":2,"b":1}'
    assert [call.failed for call in run.calls] == [True, False, True]
    assert run.calls[0].result == 'boom\n{"a":[null],"z":1}'
    assert run.calls[2].arguments == "not JSON {"


BAD = [
    ("{", "not a JSON value"),
    ("[1]", "it is a list, not a recording of a known format"),
    ("{}", "it is an object that is empty, not a recording of a known format"),
    ('{"id": "x"}', "it is an object with the keys 'id', not a recording of a known format"),
    ('{"calls": null}', "'calls' is a list of calls, not null"),
    ('{"calls": [7]}', "call 0: a call is a JSON object, not a number"),
    ('{"calls": [{"tool": "a"}, {"tool": 5}]}', "call 1: 'tool' is the name of a tool, not a number"),
    ("[" * 100_000, "not a JSON value"),
]


@pytest.mark.parametrize(("line", "why"), BAD, ids=[why for _, why in BAD])
def test_a_bad_line_is_named_and_the_next_one_read(line: str, why: str, tmp_path: Path) -> None:
    path = write(tmp_path / "runs.jsonl", [GOOD, line, GOOD])
    first, bad, last = lines(path)

    assert isinstance(first, RecordedRun) and isinstance(last, RecordedRun)
    assert str(bad).startswith(f"{path}:2: {why}")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_line_that_is_too_long_is_left_out_and_never_held_as_a_whole(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "runs"
    text = json.dumps(GOOD).encode()
    data = text + b"\n" + b"x" * 5_000 + b"\n" + text + b"\n" + b"y" * 5_000
    path.write_bytes(gzip.compress(data) if zipped else data)
    found = lines(path, max_line_bytes=1_000)

    assert [type(each) for each in found] == [RecordedRun, BadLine, RecordedRun, BadLine]
    assert str(found[1]) == f"{path}:2: the line has more than 1,000 bytes; it is left out"
    assert str(found[3]).startswith(f"{path}:4: ")


def test_a_torn_archive_and_a_missing_file_are_named(tmp_path: Path) -> None:
    torn = tmp_path / "torn.gz"
    torn.write_bytes(gzip.compress(b"\n".join([json.dumps(GOOD).encode()] * 50))[:-12])
    *good, bad = lines(torn)
    (missing,) = lines(tmp_path / "nothing")

    assert all(isinstance(each, RecordedRun) for each in good)
    assert "can't be read any further" in str(bad)
    assert str(missing) == f"{tmp_path / 'nothing'}: can't be read: No such file or directory"


@pytest.mark.parametrize("zipped", [False, True])
def test_a_pipe_is_read_like_a_file(zipped: bool) -> None:
    data = f"{json.dumps(GOOD)}\n{json.dumps(GOOD)}".encode()
    out, into = os.pipe()
    try:
        os.write(into, gzip.compress(data) if zipped else data)
        os.close(into)

        assert [each.id for each in runs_of(Path(f"/dev/fd/{out}"))] == ["r", "r"]
    finally:
        os.close(out)


def test_what_python_writes_is_read_though_it_is_not_quite_json(tmp_path: Path) -> None:
    (run,) = runs_of(
        write(tmp_path / "a.jsonl", [recorded([("a\ud800", {"x": float("nan")}, ["\udfff", float("inf")])])])
    )

    assert run.calls[0].tool == "a\\ud800"
    assert run.calls[0].arguments == '{"x":null}'
    assert run.calls[0].result == '["\\\\udfff",null]'


def test_text_of_another_encoding_is_read_or_named(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.jsonl", [recorded([("t", {}, "naïve\u2028x")])] * 2
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    for encoding in ("utf-16", "utf-16-le"):
        path.write_bytes((text if encoding == "utf-16" else "\ufeff" + text).encode(encoding))
        assert [run.calls[0].result for run in runs_of(path)] == ["naïve\u2028x"] * 2
    path.write_bytes(json.dumps(rows, indent=1, ensure_ascii=False).encode("utf-16"))
    assert [run.calls[0].result for run in runs_of(path)] == ["naïve\u2028x"] * 2

    path.write_bytes(text.replace("\u2028", "").encode("latin-1") + json.dumps(rows[0]).encode())
    first, second, good = read_runs(path)
    assert isinstance(first, BadLine) and first.where == f"{path}:1" and "can't decode" in first.why
    assert isinstance(second, BadLine) and second.where == f"{path}:2"
    assert isinstance(good, RecordedRun)


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())

    assert [each.id for each in runs_of(path)] == ["r"]


def test_a_file_of_another_kind_is_reported_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    path.write_bytes(b"\x00\x01\n\xff\n" * 50)

    (bad,) = lines(path)

    assert isinstance(bad, BadLine)
    assert str(bad).startswith(f"{path}: not JSON, and nothing else is read (line 1 is not a JSON value")


@pytest.mark.parametrize("indent", [None, 1])
def test_a_run_with_line_breaks_in_it_and_a_list_of_runs_are_read(indent: int | None, tmp_path: Path) -> None:
    runs = [recorded([("read", {}, "x")] * 9, id=name) for name in "ab"]
    one, several = tmp_path / "one.json", tmp_path / "several.json"
    one.write_text(json.dumps(runs[0], indent=indent))
    several.write_text(json.dumps(runs, indent=indent))

    assert [(each.id, each.line) for each in runs_of(one)] == [("a", 1)]
    assert [each.id for each in runs_of(several)] == ["a", "b"]


def test_after_twenty_bad_lines_in_a_row_the_rest_is_not_read_and_that_is_reported(tmp_path: Path) -> None:
    good = recorded([("read", {}, "x")])
    found = lines(write(tmp_path / "a.jsonl", [good, *["{}"] * 19, good, *["{}"] * 30, good]))

    assert [type(each) is RecordedRun for each in found] == [True, *[False] * 19, True, *[False] * 21]
    assert str(found[-1]) == f"{tmp_path}/a.jsonl: 20 bad lines in a row: the rest of it is not read"


def test_the_guard_itself_judges(tmp_path: Path) -> None:
    asked: list[str] = []

    class Watched(Loops):
        def before(self, step: Step, run: Any, memory: Any) -> Verdict:
            asked.append(f"{step.agent}/{step.frame} {step.name}")
            return super().before(step, run, memory)

    rows = [("a", {}, "1"), ("b", {}, "2", False, "sub"), ("a", {}, "1")]
    (run,) = runs_of(write(tmp_path / "runs.jsonl", [recorded(rows)]))

    audit(run, [Watched()])

    assert asked == ["main/0 a", "sub/2 b", "main/0 a"]


# ---- what holds for every run

CALLS = st.tuples(
    st.sampled_from(["read", "create_x", "bash"]),
    st.fixed_dictionaries({"command": st.sampled_from(["a", "b", "sleep 1"]), "n": st.integers(0, 1)}),
    st.one_of(
        st.sampled_from(["x", "y", "id 1", "id 2"]),
        st.fixed_dictionaries({"a": st.integers(0, 1), "b": st.just(0)}),
    ),
    st.booleans(),
    st.sampled_from(["main", "sub"]),
)
RUNS = st.lists(CALLS, max_size=60)


def run_of(rows: Any) -> RecordedRun:
    found = parse_row(recorded(rows), "memory", 1)
    assert isinstance(found, RecordedRun)
    return found


@given(RUNS)
def test_nothing_is_stopped_before_it_was_advised_on(rows: Any) -> None:
    found = audit(run_of(rows), make_guards(ToolNames()))

    assert found.halted_at is None or (found.advised_at and found.advised_at[0] < found.halted_at)
    assert (found.rule is None) == (not found.advised_at and found.halted_at is None)


@given(RUNS)
def test_a_run_that_is_gone_through_to_its_end_is_judged_as_one_that_was_stopped(rows: Any) -> None:
    run, guards = run_of(rows), make_guards(ToolNames())
    whole = audit_to_end(run, guards, ToolNames(), Bodies(Redactor()))

    assert whole.judged == audit(run, guards)
    assert sum(each.calls for each in whole.waste.wasted.values()) == len(whole.useless)


@given(RUNS, st.randoms(use_true_random=False))
def test_the_order_of_keys_and_white_space_never_matter(rows: Any, random: Any) -> None:
    def told(value: Any) -> Any:
        if not isinstance(value, dict):
            return f" {value}\n\n"
        keys = list(value)
        random.shuffle(keys)
        return json.dumps({key: value[key] for key in keys}, indent=random.choice([None, 1, 3]))

    other = [(tool, told(arguments), told(result), *rest) for tool, arguments, result, *rest in rows]

    assert audit(run_of(other), make_guards(ToolNames())) == audit(run_of(rows), make_guards(ToolNames()))


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=6), unique=True, max_size=60), st.booleans())
def test_a_run_that_learns_something_with_each_call_is_left_alone(results: list[str], failed: bool) -> None:
    if failed:  # so many failures in a row are advised on, whatever they say
        results = results[: LoopOptions().fruitless * 3 // 4 - 1]
    found = audit(run_of([("read", {}, result, failed) for result in results]), make_guards(ToolNames()))

    assert (found.halted_at, found.advised_at) == (None, ())
