"""`seawall audit`: what is found, as text, as JSON and as a page, and what could not be read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from recorded import SHAPES, Conversation, Turn, make_loop, make_work
from typer.testing import CliRunner

from audit.runs import recorded, write
from seawall.cli import app
from seawall.cli.exits import Exit
from seawall.core.errors import Misused

LOOP = recorded([("read", {"q": 1}, "same")] * 9, id="loop")
WORK = recorded([("read", {"q": n}, f"answer {n}") for n in range(9)], id="work")
ONCE = recorded([("read", {}, "same"), ("read", {}, "same")], id="once")
BAD = '{"id": "bad", "calls": 7}'
SECRET = "sk-proj-Zx81kQw7LmPn93VbTyUcE5RsD2fGhJ4aN6oB"


def seawall(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["audit", *map(str, arguments)])


def read_json(done: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The runs, and the sums in the last line."""
    *runs, last = [json.loads(line) for line in done.stdout.splitlines()]
    return runs, last["summary"]


def test_it_prints_one_object_a_run_in_their_order_and_then_the_sums(tmp_path: Path) -> None:
    done = seawall("--json", write(tmp_path / "a.jsonl", [LOOP, WORK, ONCE]))
    runs, summary = read_json(done)

    assert done.exit_code == Exit.OK
    judged = ("id", "halted_at", "advised_at", "rule", "reason")
    reason = "tool 'read' returned nothing new 3 times in a row (limit 3)"
    once = "'read' returned nothing new (1 in a row): known since call #0"
    assert [[run[name] for name in judged] for run in runs] == [
        ["loop", 4, [1, 2, 3], "no_news", reason],
        ["work", None, [], None, None],
        ["once", None, [1], "no_news", once],
    ]
    assert [run["repeats"]["calls"] for run in runs] == [8, 0, 1]
    assert (summary["runs"], summary["halted"], summary["advised"]) == (3, 1, 2)
    assert summary["after_halt"]["calls"] == 5
    assert done.stderr == ""


def test_it_prints_the_sums_and_the_worst_run_first(tmp_path: Path) -> None:
    done = seawall(write(tmp_path / "a.jsonl", [WORK, ONCE, LOOP]))
    text = " ".join(done.stdout.split())  # whatever the width

    assert text.index(f"{tmp_path}/a.jsonl:3 loop") < text.index(f"{tmp_path}/a.jsonl:2 once")
    assert f"{tmp_path}/a.jsonl:1" not in text
    assert "read 3 runs · 20 calls" in text
    assert "call #4 (from 0) of 9 not made: tool 'read' returned nothing new" in text
    assert "advised at #1 (from 0): 'read' returned nothing new (1 in a row): known since call #0" in text
    assert 'read({"q":1}) → same' in text


def test_bad_lines_and_files_are_named_and_all_others_audited(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [WORK, BAD, LOOP])
    empty = tmp_path / "empty"
    empty.mkdir()
    done = seawall("--json", path, empty, write(tmp_path / "b.jsonl", [ONCE]))
    runs, summary = read_json(done)

    assert done.exit_code == Exit.BROKEN
    assert [run["id"] for run in runs] == ["work", "loop", "once"]
    assert f"seawall: {path}:2: 'calls' is a list of calls, not a number" in done.stderr
    assert f"seawall: {empty}: the folder has no file that ends with .json, .jsonl" in done.stderr
    assert summary["bad"] == 2


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    write(tmp_path / "deep" / "er" / "b.jsonl", [WORK])
    write(tmp_path / "a.jsonl", [LOOP])
    write(tmp_path / "notes.txt", ["this is no recording"])
    done = seawall("--json", tmp_path)

    assert done.exit_code == Exit.OK
    assert [run["id"] for run in read_json(done)[0]] == ["loop", "work"]


def test_a_file_in_another_shape_is_told_what_was_seen_and_what_is_read(tmp_path: Path) -> None:
    done = seawall("--json", write(tmp_path / "a.jsonl", [{"steps": [], "score": 1}, {"steps": []}]))

    assert done.exit_code == Exit.BROKEN
    seen = "it is an object with the keys 'steps', 'score', not a recording of a known format"
    assert f"seawall: {tmp_path}/a.jsonl:1: {seen}" in done.stderr
    assert done.stderr.count("read is OpenAI chat: messages with `role`") == 1


def test_the_user_says_which_tools_write_and_which_are_polls(tmp_path: Path) -> None:
    polls = recorded([("job_state", {}, "running")] * 20, id="p")
    storm = recorded([("put", {"n": n}, f"put {chr(97 + n % 26)}") for n in range(40)], id="s")
    path = write(tmp_path / "a.jsonl", [polls, storm])

    def halted(*options: str) -> list[int | None]:
        return [run["halted_at"] for run in read_json(seawall("--json", *options, path))[0]]

    assert halted() == [17, None]
    assert halted("--poll", "job_*") == [None, None]
    assert halted("--effect", "put", "--poll", "job_*") == [None, 25]


def test_signs_that_steer_a_terminal_are_not_printed(tmp_path: Path) -> None:
    done = seawall(write(tmp_path / "a.jsonl", [recorded([("t\u001b[2J", {}, "x")] * 9, id="\u001b[31mred")]))

    assert "\u001b" not in done.stdout
    assert "red" in done.stdout


def test_a_file_that_is_not_there_is_a_wrong_call_and_nothing_is_audited(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["audit", str(write(tmp_path / "a.jsonl", [WORK])), "no.jsonl"])

    assert (done.exit_code, done.stdout) == (Exit.MISUSED, "")
    assert isinstance(done.exception, SystemExit | Misused)


def test_calls_without_a_field_that_the_verdict_needs_are_told_once(tmp_path: Path) -> None:
    misspelt = {"calls": [{"tool": "read", "args": {"q": n}, "output": f"answer {n}"} for n in range(9)]}
    done = seawall("--json", write(tmp_path / "a.jsonl", [misspelt, misspelt, WORK]))

    assert done.stderr == (
        f"seawall: {tmp_path}/a.jsonl:1: no call of the run has 'arguments' or 'result', so its verdict may be wrong: "
        "known are tool, arguments, result, error, agent, turn; these calls have args, output, tool\n"
    )
    assert read_json(done)[1]["lacking"] == 2


def test_a_pattern_that_matches_no_tool_is_named_with_the_tools_there_are(tmp_path: Path) -> None:
    done = seawall("--poll", "jobs_*", "--effect", "re*", write(tmp_path / "a.jsonl", [WORK]))

    assert "seawall: --poll jobs_* matches no tool of these runs: read\n" in done.stderr
    assert "--effect" not in done.stderr


def test_the_dash_is_stdin(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [LOOP])
    with path.open("rb") as file:
        command = [sys.executable, "-c", "from seawall.cli import main; main()", "audit", "-"]
        done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False)

    assert done.returncode == Exit.OK
    assert "call #4 (from 0) of 9 not made" in done.stdout


def test_without_a_file_the_call_is_wrong() -> None:
    assert seawall().exit_code == Exit.MISUSED


@pytest.mark.parametrize("depth", [900, 3_000])
@pytest.mark.parametrize("shape", ["chat", "otlp", "langchain", "claude_code"])
def test_what_is_nested_too_deeply_is_told_and_the_rest_audited(
    shape: str, depth: int, tmp_path: Path
) -> None:
    turn = Turn(user="go", calls=(("read", {"a": 1}, "DEEP", False),))
    rows = [json.dumps(row) for row in SHAPES[shape](Conversation("deep", (turn, Turn(text="ok"))))]
    deep = [row.replace('"DEEP"', "[" * depth + '"a\\\\b"' + "]" * depth) for row in rows]
    done = seawall("--json", write(tmp_path / "a.jsonl", [*deep, LOOP]))
    runs, _ = read_json(done)

    assert done.exit_code in (Exit.OK, Exit.BROKEN)
    assert any(run["id"] == "loop" for run in runs)


# ---- the page


def write_page(folder: Path, rows: list[Any]) -> str:
    page = folder / "report.html"
    seawall(write(folder / "a.jsonl", rows), "--html", page)
    return page.read_text(encoding="utf-8")


def test_the_page_has_all_that_was_found_and_loads_nothing(tmp_path: Path) -> None:
    rows = [row for each in (make_loop(), make_work()) for row in SHAPES["chat_log"](each)]
    text = write_page(tmp_path, rows)

    for found in (
        "get_order",
        "2031-04-17",
        "call #4 (from 0) of 9 not made",
        f"{tmp_path}/a.jsonl:5",
        "junk",
    ):
        assert found in text, found
    assert "http://" not in text and "https://" not in text and "src=" not in text and "<link" not in text
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text


def test_what_is_recorded_is_text_on_the_page_and_never_markup(tmp_path: Path) -> None:
    evil = "</td><script>alert(1)</script><img src=x onerror=alert(2)>"
    text = write_page(tmp_path, [recorded([(evil, {evil: evil}, evil)] * 9, id=evil), evil, {evil: 1}])

    assert text.count("<script>") == 1
    assert "<img" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_page_that_can_not_be_written_is_told_before_anything_is_read(tmp_path: Path) -> None:
    done = seawall(write(tmp_path / "a.jsonl", [LOOP]), "--html", tmp_path / "no" / "report.html")

    assert done.exit_code == Exit.MISUSED
    assert done.stdout == ""


@pytest.mark.parametrize("where", ["argument", "result", "answer", "id", "tool", "key"])
def test_a_secret_of_a_recording_reaches_no_report(where: str, tmp_path: Path) -> None:
    def put(name: str) -> str:
        return f"{name} {SECRET}" if where == name else name

    calls = [
        {
            "id": "1",
            "type": "function",
            "function": {"name": put("tool"), "arguments": json.dumps({"a": put("argument")})},
        }
    ]
    asked = {"role": "assistant", "content": None, "tool_calls": calls}
    told = {"role": "tool", "tool_call_id": "1", "content": put("result")}
    messages = [{"role": "user", "content": "go on"}, *[asked, told] * 9]
    messages.append({"role": "assistant", "content": f"It is 1234-5678 and {put('answer')}."})
    page = tmp_path / "report.html"
    path = write(
        tmp_path / "a.jsonl",
        [{"id": put("id"), "messages": messages}, {put("key"): 1}, f'{{"{put("key")}": '],
    )
    outputs = [seawall(path, "--html", page), seawall(path, "--json")]

    assert "1234-5678" in outputs[1].stdout
    for text in (page.read_text(), *(f"{each.stdout}{each.stderr}" for each in outputs)):
        assert SECRET[:20] not in text


# ---- interrupted


def test_ctrl_c_prints_what_was_found_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seawall.audit import findings

    audited: list[str] = []
    whole = findings.RunAuditor.audit

    def audit(self: Any, run: Any) -> Any:
        if len(audited) == 2:
            raise KeyboardInterrupt
        audited.append(run.id)
        return whole(self, run)

    monkeypatch.setattr(findings.RunAuditor, "audit", audit)
    path = write(tmp_path / "a.jsonl", [LOOP, WORK, ONCE])
    done = seawall("--json", path, "--html", tmp_path / "report.html")

    assert done.exit_code == Exit.INTERRUPTED
    assert [run["id"] for run in read_json(done)[0]] == ["loop", "work"]
    assert f"interrupted in {path}: this is what was found so far" in done.stderr
    assert "call #4" in (tmp_path / "report.html").read_text()


def test_ctrl_c_tells_of_runs_that_were_still_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seawall.audit.values import Lines

    whole = Lines.read_values

    def read_values(self: Lines) -> Any:
        yield from whole(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(Lines, "read_values", read_values)
    done = seawall("--json", write(tmp_path / "a.jsonl", SHAPES["otlp"](make_loop())))

    assert done.exit_code == Exit.INTERRUPTED
    assert [run["halted_at"] for run in read_json(done)[0]] == [4]


def test_of_bad_lines_that_are_alike_three_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    rows = [{"calls": [{"tool": "a", "result": "b"}]}, *({"foo": number} for number in range(9)), {"bar": 1}]
    done = seawall(write(tmp_path / "a.jsonl", rows))

    assert done.exit_code == Exit.BROKEN
    assert done.stderr.count("the keys 'foo'") == 3
    assert (
        "a.jsonl:4: it is an object with the keys 'foo', not a recording of a known format (further"
        in done.stderr
    )
    assert "a.jsonl:11: it is an object with the keys 'bar'" in done.stderr
    assert "10 lines could not be read" in done.stdout
