"""What a person is told to type next can be copied: with its journal, and by a name that is found."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from contextvars import copy_context
from pathlib import Path

import pytest

import seawall
from cli.desks import Desks
from seawall.cli.hints import complete_commands, find_program, note_journal
from seawall.cli.render.outcome import format_unpause_option


def test_a_hint_names_the_journal_that_is_not_the_default(desks: Desks) -> None:
    waits = desks("run", desks.app("parked"), "Refund 1042.", "-j", "my desk.db")
    approved = desks("approve", "last", "--by", "ann", "-j", "my desk.db")

    assert "--key-file FILE --journal 'my desk.db'" in waits.err
    assert approved.err.endswith("--journal 'my desk.db'\n")
    assert "--journal" not in desks("run", desks.app("desk"), "Hi.").err


def test_a_journal_that_the_environment_names_is_not_repeated(
    desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEAWALL_JOURNAL", "other.db")

    assert "--journal" not in desks("run", desks.app("desk"), "Hi.").err
    assert (
        complete_commands("go on: seawall resume r-1a, or cancel") == "go on: seawall resume r-1a, or cancel"
    )
    assert "--journal seawall.db" in desks("run", desks.app("desk"), "Hi.", "-j", "seawall.db").err
    assert (
        complete_commands("on: seawall resume r-1a, or") == "on: seawall resume r-1a --journal seawall.db, or"
    )


def test_a_name_in_a_hint_is_quoted(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "a; touch pwned #"
    monkeypatch.setenv("SEAWALL_JOURNAL", "other.db")
    desks("principals", "add", evil, "-j", "seawall.db")
    again = desks("principals", "add", evil, "-j", "seawall.db")
    lifts = [format_unpause_option(f"tenant:{evil}"), format_unpause_option("all")]

    given = f"seawall: principal '{evil}' has a key; to give another: "
    assert again.err == f"{given}seawall principals remove '{evil}' --journal seawall.db\n"
    assert lifts == [f"--tenant '{evil}'", "--all"]


def test_every_command_in_a_message_is_given_the_journal() -> None:
    context = copy_context()
    context.run(note_journal, Path("my desk.db"), Path("seawall.db"), "SEAWALL_JOURNAL")
    option = "--journal 'my desk.db'"
    for message, whole in (
        ("with `seawall verify`, and", f"with `seawall verify {option}`, and"),
        ("seawall fork r-1a --at STEP", f"seawall fork r-1a {option} --at STEP"),
        ("with: seawall principals add NAME)", f"with: seawall principals add NAME {option})"),
        ("seawall principals remove 'a; b'", f"seawall principals remove 'a; b' {option}"),
        ("(x): seawall mcp diff bank.refund", f"(x): seawall mcp diff bank.refund {option}"),
        ("seawall mcp diff 'b.a; c' now", f"seawall mcp diff 'b.a; c' {option} now"),
        ("this seawall reads up to 8", "this seawall reads up to 8"),
    ):
        assert context.run(complete_commands, message) == whole


@pytest.mark.parametrize("command", ["runs", "show", "why", "resume", "verify"])
def test_a_journal_that_is_not_there_names_what_names_one(desks: Desks, command: str) -> None:
    assert (
        "no journal at seawall.db: name one with --journal FILE or in SEAWALL_JOURNAL" in desks(command).err
    )


@pytest.mark.parametrize("command", ["runs", "resume", "approve", "verify"])
def test_a_damaged_journal_is_named_with_what_to_do(desks: Desks, command: str) -> None:
    desks("run", desks.app("desk"), "Hi.")
    damaged = Path("seawall.db")
    damaged.write_bytes(damaged.read_bytes()[:4096] + b"\xff" * (damaged.stat().st_size - 4096))

    done = desks(command, *(["last", "--by", "ann"] if command == "approve" else []))

    assert done.exit_code == 1
    told = done.err.splitlines()
    assert told[0].startswith("seawall: journal seawall.db is damaged: ")
    assert told[-1].endswith("put the copy and its .mark in the places of the journal and its .mark")
    names_verify = "the first bad place is named by: seawall verify" in done.err
    assert names_verify == (command != "verify")


def test_a_bad_place_is_named_with_what_to_do(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Hi.")
    with contextlib.closing(sqlite3.connect("seawall.db")) as file:
        file.execute("UPDATE bodies SET data = 'other' WHERE id = 1")
        file.commit()

    done = desks("verify")

    assert done.out.startswith("bad: ")
    assert "to go back to a copy of seawall backup: stop every process" in done.err


@pytest.mark.parametrize("command", ["runs", "principals", "run"])
@pytest.mark.parametrize("has_mark", [False, True])
def test_a_pipe_a_socket_and_a_device_are_no_journals(desks: Desks, command: str, has_mark: bool) -> None:
    os.mkfifo("pipe.db")
    if has_mark:
        Path("pipe.db.mark").write_text("{}")
    words = {"run": ("run", desks.app("desk"), "Hi."), "principals": ("principals", "add", "ann")}

    for file, what in (
        ("pipe.db", "a pipe, a socket or a device"),
        ("/dev/null", "a pipe"),
        (".", "a directory"),
    ):
        done = desks(*words.get(command, (command,)), "-j", file)

        assert (done.exit_code, done.out) == (2, "")
        assert f"journal {file} is {what}" in done.err


def test_off_the_path_the_program_is_named_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", [".venv/bin/seawall", "run"])

    assert find_program() == ".venv/bin/seawall"
    assert find_program(elsewhere=True) == str(tmp_path / ".venv/bin/seawall")


def test_as_a_module_the_program_is_named_as_it_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", [str(Path(seawall.__file__).with_name("__main__.py")), "runs"])
    assert find_program() == f"{sys.executable} -m seawall"

    ran = subprocess.run(
        [sys.executable, "-m", "seawall", "--version"], check=False, capture_output=True, text=True
    )
    assert ran.stdout.startswith("seawall ")


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "x" * 300),
        ("wrap", "langchain", "x" * 300),
        ("lint", "x" * 300),
        ("principals", "add", "eve", "--journal", "x" * 300),
        ("verify", "--journal", "x" * 300),
    ],
)
def test_a_file_that_can_not_be_looked_at_is_named(desks: Desks, words: tuple[str, ...]) -> None:
    done = desks(*words, width=600)

    assert done.exit_code in (1, 2)
    assert "x" * 100 in done.err
    assert "File name too long" in done.err
    assert "Traceback" not in done.err
