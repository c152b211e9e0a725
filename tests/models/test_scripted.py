"""The scripted model returns what its script says."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest

from seawall.core.errors import Misused
from seawall.models.protocol import (
    Assistant,
    Message,
    Model,
    ModelFailed,
    ModelReply,
    ModelRequest,
    Price,
    System,
    TextDelta,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
    User,
)
from seawall.models.scripted import Entry
from seawall.testing import ManualClock, ScriptedModel, ScriptEnded, call, calls, fail, hang, say, slow


def ask(model: ScriptedModel, *messages: Message) -> ModelReply:
    return asyncio.run(model.respond(ModelRequest(messages=messages or (User("Where is order 1042?"),))))


async def pieces(model: ScriptedModel) -> list[TextDelta | ModelReply]:
    return [piece async for piece in model.stream(ModelRequest(messages=(User("?"),)))]


def test_it_is_a_model_with_the_price_that_was_given() -> None:
    price = Price(Decimal(1), Decimal(2))
    model = ScriptedModel([], name="desk", price=price)
    assert isinstance(model, Model)
    assert (model.name, model.price) == ("desk", price)


def test_a_price_may_be_given_as_numbers_or_text_and_is_kept_as_decimals() -> None:
    price = Price(1.25, "10")
    assert price == Price(Decimal("1.25"), Decimal(10))
    assert price.usd(Usage(1_000_000, 100_000)) == Decimal("2.25")


@pytest.mark.parametrize("wrong", [-1, float("nan"), "inf", "free", None, True])
def test_a_price_that_is_no_amount_of_money_is_refused_where_it_is_made(wrong: Any) -> None:
    with pytest.raises(Misused, match="output_usd_per_mtok is"):
        Price(1, wrong)


def test_a_script_is_played_in_order_and_the_requests_are_kept() -> None:
    model = ScriptedModel([call("find_order", order_id="1042"), say("It was sent."), "Bye."])
    first = ask(model)
    assert first.finish == "tool_calls"
    assert first.message == Assistant(None, (ToolCall("call_1_1", "find_order", '{"order_id":"1042"}'),))
    second = ask(model, User("a"), User("b"))
    assert (second.finish, second.message) == ("stop", Assistant("It was sent."))
    assert ask(model).message.content == "Bye."
    assert [len(request.messages) for request in model.requests] == [1, 2, 1]
    assert repr(model) == "<ScriptedModel 'scripted' 0 of 3 replies left, 3 requests>"


def test_several_calls_in_one_reply_with_text_beside_them_have_different_ids() -> None:
    own = ToolCall("mine", "b", "{}")
    model = ScriptedModel([calls(call("a", x=1), own, call("a", x=2), text="Both.")])
    message = ask(model).message
    assert message.content == "Both."
    assert [one.id for one in message.calls] == ["call_1_1", "mine", "call_1_2"]


def test_arguments_may_be_any_text_and_any_names() -> None:
    assert call("t", '{"half": ').calls[0].arguments == '{"half": '
    assert (
        call("t", {"is": 1, "tool": 2}, arguments=3).calls[0].arguments == '{"is":1,"tool":2,"arguments":3}'
    )
    with pytest.raises(Misused, match=r"call\('t'\): arguments as text and as keywords \(a\) at once"):
        call("t", "{}", a=1)


def test_a_script_that_is_used_up_names_its_length_and_the_last_message() -> None:
    model = ScriptedModel([say("a"), say("b")], name="clerk")
    ask(model)
    ask(model)
    with pytest.raises(ScriptEnded) as caught:
        ask(model, User("q"), ToolResult("c1", "find_order", "x" * 300))
    message = str(caught.value)
    assert "model 'clerk' was called 3 times and its script has 2 replies" in message
    assert "the last message was tool 'find_order': 'xxx" in message
    assert "… (300 characters)" in message


def test_by_position_a_script_goes_on_where_the_conversation_stands() -> None:
    script = [call("find_order", order_id="1042"), call("refund"), say("Done.")]
    begun = (User("Refund it."), Assistant(None, (ToolCall("c", "find_order", "{}"),)))
    later = (*begun, ToolResult("c", "find_order", "{}"))
    model = ScriptedModel(script, by="position")

    assert ask(model, *later).message.calls[0].name == "refund"  # another process began
    assert ask(model).message.calls[0].name == "find_order"
    assert ask(model, *later).message == ask(model, *later).message  # a fork, as often as one likes
    assert model.left == 1
    with pytest.raises(ScriptEnded, match="in a conversation with 3 replies and its script has 3 replies"):
        ask(model, *later, Assistant("a"), Assistant("b"))


def test_a_script_by_arrival_that_is_used_up_in_a_conversation_tells_of_the_other_kind() -> None:
    with pytest.raises(ScriptEnded, match="resumed or forked, give the model by='position'"):
        ask(ScriptedModel([]), User("a"), Assistant("b"))


def test_what_a_script_goes_by_is_one_of_two_and_only_for_a_list() -> None:
    with pytest.raises(Misused, match="by is 'turn'; it is 'arrival' or 'position'"):
        ScriptedModel([], by=cast("Any", "turn"))
    with pytest.raises(Misused, match="by='position' is for a list"):
        ScriptedModel(lambda _: "ok", by="position")


def test_each_message_says_whose_it_is_as_it_is_encoded() -> None:
    messages = (System("s"), User("u"), Assistant("a"), ToolResult("c", "t", "r"))
    assert [message.role for message in messages] == ["system", "user", "assistant", "tool"]
    data = msgspec.json.encode(messages)
    assert [entry["role"] for entry in msgspec.json.decode(data)] == ["system", "user", "assistant", "tool"]
    assert msgspec.json.decode(data, type=tuple[Message, ...]) == messages


def test_a_function_answers_by_the_request_with_ids_that_depend_on_it_alone() -> None:
    def reply(request: ModelRequest) -> Entry:
        last = request.messages[-1]
        return call("find_order") if isinstance(last, User) else "done"

    model = ScriptedModel(reply)
    ids = [ask(model).message.calls[0].id for _ in range(2)]
    assert ids == ["call_1_1", "call_1_1"]
    assert ask(model, ToolResult("c", "find_order", "{}")).message.content == "done"
    assert model.left is None


def test_failures_carry_kind_and_retry_time() -> None:
    model = ScriptedModel(
        [fail("rate_limited", retry_after_s=2), ValueError("boom"), fail("spend_limit", "no")]
    )
    with pytest.raises(ModelFailed, match="scripted failure: rate_limited") as caught:
        ask(model)
    assert (caught.value.kind, caught.value.retry_after_s, caught.value.retryable) == (
        "rate_limited",
        2,
        True,
    )
    with pytest.raises(ValueError, match="boom"):
        ask(model)
    with pytest.raises(ModelFailed, match="no") as spent:
        ask(model)
    assert not spent.value.retryable


def test_delays_pass_on_the_injected_clock() -> None:
    async def main() -> None:
        clock = ManualClock()
        model = ScriptedModel([slow(30, say("late")), hang()], clock=clock)
        request = ModelRequest(messages=(User("?"),))
        task = asyncio.create_task(model.respond(request))
        await clock.advance(29)
        assert not task.done()
        await clock.advance(1)
        assert (await task).message.content == "late"
        task = asyncio.create_task(model.respond(request))
        await clock.advance(1_000_000)
        assert not task.done()
        task.cancel()

    asyncio.run(main())


def test_a_stream_brings_the_text_in_pieces_and_then_the_whole_reply() -> None:
    text = "  It was\nsent  today. "
    items = asyncio.run(pieces(ScriptedModel([say(text)])))
    deltas = [item.text for item in items if isinstance(item, TextDelta)]
    assert len(deltas) == 4
    assert "".join(deltas) == text
    assert isinstance(items[-1], ModelReply)
    assert items[-1].message.content == text


def test_a_stream_of_calls_has_no_pieces() -> None:
    (only,) = asyncio.run(pieces(ScriptedModel([call("t")])))
    assert isinstance(only, ModelReply)


def test_a_stream_may_fail_in_the_middle() -> None:
    got: list[TextDelta | ModelReply] = []

    async def main() -> None:
        model = ScriptedModel([fail("incomplete", after="It was")])
        async for piece in model.stream(ModelRequest(messages=(User("?"),))):
            got.append(piece)  # noqa: PERF401  # extend would lose what came before the failure

    with pytest.raises(ModelFailed):
        asyncio.run(main())
    assert got == [TextDelta("It"), TextDelta(" was")]


def test_usage_is_as_given_or_a_quarter_of_the_characters() -> None:
    tool = ToolSpec("t", "", {})
    model = ScriptedModel([say("12345678", usage=Usage(7, 8)), say("12345678"), say("x")])
    assert ask(model).usage == Usage(7, 8)
    assert ask(model, User("1234"), Assistant(None, (ToolCall("i", "ab", "{}"),))).usage == Usage(2, 2)
    reply = asyncio.run(model.respond(ModelRequest(messages=(User("1"),), tools=(tool,))))
    assert reply.usage.input_tokens > 5
    assert ask(ScriptedModel(["a"], usage=Usage(1, 1))).usage == Usage(1, 1)


def test_a_reply_may_be_given_whole_or_as_a_message() -> None:
    whole = ModelReply(message=Assistant("x"), finish="length")
    model = ScriptedModel([whole, Assistant("y"), say("z", finish="content_filter")])
    assert ask(model) is whole
    assert ask(model).message.content == "y"
    assert ask(model).finish == "content_filter"


def test_what_was_sent_stays_as_it_was_and_is_bounded() -> None:
    async def main() -> None:
        messages: list[Message] = [User("one")]
        model = ScriptedModel(lambda _: "ok", keep_requests=2)
        for _ in range(3):
            await model.respond(ModelRequest(messages=messages))
            messages.append(User("more"))
        assert [len(request.messages) for request in model.requests] == [2, 3]
        assert model.request_count == 3

    asyncio.run(main())


def test_what_is_no_script_is_refused_where_it_is_made() -> None:
    with pytest.raises(Misused, match=r"not the text 'hello'; write \['hello'\]"):
        ScriptedModel("hello")
    with pytest.raises(Misused, match="entry 2 of a script is 7"):
        ScriptedModel(cast("Any", ["a", 7]))
    with pytest.raises(Misused, match="reply 1 of a script is None"):
        ask(ScriptedModel(cast("Any", lambda _: None)))
