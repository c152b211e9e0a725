"""What is held of the runs of a file: within bounds, and what does not fit is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded import SHAPES, make_loop

from audit.runs import runs_of, write
from seawall.audit import gathering
from seawall.audit.formats import FORMATS
from seawall.audit.gathering import GatheredRun, OpenRuns, SpanCall
from seawall.audit.recording import AskedCall, RecordedMessage, RecordedRun
from seawall.audit.values import Lines, Value


def make_run(key: str, line: int) -> GatheredRun:
    return GatheredRun(key, "file", "format", line)


def say(text: str, role: str = "assistant") -> RecordedMessage:
    return RecordedMessage(role=role, text=text)  # pyright: ignore[reportArgumentType] -- one of the roles


def test_past_its_bound_the_run_is_closed_that_was_left_alone_for_longest() -> None:
    runs = OpenRuns(make_run, max_bytes=10_000)
    closed: list[RecordedRun] = []
    for key in ("a", "b", "a", "c", "a"):
        runs.get(key, 1).append([say("x" * 3_000)])
        closed += runs.settle(key)

    assert [run.id for run in closed] == ["b", "c"]
    assert [run.id for run in runs.close_all()] == ["a"]


def test_what_comes_of_a_closed_run_is_a_further_part_of_it() -> None:
    runs = OpenRuns(make_run, max_runs=1)
    closed: list[RecordedRun] = []
    for key in ("a", "b", "a"):
        runs.get(key, 1).append([say("x")])
        closed += runs.settle(key)

    assert [run.id for run in [*closed, *runs.close_all()]] == ["a", "b", "a (part 2)"]


@pytest.mark.parametrize("shape", ["chat_log", "otlp", "langsmith", "claude_code", "checkpoints"])
def test_rows_of_a_run_that_is_too_large_are_counted(
    shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seawall.audit import spans

    for module in (gathering, spans):
        monkeypatch.setattr(module, "MAX_RUN_BYTES", 3_000)
    (run,) = runs_of(write(tmp_path / "a.jsonl", SHAPES[shape](make_loop())))

    assert run.left_out > 0
    assert len(run.calls) < 9


def test_a_conversation_whose_beginning_was_left_out_goes_on_where_it_was() -> None:
    run = make_run("r", 1)
    whole = [say("a", "user"), say("b"), say("c", "user"), say("d")]
    run.add_snapshot(whole)
    run.add_snapshot([*whole[3:], say("e", "user"), say("f")])
    run.add_snapshot(whole[:2])
    built = run.build()

    assert built is not None
    assert [message.text for message in built.messages] == ["a", "b", "c", "d", "e", "f"]


def test_equal_replies_to_a_conversation_whose_beginning_is_cut_are_all_taken() -> None:
    ask = RecordedMessage(role="assistant", calls=(AskedCall("", "read", "{}"),))
    told = RecordedMessage(role="tool", text="same")
    run = make_run("r", 1)
    run.add_snapshot([say("go", "user")], replied=[ask])
    for _ in range(5):
        run.add_snapshot([say("(earlier messages were left out)", "user"), ask, told], replied=[ask])
    built = run.build()

    assert built is not None
    assert len({message.agent for message in built.messages}) == 1
    assert (len(built.calls), built.unanswered) == (5, 1)


def test_another_reply_to_one_request_adds_that_reply_only() -> None:
    run = make_run("r", 1)
    run.add_snapshot([say("a", "user"), say("b"), say("c", "user"), say("d")])
    run.add_snapshot([say("a", "user"), say("b"), say("c", "user"), say("e")])
    built = run.build()

    assert built is not None
    assert [message.text for message in built.messages] == ["a", "b", "c", "d", "e"]


def test_a_call_is_one_whether_its_span_or_its_message_comes_first() -> None:
    asked = RecordedMessage(role="assistant", calls=(AskedCall("1", "read", "{}"),))
    told = RecordedMessage(role="tool", text="result", call_id="1")
    span = SpanCall(tool="read", call_id="1", arguments="{}", result="result")
    for entries in ([asked, told, span], [asked, span, told], [span, asked, told]):
        run = make_run("r", 1)
        for entry in entries:
            if isinstance(entry, SpanCall):
                run.add_call(entry)
            else:
                run.append([entry])
        built = run.build()

        assert built is not None
        assert [(call.tool, call.result) for call in built.calls] == [("read", "result")], entries


def test_calls_without_a_result_are_left_out_and_counted() -> None:
    run = make_run("r", 1)
    calls = (AskedCall("1", "a", "{}"), AskedCall("2", "b", "{}"))
    run.append(
        [RecordedMessage(role="assistant", calls=calls), RecordedMessage(role="tool", text="x", call_id="1")]
    )
    built = run.build()

    assert built is not None
    assert ([call.tool for call in built.calls], built.unanswered, built.lacks) == (["a"], 1, ())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a": 1}\n{"a": 2}\n', [({"a": 1}, 1), ({"a": 2}, 2)]),
        ('{\n "a": 1\n}\n{\n "a": 2\n}', [({"a": 1}, 1), ({"a": 2}, 4)]),
        ('[\n{"a": 1},\n{"a": [2, "]"]}\n]', [({"a": 1}, 2), ({"a": [2, "]"]}, 3)]),
        ('[{"a": 1}, {"a": 2}]', [([{"a": 1}, {"a": 2}], 1)]),
        ("[\n]\n", []),
        ("", []),
    ],
)
def test_the_values_of_a_file_are_found_with_their_lines(
    text: str, values: list[tuple[object, int]], tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)

    assert list(Lines(path, 1_000).read_values()) == [Value(value, line) for value, line in values]


def test_a_list_without_line_breaks_that_is_longer_than_a_line_may_be_is_read_in_pieces(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" + ", ".join(f'{{"n": {n}, "text": "ü{"x" * 50}"}}' for n in range(100)) + "]")
    found = list(Lines(path, 1_000).read_values())

    assert [each.value["n"] for each in found if isinstance(each, Value)] == list(range(100))


def test_every_format_has_a_name_of_its_own_and_says_what_it_reads() -> None:
    assert len({each.name for each in FORMATS}) == len(FORMATS) == 8
    assert all(each.reads for each in FORMATS)
