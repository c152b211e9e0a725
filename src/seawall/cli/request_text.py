"""Reads the request of `seawall run` from the command line, from stdin or from a file."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import IO, cast

from seawall.core.errors import Misused
from seawall.runtime.given import MAX_REQUEST_CHARS

STDIN = "-"
_MAX_BYTES = 4 * MAX_REQUEST_CHARS + 4
"""A UTF-8 character has at most four bytes, so a longer source is above the limit and is not read to its end."""
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_request(request: str | None, file: Path | None) -> str:
    """Returns the request: `request` itself, or for `-` what stdin holds, or what `file` holds.

    A byte order mark and the newlines at the end are left out, and Windows' line ends become new lines. Raises
    `Misused` if no source or more than one is given, and if the request can't be read, is empty, is not UTF-8 or is
    too long.
    """
    if request is not None and file is not None:
        what = "- (stdin)" if request == STDIN else "REQUEST"
        raise Misused(f"{what} and --file {file}: the request comes from one of them")
    if file is not None and str(file) != STDIN:
        return _decode(_read_file(file), f"--file {file}")
    if request is None and file is None:
        raise Misused("what is the team asked? give REQUEST, or - to read it from stdin, or --file FILE")
    if request is None or request == STDIN:
        return _decode(_read_stdin(), "stdin")
    return request


def _read_file(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return _read(opened)
    except OSError as error:
        raise Misused(f"--file {file}: {_explain(error)}") from None


def _read_stdin() -> bytes:
    if sys.stdin.isatty():
        sys.stderr.write("seawall: write the request, and end it with Ctrl-D on a line of its own\n")
        sys.stderr.flush()
    try:
        return _read(cast("IO[bytes]", sys.stdin.buffer))
    except OSError as error:
        raise Misused(f"stdin: {_explain(error)}") from None


def _read(source: IO[bytes]) -> bytes:
    """Returns what a source holds, but not much more than the limit."""
    return source.read(_MAX_BYTES + 1) or b""  # a second call would ask a terminal for Ctrl-D again


def _explain(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return "there is no such file"
        case errno.EISDIR:
            return "that is a directory"
        case errno.EACCES:
            return "it can't be read: permission denied"
        case _:
            return f"it can't be read: {error.strerror or os.strerror(error.errno or 0)}"


def _decode(data: bytes, where: str) -> str:
    if len(data) > _MAX_BYTES:
        raise Misused(f"{where}: the request has more than {MAX_REQUEST_CHARS:,} characters (the limit)")
    if data.startswith(_UTF16):
        raise Misused(f"{where} is UTF-16, not UTF-8: convert it first, for example with iconv -f UTF-16")
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n").rstrip("\n")
    except UnicodeDecodeError as error:
        raise Misused(f"{where} is not UTF-8: byte {error.start} is {data[error.start]:#04x}") from None
    if len(text) > MAX_REQUEST_CHARS:
        raise Misused(f"{where}: the request has {len(text):,} characters (limit {MAX_REQUEST_CHARS:,})")
    if not text.strip():
        raise Misused(f"{where} is empty: there is no request in it")
    return text
