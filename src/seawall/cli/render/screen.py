"""Where output goes: data to stdout; progress, notes and errors to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from typing import IO, Any

import msgspec
from rich.console import Console
from rich.text import Text

from seawall.cli.render.formats import replace_controls

PIPED_WIDTH = 1_000
"""Columns when the output is not a terminal: what is piped is not shortened."""


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

    def print_line(self, line: str | Text = "") -> None:
        """Prints one line of data to stdout."""
        plain = (Text(line) if isinstance(line, str) else line).plain
        if self.out.is_terminal or self.out.color_system is not None or "\t" in plain:
            self.out.print(line, soft_wrap=True)
        else:  # the console takes four times as long, and a run has thousands of lines
            self.out.file.write(f"{plain}\n")
            self.out.file.flush()

    def print_note(self, line: str | Text) -> None:
        """Prints one line to stderr, for the person who watches."""
        self.err.print(line, style="dim" if isinstance(line, str) else None, soft_wrap=True)

    def print_text(self, text: str) -> None:
        """Prints data as it is, however long its lines; on a terminal without control characters."""
        shown = replace_controls(text) if self.out.is_terminal else text
        self.out.file.write(shown if shown.endswith("\n") else f"{shown}\n")
        self.out.file.flush()

    def print_document(self, value: object) -> None:
        """Prints the one JSON document of a command with `--json`. Decimals are strings."""
        encoded = msgspec.json.encode(value, enc_hook=_convert_to_json)
        self.print_text(msgspec.json.format(encoded, indent=2).decode())

    @contextmanager
    def redirect_user_prints(self) -> Generator[None]:
        """Sends to stderr what the user's own code prints: stdout is for data."""
        with redirect_stdout(sys.stderr):
            yield


def _make_console(file: IO[str]) -> Console:
    width = None if file.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def _convert_to_json(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=repr)
