"""Owners of runs: the name of this process, and whether the process with a given name is alive."""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
from dataclasses import dataclass
from pathlib import Path

_instances = itertools.count(1)
_open_here: set[str] = set()


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _name_host() -> str:
    """Returns the host's name with a hash that differs between two boots and between two process namespaces."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    kernel = hashlib.sha256((_read("/proc/sys/kernel/random/boot_id") + namespace).encode()).hexdigest()[:8]
    return f"{platform.node().replace(':', '-') or 'localhost'}-{kernel}"


def _start_of(pid: int) -> str | None:
    """Returns when the process started, in the system's own unit; '' if unknown, None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except OSError:
        pass
    else:
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]  # a zombie can't write any more
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


@dataclass(frozen=True)
class Owner:
    """The name `host:pid:start` of a process, followed by `.n` for the n-th journal that it opens."""

    host: str
    pid: int
    start: str

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.start}"

    @classmethod
    def parse(cls, name: str) -> Owner | None:
        """Returns the parts of an owner's name; None for a name that does not have this form."""
        host, _, rest = name.rpartition(":")
        host, _, pid = host.rpartition(":")
        return cls(host, int(pid), rest) if host and pid.isdigit() else None

    def is_gone(self, here: Owner) -> bool:
        """Returns True if the owner is certainly dead: a process of this host that ended, or a closed journal."""
        if self.host != here.host:
            return False
        start = self.start.partition(".")[0]
        if self.pid == os.getpid() and start == here.start.partition(".")[0]:
            return str(self) not in _open_here
        alive = _start_of(self.pid)
        return alive is None or (alive != "" and start != "" and alive != start)


def open_owner() -> Owner:
    """Returns a name for a journal that this process opens; `close_owner` ends it."""
    number = next(_instances)
    start = _start_of(os.getpid()) or "0"
    owner = Owner(_name_host(), os.getpid(), start if number == 1 else f"{start}.{number}")
    _open_here.add(str(owner))
    return owner


def close_owner(owner: Owner) -> None:
    """Ends the name of a journal that was closed: the runs that it still owned may be taken."""
    _open_here.discard(str(owner))
