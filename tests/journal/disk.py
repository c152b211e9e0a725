"""A disk that fails on demand, as a SQLite VFS over the real one.

It counts writes and syncs, and remembers what was written since the last sync of each file, so that a test
can ask for what a power cut leaves behind.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

_names = itertools.count()

ENOSPC, EFBIG = 28, 27
_WRITING = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


def _io_error(extended: int) -> apsw.IOError:
    error: Any = apsw.IOError("made by a test")
    error.extendedresult = extended
    return error


@dataclass
class Disk:
    """The faults of a disk, and what has happened to it. `mount` registers it; `name` is the name of its VFS."""

    name: str = field(default_factory=lambda: f"disk-{os.getpid()}-{next(_names)}")
    sync_fails: bool = False
    full: bool = False
    """Writes beyond the end of a file are refused."""
    short: bool = False
    """With `full`: half of the bytes are written before the write is refused."""
    no_room_for_shm: bool = False
    """Writes fail as they do where the file of shared memory can't grow."""
    no_new_files: bool = False
    """No file can be made: as many are there as the file system has room for."""
    read_only: bool = False
    """Nothing can be written, as on a file system that is mounted so, and permissions don't say it."""
    dies_at_write: int | None = None
    """From this write on (counted from 1) nothing reaches the disk any more."""
    torn: bool = False
    """Half of the write at which it dies reaches the disk."""
    on_death: Callable[[], None] | None = None
    """Called when the disk dies, for example `os._exit`."""
    pauses_at_write: Callable[[int], bool] | None = None
    """Whether `on_pause` is called at the write of a number (counted from 1), which reaches the disk then."""
    on_pause: Callable[[], None] | None = None
    """Called before a write at which the disk pauses; with `torn`, after half of it."""
    writes: int = 0
    syncs: int = 0
    dead: bool = False
    _unsynced: dict[str, list[tuple[int, bytes, int]]] = field(default_factory=dict)
    _vfs: Any = None

    def mount(self) -> Disk:
        """Registers the disk with SQLite."""
        self._vfs = _Vfs(self)
        return self

    def unmount(self) -> None:
        """Unregisters the disk."""
        self._vfs.unregister()

    def cut_power(self) -> None:
        """Undoes every write that was not synced, and removes the shared memory of SQLite."""
        self.dead = True
        for path, undo in self._unsynced.items():
            with Path(path).open("r+b") as file:
                for offset, old, size in reversed(undo):
                    file.seek(offset)
                    file.write(old)
                    file.truncate(size)
        self._unsynced.clear()
        for path in {path.removesuffix("-wal") for path in self._known}:
            Path(path + "-shm").unlink(missing_ok=True)

    _known: set[str] = field(default_factory=set)

    # -- called by the files

    def before_write(self, file: _File, data: bytes, offset: int) -> None:
        if self.dead:
            raise _io_error(apsw.SQLITE_IOERR_WRITE)
        self.writes += 1
        size = file.xFileSize()
        if self.no_room_for_shm:
            raise _io_error(apsw.SQLITE_IOERR_SHMSIZE)
        if self.full and offset + len(data) > size:
            if self.short:
                file.real_write(data[: len(data) // 2], offset)
            raise apsw.FullError("made by a test")
        self.remember(file, offset, len(data), size)
        if (
            self.pauses_at_write is not None
            and self.on_pause is not None
            and self.pauses_at_write(self.writes)
        ):
            if self.torn:
                file.real_write(data[: len(data) // 2], offset)
            self.on_pause()
        if self.dies_at_write is not None and self.writes >= self.dies_at_write:
            if self.torn:
                file.real_write(data[: len(data) // 2], offset)
            self.dead = True
            if self.on_death is not None:
                self.on_death()
            raise _io_error(apsw.SQLITE_IOERR_WRITE)

    def remember(self, file: _File, offset: int, length: int, size: int) -> None:
        old = file.xRead(min(length, max(0, size - offset)), offset) if size > offset else b""
        self._known.add(file.path)
        self._unsynced.setdefault(file.path, []).append((offset, old, size))

    def before_sync(self, file: _File) -> None:
        if self.dead:
            raise _io_error(apsw.SQLITE_IOERR_FSYNC)
        self.syncs += 1
        if self.sync_fails:
            raise _io_error(apsw.SQLITE_IOERR_FSYNC)
        self._unsynced.pop(file.path, None)


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(disk.name, "")

    def xOpen(self, name: Any, flags: Any) -> Any:  # noqa: N802 - SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if self._disk.no_new_files and path is not None and not Path(path).exists():
            raise apsw.CantOpenError("made by a test")
        if self._disk.read_only:
            if path is not None and not Path(path).exists():
                raise apsw.CantOpenError("made by a test")
            flags[0] = flags[0] & ~_WRITING | apsw.SQLITE_OPEN_READONLY
        return _File(self._disk, name, flags)

    def xGetLastError(self) -> tuple[int, str | None]:  # noqa: N802 - SQLite's name
        return (ENOSPC, "made by a test") if self._disk.no_new_files else super().xGetLastError()

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        if self._disk.dead:
            raise _io_error(apsw.SQLITE_IOERR_DELETE)
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: Any) -> None:
        self._disk = disk
        self.path: str = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("", name, flags)

    def real_write(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.before_write(self, bytes(data), offset)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        if self._disk.dead:
            raise _io_error(apsw.SQLITE_IOERR_TRUNCATE)
        size = self.xFileSize()
        self._disk.remember(self, newsize, max(0, size - newsize), size)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.before_sync(self)
        super().xSync(flags)
