"""`seawall audit`: a line a run, a summary aside, and what could not be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from audit.runs import recorded, write
from seawall.cli import app
from seawall.cli.exits import Exit

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
            "reason": "'read' returned nothing new (1 in a row): known since step 1",
        },
    ]
    assert done.stderr == "3 runs: 1 stopped, 2 advised\n"


def test_it_prints_a_line_for_people(tmp_path: Path) -> None:
    done = seawall(write(tmp_path / "a.jsonl", [LOOP, WORK, ONCE]))

    first, second, third = done.stdout.splitlines()
    assert first.split(maxsplit=1)[0] == "loop" and "call 4 of 9 not made" in first and "(limit 3)" in first
    assert second.split() == ["work", "goes", "on"]
    assert "advised at 1" in third


def test_bad_lines_and_files_are_named_and_all_others_audited(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [WORK, BAD, LOOP])
    done = seawall("--json", path, tmp_path / "nothing", write(tmp_path / "b.jsonl", [ONCE]))

    assert done.exit_code == Exit.BROKEN
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["work", "loop", "once"]
    assert f"seawall: {path}:2: 'calls' is a list of calls, not a number" in done.stderr
    assert "nothing: can't be read: No such file" in done.stderr
    assert "3 runs: 1 stopped, 2 advised; 2 lines could not be read" in done.stderr


def test_the_user_says_which_tools_write_and_which_are_polls(tmp_path: Path) -> None:
    polls = recorded([("job_state", {}, "running")] * 9, id="p")
    storm = recorded([("put", {"n": n}, f"put {chr(97 + n % 26)}") for n in range(40)], id="s")
    path = write(tmp_path / "a.jsonl", [polls, storm])

    def halted(*options: str) -> list[int | None]:
        return [
            json.loads(line)["halted_at"] for line in seawall("--json", *options, path).stdout.splitlines()
        ]

    assert halted() == [4, None]
    assert halted("--poll", "job_*") == [None, None]
    assert halted("--effect", "put", "--poll", "job_*") == [None, 25]


def test_signs_that_steer_a_terminal_are_not_printed(tmp_path: Path) -> None:
    done = seawall(write(tmp_path / "a.jsonl", [recorded([("t\u001b[2J", {}, "x")] * 9, id="\u001b[31mred")]))

    assert "\u001b" not in done.stdout
    assert "red" in done.stdout


def test_without_a_file_the_call_is_wrong() -> None:
    assert seawall().exit_code == Exit.MISUSED
