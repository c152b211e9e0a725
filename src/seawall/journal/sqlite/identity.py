"""The files of an open journal, by device and inode: whether they are still those that were opened.

A process can go on writing to a file that no path leads to any more, and what it writes there is lost. This happens if
the file is removed or replaced, if its folder is moved, or if another copy of SQLite in the process closes the file:
that drops the locks of this process (POSIX locks belong to a process and not to a connection) and removes the
write-ahead log.

The locks of writers are on the index of the write-ahead log, `-shm`. Two processes with two indexes overwrite each
other's commits, so the files are checked before a commit as well as after it. A file that was truncated in place (`: >
journal.db-wal`) is still the same file. That it is shorter proves nothing, because a prune makes it shorter too; but
then it is too short for the pages that SQLite knows to be in it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from seawall.core.errors import JournalFailed, Misused
from seawall.journal.sqlite.database import Database

_LOCKS_ADVICE = (
    "another copy of SQLite in a process that has the journal open (Python's `sqlite3`, for example) does this when it "
    "closes the file; copy a journal with `seawall backup`"
)

Identity = tuple[int, int]
"""Device and inode."""

_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
"""Sizes of the header of a write-ahead log, and of the header of each page in it:
sqlite.org/fileformat2.html#walformat."""


class OpenFiles:
    """The files of one open journal: the database, its write-ahead log, and the log's index, which holds SQLite's
    locks.
    """

    def __init__(self, path: str) -> None:
        """Notes the files as they are now; call it once the write-ahead log is there. Raises `JournalFailed`."""
        self.real_path = real = os.path.realpath(path)
        """The absolute path of the database without links: a link that leads to it, or the working directory, may
        change."""
        # Texts and not `Path` objects, for speed: the files are checked before and after each commit.
        self._log, self._mark = f"{real}-wal", f"{real}.mark"
        self._mark_seen = _identify(self._mark) is not None
        database, log = _identify(real), _identify(self._log)
        if database is None or log is None:
            raise JournalFailed(f"journal {path}: {real if database is None else self._log} is not there")
        self._known: dict[str, Identity] = {real: database, self._log: log}
        index_path = f"{real}-shm"
        if (index := _identify(index_path)) is not None:
            self._known[index_path] = index
        self._bytes = {real: 0, self._log: 0}
        self.is_shorter = False
        """Whether a file has become shorter since the last check."""

    def __repr__(self) -> str:
        return f"<OpenFiles {self.real_path}>"

    def find_change(self) -> str | None:
        """Returns a text that says what happened to the files; None if they are still those that were opened."""
        for path, (device, inode) in self._known.items():
            now = _look_at(path)
            if now is None or now.st_ino != inode or now.st_dev != device:
                what = "is gone" if now is None else "is another file now"
                return f"{path} {what}" + (f": {_LOCKS_ADVICE}" if path == self._log else "")
            if path in self._bytes:
                self.is_shorter |= now.st_size < self._bytes[path]
                self._bytes[path] = now.st_size
        if _identify(self._mark) is None:
            return f"{self._mark} is gone" if self._mark_seen else None
        self._mark_seen = True
        return None

    def check(self) -> None:
        """Raises `JournalFailed` with what has happened if the files are not those that were opened."""
        change = self.find_change()
        if change is not None:
            raise JournalFailed(change)

    def check_lengths(self, database: Database) -> None:
        """Raises `JournalFailed` if a file is too short for what `database`, outside a transaction, knows to be in it."""
        self.is_shorter = False
        # Another process may shorten the files rightly between two checks. A truncated file is too short in each of
        # them.
        cut = self._find_cut(database) and self._find_cut(database)
        if cut:
            raise JournalFailed(cut)

    def _find_cut(self, database: Database) -> str | None:
        page_bytes, log_pages = database.run_pragma("page_size"), database.count_log_pages()
        pages = database.run_pragma("page_count")
        in_log = _LOG_HEADER_BYTES + log_pages * (_FRAME_HEADER_BYTES + page_bytes) if log_pages else 0
        in_file = (pages - log_pages) * page_bytes  # pages after the file's end must be in the log
        for path, needed in ((self._log, in_log), (self.real_path, in_file)):
            now = _look_at(path)
            if now is not None and now.st_size < needed:
                return f"{path} was cut: it has {now.st_size:,} bytes of at least {needed:,}"
        return None


def _look_at(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 -- a `Path` takes twice the time, and this is called with each commit
    except OSError:
        return None


def _identify(path: str) -> Identity | None:
    found = _look_at(path)
    return None if found is None else (found.st_dev, found.st_ino)


def find_size(path: str) -> int | None:
    """Returns the bytes of a file; None if there is none. Raises `Misused` for a path at which no file can be found, and
    for a directory, a pipe, a socket or a device.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 -- a `Path` takes no text with a zero byte
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        # a folder that may not be searched, a name that is too long, or a zero byte
        what = error.strerror if isinstance(error, OSError) else error
        raise Misused(f"journal {path!r:.200} can't be opened: {what}") from None
    if not stat.S_ISREG(found.st_mode):
        what = "a directory" if stat.S_ISDIR(found.st_mode) else "a pipe, a socket or a device"
        raise Misused(f"journal {path} is {what}; name a file")
    return found.st_size


def refuse_second_name(path: str) -> None:
    """Raises `Misused` for a file with a second name (a hard link): under each name it would have a log of its own."""
    file = Path(path)
    names = file.stat().st_nlink if file.is_file() else 1
    if names > 1:
        raise Misused(
            f"journal {path} has {names} names (hard links), and under each it would have a write-ahead log of its own; "
            "remove the others"
        )
