"""The newest head of the journal's chain is handed to somebody who keeps it."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from seawall import Agent, HeadExport, Misused, Seawall
from seawall.testing import ManualClock, ScriptedModel, say


async def run_once(sea: Seawall) -> None:
    agent = Agent("desk", model=ScriptedModel([say("done")]))
    await (await sea.start(agent, "go")).outcome()


async def until(clock: ManualClock, step_s: float, reached: Callable[[], bool]) -> None:
    while not reached():
        await clock.advance(step_s)
        await asyncio.to_thread(lambda: None)


def test_a_file_holds_the_newest_head_and_verify_finds_it(tmp_path: Path) -> None:
    file, path = tmp_path / "head.json", str(tmp_path / "journal.db")
    clock = ManualClock()

    async def scenario() -> None:
        async with Seawall(path, clock=clock, head_export=HeadExport(to=file, every_s=10)) as sea:
            await until(clock, 1, file.exists)
            first = json.loads(file.read_bytes())
            await run_once(sea)
            await until(clock, 10, lambda: json.loads(file.read_bytes()) != first)
            await run_once(sea)
        last = json.loads(file.read_bytes())
        assert last["batch"] > first["batch"]
        async with Seawall(path) as sea:
            assert (await sea.journal.verify(head=first["hash"])).ok
            assert (await sea.journal.verify(head=last["hash"])).head == last["hash"]
            assert not (await sea.journal.verify(head="0" * 64)).ok

    asyncio.run(scenario())


def test_a_head_is_exported_once(tmp_path: Path) -> None:
    file = tmp_path / "heads"
    script = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"
    command = [sys.executable, "-c", script, str(file)]

    async def scenario() -> None:
        async with Seawall(head_export=HeadExport(to=command, every_s=0.01)) as sea:
            await run_once(sea)

    asyncio.run(scenario())
    hashes = [json.loads(line)["hash"] for line in file.read_text().splitlines()]
    assert len(hashes) == len(set(hashes)) > 0


class _Keeper(HTTPServer):
    """Keeps what is posted to it, and answers with `status`."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []
        self.status = 204
        self.answers = Event()
        self.answers.set()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Keeper  # pyright: ignore[reportIncompatibleVariableOverride] -- only this server makes them

    def do_POST(self) -> None:
        """Keeps a head."""
        self.server.answers.wait()
        self.server.kept.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", "/moved")
        self.end_headers()

    def do_GET(self) -> None:
        """Answers what a redirected post becomes."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name in the base class
        """Prints nothing."""


def test_an_endpoint_gets_each_head_and_a_failure_is_logged_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with _Keeper() as keeper:
        keeper.status = 503
        thread = Thread(target=keeper.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{keeper.server_port}/heads?token=secret"
        clock = ManualClock()

        async def scenario() -> None:
            async with Seawall(clock=clock, head_export=HeadExport(to=url, every_s=5)) as sea:
                await until(clock, 5, lambda: len(keeper.kept) >= 2)
                keeper.status = 204
                await run_once(sea)

        asyncio.run(scenario())
        keeper.shutdown()
        thread.join()
    assert keeper.kept[0]["hash"] == keeper.kept[1]["hash"] != keeper.kept[-1]["hash"]
    assert (
        f"was not exported to http://127.0.0.1:{keeper.server_port}: Broken: it answered 503" in caplog.text
    )
    assert "secret" not in caplog.text


def test_the_last_head_is_exported_when_the_export_before_it_is_slow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with _Keeper() as keeper:
        keeper.answers.clear()
        thread = Thread(target=keeper.serve_forever, daemon=True)
        thread.start()

        async def scenario() -> str:
            async with Seawall(head_export=HeadExport(to=f"http://127.0.0.1:{keeper.server_port}")) as sea:
                await run_once(sea)
                asyncio.get_running_loop().call_later(0, keeper.answers.set)
                return (await sea.journal.head()).hash

        last = asyncio.run(scenario())
        keeper.shutdown()
        thread.join()
    assert keeper.kept[-1]["hash"] == last
    assert not caplog.records


def test_a_head_that_is_redirected_has_not_arrived(caplog: pytest.LogCaptureFixture) -> None:
    with _Keeper() as keeper:
        keeper.status = 302
        thread = Thread(target=keeper.serve_forever, daemon=True)
        thread.start()

        async def scenario() -> None:
            url = f"http://127.0.0.1:{keeper.server_port}/heads"
            async with Seawall(clock=ManualClock(), head_export=HeadExport(to=url)) as sea:
                await run_once(sea)

        asyncio.run(scenario())
        keeper.shutdown()
        thread.join()
    assert "Broken: it answered 302" in caplog.text


@pytest.mark.parametrize("path", ["a b", "a\nb", "ü", "a\x00"])
def test_a_url_that_a_client_would_quote_in_its_error_is_refused_without_being_shown(path: str) -> None:
    with pytest.raises(Misused) as refused:
        HeadExport(to=f"https://keeper/heads?token=secret&{path}")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("to", "says"),
    [
        (["false"], "ended with exit code 1"),
        (["/nowhere/at/all"], "No such file"),
        (Path("/nowhere/head"), "No such file"),
    ],
)
def test_runs_go_on_when_heads_can_not_be_exported(
    to: list[str] | Path, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    async def scenario() -> None:
        async with Seawall(head_export=HeadExport(to=to)) as sea:
            await run_once(sea)

    asyncio.run(scenario())
    assert says in caplog.text


@pytest.mark.parametrize("to", ["head.json", "ftp://keeper/heads", [], [1], 7, None])
def test_a_place_that_nothing_can_be_exported_to_is_refused(to: Any) -> None:
    with pytest.raises(Misused, match="HeadExport: to is"):
        HeadExport(to=to)


@pytest.mark.parametrize("name", ["every_s", "timeout_s"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), True, "5"])
def test_a_time_that_is_not_above_zero_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Misused, match=f"HeadExport: {name} is"):
        HeadExport(to=["true"], **{name: value})


def test_a_password_in_a_url_is_refused_without_being_shown() -> None:
    with pytest.raises(Misused, match="are not sent") as refused:
        HeadExport(to="https://me:secret@keeper/heads")
    assert "secret" not in str(refused.value)


def test_something_else_in_its_place_is_refused() -> None:
    with pytest.raises(Misused, match="it must be HeadExport"):
        Seawall(head_export="head.json")  # pyright: ignore[reportArgumentType] -- that is what is tested
