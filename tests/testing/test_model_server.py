"""The loopback model server: the protocol, its faults down to the bytes, and its bounds."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("h11")

from seawall.core.errors import Misused
from seawall.models.protocol import Assistant, ModelReply, ToolCall, Usage
from seawall.testing import ManualClock, call, calls, say
from seawall.testing.faults import (
    Answer,
    Cut,
    ErrorEvent,
    HugeLine,
    KeepAlives,
    Malformed,
    Reset,
    Silence,
    SlowTokens,
    Split,
    overloaded,
    rate_limited,
    spend_limited,
)
from seawall.testing.model_server import Handler, ModelServer
from seawall.testing.wire import ChatRequest, Raw
from testing.client import Connection, Got
from testing.loopback import io_until, tick_until

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
STREAM: dict[str, Any] = {**BODY, "stream": True, "stream_options": {"include_usage": True}}


def using(
    handler: Handler | Sequence[Answer],
    use: Callable[[ModelServer, Connection], Awaitable[Any]],
    **given: Any,
) -> Any:
    """The result of `use` with a server and one connection to it."""

    async def main() -> Any:
        async with ModelServer(handler, **given) as server:
            connection = await Connection.to(server)
            try:
                return await use(server, connection)
            finally:
                await connection.close()

    return asyncio.run(main())


def answered(answer: Answer, body: dict[str, Any] = BODY) -> Got:
    async def use(_: ModelServer, connection: Connection) -> Got:
        return await connection.ask(body)

    got: Got = using(lambda _: answer, use)
    return got


def test_a_reply_is_a_chat_completion() -> None:
    got = answered(calls(call("find_order", order_id="1"), text="Looking.", usage=Usage(3, 4)))
    function = {"name": "find_order", "arguments": '{"order_id":"1"}'}
    assert (got.status, got.headers["content-type"]) == (200, "application/json")
    assert got.json["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Looking.",
                "tool_calls": [{"id": "call_1_1", "type": "function", "function": function}],
            },
            "finish_reason": "tool_calls",
        }
    ]
    assert got.json["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_a_streamed_reply_is_the_same_reply_in_pieces() -> None:
    got = answered(calls(call("a", x=1), call("b"), text="Looking."), STREAM)
    assert got.headers["content-type"] == "text/event-stream"
    *chunks, usage, done = got.events
    assert done == "[DONE]"
    assert usage["choices"] == []
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Looking."
    arguments = ["", ""]
    for delta in deltas:
        for one in delta.get("tool_calls", []):
            arguments[one["index"]] += one["function"]["arguments"]
    assert arguments == ['{"x":1}', "{}"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-1] == "tool_calls"


@pytest.mark.parametrize(
    ("given", "content"),
    [
        ("text", "text"),
        (say("said"), "said"),
        (Assistant("a"), "a"),
        (ModelReply(message=Assistant("m")), "m"),
    ],
)
def test_a_handler_may_return_any_form_of_a_reply(given: Answer, content: str) -> None:
    assert answered(given).json["choices"][0]["message"]["content"] == content


def test_a_handler_may_be_async_or_a_list_that_runs_out() -> None:
    async def handler(request: ChatRequest) -> Answer:
        return str(request.number)

    async def twice(_: ModelServer, connection: Connection) -> list[Got]:
        return [await connection.ask(BODY) for _ in range(2)]

    assert [got.json["choices"][0]["message"]["content"] for got in using(handler, twice)] == ["1", "2"]
    first, second = using(["only"], twice)
    assert (first.status, second.status) == (200, 503)
    assert second.json["error"]["message"] == "request 2, and the server was given 1 answers"


def test_a_handler_that_raises_says_so_to_the_client() -> None:
    def handler(_: ChatRequest) -> Answer:
        raise KeyError("order")

    async def use(_: ModelServer, connection: Connection) -> Got:
        return await connection.ask(BODY)

    got = using(handler, use)
    assert (got.status, got.json["error"]["message"]) == (500, "the handler raised KeyError: 'order'")


def test_requests_are_counted_logged_and_kept_within_bounds() -> None:
    async def use(server: ModelServer, connection: Connection) -> None:
        for number in range(5):
            await connection.ask({**BODY, "user": str(number)}, headers="x-a: 1\r\n")
        assert server.request_count == 5
        assert [request.conversation for request in server.requests] == ["3", "4"]
        assert [(seen.number, seen.path, seen.messages, seen.status) for seen in server.log[-2:]] == [
            (4, "/v1/chat/completions", 1, 200),
            (5, "/v1/chat/completions", 1, 200),
        ]
        assert server.requests[0].headers["x-a"] == "1"
        assert "5 requests, 1 connections" in repr(server)

    using(lambda _: "ok", use, keep_requests=2)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "example.org", "", "::"])  # refused
def test_nothing_but_loopback_is_bound(host: str) -> None:
    with pytest.raises(Misused, match="binds to loopback only"):
        ModelServer(lambda _: "ok", host=host)


def test_a_port_that_is_taken_is_named() -> None:
    async def use(server: ModelServer, _: Connection) -> None:
        port = int(server.origin.rsplit(":", 1)[1])
        with pytest.raises(Misused, match=f"can't listen at 127.0.0.1:{port}"):
            await ModelServer(lambda _: "ok", port=port).start()
        with pytest.raises(Misused, match="already listens"):
            await server.start()

    using(lambda _: "ok", use)


@pytest.mark.parametrize(
    ("answer", "status", "kind", "retry_after"),
    [
        (rate_limited(2), 429, "requests", "2"),
        (rate_limited(), 429, "requests", None),
        (spend_limited(), 429, "insufficient_quota", None),
        (overloaded(), 529, "overloaded_error", None),
        (overloaded(503), 503, "overloaded_error", None),
    ],
)
def test_error_statuses_are_in_openais_form(
    answer: Answer, status: int, kind: str, retry_after: str | None
) -> None:
    got = answered(answer)
    assert (got.status, got.json["error"]["type"], got.headers.get("retry-after")) == (
        status,
        kind,
        retry_after,
    )


@pytest.mark.parametrize(("how", "whole"), [("end", True), ("eof", False), ("reset", False)])
def test_a_cut_stream_stops_in_the_middle_of_the_arguments(how: Any, whole: bool) -> None:
    got = answered(Cut(call("pay", amount=100), "arguments", how), STREAM)
    assert got.whole is whole
    if how != "reset":  # a reset may overtake what was sent before it
        last = got.events[-1]["choices"][0]
        assert last["delta"]["tool_calls"][0]["function"]["arguments"] == '{"amoun'
        assert all(event["choices"][0]["finish_reason"] is None for event in got.events)


def test_a_cut_whole_reply_is_half_of_its_bytes() -> None:
    half = answered(Cut("hello", how="end"))
    assert half.whole
    with pytest.raises(json.JSONDecodeError):
        _ = half.json
    assert not answered(Cut("hello", how="eof")).whole


def test_an_error_event_follows_a_good_one() -> None:
    first, error = answered(ErrorEvent("broke"), STREAM).events
    assert first["object"] == "chat.completion.chunk"
    assert error["error"]["message"] == "broke"


def test_malformed_huge_and_split_replies_are_what_they_say() -> None:
    assert answered(Malformed("{nope")).body == b"{nope"
    assert len(answered(HugeLine(300_000), STREAM).body.split(b"\n")[0]) > 250_000
    split = answered(Split("hällo"), STREAM)
    assert split.events == answered("hällo", STREAM).events


def test_a_reset_comes_instead_of_an_answer() -> None:
    async def use(_: ModelServer, connection: Connection) -> None:
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await connection.ask(BODY)

    using(lambda _: Reset(), use)


def test_slow_tokens_come_on_the_servers_clock() -> None:
    clock = ManualClock()

    async def use(_: ModelServer, connection: Connection) -> Got:
        task = asyncio.create_task(connection.ask(STREAM))
        await tick_until(clock, task.done)
        return task.result()

    got = using(lambda _: SlowTokens("one two", 10), use, clock=clock)
    assert len(got.events) * 10 <= clock.monotonic_s() + 10


@pytest.mark.parametrize("answer", [Silence(), Silence(after_head=True), KeepAlives(1.0)])
def test_a_client_that_goes_away_frees_its_slot(answer: Answer) -> None:
    clock = ManualClock()

    async def use(server: ModelServer, connection: Connection) -> None:
        connection.send(json.dumps(STREAM).encode())
        await io_until(lambda: bool(server.log))
        assert server.open_connections == 1
        await connection.close()
        await io_until(lambda: server.open_connections == 0)

    using(lambda _: answer, use, clock=clock)


def test_a_client_that_sends_nothing_is_closed_after_the_idle_time() -> None:
    """F22: a slow loris."""
    clock = ManualClock()

    async def use(server: ModelServer, connection: Connection) -> None:
        connection.writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")
        await io_until(lambda: server.open_connections == 1)
        await clock.advance(29)
        assert server.open_connections == 1
        await tick_until(clock, lambda: server.open_connections == 0)
        assert clock.monotonic_s() <= 31

    using(lambda _: "ok", use, clock=clock, idle_s=30)


def test_connections_beyond_the_bound_are_turned_away() -> None:
    async def use(server: ModelServer, first: Connection) -> None:
        assert (await first.ask(BODY)).status == 200
        second = await Connection.to(server)
        assert (await second.answer()).status == 503
        await second.close()
        assert server.shed_count == 1
        assert (await first.ask(BODY)).status == 200

    using(lambda _: "ok", use, max_connections=1)


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff", b'"text"'])
def test_a_body_that_is_no_json_object_is_a_400(body: bytes) -> None:
    async def use(server: ModelServer, connection: Connection) -> Got:
        connection.send(body)
        got = await connection.answer()
        assert (await connection.ask(BODY)).status == 200
        return got

    assert using(lambda _: "ok", use).status == 400


def test_a_body_over_the_bound_is_a_413() -> None:
    async def use(_: ModelServer, connection: Connection) -> Got:
        connection.send(b"x" * 2000)
        return await connection.answer()

    got = using(lambda _: "ok", use, max_body_bytes=1000)
    assert (got.status, got.json["error"]["message"]) == (413, "the body is larger than 1000 bytes")


def test_what_is_not_http_is_closed() -> None:
    async def use(server: ModelServer, connection: Connection) -> None:
        connection.writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        assert await connection.reader.read() == b""
        await io_until(lambda: server.open_connections == 0)

    using(lambda _: "ok", use)


def test_stopping_closes_every_connection() -> None:
    async def main() -> None:
        server = ModelServer(lambda _: Silence())
        await server.start()
        connections = [await Connection.to(server) for _ in range(10)]
        for connection in connections:
            connection.send(json.dumps(BODY).encode())
        await io_until(lambda: server.request_count == 10)
        await server.stop()
        assert server.open_connections == 0
        for connection in connections:
            await connection.close()
        await server.stop()

    asyncio.run(main())


def test_raw_bytes_go_out_as_they_are() -> None:
    got = answered(Raw(status=418, headers={"x-odd": "1"}, parts=(b"a", b"b")))
    assert (got.status, got.headers["x-odd"], got.body) == (418, "1", b"ab")


def test_importing_the_package_needs_no_extra() -> None:
    code = """if True:
        import sys
        sys.modules["h11"] = None
        import seawall.testing as testing
        from seawall.core.errors import Misused
        assert testing.ScriptedModel and testing.ManualClock and testing.Recording
        assert not {"seawall.testing.model_server", "pydantic_ai"} & set(sys.modules)
        try:
            testing.ModelServer
        except Misused as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'path/to/seawall[modelserver]'" in done.stdout


def test_ids_that_a_handler_gives_are_kept() -> None:
    got = answered(calls(ToolCall("mine", "f", "{}"), call("g")))
    made = got.json["choices"][0]["message"]["tool_calls"]
    assert [one["id"] for one in made] == ["mine", "call_1_2"]
