"""One session with a server has the calls of several clients: what becomes of one call is nothing to the others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fastmcp import FastMCP
from fastmcp.server.middleware import Middleware

from adapters.mcp_place import Place, make_tool
from seawall.adapters.mcp import McpBroken
from seawall.adapters.mcp.connection import McpConnection
from seawall.adapters.mcp.servers import ServerSource


class Deaf(Middleware):
    """A server that does not answer what it offers while it is deaf, such as one that does one thing at a time."""

    def __init__(self) -> None:
        self.deaf = False
        self.asked = asyncio.Event()

    async def on_list_tools(self, context: Any, call_next: Any) -> Any:
        if self.deaf:
            self.asked.set()
            await asyncio.Event().wait()
        return await call_next(context)


class Busy:
    """A server with a call under way, and the connection to it."""

    def __init__(self) -> None:
        self.ears, self.begun, self.ends = Deaf(), asyncio.Event(), asyncio.Event()
        server = FastMCP("bank")
        server.add_middleware(self.ears)

        async def pay() -> str:
            self.begun.set()
            await self.ends.wait()
            return "paid"

        server.tool(pay)
        self.connection = McpConnection(ServerSource(name="bank", kind="memory", server=server))

    async def begin(self) -> asyncio.Task[Any]:
        await self.list()
        task = asyncio.create_task(self.connection.call("pay", {}))
        await self.begun.wait()
        self.ears.deaf = True
        return task

    async def list(self) -> list[str]:
        return [tool.name for tool in await self.connection.list_tools(str)]

    async def finish(self, task: asyncio.Task[Any]) -> None:
        self.ends.set()
        result = await task
        assert not result.is_error and result.content[0].text == "paid"


def test_a_call_goes_on_while_its_server_does_not_say_what_it_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        busy = Busy()
        task = await busy.begin()
        monkeypatch.setattr(busy.connection, "_connect_s", 0.01)
        with pytest.raises(McpBroken) as caught:
            await busy.list()
        assert caught.value.fate == "unsent"
        monkeypatch.undo()
        busy.ears.deaf = False
        assert await busy.list() == ["pay"]
        await busy.finish(task)
        assert await busy.list() == ["pay"]
        await busy.connection.close()

    asyncio.run(scenario())


def test_who_gives_up_asking_what_a_server_offers_ends_nobodys_session() -> None:
    async def scenario() -> None:
        busy = Busy()
        task = await busy.begin()
        asking = asyncio.create_task(busy.list())
        await busy.ears.asked.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert busy.connection.stale
        busy.ears.deaf = False
        assert await busy.list() == ["pay"] and busy.connection.connects == 1
        await busy.finish(task)
        await busy.connection.close()

    asyncio.run(scenario())


def test_the_end_of_the_connection_ends_calls_that_are_under_way() -> None:
    async def scenario() -> None:
        busy = Busy()
        task = await busy.begin()
        await busy.connection.close()
        with pytest.raises(McpBroken) as caught:
            await task
        assert caught.value.fate == "unknown"

    asyncio.run(scenario())


def test_a_server_that_was_started_anew_is_not_called_before_its_tools_were_read(
    tmp_path: Path,
) -> None:
    """Another call may find out that the server is gone while this one has looked at what the server offered before."""
    place = Place(tmp_path, make_tool("balance"), make_tool("crash", {"die": True}))

    async def scenario() -> None:
        connection = McpConnection(ServerSource(name="bank", kind="stdio", command=tuple(place.command)))
        try:
            await connection.list_tools(str)
            with pytest.raises(McpBroken):
                await connection.call("crash", {})
            with pytest.raises(McpBroken, match="call again") as broken:
                await connection.call("balance", {})
            assert (broken.value.fate, place.calls) == ("unsent", ["crash"])
            await connection.list_tools(str)
            assert not (await connection.call("balance", {})).is_error
        finally:
            await connection.close()

    asyncio.run(scenario())
    assert place.calls == ["crash", "balance"]
