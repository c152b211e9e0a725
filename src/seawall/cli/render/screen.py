"""Where output goes: data to stdout, progress, notes and errors to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from typing import IO, Any

import msgspec
from rich.console import Console
from rich.text import Text

PIPED_WIDTH = 1_000
"""Columns where nobody looks: what is piped is not cut."""


class Screen:
    """The two streams of one command, as they were when it began."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self.out = _console(sys.stdout)
        self.err = _console(sys.stderr)

    @property
    def width(self) -> int:
        """Columns of stdout."""
        return self.out.width

    def line(self, line: str | Text = "") -> None:
        """One line of data."""
        self.out.print(line, soft_wrap=True)

    def note(self, line: str | Text) -> None:
        """One line for the person who looks on."""
        self.err.print(line, style="dim" if isinstance(line, str) else None, soft_wrap=True)

    def text(self, text: str) -> None:
        """Data as it is, however long its lines; on a terminal without control characters."""
        from seawall.cli.render.formats import visible

        shown = visible(text) if self.out.is_terminal else text
        self.out.file.write(shown if shown.endswith("\n") else f"{shown}\n")
        self.out.file.flush()

    def document(self, value: object) -> None:
        """The one JSON document of a command with `--json`. Decimals are strings."""
        self.text(msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2).decode())

    @contextmanager
    def aside(self) -> Generator[None]:
        """While the user's own code runs, what it prints goes to stderr: stdout is for data."""
        with redirect_stdout(sys.stderr):
            yield


def _console(file: IO[str]) -> Console:
    width = None if file.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def _plain(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=repr)
