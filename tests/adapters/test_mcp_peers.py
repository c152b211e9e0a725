"""Who calls the proxy, by what Linux says of connections."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from seawall.adapters.mcp.peers import Peer, find_process

TABLE = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def make_proc(path: Path, *, inode: int = 77, began: str = "4242") -> Path:
    """A `/proc` in which process 9 holds a connection from port 5001 to port 8931."""
    (path / "net").mkdir(parents=True)
    line = f"   0: 0100007F:1389 0100007F:22E3 01 00000000:00000000 00:00000000 00000000  0  0 {inode} 1\n"
    (path / "net" / "tcp").write_text(TABLE + line)
    for number in (8, 9):
        (path / str(number) / "fd").mkdir(parents=True)
        (path / str(number) / "stat").write_text(f"{number} (a) b) S {' '.join(['0'] * 18)} {began} 0\n")
    (path / "9" / "fd" / "4").symlink_to("socket:[77]")
    return path


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux says it")
def test_the_process_of_a_connection_of_this_machine_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", server)) as client:
            found = find_process(client.getsockname()[1], server)
            assert found.startswith(f"{os.getpid()}-")
            assert find_process(client.getsockname()[1], server, [found, "1-1"]) == found


@pytest.mark.parametrize("likely", [[], ["9-4242"], ["8-1", "no-1"]])
def test_a_process_is_named_with_when_it_began(tmp_path: Path, likely: list[str]) -> None:
    assert find_process(5001, 8931, likely, make_proc(tmp_path)) == "9-4242"


def test_a_connection_that_nobody_knows_is_of_no_process(tmp_path: Path) -> None:
    proc = make_proc(tmp_path / "known")
    assert find_process(5002, 8931, (), proc) == ""
    assert find_process(8931, 5001, (), proc) == ""
    assert find_process(5001, 8931, (), make_proc(tmp_path / "gone", inode=78)) == ""
    assert find_process(5001, 8931, (), tmp_path / "none") == ""


def test_a_run_is_kept_by_the_most_that_is_known_of_its_client() -> None:
    keys = [
        Peer("", "chat").key,
        Peer("", "chat", process="9-4242").key,
        Peer("", "chat", process="9-4243").key,
        Peer("s", "chat", process="9-4242").key,
        Peer("s", "chat", "r", "9-4242").key,
    ]
    assert len(set(keys)) == 5
    assert Peer("", "other", process="9-4242").key not in keys
