"""Who owns a run: the name of this process, and whether the process of a name still lives."""

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
    """Host name, and what tells two boots and two process namespaces of one name apart."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    kernel = hashlib.sha256((_read("/proc/sys/kernel/random/boot_id") + namespace).encode()).hexdigest()[:8]
    return f"{platform.node().replace(':', '-') or 'localhost'}-{kernel}"


def _start_of(pid: int) -> str | None:
    """When the process started, in the system's own unit; '' if unknown, None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except OSError:
        pass
    else:
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]  # a zombie writes nothing any more
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


@dataclass(frozen=True)
class Owner:
    """`host:pid:start`, and `.n` for the n-th journal that one process opens."""

    host: str
    pid: int
    start: str

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.start}"

    @classmethod
    def parse(cls, name: str) -> Owner | None:
        """The parts of an owner's name; None for a name that is not of this form."""
        host, _, rest = name.rpartition(":")
        host, _, pid = host.rpartition(":")
        return cls(host, int(pid), rest) if host and pid.isdigit() else None

    def is_gone(self, here: Owner) -> bool:
        """True if it certainly lives no more: a process of this host that ended, a journal that was closed."""
        if self.host != here.host:
            return False
        start = self.start.partition(".")[0]
        if self.pid == os.getpid() and start == here.start.partition(".")[0]:
            return str(self) not in _open_here
        alive = _start_of(self.pid)
        return alive is None or (alive != "" and start != "" and alive != start)


def open_owner() -> Owner:
    """A name for a journal that this process opens; `close_owner` ends it."""
    number = next(_instances)
    start = _start_of(os.getpid()) or "0"
    owner = Owner(_name_host(), os.getpid(), start if number == 1 else f"{start}.{number}")
    _open_here.add(str(owner))
    return owner


def close_owner(owner: Owner) -> None:
    """The journal of this name was closed: what it still owned may be taken."""
    _open_here.discard(str(owner))
