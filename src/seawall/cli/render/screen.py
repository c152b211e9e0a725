"""Writes the output: data to stdout; progress, notes and errors to stderr."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from typing import IO, Any, cast

import msgspec
from rich.console import Console
from rich.text import Text

from seawall.cli.render.formats import replace_controls
from seawall.cli.render.table import Table, wrap_line
from seawall.cli.streams import fit_encoding, get_failure

PIPED_WIDTH = 1_000
"""Columns when the output is not a terminal, so that piped text is not shortened."""
_TERMINAL_WIDTH = 80
"""Columns of a terminal that does not say how many it has."""
_ROWS = 25
"""Rows that Rich is given. Nothing uses them, but without them Rich ignores the given width of a dumb terminal and
takes 80 columns."""
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


class Screen:
    """The two streams of one command, as they were when it began."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self.out = _make_console(sys.stdout)
        self.err = _make_console(sys.stderr)

    @property
    def width(self) -> int:
        """Columns of stdout."""
        return self.out.width

    @property
    def has_reader(self) -> bool:
        """Whether the reader of stdout is still there. If not, a command that only prints may stop."""
        return get_failure(self.out.file) is None

    def print_lines(self, lines: Iterable[str | Text]) -> None:
        """Prints lines of a table or a report to stdout, as long as somebody reads them.

        A line that is too wide is printed as several, broken between words.
        """
        for line in lines:
            if not self.has_reader:
                return
            text = fit_text(Text(line) if isinstance(line, str) else line, self.out)
            for part in wrap_line(text, self.width) if is_width_known(self.out) else [text]:
                self.print_line(part)

    def print_table(self, table: Table) -> None:
        """Prints a table to stdout, and notes which of its columns did not fit."""
        width = self.width if is_width_known(self.out) else None
        drawing = table.draw(width, lambda text: fit_encoding(text, self.out.file))
        self.print_lines(drawing.lines)
        if drawing.left_out:
            names = ", ".join(name.lower() for name in drawing.left_out)
            self.print_note(f"not shown in {width} columns: {names} (--json has all)")

    def print_line(self, line: str | Text = "") -> None:
        """Prints one line of data to stdout, however long it is, without characters that steer a terminal."""
        line = _strip_controls(line)
        plain = line if isinstance(line, str) else line.plain
        if self.out.is_terminal or self.out.color_system is not None or "\t" in plain:
            self.out.print(line, soft_wrap=True)
        else:  # the console takes four times as long, and a run has thousands of lines
            self.out.file.write(f"{plain}\n")
            self.out.file.flush()

    def print_note(self, line: str | Text) -> None:
        """Prints one line to stderr, for the person who watches, without characters that steer a terminal."""
        style = "dim" if isinstance(line, str) else None
        self.err.print(_strip_controls(line), style=style, soft_wrap=True)

    def print_text(self, text: str) -> None:
        """Prints data as it is, however long its lines; on a terminal without control characters."""
        shown = replace_controls(text) if self.out.is_terminal else text
        self.out.file.write(shown if shown.endswith("\n") else f"{shown}\n")
        self.out.file.flush()

    def print_document(self, value: object, *, indent: int = 2) -> None:
        """Prints the one JSON document of a command with `--json`. Decimals are strings.

        With an `indent` below zero it is one line, for a command that prints several.
        """
        encoded = msgspec.json.encode(value, enc_hook=_convert_to_json)
        self.print_json(msgspec.json.format(encoded, indent=indent).decode())

    def print_json(self, text: str) -> None:
        """Prints a JSON value, which stays valid where the encoding lacks some of its characters."""
        if fit_encoding(text, self.out.file) != text:
            text = _BEYOND_ASCII.sub(_escape_in_json, text)
        self.print_text(text)

    def show_status(self, what: str) -> AbstractContextManager[object]:
        """Shows on stderr that something goes on, as long as the context lasts."""
        return self.err.status(what, spinner=choose_spinner(self.err))

    @contextmanager
    def redirect_user_prints(self) -> Generator[None]:
        """Sends to stderr what the user's own code prints: stdout is for data."""
        with redirect_stdout(sys.stderr):
            yield


def is_width_known(console: Console) -> bool:
    """Returns whether lines are to be kept to the console's width: on a terminal, or if `COLUMNS` says so."""
    return console.is_terminal or _read_columns() is not None


def choose_spinner(console: Console) -> str:
    """Returns the name of a spinner that the console can show."""
    return "line" if console.options.ascii_only else "dots"


def fit_text(line: Text, console: Console) -> Text:
    """Returns a line as the console's encoding will show it."""
    plain = fit_encoding(line.plain, console.file)
    if plain == line.plain:
        return line
    if len(plain) != len(line.plain):  # some characters are escaped, so styles would stand in wrong places
        return Text(plain)
    line = line.copy()
    line.plain = plain
    return line


def _strip_controls(line: str | Text) -> str | Text:
    """Returns a line in which each character that could steer a terminal is `�`; the styles stay."""
    if isinstance(line, str):
        return replace_controls(line)
    plain = replace_controls(line.plain)
    if plain != line.plain:
        line = line.copy()
        line.plain = plain
    return line


def _make_console(file: IO[str]) -> Console:
    return Console(
        file=file, width=_choose_width(file), height=_ROWS, highlight=False, markup=False, emoji=False
    )


def _choose_width(file: IO[str]) -> int:
    columns = _read_columns()
    if columns is not None:
        return columns
    if not file.isatty():
        return PIPED_WIDTH
    try:
        return os.get_terminal_size(file.fileno()).columns or _TERMINAL_WIDTH
    except OSError:
        return _TERMINAL_WIDTH


def _read_columns() -> int | None:
    """Returns what `COLUMNS` says; None if it is not set, or is not a number above zero."""
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isdecimal() and int(text) else None


def _escape_in_json(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def _convert_to_json(value: Any) -> Any:
    if isinstance(value, Mapping):  # a read-only view, of which msgspec knows nothing
        return dict(cast("Mapping[Any, Any]", value))
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=repr)
