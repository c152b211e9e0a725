"""`seawall wrap`: the table and the diff, JSON, exit codes, and what it says where nothing can be read or found."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from seawall.cli import app
from seawall.cli.exits import Exit
from seawall.wrap import inspect_application
from wrap.unpacking import apply_lines, unpack


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


def seawall(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["wrap", *arguments])


def test_parts_stand_in_a_table_and_the_lines_in_a_diff_below_it(here: Path) -> None:
    unpack("google_adk_shop", here)

    done = seawall(".")

    assert done.exit_code == Exit.OK
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["KIND", "NAME", "WHERE", "GATED", "EFFECT"]
    assert lines[1].split() == ["agent", "searcher", "shop/agent.py:17", "with", "the", "lines"]
    (order,) = [line for line in lines if line.startswith("tool") and "order_item" in line]
    assert order.split(maxsplit=3)[-1].split("  ") == ["with the lines", "writes, by its name"]
    assert "  └ the model's provider runs it, and it never reaches this process" in lines
    assert '+sea = Engine("seawall.db", effects=["order_item"], reads=["get_stock"])' in lines
    assert "install: pip install 'path/to/seawall[google-adk]'" in done.stderr
    assert "give each request an id of yours" in done.stderr
    assert (
        "google-adk: 9 parts in 2 files, 8 gated once the lines are added, 1 not gated or in part"
        in done.stderr
    )


def test_a_framework_before_the_files_leaves_the_others_out(here: Path) -> None:
    unpack("langgraph_triage", here)
    unpack("crewai_script", here)

    all_of_it = seawall("--json", ".")
    one = seawall("crewai", ".", "--json")

    assert json.loads(all_of_it.stdout)["frameworks"] == ["langgraph", "crewai"]
    assert json.loads(one.stdout)["frameworks"] == ["crewai"]
    assert {part["framework"] for part in json.loads(one.stdout)["parts"]} == {"crewai"}


def test_an_application_that_is_gated_is_told_so(here: Path) -> None:
    unpack("pydantic_ai_factory", here)
    apply_lines(inspect_application([Path("factory.py")]), here)

    done = seawall("factory.py")

    assert done.exit_code == Exit.OK
    assert "the adapter is there already: nothing is to be added" in done.stderr
    assert "give each request an id of yours" not in done.stderr
    assert "+++" not in done.stdout
    assert "effect, declared" in done.stdout


def test_check_fails_until_what_writes_is_declared_and_gated(here: Path) -> None:
    unpack("crewai_script", here)

    before = seawall("--check", ".")
    apply_lines(inspect_application([Path()]), here)
    after = seawall("--check", ".")

    assert before.exit_code == Exit.BROKEN
    assert "book_hotel" in before.stdout
    assert re.search(
        r"check failed: book_hotel \(\S+:\d+\) seems to write, and is not declared", before.stderr
    )
    assert after.exit_code == Exit.OK
    assert "check failed" not in after.stderr


def test_check_fails_for_a_tool_that_writes_beyond_the_gate(here: Path) -> None:
    unpack("langchain_old", here)

    without, check = seawall("."), seawall("--check", ".")

    assert (without.exit_code, "check failed" in without.stderr) == (Exit.OK, False)
    assert check.exit_code == Exit.BROKEN
    assert "seems to write, and does not pass the gate" in check.stderr


def test_a_file_that_cannot_be_parsed_is_named_with_its_line_and_the_others_are_read(here: Path) -> None:
    unpack("crewai_script", here)
    (here / "broken.py").write_text("x = 1\ndef f(:\n    pass\n", encoding="utf-8")
    (here / "zeros.py").write_bytes(b"x = '\x00'\n")

    done = seawall(".")

    assert done.exit_code == Exit.BROKEN
    assert "seawall: broken.py:2: it can't be parsed: invalid syntax" in done.stderr
    assert "seawall: zeros.py" in done.stderr
    assert "trip.kickoff" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.py"], "nothing.py: there is no such file or folder"),
        (
            ["langchian", "."],
            "'langchian' is not a file, a folder or one of the frameworks: langchain, langgraph",
        ),
        (["langchain"], "give the files or folders of the application, such as  seawall wrap langchain ."),
        (
            ["plain.py"],
            "nothing found in 1 files: no agent, graph, runner, crew or server of langchain, langgraph",
        ),
        (
            ["crewai", "other.py"],
            "no agent, graph, runner, crew or server of crewai; they import pydantic-ai",
        ),
        (["other.py"], "although they import pydantic-ai: name the files that make the agents"),
    ],
)
def test_a_wrong_call_and_a_file_without_agents_say_what_is_missing(
    arguments: list[str], said: str, here: Path
) -> None:
    (here / "plain.py").write_text("print('hello')\n", encoding="utf-8")
    (here / "other.py").write_text("from pydantic_ai import ModelRetry\n", encoding="utf-8")

    done = seawall(*arguments)

    assert done.exit_code == Exit.MISUSED
    assert " ".join(said.split()) in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_a_secret_in_the_source_is_not_shown(here: Path) -> None:
    key = "sk-proj-" + "a1B2c3D4" * 6
    (here / "app.py").write_text(
        "from langchain.agents import create_agent\n"
        "from langchain_openai import ChatOpenAI\n"
        f'agent = create_agent(ChatOpenAI(api_key="{key}"), [])\n',
        encoding="utf-8",
    )

    done = seawall("app.py")
    as_json = seawall("app.py", "--json")

    assert key not in done.stdout + done.stderr + as_json.stdout
    assert "app.py: a secret in its lines is not shown, so make these changes by hand" in done.stderr
