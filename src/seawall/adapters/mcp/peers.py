"""Identifies the client that calls the proxy: by its session, or by its process on this machine.

Clients that speak the protocol of 2026 have no session: each call stands alone, and may come over any connection. Such a client
is identified by its process, which Linux tells. Where the process is not known, all clients with the same name are one client.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

MAX_ID_CHARS = 200
"""Characters of the names that a client gives to its run and its calls."""
DEFAULT_CLIENT = "client"
"""The name of a client that does not give one."""
_MAX_NAME_CHARS = 60
_PROC = Path("/proc")


class Peer(NamedTuple):
    """A client that calls: what the transport and the client itself say about the client."""

    connection: str
    """The id of the client's session; "" if the transport has no sessions."""
    client: str
    """The name that the client gives itself."""
    run: str | None = None
    """The run that the client names; None if it names none."""
    process: str = ""
    """The client's process, if there is no session and the process could be found; otherwise ""."""

    @property
    def name(self) -> str:
        """The client's name as it is recorded."""
        plain = "".join(each if each.isprintable() else "?" for each in self.client)[:_MAX_NAME_CHARS].strip()
        return plain or DEFAULT_CLIENT

    @property
    def key(self) -> str:
        """The key of the client's run."""
        if self.run:
            return f"run {self.run}"
        if self.connection:
            return f"session {self.connection}"
        return f"process {self.process} {self.name}" if self.process else f"name {self.name}"


def find_process(client: int, server: int, likely: Iterable[str] = (), proc: Path = _PROC) -> str:
    """Returns the process that holds a connection from port `client` to port `server` of this machine; "" if it can't be found.

    `likely`: processes that are checked first. The result holds the process's number and its start time, so that a later
    process with the same number has another result.
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
    """Yields the files and sockets that a process has open; none for a process of another user, which can't be read."""
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
