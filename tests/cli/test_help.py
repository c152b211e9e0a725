"""What `--help` says: which options are required, and a sentence on each line."""

from __future__ import annotations

import re
from typing import Any

import pytest
from typer.main import get_command

from cli.desks import Desks
from seawall.cli import app
from seawall.cli.help_text import break_sentences, split_sentences

GROUP: Any = get_command(app)
COMMANDS: dict[str, Any] = GROUP.commands


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_requires_is_in_its_usage(desks: Desks, name: str) -> None:
    usage = " ".join(desks(name, "--help", width=300).out.split("\n\n")[0].split())

    for parameter in COMMANDS[name].params:
        if parameter.required and parameter.param_type_name == "option":
            assert f"{parameter.opts[0]} {parameter.metavar}" in usage


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("prune",), "--older-than"),
        (("erase",), "--tenant"),
    ],
)
def test_an_option_without_which_a_command_does_nothing_is_shown_as_required(
    desks: Desks, words: tuple[str, ...], option: str
) -> None:
    desks("run", desks.app("parked"), "Refund.")
    shown = {each.opts[0] for each in COMMANDS[words[0]].params if each.required}

    done = desks(*words)

    assert done.exit_code == 2
    assert option in shown
    assert option in done.err


def test_an_argument_that_may_be_repeated_is_written_with_one_ellipsis(desks: Desks) -> None:
    words = [[name] for name in COMMANDS] + [
        [name, part] for name in ("mcp", "memory") for part in COMMANDS[name].commands
    ]
    usages = [desks(*each, "--help", width=300).out.split("\n\n")[0] for each in words]

    assert [usage for usage in usages if re.search(r"(…|\.\.\.)\W*\.\.\.", usage)] == []
    assert "seawall mcp diff" in desks("mcp", "accept", "--help", width=300).out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_begins_a_line_with_each_sentence(desks: Desks, name: str) -> None:
    lines = [line.strip("│ ") for line in desks(name, "--help", width=1_000).out.splitlines()]

    assert [line for line in lines if len(split_sentences(line)) > 1] == []


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_help_keeps_to_its_columns(desks: Desks, width: int) -> None:
    for name in COMMANDS:
        assert max(map(len, desks(name, "--help", width=width).out.splitlines())) <= width


def test_the_first_sentence_stands_alone() -> None:
    text = "Do it. It is\nquick.\n\nSee run.py, v1.2 or `Team(x=…)`. Really? Yes."

    assert break_sentences(text) == (
        "Do it.\n\nIt is quick.\n\nSee run.py, v1.2 or `Team(x=…)`.\nReally?\nYes."
    )
