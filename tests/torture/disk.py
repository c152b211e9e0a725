"""A disk with faults, as a SQLite VFS over the real one: what a worker gets for its whole life."""

from __future__ import annotations

import os
import random
import signal
import threading
from dataclasses import dataclass
from typing import Any, Literal

import apsw

Fault = Literal["eio_write", "eio_sync", "full", "short", "dies", "slow_sync"]
FAULTS: tuple[Fault, ...] = ("eio_write", "eio_sync", "full", "short", "dies", "slow_sync")
SPELL = 12
"""Writes that a full disk stays full for."""


@dataclass
class FaultyDisk:
    """Behaves well up to write or sync number `at`, and then as its fault says."""

    fault: Fault
    at: int
    count: int = 0

    @property
    def name(self) -> str:
        """The name of its VFS."""
        return f"torture-{os.getpid()}"

    def mount(self) -> Any:
        """Registers the disk with SQLite; what this returns has to be kept."""
        return _FaultyVfs(self)

    def before_write(self, file: _FaultyFile, data: bytes, offset: int) -> None:
        """Fails a write, if it is its turn."""
        if self.fault in ("eio_sync", "slow_sync"):
            return
        self.count += 1
        if self.count < self.at:
            return
        if self.fault == "dies":
            file.write_through(data[: len(data) // 2], offset)
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "eio_write":
            raise _make_io_error(apsw.SQLITE_IOERR_WRITE)
        if self.count < self.at + SPELL and offset + len(data) > file.xFileSize():
            if self.fault == "short":
                file.write_through(data[: len(data) // 2], offset)
            raise apsw.FullError("made by the harness")

    def before_sync(self) -> None:
        """Fails or delays a sync, if it is its turn."""
        if self.fault not in ("eio_sync", "slow_sync"):
            return
        self.count += 1
        if self.count < self.at:
            return
        if self.fault == "eio_sync":
            raise _make_io_error(apsw.SQLITE_IOERR_FSYNC)
        if self.count % 5 == 0:
            threading.Event().wait(0.3)


def choose_disk(rng: random.Random) -> FaultyDisk:
    """Returns a disk with a fault that comes soon or late."""
    return FaultyDisk(rng.choice(FAULTS), at=int(rng.expovariate(1 / 150)) + 5)


def _make_io_error(extended: int) -> apsw.IOError:
    error: Any = apsw.IOError("made by the harness")
    error.extendedresult = extended
    return error


class _FaultyVfs(apsw.VFS):
    def __init__(self, disk: FaultyDisk) -> None:
        self._disk = disk
        super().__init__(disk.name, "")

    def xOpen(self, name: Any, flags: Any) -> Any:  # noqa: N802 - SQLite's name
        return _FaultyFile(self._disk, name, flags)


class _FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: Any, flags: Any) -> None:
        self._disk = disk
        super().__init__("", name, flags)

    def write_through(self, data: bytes, offset: int) -> None:
        """Writes to the real file."""
        super().xWrite(data, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.before_write(self, bytes(data), offset)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.before_sync()
        super().xSync(flags)
