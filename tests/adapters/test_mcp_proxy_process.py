"""`seawall proxy` as a process of its own: clients on stdin and over HTTP, people in other processes, and kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

import warm_python
from adapters.mcp_place import Place, make_tool, wait_for

SEAWALL = str(Path(sys.executable).with_name("seawall"))
BALANCE = make_tool("balance", {"text": "12 EUR"})
REFUND = make_tool("refund", {"text": "refunded"})


class Shop:
    """A directory with a server behind a proxy, and its journal."""

    def __init__(self, path: Path, *tools: dict[str, Any]) -> None:
        self.path = path
        self.place = Place(path / "bank", *tools)
        command, *arguments = self.place.command
        servers = {
            "bank": {"command": command, "args": arguments, "env": {"BANK_TOKEN": "t-0123456789-secret"}}
        }
        (path / "servers.json").write_text(json.dumps({"mcpServers": servers}), encoding="utf-8")

    def seawall(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command on the journal."""
        return self._run(*words, "--journal", "desk.db")

    def start(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Starts the proxy for a client that has gone already."""
        return self._run(*self.command, *options)

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return warm_python.run(["-m", "seawall", *words], cwd=self.path, text=True, timeout=60)

    @property
    def command(self) -> list[str]:
        return ["proxy", "--mcp", "servers.json", "--journal", "desk.db"]

    def make_client(self, *options: str) -> Client[StdioTransport]:
        """A client that starts the proxy, as a desktop program does."""
        transport = StdioTransport(
            SEAWALL,
            [*self.command, *options],
            cwd=str(self.path),
            keep_alive=False,
            log_file=self.path / "proxy.log",
        )
        return Client(transport, timeout=60, init_timeout=60, cache=False)

    @contextlib.asynccontextmanager
    async def serve(self, *options: str) -> AsyncGenerator[tuple[str, warm_python.Process[bytes]]]:
        """A proxy that serves HTTP."""
        words = ["-m", "seawall", *self.command, "--http", "127.0.0.1:0", *options]
        process = warm_python.start(words, cwd=self.path, stdout=warm_python.DEVNULL)
        assert process.stderr is not None
        try:
            while b"serving MCP at" not in (line := await asyncio.to_thread(process.stderr.readline)):
                assert line, "the proxy has ended"
            yield line.split()[-1].decode(), process
        finally:
            process.terminate()
            await asyncio.to_thread(process.communicate)


async def ask(client: Client[Any], name: str, **arguments: Any) -> tuple[bool, str]:
    result = await client.call_tool_mcp(name, arguments)
    return not result.is_error, "\n".join(getattr(each, "text", "") for each in result.content)


def test_a_client_on_stdin_is_served_and_its_run_is_shown(tmp_path: Path) -> None:
    shop = Shop(tmp_path, BALANCE, REFUND)

    async def scenario() -> None:
        async with shop.make_client("--effects", "bank.refund", "--reads", "bank.balance") as client:
            assert [tool.name for tool in await client.list_tools()] == ["bank__balance", "bank__refund"]
            assert await ask(client, "bank__balance", order="7") == (True, "12 EUR")
            assert await ask(client, "bank__refund", order="7") == (True, "refunded")

    asyncio.run(scenario())
    assert shop.place.calls == ["balance", "refund"]
    shown = shop.seawall("show", "last").stdout
    assert "bank.balance" in shown and "bank.refund" in shown and "completed" in shown
    assert shop.seawall("verify").returncode == 0


@pytest.mark.parametrize("option", ["--approve=refund", "--effects=bank__refund", "--unique=refund=order"])
def test_an_option_without_a_server_that_is_there_starts_no_proxy(tmp_path: Path, option: str) -> None:
    ended = Shop(tmp_path, REFUND).start(option)
    assert ended.returncode == 2
    assert "matches no tool; write SERVER.TOOL (servers: bank)" in ended.stderr


@pytest.mark.parametrize(
    "option",
    [
        "--effects=bank.refnd",
        "--approve=bank.refnd",
        "--confirm=b*.refnd",
        "--polls=bank.refnd",
        "--unique=bank.refnd=order",
    ],
)
def test_an_option_that_guards_nothing_starts_no_proxy(tmp_path: Path, option: str) -> None:
    ended = Shop(tmp_path, REFUND).start("--effects=bank.*", option)
    assert ended.returncode == 2
    told = " ".join(ended.stderr.split())
    assert f"{option.partition('=')[0]}: '" in told
    assert "matches none of the tools that are there now, so nothing is guarded by it" in told
    assert "there are: bank.refund" in told


def test_an_option_that_may_match_what_a_server_offers_that_is_not_there_is_told(tmp_path: Path) -> None:
    shop = Shop(tmp_path, REFUND)
    assert shop.start("--effects=bank.*").returncode == 0
    servers = {"mcpServers": {"bank": {"command": "false"}}}
    (tmp_path / "servers.json").write_text(json.dumps(servers), encoding="utf-8")

    ended = shop.start("--approve=bank.refnd")
    assert ended.returncode == 0, ended.stderr
    assert "--approve: 'bank.refnd' matches none of the tools that are there now" in ended.stderr


def test_other_options_that_match_nothing_are_told(tmp_path: Path) -> None:
    ended = Shop(tmp_path, REFUND).start("--effects=bank.*", "--reads=bank.pay", "--not-done=bank.pay")
    assert ended.returncode == 0
    assert "--reads: 'bank.pay' matches none of the tools that are there now" in ended.stderr
    assert "--not-done: 'bank.pay' matches none of the tools that are there now" in ended.stderr
    assert "'bank.*'" not in ended.stderr


def test_a_person_approves_in_another_process_and_the_client_asks_again(tmp_path: Path) -> None:
    shop = Shop(tmp_path, REFUND)
    added = shop.seawall("principals", "add", "boss")
    (tmp_path / "key").write_text(added.stdout, encoding="utf-8")

    async def scenario() -> None:
        async with shop.make_client("--approve", "bank.refund") as client:
            works, told = await ask(client, "bank__refund", order="7")
            assert not works and "Decide with: seawall approve p-" in told
            command = told.rpartition("Decide with: ")[2]
            assert command.endswith(f" --journal {shop.path / 'desk.db'}")
            proposal = command.split()[2]
            hash_ = json.loads((await asyncio.to_thread(shop.seawall, "approvals", "--json")).stdout)[
                "approvals"
            ][0]["hash"]
            decided = await asyncio.to_thread(
                shop.seawall, "approve", proposal, "--hash", hash_, "--key-file", "key"
            )
            assert decided.returncode == 0, decided.stderr
            assert await ask(client, "bank__refund", order="7") == (True, "refunded")

    asyncio.run(scenario())
    assert shop.place.calls == ["refund"]


def test_kill_9_while_an_effect_is_under_way_leaves_it_to_a_person(tmp_path: Path) -> None:
    shop = Shop(tmp_path, make_tool("refund", {"hang": True}))
    options = ("--effects", "bank.*", "--run", "chat-17")

    async def begin() -> None:
        async with shop.serve(*options) as (url, process), Client(url, cache=False) as client:
            call = asyncio.create_task(client.call_tool_mcp("bank__refund", {"order": "7"}))
            await wait_for(shop.place, "call")
            os.kill(process.pid, signal.SIGKILL)
            with pytest.raises(Exception, match=r".+"):
                await call

    async def go_on() -> None:
        async with shop.make_client(*options) as client:
            works, told = await ask(client, "bank__refund", order="7")
            assert not works and "waits for a person to decide on 'bank.refund'" in told

    with contextlib.suppress(Exception):  # the client's transport finds its server gone
        asyncio.run(begin())
    assert shop.place.calls == ["refund"]
    asyncio.run(go_on())
    assert shop.place.calls == ["refund"]
    assert '"unknown"' in shop.seawall("effects", "--json").stdout


def test_clients_over_http_have_runs_of_their_own_and_no_strangers_are_served(tmp_path: Path) -> None:
    shop = Shop(tmp_path, BALANCE)

    async def scenario() -> None:
        async with shop.serve("--reads", "bank.*") as (url, _):
            for _ in range(2):
                async with Client(url, mode="legacy", cache=False) as client:
                    for _ in range(3):
                        assert (await ask(client, "bank__balance", order="7"))[0]
            async with httpx2.AsyncClient() as plain:
                body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
                accepts = {"accept": "application/json, text/event-stream"}
                rebound = await plain.post(url, json=body, headers={**accepts, "host": "evil.example"})
                assert rebound.status_code == 421
                cross = await plain.post(url, json=body, headers={**accepts, "origin": "http://evil.example"})
                assert cross.status_code == 403

    asyncio.run(scenario())
    runs = json.loads(shop.seawall("runs", "--json").stdout)["runs"]
    assert len(runs) == 2


def test_what_the_servers_file_gives_a_server_is_in_no_record(tmp_path: Path) -> None:
    shop = Shop(tmp_path, make_tool("balance", {"text": "my token is t-0123456789-secret"}))

    async def scenario() -> None:
        async with shop.make_client() as client:
            assert (await ask(client, "bank__balance", order="t-0123456789-secret"))[0]

    asyncio.run(scenario())
    for file in tmp_path.glob("desk.db*"):
        assert b"t-0123456789-secret" not in file.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--http", "0.0.0.0:80"], "the proxy does not authenticate clients"),
        (["--http", "bank.example:80"], "listens on this machine only"),
        (["--http", "8931"], "write HOST:PORT"),
        (["--unique", "bank.refund"], "write TOOL=PARAMETER"),
        (["--idle", "soon"], "--idle soon: write a number above zero and a unit"),
        (["--effects", "bank.refund", "--reads", "bank.refund"], "among the effects and among the reads"),
        (["--mcp", "nowhere.json"], "nowhere.json can't be read"),
    ],
)
def test_a_call_that_is_wrong_says_what_to_change(tmp_path: Path, options: list[str], message: str) -> None:
    done = Shop(tmp_path, BALANCE).seawall("proxy", "--mcp", "servers.json", *options)

    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


CALLER = """
import asyncio, sys
from fastmcp import Client

async def main():
    for _ in range(2):
        async with Client(sys.argv[1], cache=False) as client:
            for _ in range(2):
                await client.call_tool_mcp("bank__balance", {"order": "8"})

asyncio.run(main())
"""


def test_processes_with_one_name_that_have_no_session_have_runs_of_their_own(tmp_path: Path) -> None:
    shop = Shop(tmp_path, BALANCE)

    async def scenario() -> None:
        async with shop.serve("--reads", "bank.*") as (url, _):
            for _ in range(2):  # each over a connection of its own
                async with Client(url, cache=False) as client:
                    assert (await ask(client, "bank__balance", order="7"))[0]
            other = await asyncio.to_thread(warm_python.run, ["-c", CALLER, url])
            assert other.returncode == 0, other.stderr

    asyncio.run(scenario())
    runs = json.loads(shop.seawall("runs", "--json").stdout)["runs"]
    shown = [shop.seawall("show", run["run"]).stdout for run in runs]
    assert sorted(text.count("bank.balance") > 0 and text.count('"7"') > 0 for text in shown) == [False, True]
    assert len(runs) == 2 and len(shop.place.calls) == 6


def test_ids_that_nobody_would_write_are_refused(tmp_path: Path) -> None:
    shop = Shop(tmp_path, BALANCE)

    async def scenario() -> None:
        async with shop.make_client() as client:
            for field in ("seawall/run", "seawall/call"):
                for given in ("x" * 201, 7):
                    result = await client.call_tool_mcp("bank__balance", {}, meta={field: given})
                    assert result.is_error and f"{field} must be a text" in str(result.content)
            assert (await ask(client, "bank__balance", order="7"))[0]

    asyncio.run(scenario())
    assert shop.place.calls == ["balance"]
