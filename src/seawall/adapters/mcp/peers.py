"""Who calls the proxy: the session, or the process at the other end of a connection on this machine.

Clients that speak the protocol of 2026 have no session: each call stands alone, and comes over whichever connection is free.
What stays is the process. Linux says which one it is; where nobody does, clients with one name are one client.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

MAX_ID_CHARS = 200
"""Of the names that a client gives its run and its calls."""
DEFAULT_CLIENT = "client"
"""How a client is called that does not say its name."""
_MAX_NAME_CHARS = 60
_PROC = Path("/proc")


class Peer(NamedTuple):
    """Who calls: what the transport and the client say of it."""

    connection: str
    """The id of its session, or "" where the transport has none."""
    client: str
    """The client's name, as it says itself."""
    run: str | None = None
    """The run that it names."""
    process: str = ""
    """The process that it is, where there is no session and that can be found out."""

    @property
    def name(self) -> str:
        """The client's name as it is recorded."""
        plain = "".join(each if each.isprintable() else "?" for each in self.client)[:_MAX_NAME_CHARS].strip()
        return plain or DEFAULT_CLIENT

    @property
    def key(self) -> str:
        """What its run is kept under."""
        if self.run:
            return f"run {self.run}"
        if self.connection:
            return f"session {self.connection}"
        return f"process {self.process} {self.name}" if self.process else f"name {self.name}"


def find_process(client: int, server: int, likely: Iterable[str] = (), proc: Path = _PROC) -> str:
    """Returns which process holds a connection from port `client` to port `server` of this machine; "" if nobody says it.

    `likely`: processes that are looked at first. The result names a process and when it began, so that no other one ever
    has it.
    """
    socket = _find_socket(client, server, proc)
    if socket is None:
        return ""
    numbers = [each.partition("-")[0] for each in likely]
    for number in (*numbers, *(each.name for each in proc.glob("[0-9]*"))):
        if socket in _list_files(proc / number):
            began = _read_start(proc / number)
            return f"{number}-{began}" if began else ""
    return ""


def _find_socket(client: int, server: int, proc: Path) -> str | None:
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            ports = [int(each.rpartition(":")[2], 16) for each in fields[1:3]]
            if ports == [client, server]:
                return f"socket:[{fields[9]}]"
    return None


def _list_files(process: Path) -> Iterator[str]:
    """Yields what a process has open. Of one of somebody else nobody says it."""
    try:
        for each in (process / "fd").iterdir():
            yield str(each.readlink())
    except OSError:
        return


def _read_start(process: Path) -> str:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
