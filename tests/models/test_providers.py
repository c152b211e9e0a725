"""Replies of a provider: the kind of each failure, and the bounds on time and size."""

from __future__ import annotations

import asyncio
import queue
import threading
import tracemalloc
from contextlib import aclosing
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from models.calling import ASK, asked, failed, served
from models.wires import WIRES
from seawall.models.protocol import (
    Assistant,
    FailureKind,
    ModelFailed,
    ModelReply,
    ModelRequest,
    TextDelta,
    ToolCall,
    User,
)
from seawall.models.providers import resolve
from seawall.models.providers.model import ProviderModel
from seawall.models.providers.watch import WireLimits
from seawall.testing import ManualClock, call, calls, say
from seawall.testing.faults import (
    Answer,
    Cut,
    ErrorEvent,
    ErrorStatus,
    HugeLine,
    KeepAlives,
    Malformed,
    Reset,
    Silence,
    SlowTokens,
    Split,
    rate_limited,
)
from seawall.testing.model_server import ModelServer
from seawall.testing.wire import Raw
from testing.loopback import io_until, tick_until


def test_a_date_to_retry_after_is_seconds_on_the_given_clock() -> None:
    clock = ManualClock(wall_s=1_767_225_600.0)
    found = failed(rate_limited("Thu, 01 Jan 2026 00:01:30 GMT"), streaming=False, clock=clock)
    assert (found.kind, found.retry_after_s) == ("rate_limited", 90.0)
    past = failed(rate_limited("Wed, 31 Dec 2025 00:00:00 GMT"), streaming=False, clock=clock)
    assert past.retry_after_s == 0.0


@pytest.mark.parametrize(("sent", "seconds"), [("5, 30", 30.0), ("5s", 5.0)])
def test_a_retry_time_that_a_proxy_has_changed_is_read(sent: str, seconds: float) -> None:
    assert failed(rate_limited(sent), streaming=False).retry_after_s == seconds


@pytest.mark.parametrize("odd", ["soon", "-3", "nan", "", "1e999", "Thu, 99 Foo"])
def test_a_retry_time_that_is_none_is_none(odd: str) -> None:
    assert failed(rate_limited(odd), streaming=False).retry_after_s is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (ErrorStatus(402, "Payment required"), "spend_limit"),
        (ErrorStatus(429, "Your credit balance is too low"), "spend_limit"),
        (ErrorStatus(400, "Your credit balance is too low", "invalid_request_error"), "spend_limit"),
        (ErrorStatus(429, "Quota; see billing", "requests", None, "3"), "rate_limited"),
        (ErrorStatus(400, "You have reached your specified API usage limits."), "spend_limit"),
        (
            ErrorStatus(429, "Please check your account balance", "exceeded_current_quota_error"),
            "spend_limit",
        ),
        (ErrorStatus(429, "Insufficient balance. Please recharge.", "", "1113"), "spend_limit"),
        (ErrorStatus(400, "make sure your account is in good standing", "", "Arrearage"), "spend_limit"),
        (ErrorStatus(403, "Your team doesn't have any credits yet"), "spend_limit"),
        (ErrorStatus(412, "suspended for failure to pay past invoices"), "spend_limit"),
        (ErrorStatus(401, "no quota", "insufficient_quota"), "spend_limit"),
        (ErrorStatus(400, "Current cost: 0.5, max budget: 0.4", "budget_exceeded"), "spend_limit"),
        (ErrorStatus(400, "Invalid schema for function 'billing_details'"), "rejected"),
        (ErrorStatus(400, "unknown field `spend limit` of tool set_spend"), "rejected"),
        (ErrorStatus(429, "Request too large for gpt-4o: Limit 30000, Requested 48341."), "context_too_long"),
        (ErrorStatus(429, "Too many tokens, please wait before trying again."), "rate_limited"),
        (ErrorStatus(409, "conflict"), "overloaded"),
        (ErrorStatus(400, "no such field"), "rejected"),
        (ErrorStatus(401, "bad key"), "rejected"),
        (ErrorStatus(404, "no such model"), "rejected"),
        (ErrorStatus(408, "too slow"), "overloaded"),
        (ErrorStatus(502, "bad gateway"), "overloaded"),
        (Raw(status=503, parts=(b"<html>down</html>",)), "overloaded"),
        (ErrorEvent(kind="rate_limit_error"), "rate_limited"),
        (ErrorEvent(code="insufficient_quota"), "spend_limit"),
        (ErrorEvent(kind="overloaded_error"), "overloaded"),
        (ErrorEvent(code="502", kind="odd"), "overloaded"),
        (ErrorEvent(kind="odd"), "incomplete"),
        (ErrorEvent("Insufficient balance. Please recharge.", "odd", "1113"), "spend_limit"),
        (ErrorEvent(kind="odd", code="1301"), "incomplete"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_errors_have_the_kind_that_says_what_to_do(
    answer: Answer, kind: FailureKind, streaming: bool
) -> None:
    assert failed(answer, streaming=streaming).kind == kind


@pytest.mark.parametrize(
    "answer", [ErrorStatus(401, "Incorrect key sk-never-shown"), ErrorEvent("key sk-never-shown")]
)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_key_in_a_providers_message_is_not_shown(answer: Answer, streaming: bool) -> None:
    text = str(failed(answer, streaming=streaming))
    assert "never-shown" not in text
    assert "[key]" in text


@pytest.mark.parametrize("after", ["role", "text", "call", "arguments"])
@pytest.mark.parametrize("how", ["end", "eof", "reset"])
@pytest.mark.parametrize("done", [False, True])
def test_a_stream_cut_anywhere_is_incomplete(after: Any, how: Any, done: bool) -> None:
    """F19, with and without the `[DONE]` that some gateways add."""
    reply = calls(call("pay", amount=100), text="Paying now.")
    assert failed(Cut(reply, after, how, done), streaming=True).kind == "incomplete"


def test_a_reply_at_its_output_limit_in_the_middle_of_a_call_is_incomplete() -> None:
    reply = ModelReply(message=Assistant(None, (ToolCall("c", "pay", '{"amount": 1'),)), finish="length")
    for streaming in (False, True):
        found = failed(reply, streaming=streaming)
        assert (found.kind, "output limit" in str(found)) == ("incomplete", True)


def test_a_text_at_its_output_limit_says_so() -> None:
    async def use(model: ProviderModel, _: ModelServer) -> ModelReply:
        return await model.respond(ASK)

    assert served(say("It was", finish="length"), use).finish == "length"


@pytest.mark.parametrize("streaming", [False, True])
def test_characters_split_between_packets_arrive_whole(streaming: bool) -> None:
    """F21."""

    async def use(model: ProviderModel, _: ModelServer) -> list[Any]:
        return await asked(model, streaming=streaming)

    text = "hällo wörld 𝄞 €"
    items = served(Split(text), use)
    assert items[-1].message.content == text
    assert "".join(item.text for item in items if isinstance(item, TextDelta)) == (text if streaming else "")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_line_of_100_mb_is_given_up_with_little_memory(streaming: bool) -> None:
    """F21."""
    tracemalloc.start()
    try:
        found = failed(HugeLine(100_000_000), streaming=streaming)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.kind == "malformed"
    assert str(WireLimits().line_bytes if streaming else WireLimits().reply_bytes) in str(found)
    assert peak < 80_000_000, f"{peak} bytes"


def test_a_compressed_reply_is_given_up() -> None:
    raw = Raw(headers={"content-type": "application/json", "content-encoding": "gzip"}, parts=(b"\x1f\x8b",))
    assert "compressed its reply ('gzip')" in str(failed(raw, streaming=False))


@pytest.mark.parametrize("answer", [Malformed(), Malformed("[1, 2]"), Malformed("null"), Malformed("")])
@pytest.mark.parametrize("streaming", [False, True])
def test_what_is_not_the_protocol_is_malformed_or_empty(answer: Answer, streaming: bool) -> None:
    assert failed(answer, streaming=streaming).kind in {"malformed", "incomplete"}


PING = 'data: {"type": "ping"}'  # an event of a stream


@pytest.mark.parametrize(
    ("what", "streaming"),
    [
        (KeepAlives(5.0), False),
        (KeepAlives(5.0), True),
        (KeepAlives(5.0, PING), True),
        (Silence(after_head=True), False),
        (Silence(after_head=True), True),
    ],
)
def test_endless_keep_alives_are_given_up_after_the_idle_time(what: Answer, streaming: bool) -> None:
    """F21."""
    found, clock = timed(what, streaming=streaming, timeout_s=None)
    assert found.kind == "timeout"
    assert "sent no data for 60" in str(found)
    assert 60 <= clock.monotonic_s() < 70


@pytest.mark.parametrize("streaming", [False, True])
def test_a_model_that_never_answers_is_given_up_after_the_time_given(streaming: bool) -> None:
    """F22: the server's slot is free again afterwards."""
    found, clock = timed(Silence(), streaming=streaming, timeout_s=7.0)
    assert str(found) == "model 'openai:m' did not finish its reply in 7s"
    assert 7 <= clock.monotonic_s() < 9


def test_slow_tokens_are_no_silence_and_end_with_the_time_given() -> None:
    found, clock = timed(SlowTokens("a b c d", 50.0), streaming=True, timeout_s=130.0)
    assert "in 130s" in str(found)
    assert clock.monotonic_s() >= 130


def timed(answer: Answer, *, streaming: bool, timeout_s: float | None) -> tuple[ModelFailed, ManualClock]:
    """The failure of a call, and a clock that went on until it came."""

    async def main() -> tuple[ModelFailed, ManualClock]:
        clock = ManualClock()
        request = ModelRequest(messages=(User("q"),), timeout_s=timeout_s)
        async with (
            ModelServer(lambda _: answer, clock=clock, idle_s=1e6) as server,
            resolve("openai:m", base_url=server.base_url, clock=clock) as model,
        ):
            task = asyncio.create_task(asked(model, streaming=streaming, request=request))
            await io_until(lambda: server.request_count == 1)
            await io_until(lambda: bool(server.log))
            await tick_until(clock, task.done)
            found = task.exception()
            assert isinstance(found, ModelFailed)
            await io_until(lambda: server.open_connections == 0)
        return found, clock

    return asyncio.run(main())


def test_time_that_a_streams_consumer_takes_is_not_the_models_silence() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with (
            ModelServer(lambda _: "one two three four", clock=clock, idle_s=1e6) as server,
            resolve("openai:m", base_url=server.base_url, clock=clock) as model,
        ):
            items: list[object] = []
            async for item in model.stream(ASK):
                items.append(item)  # time passes between the items
                await clock.advance(100)
            assert isinstance(items[-1], ModelReply)

    asyncio.run(main())


def test_a_stream_that_its_consumer_leaves_closes_the_connection() -> None:
    async def use(model: ProviderModel, server: ModelServer) -> None:
        async with aclosing(model.stream(ASK)) as stream:
            assert isinstance(await anext(stream), TextDelta)
        await model.aclose()
        await io_until(lambda: server.open_connections == 0)

    served("one two three four", use)


@pytest.mark.parametrize("streaming", [False, True])
def test_cancelling_the_caller_cancels_the_call(streaming: bool) -> None:
    async def use(model: ProviderModel, server: ModelServer) -> None:
        task = asyncio.create_task(asked(model, streaming=streaming))
        await io_until(lambda: server.request_count == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await io_until(lambda: server.open_connections == 0)

    served(Silence(), use)


def test_many_calls_side_by_side_keep_their_replies_apart() -> None:
    async def use(model: ProviderModel, server: ModelServer) -> list[str | None]:
        requests = [ModelRequest(messages=(User(str(number)),)) for number in range(50)]
        replies = await asyncio.gather(*map(model.respond, requests))
        return [reply.message.content for reply in replies]

    echo = served(lambda request: say(request.messages[0]["content"]), use)
    assert echo == [str(number) for number in range(50)]


def test_one_model_works_in_one_event_loop_after_another() -> None:
    urls, finished = queue.Queue[str](), threading.Event()

    async def serve() -> None:
        async with ModelServer(lambda _: "ok") as server:
            urls.put(server.base_url)
            await asyncio.to_thread(finished.wait)

    async def main(model: ProviderModel) -> None:
        async with model:
            assert (await model.respond(ASK)).message.content == "ok"

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        model = resolve("openai:m", base_url=urls.get(timeout=30))
        asyncio.run(main(model))
        asyncio.run(main(model))
    finally:
        finished.set()
        thread.join()


def test_a_refused_connection_is_unreachable() -> None:
    async def main() -> ModelFailed:
        async with ModelServer(lambda _: Reset()) as server:
            gone = server.base_url
        async with resolve("openai:m", base_url=gone) as model:
            with pytest.raises(ModelFailed) as caught:
                await model.respond(ASK)
        return caught.value

    assert asyncio.run(main()).kind == "unreachable"


def test_a_googles_rate_limit_is_no_spend_limit_and_says_when_to_come_back() -> None:
    """Google's message mentions billing for every limit; only the details distinguish them."""
    wire = next(one for one in WIRES if one.model.startswith("google"))
    told = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "35s"}
    text = "You exceeded your current quota, please check your plan and billing details."
    error = {"error": {"code": 429, "message": text, "status": "RESOURCE_EXHAUSTED", "details": [told]}}

    async def main() -> ModelFailed:
        async with (
            ModelServer(lambda _: Raw(status=429, parts=(wire.reply(error).parts))) as server,
            resolve(wire.model, base_url=server.origin, api_key="k") as model,
        ):
            with pytest.raises(ModelFailed) as caught:
                await model.respond(ASK)
        return caught.value

    found = asyncio.run(main())
    assert (found.kind, found.retry_after_s) == ("rate_limited", 35.0)
