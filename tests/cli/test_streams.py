"""What becomes of the other ends of a command's streams: no command ends halfway because of it, and no run is lost."""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import seawall.cli
import warm_python
from cli.desks import WAIT_S, Desks
from seawall.cli.app import PANELS
from seawall.cli.exits import Exit
from seawall.cli.render.wording import MARKS
from seawall.cli.streams import ERRORS, LOOK_ALIKES, StandardStream, fit_encoding

EVIL = "\x1b]0;all\x07\x1b[31m\u202e\x9b"
"""A name that sets the title and the colour of a terminal, and turns the direction of writing."""

CHILD = """
import functools, gc, importlib, json, os, sys, tempfile
import typer.main
from seawall.cli import app, main
from seawall.cli.render import screen

typer.main.get_command = functools.cache(typer.main.get_command)
typer.main.get_command(app)

mode, *commands = json.loads(sys.argv[1])

def break_streams():
    "Do to the streams of this process what `mode` says."
    broken, err = {"out": [1], "err": [2], "both": [1, 2]}[mode[1]], os.dup(2)
    for number in broken:
        if mode[0] == "closed":
            os.close(number)
            setattr(sys, {1: "stdout", 2: "stderr"}[number], None)
        elif mode[0] == "full":
            os.dup2(os.open("/dev/full", os.O_WRONLY), number)
        else:
            reader, writer = os.pipe()
            os.close(reader)
            os.dup2(writer, number)
    if mode[0] == "closed" and 2 in broken:
        os.close(0)
        sys.stdin = None

def call(words):
    "Be `seawall WORDS`; return the exit code."
    sys.argv = ["seawall", *words]
    try:
        main()
    except SystemExit as leaving:
        sys.stdout.flush()
        return leaving.code or 0
    except BaseException:
        import traceback
        traceback.print_exc()
        sys.stderr.flush()
    return 99

told = []
for words in commands:
    with tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as imported:
        child = os.fork()
        if not child:
            os.dup2(err.fileno(), 2)
            known = set(sys.modules)
            break_streams()
            code = call(words)
            os.write(imported.fileno(), json.dumps(list(sys.modules.keys() - known)).encode())
            os._exit(code)
        _, status = os.waitpid(child, 0)
        err.seek(0)
        imported.seek(0)
        told.append([words, os.waitstatus_to_exitcode(status), err.read().decode()])
        for name in json.load(imported):
            importlib.import_module(name)
        gc.freeze()
print(json.dumps(told))
"""
"""Runs commands one after the other, each in a fork, and prints what they exited with and said on stderr.

What a command has imported is imported here for the commands after it, which would take longer over that than over
their work.
"""


def list_commands(desks: Desks) -> list[list[str]]:
    """A call of every command, in an order in which each has something to do."""
    app = desks.app("desk")
    Path("calls.jsonl").write_text(
        '{"id": "r", "calls": [{"tool": "a", "arguments": {}, "result": "x"}]}\n' * 3
    )
    first, second = (desks("run", desks.app("parked"), "Refund.", "--json").document["run"] for _ in range(2))
    third = desks("run", desks.app("unsure"), "Pay.", "--json").document["run"]
    Path("receipt.txt").write_text("rc-9")
    Path("crew.py").write_text("from crewai import Crew\nCrew().kickoff()\n")
    return [
        ["run", app, "Where is 1042?"],
        ["run", app, "Where is 1042?", "--stream"],
        ["run", app, "Where is 1042?", "--json"],
        *(
            words
            for one in ("runs", "show", "why", "context", "budget", "breakers", "guards", "pause", "verify")
            for words in ([one], [one, "--json"])
        ),
        ["--help"],
        ["run", "--help"],
        ["--version"],
        ["lint", "--explain", "SW203"],
        ["roles"],
        ["roles", "--json"],
        ["audit", "calls.jsonl"],
        ["audit", "calls.jsonl", "--json"],
        ["wrap", "crew.py"],
        ["wrap", "crew.py", "--json"],
        ["replay", "last", "last"],
        ["fork", "last", "--at", "2", "--app", app],
        ["run", desks.app("reviewed"), "Where is 1042?"],
        ["probe-reviewer", desks.app("reviewed"), "--last", "1"],
        ["pause", "--tool", "nothing"],
        ["unpause", "--tool", "nothing"],
        ["approvals"],
        ["approvals", "--json"],
        ["effects"],
        ["effects", "--json"],
        ["principals"],
        ["approve", first, "--by", "ann"],
        ["resume", first],
        ["resume"],
        ["worker", app, "--once"],
        ["reject", second, "--by", "ann", "--json"],
        ["cancel", second, "--by", "ann"],
        ["reconcile", third, "--committed", "receipt.txt", "--by", "ann"],
        ["principals", "add", "ann"],
        ["memory", "log"],
        ["memory", "show", "--json"],
        ["memory", "diff", "0", "0"],
        ["memory", "conflicts"],
        ["memory", "export", "user:7"],
        ["memory", "revert", first, "1", "--yes"],
        ["memory", "gc", "--yes"],
        ["memory", "forget", "user:7", "--dry-run"],
        ["backup", "copy.db"],
        ["prune", "--older-than", "30d"],
        ["erase", "--tenant", "nobody", "--yes"],
        ["demo", "--scene", "wrong"],
    ]


def call_with(mode: tuple[str, str], commands: list[list[str]]) -> list[tuple[list[str], int, str]]:
    done = warm_python.run(["-c", CHILD, json.dumps([mode, *commands])], timeout=4 * WAIT_S, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["reader-gone", "closed", "full"])
@pytest.mark.parametrize("stream", ["out", "both"])
def test_no_command_breaks_when_nobody_can_get_its_output(desks: Desks, kind: str, stream: str) -> None:
    commands = list_commands(desks)
    # `proxy` speaks a protocol on stdout, and ends with its client.
    assert {name.__name__.replace("_", "-") for names in PANELS.values() for name in names} - {"proxy"} <= {
        words[0] for words in commands
    }

    told = call_with((kind, stream), commands)

    wrong: list[Any] = []
    for words, code, err in told:
        allowed = {"reader-gone": {0, Exit.UNREAD}, "closed": {0}, "full": {0, Exit.BROKEN}}[kind]
        if code not in allowed or "Traceback" in err or "Broken pipe" in err:
            wrong.append((words, code, err))
    assert wrong == []
    by_name = {" ".join(words): (code, err) for words, code, err in told}
    assert by_name["runs"][0] == {"reader-gone": Exit.UNREAD, "closed": 0, "full": Exit.BROKEN}[kind]
    if (kind, stream) == ("full", "out"):
        *_, last = by_name["runs"][1].splitlines()
        assert last == "seawall: the output can't be written: No space left on device"
    rows = desks("runs", "--status", "completed", "--limit", "50", "--json").document["runs"]
    assert len([row for row in rows if row["team"] == "desk"]) == 4, "a run was lost"


def test_a_run_whose_answer_nobody_reads_says_that_it_completed(desks: Desks) -> None:
    [[_, code, err]] = call_with(("reader-gone", "out"), [["run", desks.app("desk"), "Where is 1042?"]])

    assert code == Exit.UNREAD
    assert "completed · 2 model calls, 1 tool call" in err


def test_a_run_that_was_stopped_keeps_its_exit_code_without_a_reader(desks: Desks) -> None:
    [[_, code, _]] = call_with(("reader-gone", "both"), [["run", desks.app("looping"), "Hi."]])

    assert code == Exit.HALTED


def test_a_reader_that_takes_one_line_gets_it(desks: Desks) -> None:
    for _ in range(3):
        desks("run", desks.app("desk"), "Hi.")
    words = [sys.executable, "-c", "from seawall.cli import main; main()", "runs"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    head = process.stdout.readline()
    process.stdout.close()
    process.stdout = None

    _, err = process.communicate(timeout=WAIT_S)
    assert head.startswith(b"RUN ")
    assert err == b""
    assert process.returncode in (0, Exit.UNREAD)


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    stream, size = StandardStream(writer), 300_000
    child = os.fork()
    if not child:
        os.close(writer)
        got = 0
        while piece := os.read(reader, 65_536):
            got += len(piece)
        os._exit(0 if got == size else 1)
    os.close(reader)

    assert stream.write(b"x" * size) == size
    os.close(writer)

    assert stream.failure is None
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    "words",
    [
        ("runs", "--tenant", EVIL),
        ("runs", "--status", EVIL),
        ("runs", "--journal", EVIL),
        ("pause", "--tool", EVIL, "--by", EVIL, "--why", EVIL),
        ("unpause", "--tool", EVIL),
        ("breakers", "--open", EVIL),
        ("run", "app:desk", "Hi.", "--limits", EVIL),
    ],
)
def test_notes_and_errors_steer_no_terminal(desks: Desks, words: tuple[str, ...]) -> None:
    desks("run", desks.app("desk"), "Hi.")
    desks("pause", "--tenant", EVIL)

    told = desks(*words)

    assert not set(told.out + told.err) & set(EVIL) - set("]0;all[31m")


# ---- encodings


def show_in(encoding: str, text: str) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors=ERRORS)
    if encoding != "utf-8":
        assert fit_encoding(text, file).encode(encoding)
    file.write(text)
    file.flush()
    return raw.getvalue().decode(encoding)


def test_each_sign_has_a_look_alike_of_its_own_that_is_no_question_mark() -> None:
    signs = {sign for sign, _ in MARKS.values()} | {"‖", "…"}
    shown = {sign: show_in("ascii", sign) for sign in signs}

    assert len(set(shown.values())) == len(signs)
    assert [sign for sign, each in shown.items() if each == "?"] == ["?"]


def test_what_an_encoding_lacks_is_escaped_and_what_it_has_is_not() -> None:
    assert show_in("ascii", "caf\xe9 → \u4e2d \U0001f600") == r"caf\xe9 > \u4e2d \U0001f600"
    assert show_in("latin-1", "caf\xe9 → ✓") == "caf\xe9 > +"
    assert show_in("utf-8", "caf\xe9 → \udcff") == "caf\xe9 → \\udcff"


def test_every_sign_in_the_commands_texts_has_a_look_alike() -> None:
    missing: dict[str, str] = {}
    for path in Path(seawall.cli.__file__).parent.rglob("*.py"):
        if path.name in ("streams.py", "audit_html.py"):  # a page is UTF-8, whatever the terminal is
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                missing |= {
                    sign: path.name
                    for sign in node.value
                    if not sign.isascii()
                    and ord(sign) not in LOOK_ALIKES
                    and sign not in "\u202a\u202e\u2066\u2069\ue000\x80\x9f"
                }
    assert missing == {}


@pytest.mark.parametrize(
    "command", ["runs", "show", "why", "context", "breakers", "guards", "budget", "replay", "pause"]
)
def test_an_ascii_terminal_shows_no_sign_that_means_something_else(
    desks: Desks, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    desks.write(
        'caf\xe9 = Team("caf\xe9", Agent("z\xfcrich", model=script(call("find_order", order_id="\xfc"), say("S\xed."))'
        ", tools=[find_order]))\n"
    )
    desks("run", desks.app("caf\xe9"), "¿D\xf3nde?", "--tenant", "\u4e2d\u6587", "--session", "\u4e2d")
    desks("pause", "--tool", "find_order", "--why", "¡no!")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    words = [command, "last", "--app", desks.app("caf\xe9")] if command == "replay" else [command]

    done = desks.start(*words).end()

    assert (done.exit_code, done.err.count("Traceback")) == (0, 0)
    assert done.out.isascii()
    assert "?" not in done.out.replace("?\n", "\n"), done.out  # the request ends in one
    assert done.out.strip()


def test_json_stays_json_in_ascii(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    desks("run", desks.app("desk"), "caf\xe9 → ✓ \U0001f600", "--tenant", "\u4e2d")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")

    done = desks.start("show", "--json").end()

    assert done.out.isascii()
    assert done.document["request"] == "caf\xe9 → ✓ \U0001f600"
    assert done.document["tenant"] == "\u4e2d"
