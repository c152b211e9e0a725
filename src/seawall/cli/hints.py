"""Commands that a person is told to type next: whole, so that they can be copied."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from contextvars import ContextVar
from pathlib import Path

_journal: ContextVar[str] = ContextVar("journal", default="")

_HINT = re.compile(r"(?<![\w./-])seawall ((?:resume|show|why|runs|approve|cancel)\b(?: r-[\w-]*\w)?)")


def at(journal: Path, default: Path, variable: str) -> Path:
    """Note the journal of this command, which hints name unless a command finds it without."""
    found = os.environ.get(variable) or str(default)
    _journal.set("" if found == str(journal) else f" --journal {shlex.quote(str(journal))}")
    return journal


def program(*, elsewhere: bool = False) -> str:
    """How this program is called: by its name only where that is found. `elsewhere`: in another directory."""
    path = Path(sys.argv[0])
    if shutil.which("seawall") is not None:
        return "seawall"
    if path.name == "__main__.py" and path.parent.name == "seawall":
        return f"{shlex.quote(sys.executable)} -m seawall"
    if path.stem != "seawall":  # called by a program of another name, such as a test's
        return "seawall"
    return shlex.quote(str(path.absolute()) if elsewhere else sys.argv[0])


def hint(words: str) -> str:
    """`seawall WORDS`, with the journal of this command."""
    return f"{program()} {words}{_journal.get()}"


def copyable(message: str) -> str:
    """A message from below the command line, with the commands that it names made whole."""
    return _HINT.sub(lambda found: hint(found[1]), message)
