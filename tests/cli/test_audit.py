"""`seawall audit`: a line a run, a summary aside, and what could not be read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from audit.runs import recorded, write
from seawall.cli import app
from seawall.cli.exits import Exit
from seawall.core.errors import Misused

LOOP = recorded([("read", {"q": 1}, "same")] * 9, id="loop")
WORK = recorded([("read", {"q": n}, f"answer {n}") for n in range(9)], id="work")
ONCE = recorded([("read", {}, "same"), ("read", {}, "same")], id="once")
BAD = '{"id": "bad", "calls": 7}'


def seawall(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["audit", *map(str, arguments)])


def test_it_prints_one_object_a_run_in_their_order(tmp_path: Path) -> None:
    done = seawall("--json", write(tmp_path / "a.jsonl", [LOOP, WORK, ONCE]))

    assert done.exit_code == Exit.OK
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {
            "id": "loop",
            "halted_at": 4,
            "advised_at": [1, 2, 3],
            "rule": "no_news",
            "reason": "tool 'read' returned nothing new 3 times in a row (limit 3)",
        },
        {"id": "work", "halted_at": None, "advised_at": [], "rule": None, "reason": None},
        {
            "id": "once",
            "halted_at": None,
            "advised_at": [1],
            "rule": "no_news",
            "reason": "'read' returned nothing new (1 in a row): known since call #0",
        },
    ]
    assert done.stderr == "3 runs: 1 stopped, 2 advised\n"


def test_it_prints_a_line_for_people(tmp_path: Path) -> None:
    done = seawall(write(tmp_path / "a.jsonl", [LOOP, WORK, ONCE]))

    first, second, third = done.stdout.splitlines()
    assert (
        first.split(maxsplit=1)[0] == "loop"
        and "call #4 (from 0) of 9 not made" in first
        and "(limit 3)" in first
    )
    assert second.split() == ["work", "goes", "on"]
    assert "advised at #1 (from 0)" in third and "known since call #0" in third


def test_bad_lines_and_files_are_named_and_all_others_audited(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [WORK, BAD, LOOP])
    done = seawall("--json", path, tmp_path, write(tmp_path / "b.jsonl", [ONCE]))

    assert done.exit_code == Exit.BROKEN
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["work", "loop", "once"]
    assert f"seawall: {path}:2: 'calls' is a list of calls, not a number" in done.stderr
    assert f"seawall: {tmp_path}: can't be read: Is a directory" in done.stderr
    assert "3 runs: 1 stopped, 2 advised; 2 lines could not be read" in done.stderr


def test_the_user_says_which_tools_write_and_which_are_polls(tmp_path: Path) -> None:
    polls = recorded([("job_state", {}, "running")] * 12, id="p")
    storm = recorded([("put", {"n": n}, f"put {chr(97 + n % 26)}") for n in range(40)], id="s")
    path = write(tmp_path / "a.jsonl", [polls, storm])

    def halted(*options: str) -> list[int | None]:
        return [
            json.loads(line)["halted_at"] for line in seawall("--json", *options, path).stdout.splitlines()
        ]

    assert halted() == [9, None]
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
    done = seawall(write(tmp_path / "a.jsonl", [misspelt, misspelt, WORK]))

    assert done.stderr == (
        f"seawall: {tmp_path}/a.jsonl:1: no call of the run has 'arguments' or 'result', so its verdict may be wrong: "
        "known are tool, arguments, result, error, agent, turn; these calls have args, output, tool\n"
        "3 runs: 2 stopped, 2 advised; 2 runs may be judged wrongly: see above\n"
    )


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
