"""The commands that a person may type next, written so that they can be copied as they stand."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from contextvars import ContextVar
from pathlib import Path

_journal_option: ContextVar[str] = ContextVar("journal_option", default="")

_NAME = r"""(?:'(?:[^']|'"'"')*'|[\w.@-]*\w)"""
"""A name as `shlex.quote` writes it."""
_COMMAND = re.compile(
    r"(?<![\w./-])seawall ((?>(?:(?:resume|show|why|runs|approvals|approve|reject|reconcile|effects|cancel|fork|verify"
    r"|backup|pause|unpause|mcp list|memory [a-z]+)\b(?: [rpe]-[\w-]*\w)?+(?: \d+)?+"
    rf"|mcp (?:diff|accept|reject) {_NAME}|principals (?:add|remove) {_NAME})))(?! --journal)"
)


def note_journal(journal: Path, default: Path, variable: str) -> Path:
    """Records this command's journal, so that hints name it, unless a command without `--journal` finds it too."""
    found = os.environ.get(variable) or str(default)
    _journal_option.set("" if found == str(journal) else f" --journal {shlex.quote(str(journal))}")
    return journal


def find_program(*, elsewhere: bool = False) -> str:
    """Returns how to call this program: by its name if the shell finds that, else by its path.

    `elsewhere`: the command will be typed in another directory, so the path must be absolute.
    """
    path = Path(sys.argv[0])
    if shutil.which("seawall") is not None:
        return "seawall"
    if path.name == "__main__.py" and path.parent.name == "seawall":
        return f"{shlex.quote(sys.executable)} -m seawall"
    if path.stem != "seawall":  # another program called this code, such as a test runner
        return "seawall"
    return shlex.quote(str(path.absolute()) if elsewhere else sys.argv[0])


def format_command(words: str) -> str:
    """Returns `seawall WORDS` with the journal of this command."""
    return f"{find_program()} {words}{_journal_option.get()}"


def explain_damage(*, verified: bool = False) -> str:
    """Returns what a person does about a damaged journal. `verified`: the first bad place was named just now."""
    look = (
        ""
        if verified
        else f"the journal is damaged; the first bad place is named by: {format_command('verify')}\n"
    )
    return (
        f"{look}to go back to a copy of seawall backup: stop every process, remove the journal's -wal and -shm, and put the "
        "copy and its .mark in the places of the journal and its .mark"
    )


def complete_commands(message: str) -> str:
    """Returns a message from below the command line with each `seawall …` in it as `format_command` writes it."""
    return _COMMAND.sub(lambda found: format_command(found[1]), message)
