"""The files of an open journal, by device and inode: whether they are still those that were opened.

A process can go on writing to a file that no path leads to any more, and nobody finds what it wrote there. The file is
removed or replaced, its folder is moved, or another copy of SQLite in the process closes the file: that drops the
locks of this process (POSIX locks belong to a process and not to a connection) and removes the write-ahead log.

The locks of writers are on the index of the write-ahead log, `-shm`. Two processes with two indexes write over each
other's commits, so the files are looked at before a commit as well as after it.
"""

from __future__ import annotations

import os
from pathlib import Path

from seawall.core.errors import JournalFailed, Misused

_LOCKS_ADVICE = (
    "another copy of SQLite in a process that has the journal open (Python's `sqlite3`, for example) does this when it "
    "closes the file; copy a journal with `seawall backup`"
)

Identity = tuple[int, int]
"""Device and inode."""


class OpenFiles:
    """The database of one open journal, its write-ahead log and the index of that, which holds SQLite's locks."""

    def __init__(self, path: str) -> None:
        """Notes the files as they are now; call it once the write-ahead log is there. Raises `JournalFailed`."""
        self.real_path = real = os.path.realpath(path)
        """Where the database is: a link that leads to it, or the working directory, may change."""
        # Texts, not paths: this is asked before and after each commit.
        self._log, self._mark = f"{real}-wal", f"{real}.mark"
        self._mark_seen = _identify(self._mark) is not None
        database, log = _identify(real), _identify(self._log)
        if database is None or log is None:
            raise JournalFailed(f"journal {path}: {real if database is None else self._log} is not there")
        self._known: dict[str, Identity] = {real: database, self._log: log}
        index_path = f"{real}-shm"
        if (index := _identify(index_path)) is not None:
            self._known[index_path] = index

    def __repr__(self) -> str:
        return f"<OpenFiles {self.real_path}>"

    def find_change(self) -> str | None:
        """Returns what has happened to the files; None if they are those that were opened."""
        for path, known in self._known.items():
            now = _identify(path)
            if now == known:
                continue
            what = "is gone" if now is None else "is another file now"
            return f"{path} {what}" + (f": {_LOCKS_ADVICE}" if path == self._log else "")
        if _identify(self._mark) is None:
            return f"{self._mark} is gone" if self._mark_seen else None
        self._mark_seen = True
        return None

    def check(self) -> None:
        """Raises `JournalFailed` with what has happened if the files are not those that were opened."""
        change = self.find_change()
        if change is not None:
            raise JournalFailed(change)


def _identify(path: str) -> Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 -- a `Path` takes twice the time, and this is asked with each commit
    except OSError:
        return None
    return found.st_dev, found.st_ino


def refuse_second_name(path: str) -> None:
    """Raises `Misused` for a file with a second name (a hard link): under each name it would have a log of its own."""
    file = Path(path)
    names = file.stat().st_nlink if file.is_file() else 1
    if names > 1:
        raise Misused(
            f"journal {path} has {names} names (hard links), and under each it would have a write-ahead log of its own; "
            "remove the others"
        )
