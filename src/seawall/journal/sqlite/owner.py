"""Owners of runs: the name of this process, and whether the process behind another name is dead."""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

_instances = itertools.count(1)
_open_here: set[str] = set()
_NO_START = "0"
"""The start time in the name of a process that could not read its own start time."""
_HOST = re.compile(r"(?P<name>.*)-(?:(?P<kernel>[0-9a-f]{8})\.)?(?P<processes>[0-9a-f]{8})", re.DOTALL)


@dataclass(frozen=True)
class Host:
    """Where a process runs, as `name-kernel.processes`: it says whose clocks and process ids can be compared."""

    name: str
    """The host's name. It is only shown to people: a container may keep it over restarts, or get a new one each
    time."""
    kernel: str
    """Identifies one boot of one kernel, whose processes share one monotonic clock; '' if it is not known."""
    processes: str
    """Identifies one process namespace in that boot, in which a process id means the same process."""

    def __str__(self) -> str:
        return (
            f"{self.name}-{self.kernel}.{self.processes}" if self.kernel else f"{self.name}-{self.processes}"
        )

    @classmethod
    def parse(cls, text: str) -> Host:
        """Returns the parts of a host's text. A text of an earlier version has no `kernel`."""
        found = _HOST.fullmatch(text)
        if found is None:
            return cls(text, "", "")
        return cls(found["name"], found["kernel"] or "", found["processes"])

    def shares_processes(self, other: Host) -> bool:
        """Returns whether a process id means the same process on both hosts, with start times counted from the same
        moment.
        """
        return bool(self.processes) and self.processes == other.processes and self._may_share_kernel(other)

    def shares_clock(self, other: Host) -> bool:
        """Returns whether both hosts share one monotonic clock."""
        return self.shares_processes(other) or (bool(self.kernel) and self.kernel == other.kernel)

    def _may_share_kernel(self, other: Host) -> bool:
        return not self.kernel or not other.kernel or self.kernel == other.kernel


def read_host() -> Host:
    """Returns the host of this process."""
    name = platform.node().replace(":", "-") or "localhost"
    boot = _read("/proc/sys/kernel/random/boot_id")
    # Without a boot id (macOS) two machines differ only by their names, and two boots do not differ.
    processes = (boot or name) + _read_link("/proc/self/ns/pid")
    kernel = boot and boot + _read_link("/proc/self/ns/time")  # a time namespace shifts the monotonic clock
    return Host(name, kernel and _shorten(kernel), _shorten(processes))


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _read_link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""


def _shorten(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _read_start(pid: int) -> str | None:
    """Returns the start time of a process, in the system's own unit; '' if unknown, None if there is no such
    process.
    """
    here, shown = os.getpid(), _read_link("/proc/self")
    # `/proc` may be missing, or show the processes of another namespace. Then only this process can be looked up there.
    if shown and (pid == here or shown == str(here)):
        stat = _read(f"/proc/{'self' if pid == here else pid}/stat")
        if stat:  # otherwise it has ended, or `/proc` hides the processes of other users
            fields = stat.rpartition(")")[2].split()
            return None if fields[0] in "ZX" else fields[19]  # a zombie can't write any more
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass
    return ""


@dataclass(frozen=True)
class Owner:
    """The name `host:pid:start` of a process, followed by `.n` for the n-th journal that it opens."""

    host: Host
    pid: int
    start: str

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.start}"

    @classmethod
    def parse(cls, name: str) -> Owner | None:
        """Returns the parts of an owner's name; None for a name that does not have this form."""
        host, _, rest = name.rpartition(":")
        host, _, pid = host.rpartition(":")
        return cls(Host.parse(host), int(pid), rest) if host and pid.isdecimal() else None

    def is_gone(self, here: Owner) -> bool:
        """Returns True if the owner is certainly dead: its process has ended, or this process has closed its journal.

        Only an owner whose process ids mean the same here can be looked up; for all others it returns False.
        """
        if not self.host.shares_processes(here.host):
            return False
        start = self.start.partition(".")[0]
        if self.pid == here.pid and start == here.start.partition(".")[0]:
            return str(self) not in _open_here
        alive = _read_start(self.pid)
        return alive is None or (alive != "" and start not in ("", _NO_START) and alive != start)


def open_owner(host: Host | None = None) -> Owner:
    """Returns a name for a journal that this process opens; `close_owner` ends it. Tests give another `host`."""
    number = next(_instances)
    start = _read_start(os.getpid()) or _NO_START
    owner = Owner(host or read_host(), os.getpid(), start if number == 1 else f"{start}.{number}")
    _open_here.add(str(owner))
    return owner


def close_owner(owner: Owner) -> None:
    """Ends the name of a journal that was closed, so that the runs that it still owned may be taken."""
    _open_here.discard(str(owner))
