"""MCP servers over streamable HTTP and in this process, made with a library that is not ours."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from adapters.http_server import make_bank, serve
from adapters.mcp_place import Place, make_tool, play
from adapters.proxy_place import Desk, run_proxy
from seawall import Misused, Seawall
from seawall.adapters.mcp import McpBroken, McpOptions, addresses, mcp_tools
from seawall.adapters.mcp.addresses import AddressBlocked, CheckedTransport, find_problem
from seawall.adapters.mcp.servers import read_servers
from seawall.adapters.mcp.serving import HttpAddress, serve_http


def test_a_server_over_http_is_called(tmp_path: Path) -> None:
    server, done = make_bank()

    async def scenario() -> None:
        async with (
            serve(server.http_app()) as url,
            Seawall() as sea,
            mcp_tools({"bank": f"{url}/mcp"}, sea, effects=["bank.refund"]) as tools,
        ):
            found = await play(
                sea, tools, ("bank__balance", {"order": "7"}), ("bank__refund", {"order": "7"})
            )
            assert [json.loads(found.told[0]), found.told[1]] == [{"order": "7", "eur": 12}, "refunded 7"]

    asyncio.run(scenario())
    assert done == [("balance", "7"), ("refund", "7")]


def test_a_secret_in_a_servers_url_is_not_logged_by_any_library(caplog: pytest.LogCaptureFixture) -> None:
    server, _ = make_bank()
    caplog.set_level(logging.DEBUG)

    async def scenario() -> None:
        async with (
            serve(server.http_app()) as url,
            Seawall() as sea,
            mcp_tools({"bank": f"{url}/mcp?key=abc-12345-xyz"}, sea) as tools,
        ):
            await play(sea, tools, ("bank__balance", {"order": "7"}))
            try:  # as the client library does of a request that failed
                raise OSError(f"500 for url '{url}/mcp?key=abc-12345-xyz'")
            except OSError:
                logging.getLogger("mcp.client.streamable_http").exception("Error in post_writer")

    asyncio.run(scenario())
    requests = [each.getMessage() for each in caplog.records if each.name == "httpx2"]
    assert any("/mcp?key=[redacted]" in each for each in requests)
    assert "OSError: 500 for url" in caplog.text
    assert "abc-12345-xyz" not in caplog.text
    assert not logging.getLogger("httpx2").filters


def test_a_server_that_was_restarted_is_connected_to_anew() -> None:
    server, done = make_bank()
    again, done_again = make_bank()

    async def scenario() -> None:
        async with Seawall() as sea:
            async with serve(server.http_app()) as url:
                tools_of = mcp_tools({"bank": f"{url}/mcp"}, sea, McpOptions(effects=["bank.refund"]))
                tools = await tools_of.__aenter__()
                await play(sea, tools, ("bank__balance", {"order": "7"}))
            async with serve(again.http_app(), int(url.rpartition(":")[2])):
                found = await play(
                    sea, tools, ("bank__refund", {"order": "8"}), ("bank__balance", {"order": "9"})
                )
                assert found.told[0] == "refunded 8"
                await tools_of.__aexit__(None, None, None)

    asyncio.run(scenario())
    assert (done, done_again) == ([("balance", "7")], [("refund", "8"), ("balance", "9")])


def test_a_server_in_this_process_is_called() -> None:
    server, done = make_bank()

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": server}, sea) as tools:
            found = await play(sea, tools, ("bank__balance", {"order": "7"}))
            assert json.loads(found.told[0])["eur"] == 12

    asyncio.run(scenario())
    assert done == [("balance", "7")]


def test_one_file_names_servers_of_all_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, _ = make_bank()
    place = Place(tmp_path / "place", make_tool("look"))
    file = tmp_path / "servers.json"
    monkeypatch.setenv("BANK_TOKEN", "t-123")

    async def scenario() -> None:
        async with serve(server.http_app()) as url, Seawall() as sea:
            command, *arguments = place.command
            servers = {
                "bank": {
                    "type": "http",
                    "url": f"{url}/mcp",
                    "headers": {"Authorization": "Bearer ${BANK_TOKEN}"},
                },
                "files": {"command": command, "args": arguments, "env": {"KIND": "${KIND:-plain}"}},
                "off": {"command": "no-such-program", "disabled": True},
            }
            file.write_text(json.dumps({"mcpServers": servers}), encoding="utf-8")
            async with mcp_tools(file, sea) as tools:
                names = [tool.name for tool in tools]
                assert names == ["bank__balance", "bank__refund", "files__look"]
                assert [tool.name for tool in tools.select("bank.*")] == names[:2]
                with pytest.raises(Misused, match=r"no MCP tool matches 'shop\.\*' \(there: bank\.balance"):
                    tools.select("shop.*")

    asyncio.run(scenario())
    (bank, files) = read_servers(file)
    assert bank.list_secrets() == ["Bearer t-123", "t-123"]
    assert files.environment == {"KIND": "plain"}
    assert "t-123" not in repr(bank)


def test_a_file_that_an_editor_reads_is_read_as_it_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANK_TOKEN", "t-123")
    env = {"TOKEN": "${env:BANK_TOKEN}", "DEBUG": True, "PORT": 80, "NONE": None}
    servers = {
        "bank": {"type": "stdio", "command": "bank", "env": env},
        "off": {"command": "other", "env": {"TOKEN": "${NOWHERE}"}, "disabled": True},
    }
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"inputs": [], "servers": servers}), encoding="utf-8-sig")
    (bank,) = read_servers(file)
    assert bank.environment == {"TOKEN": "t-123", "DEBUG": "true", "PORT": "80"}


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ({}, "there is no MCP server"),
        ({"a b": "http://x"}, "MCP server 'a b': a name begins with a letter"),
        ({"a__b": "http://x"}, "single '_'"),
        ({"a": "ftp://x"}, r"url is 'ftp://x'; it must begin with http:// or https://"),
        ({"a": {"command": ""}}, "command is ''; it must be a program"),
        ({"a": {"command": "x", "args": "y"}}, "args is 'y'; it must be a list"),
        ({"a": {"command": "x", "cwd": 1}}, "cwd is 1"),
        ({"a": {"url": "http://x", "type": "sse"}}, "its transport is 'sse'"),
        ({"a": {"url": "http://x", "headers": []}}, "headers is list"),
        ({"a": {"url": "http://${NOWHERE}"}}, "there is no variable 'NOWHERE' in the environment"),
        (
            {"a": {"url": "http://x", "headers": {"A": "${input:key}"}}},
            r"\$\{input:key\} can't be filled in here",
        ),
        ("https://bank.example/mcp", "give the server a name"),
    ],
)
def test_servers_that_can_not_be_read_are_named(servers: object, message: str) -> None:
    with pytest.raises(Misused, match=message):
        read_servers(servers, {})  # pyright: ignore[reportArgumentType] - what untyped code does


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    for text, message in [(None, "can't be read: No such file"), ("{", "is not JSON"), ("[]", "not list")]:
        file = tmp_path / f"{len(message)}.json"
        if text is not None:
            file.write_text(text, encoding="utf-8")
        with pytest.raises(Misused, match=message):
            read_servers(file)


def test_what_is_no_server_is_named() -> None:
    async def scenario() -> None:
        async with Seawall() as sea:
            with pytest.raises(Misused, match="MCP server 'bank' is 7; it must be a URL"):
                async with mcp_tools({"bank": 7}, sea):
                    pass

    asyncio.run(scenario())


# ---- A13: where a connection may lead


@pytest.mark.parametrize(
    ("host", "address", "blocked"),
    [
        ("bank.example", "93.184.216.34", False),
        ("127.0.0.1", "127.0.0.1", False),
        ("[::1]", "::1", False),
        ("localhost", "127.0.0.1", False),
        ("10.1.2.3", "10.1.2.3", False),
        ("169.254.169.254", "169.254.169.254", True),
        ("[fe80::1]", "fe80::1", True),
        ("metadata.example", "169.254.169.254", True),
        ("bank.example", "127.0.0.1", True),
        ("bank.example", "10.1.2.3", True),
        ("bank.example", "::ffff:10.1.2.3", True),
        ("bank.example", "2002:7f00:1::", True),
        ("bank.example", "fd00::1", True),
        ("bank.example", "100.64.0.1", True),
        ("bank.example", "0.0.0.0", True),
        ("2130706433", "127.0.0.1", True),
        ("0x7f.1", "127.0.0.1", True),
        ("localhost", "10.1.2.3", True),
        ("localhost.example", "127.0.0.1", True),
    ],
)
def test_a_name_does_not_lead_into_the_own_network(host: str, address: str, blocked: bool) -> None:
    assert (find_problem(host, address) is not None) == blocked


class Sent(httpx2.AsyncBaseTransport):
    """Notes what would be sent."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(200)


def test_a_request_goes_to_the_address_that_was_checked_and_keeps_its_host() -> None:
    sent = Sent()
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])

    async def resolve(host: str, port: int) -> list[str]:
        assert (host, port) == ("bank.example", 443)
        return next(answers)

    async def scenario() -> None:
        transport = CheckedTransport("https://bank.example/mcp", resolve, sent)
        async with httpx2.AsyncClient(transport=transport) as client:
            await client.get("https://bank.example/mcp")
            with pytest.raises(AddressBlocked, match=r"bank\.example was not connected to: 127\.0\.0\.1"):
                await client.get("https://bank.example/mcp")  # the name leads elsewhere by now
            with pytest.raises(AddressBlocked, match=r"evil\.example was not connected to"):
                await client.get("https://evil.example/mcp")

    asyncio.run(scenario())
    (request,) = sent.requests
    assert (request.url.host, request.headers["host"]) == ("93.184.216.34", "bank.example")
    assert request.extensions["sni_hostname"] == "bank.example"


@pytest.mark.parametrize(
    ("entry", "secrets"),
    [
        ("https://bank.example/mcp?key=abc-12345&page=2", ["abc-12345", "2"]),
        ("https://bank.example/mcp?api_key=9f8e%2F7d6c5b4a", ["9f8e/7d6c5b4a", "9f8e%2F7d6c5b4a"]),
        ("https://kim:pw%40123456@bank.example/mcp", ["pw%40123456", "pw@123456"]),
        (["bank", "--token=abcDEF123456x", "/srv/data"], ["abcDEF123456x"]),
        (["bank", "--api-key", "9f8e7d6c5b4a3f2e1d"], ["9f8e7d6c5b4a3f2e1d"]),
        (["bank", "--directory", "/srv/data"], []),
    ],
)
def test_what_an_entry_holds_of_secrets_is_known(entry: str | list[str], secrets: list[str]) -> None:
    (source,) = read_servers({"bank": entry})
    assert sorted(set(source.list_secrets())) == sorted(secrets)


def test_a_server_that_redirects_elsewhere_is_not_followed_and_no_token_goes_there() -> None:
    seen: list[str | None] = []

    async def collect(request: Request) -> Response:
        seen.append(request.headers.get("authorization"))
        return Response(status_code=200)

    async def scenario() -> None:
        async with serve(Starlette(routes=[Route("/{any:path}", collect, methods=["GET", "POST"])])) as other:

            async def redirect(_: Request) -> Response:
                return RedirectResponse(f"{other}/mcp", status_code=307)

            routes = [Route("/{any:path}", redirect, methods=["GET", "POST"])]
            async with serve(Starlette(routes=routes)) as url, Seawall() as sea:
                entry = {"url": f"{url}/mcp", "headers": {"Authorization": "Bearer t-123"}}
                with pytest.raises(McpBroken, match="MCP server 'bank'"):
                    async with mcp_tools({"bank": entry}, sea, McpOptions(connect_s=5)):
                        pass

    asyncio.run(scenario())
    assert seen == []


# ---- A17: whose token goes where


def test_a_clients_token_stays_with_the_proxy_and_a_server_gets_its_own() -> None:
    server, done = make_bank()
    inner = server.http_app()
    tokens: set[str] = set()

    async def note(scope: Any, receive: Any, send: Any) -> None:
        tokens.update(value.decode() for name, value in scope.get("headers", ()) if name == b"authorization")
        await inner(scope, receive, send)

    async def call(desk: Desk) -> None:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve_http(desk.proxy, HttpAddress("127.0.0.1", 0), ready.set_result))
        transport = StreamableHttpTransport(await ready, headers={"Authorization": "Bearer of-the-client"})
        async with Client(transport, cache=False) as client:
            result = await client.call_tool_mcp("bank__balance", {"order": "7"})
            assert not result.is_error
        serving.cancel()
        await asyncio.wait([serving])

    async def scenario() -> None:
        async with serve(note) as url:
            entry = {"url": f"{url}/mcp", "headers": {"Authorization": "Bearer of-the-bank"}}
            await asyncio.to_thread(run_proxy, None, call, servers={"bank": entry})

    asyncio.run(scenario())
    assert done == [("balance", "7")]
    assert tokens == {"Bearer of-the-bank"}


# ---- what a hostile server sends


def _answer_with(respond: Callable[[dict[str, Any]], tuple[dict[str, str], bytes]]) -> Callable[..., Any]:
    """An MCP server over HTTP that greets as it should, and answers everything else with what `respond` returns."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for each in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{each}.complete"})
            return
        body = b""
        more = True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        message = json.loads(body) if body else {}
        headers, data = {"content-type": "application/json"}, b""
        if message.get("method") == "initialize":
            info = {"name": "bank", "version": "1"}
            result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
            data = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        elif message.get("method") in ("tools/list", "tools/call"):
            headers, data = respond(message)
        status = 405 if not body else 200 if data else 202 if "id" not in message else 404
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": data})

    return app


def _offer_and(
    result: dict[str, Any], headers: dict[str, str], pack: Callable[[bytes], bytes] = bytes
) -> Any:
    def respond(message: dict[str, Any]) -> tuple[dict[str, str], bytes]:
        listed = {"tools": [make_tool("balance")]}
        if message["method"] == "tools/list":
            return {"content-type": "application/json"}, _write(message, listed)
        return headers, pack(_write(message, result))

    return respond


def _write(message: dict[str, Any], result: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()


LONG = {"content": [{"type": "text", "text": "x" * 300_000}]}
JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}


@pytest.mark.parametrize(
    ("headers", "pack"),
    [
        (JSON, bytes),
        ({**JSON, "content-encoding": "gzip"}, gzip.compress),
        ({**JSON, "content-encoding": "gzip, gzip"}, lambda data: gzip.compress(gzip.compress(data))),
        (EVENTS, lambda data: b"event: message\ndata: " + data + b"\n\n"),
        ({"content-type": "text/plain"}, bytes),
        (JSON, lambda data: data[:-9]),
    ],
    ids=["long", "packed", "twice", "event", "type", "cut"],
)
def test_a_response_that_is_too_long_or_packed_fails_its_call_and_no_other(
    headers: dict[str, str], pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "MAX_MESSAGE_BYTES", 200_000)
    short = {"content": [{"type": "text", "text": "12 EUR"}]}
    calls = iter([_offer_and(LONG, headers, pack), _offer_and(short, JSON)])

    def respond(message: dict[str, Any]) -> tuple[dict[str, str], bytes]:
        answer = next(calls) if message["method"] == "tools/call" else _offer_and(short, JSON)
        return answer(message)

    async def scenario() -> None:
        async with (
            serve(_answer_with(respond)) as url,
            Seawall() as sea,
            mcp_tools({"bank": f"{url}/mcp"}, sea, McpOptions(retries=0)) as tools,
        ):
            found = await play(sea, tools, ("bank__balance", {}), ("bank__balance", {"order": "2"}))
            assert found.told[0].startswith("Error") and len(found.told[0]) < 5_000
            assert found.told[1] == "12 EUR"

    asyncio.run(scenario())
