"""Reads the JSON values of a file, one at a time: JSON lines, a list of any length, or values with line breaks in them.

Files may be gzipped. Only one value is held in memory at a time, of at most `MAX_LINE_BYTES`.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from seawall.audit.json_fields import decode_json
from seawall.audit.recording import BadLine
from seawall.core.redact import Redactor

MAX_LINE_BYTES = 64 * 1024 * 1024
"""Bytes of one line, or of one value that has several lines, because it is held in memory as a whole. A longer one is left
out and reported. The longest line of the recordings with which we tuned the guard has 1.1 MB."""
GZIP_MAGIC = b"\x1f\x8b"
_LOOKED_AT_BYTES = 4096
"""Bytes at the beginning of a bad line that are searched for secrets before they are shown. A key is shorter."""
_CHUNK_BYTES = 1024 * 1024
_MAY_BEGIN = (b"{", b"[")
_SPACE = " \t\r\n"
_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""The first bytes of a file in UTF-16, as PowerShell writes what a command prints."""


class Value(NamedTuple):
    """A JSON value."""

    value: Any
    line: int
    """The line in which the value begins, counted from 1."""


class Lines:
    """The lines of a file, and how much of it was read."""

    def __init__(
        self, path: Path, max_line_bytes: int, on_bytes: Callable[[int], None] | None = None
    ) -> None:
        """`on_bytes` is called with the number of bytes of the file that were read so far."""
        self._path, self._max, self._on_bytes = path, max_line_bytes, on_bytes
        self.number = 0
        """The number of the newest line, counted from 1."""
        self._told = 0

    def read_values(self) -> Iterator[Value | BadLine]:
        """Yields the values, and a `BadLine` for each part that could not be read. Never raises because of the file's
        content.
        """
        try:
            with self._path.open("rb") as plain:
                zipped = plain.peek(2)[:2] == GZIP_MAGIC  # `peek`, because a pipe can't be read twice
                file = cast("IO[bytes]", gzip.GzipFile(fileobj=plain)) if zipped else plain
                if plain.peek(2)[:2] in _WIDE_BOMS:
                    file = cast("IO[bytes]", io.BufferedReader(_Utf16(plain)))
                yield from self._read_file(file, plain)
        except (OSError, EOFError, zlib.error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            number = self.number
            where, further = (
                (f"{self._path}:{number + 1}", " any further") if number else (str(self._path), "")
            )
            yield BadLine(where, f"can't be read{further}: {reason}")

    def _read_file(self, file: IO[bytes], plain: IO[bytes]) -> Iterator[Value | BadLine]:
        held: list[bytes] = []
        """The first line, if it is the beginning of a value of several lines."""
        is_first = True
        while line := file.readline(self._max + 1):
            self._tell(plain, len(line))
            if held:
                if not _decodes(line) or held[0].strip() == b"[":
                    yield from self._read_document(file, plain, held[0] + line)
                    return
                yield self._read_line(held.pop(), self.number)
            self.number += 1
            if is_first and line.strip():
                is_first = False
                is_long = len(line) > self._max
                line = line.removeprefix(_BOM)
                if line.lstrip().startswith(_MAY_BEGIN) and (is_long or _is_truncated(line)):
                    if is_long:
                        yield from self._read_document(file, plain, line)
                        return
                    held.append(line)
                    continue
            if len(line) > self._max:
                while line and not line.endswith(b"\n"):
                    line = file.readline(self._max)
                yield BadLine(
                    f"{self._path}:{self.number}",
                    f"the line has more than {self._max:,} bytes; it is left out",
                )
            elif line.strip():
                yield self._read_line(line, self.number)
        if held:
            yield self._read_line(held[0], self.number)

    def _read_line(self, line: bytes, number: int) -> Value | BadLine:
        try:
            return Value(decode_json(line), number)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return BadLine(
                f"{self._path}:{number}", f"not a JSON value: {error}; {show_bytes(line)}", is_json=False
            )

    def _read_document(self, file: IO[bytes], plain: IO[bytes], begun: bytes) -> Iterator[Value | BadLine]:
        """Reads values with line breaks in them, and the elements of lists one by one."""
        scanner = _Scanner(begun, self._max)
        while True:
            try:
                found = scanner.find_next()
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                yield BadLine(
                    f"{self._path}:{scanner.line}",
                    f"not a JSON value, and the rest is not read: {error}; {show_bytes(scanner.rest)}",
                    is_json=False,
                )
                return
            if found is not None:
                self.number = found.line
                yield found
                continue
            if scanner.is_over:
                return
            chunk = file.read(max(_CHUNK_BYTES, len(scanner.rest)))
            self._tell(plain, len(chunk))
            scanner.add(chunk)

    def _tell(self, plain: IO[bytes], size: int) -> None:
        self._told += size
        if self._on_bytes is not None and self._told >= _CHUNK_BYTES:
            self._told = 0
            try:
                self._on_bytes(plain.tell())
            except OSError:  # a pipe has no position
                self._on_bytes = None


class _Utf16(io.RawIOBase):
    """The text of a file in UTF-16, as UTF-8."""

    def __init__(self, inner: IO[bytes]) -> None:
        self._inner = inner
        self._decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
        self._held = b""

    def readable(self) -> bool:
        """Returns True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads the next bytes into a buffer, and returns how many; 0 at the end."""
        while not self._held:
            chunk = self._inner.read(_CHUNK_BYTES)
            self._held = self._decoder.decode(chunk, final=not chunk).encode("utf-8", "replace")
            if not chunk:
                break
        size = min(len(buffer), len(self._held))
        buffer[:size], self._held = self._held[:size], self._held[size:]
        return size


class _Scanner:
    """Finds the values in text that comes in pieces. For a list at the top level, it finds the elements of the list."""

    def __init__(self, begun: bytes, max_bytes: int) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._json = json.JSONDecoder(parse_constant=lambda _: None)
        self._text = self._decoder.decode(begun)
        self._max = max_bytes
        self._at = 0
        self._in_list = False
        self._ended = False
        self.line = 1
        self._too_long = False

    @property
    def rest(self) -> bytes:
        """The bytes that are not read yet, or their beginning."""
        return self._text[self._at : self._at + self._max].encode("utf-8", "replace")

    @property
    def is_over(self) -> bool:
        """Whether all was read."""
        return self._ended

    def add(self, chunk: bytes) -> None:
        """Adds the next piece of the file. An empty piece means the end of the file."""
        self._text = self._text[self._at :] + self._decoder.decode(chunk, final=not chunk)
        self._at = 0
        self._ended = self._ended or not chunk

    def find_next(self) -> Value | None:
        """Returns the next value; None if it is not complete yet. Raises `ValueError` for text that is not JSON."""
        self._skip(_SPACE + ("," if self._in_list else ""))
        text = self._text
        if self._at < len(text) and text[self._at] == "]" and self._in_list:
            self._in_list = False
            self._at += 1
            return self.find_next()
        if self._at < len(text) and text[self._at] == "[" and not self._in_list:
            first = text[self._at + 1 :].lstrip()[:1]
            if not first and not self._ended:
                return None
            self._in_list = True
            self._at += 1
            return self.find_next()
        if self._at >= len(text):
            if self._ended and self._in_list:
                raise ValueError("the list has no end")
            return None
        try:
            _, end = self._json.raw_decode(text, self._at)
        except ValueError:
            if self._ended or len(text) - self._at > self._max:
                raise
            return None
        if end == len(text) and not self._ended and text[end - 1] not in "}]":
            return None  # the next piece may continue a number
        piece, line = text[self._at : end], self.line
        self.line += piece.count("\n")
        self._at = end
        return Value(decode_json(piece.encode("utf-8", "surrogatepass")), line)

    def _skip(self, signs: str) -> None:
        at, text = self._at, self._text
        while at < len(text) and text[at] in signs:
            self.line += text[at] == "\n"
            at += 1
        self._at = at


def _decodes(line: bytes) -> bool:
    try:
        decode_json(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _is_truncated(line: bytes) -> bool:
    """Returns whether a line is the beginning of a value."""
    try:
        msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        return "truncated" in str(error)
    except (UnicodeDecodeError, RecursionError):
        return False
    return False


def show_bytes(data: bytes, most: int = 40) -> str:
    """Returns the beginning of data without secrets, for an error message."""
    text = Redactor().text(data[:_LOOKED_AT_BYTES].decode("utf-8", "backslashreplace").strip())
    return f"it begins with {text[:most]!r}"
