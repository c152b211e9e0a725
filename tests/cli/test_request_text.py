"""Where the request of `seawall run` comes from."""

from __future__ import annotations

import os
import pty
from pathlib import Path

import pytest

from cli.desks import Desks

ANSWER = "Order 1042 is lost: 80.00 EUR.\n"


def request_of(desks: Desks) -> str:
    """The request of the newest run."""
    return desks("show", "last", "--json").document["request"]


@pytest.mark.parametrize(
    ("content", "request_text"),
    [
        (b"Where is 1042?\n", "Where is 1042?"),
        (b"\xef\xbb\xbfWhere?\r\nAnd why?\r\n", "Where?\nAnd why?"),
        ("\u4e2d\u6587 \U0001f600".encode(), "\u4e2d\u6587 \U0001f600"),
        (b"  indented\n\n", "  indented"),
        (b"x" * 1_000_000, "x" * 1_000_000),
        (("\u4e2d" * 1_000_000).encode(), "\u4e2d" * 1_000_000),
    ],
    ids=["line", "windows", "unicode", "newlines", "longest", "longest-unicode"],
)
def test_the_request_is_read_from_stdin_and_from_a_file(
    desks: Desks, tmp_path: Path, content: bytes, request_text: str
) -> None:
    (tmp_path / "request.txt").write_bytes(content)

    assert desks("run", desks.app("desk"), "-", stdin=content).out == ANSWER
    assert request_of(desks) == request_text
    assert desks("run", desks.app("desk"), "--file", "request.txt").out == ANSWER
    assert request_of(desks) == request_text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "{} is empty: there is no request in it"),
        (b" \r\n", "{} is empty: there is no request in it"),
        (b"caf\xe9", "{} is not UTF-8: byte 3 is 0xe9"),
        (b"\xff\xfea\x00", "{} is UTF-16, not UTF-8"),
        (b"x" * 1_000_001, "{}: the request has 1,000,001 characters (limit 1,000,000)"),
        (b"x" * 5_000_000, "{}: the request has more than 1,000,000 characters (the limit)"),
    ],
    ids=["empty", "blank", "latin-1", "utf-16", "too-long", "endless"],
)
def test_what_is_no_request_is_refused_with_where_it_came_from(
    desks: Desks, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "request.txt").write_bytes(content)

    for words, stdin, where in (
        (("-",), content, "stdin"),
        (("--file", "-"), content, "stdin"),
        (("--file", "request.txt"), None, "--file request.txt"),
    ):
        done = desks("run", desks.app("desk"), *words, stdin=stdin)
        assert (done.exit_code, done.out) == (2, "")
        assert message.format(where) in done.err
        assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "seawall.db").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "what is the team asked? give REQUEST, or - to read it from stdin, or --file FILE"),
        (("Hi.", "--file", "a.txt"), "REQUEST and --file a.txt: the request comes from one of them"),
        (("-", "--file", "a.txt"), "- (stdin) and --file a.txt: the request comes from one of them"),
        (("--file", "no.txt"), "--file no.txt: there is no such file"),
        (("--file", "."), "--file .: that is a directory"),
        (("x" * 1_000_001,), "the request has 1,000,001 characters (limit 1,000,000)"),
        (("\udcff",), "request is '\\udcff', which has no UTF-8"),
    ],
)
def test_a_call_without_one_request_says_what_is_wrong(
    desks: Desks, words: tuple[str, ...], message: str
) -> None:
    done = desks("run", desks.app("desk"), *words)

    assert done.exit_code == 2
    assert message in done.err


def test_a_terminal_is_told_how_to_end_the_request(desks: Desks) -> None:
    ours, theirs = pty.openpty()
    child = desks.start("run", desks.app("desk"), "-", stdin=theirs)
    os.close(theirs)
    child.until("end it with Ctrl-D")
    os.write(ours, b"Where is 1042?\n\x04")

    done = child.end()

    os.close(ours)
    assert (done.exit_code, done.out) == (0, ANSWER)
    assert request_of(desks) == "Where is 1042?"
