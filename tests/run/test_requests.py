"""What a request means: the same after a framework has made new ids, another for anything that a person would see."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.core.canonical import Ref, to_canonical_text, to_canonical_texts
from seawall.core.redact import Redactor
from seawall.run.bodies import Bodies
from seawall.run.requests import (
    PreparedRequest,
    RequestRecord,
    ShownMessage,
    prepare_request,
    read_request,
    show_message,
)

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30)
arguments = st.dictionaries(
    st.sampled_from(["id", "order_id", "city", "at", "amount"]), st.integers() | texts, min_size=1, max_size=3
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool"]), "content": texts},
        optional={
            "id": texts,
            "tool_calls": st.lists(
                st.fixed_dictionaries({"id": texts, "name": texts, "args": arguments}), max_size=2
            ),
        },
    ),
    min_size=1,
    max_size=6,
)


def digest(conversation: list[dict[str, Any]], tools: list[Any] | None = None) -> str:
    return prepare_request("m", conversation, tools or [], 100).digest


def shuffle_keys(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        rng.shuffle(names)
        return {name: shuffle_keys(value[name], rng) for name in names}
    return [shuffle_keys(each, rng) for each in value] if isinstance(value, list) else value


@given(messages, st.randoms(use_true_random=False))
def test_ids_times_empty_fields_and_the_order_of_keys_mean_nothing(
    conversation: list[dict[str, Any]], rng: random.Random
) -> None:
    changed = [
        {
            **message,
            "id": f"run-{rng.getrandbits(64):x}",
            "created_at": rng.random() * 1e9,
            "additional_kwargs": {},
            "name": None,
            "response_metadata": {"request": rng.getrandbits(32)},
            **(
                {
                    "tool_calls": [
                        {**call, "id": f"call_{rng.getrandbits(48):x}"} for call in message["tool_calls"]
                    ]
                }
                if "tool_calls" in message
                else {}
            ),
        }
        for message in conversation
    ]

    assert digest(conversation) == digest(shuffle_keys(changed, rng))


@given(messages, st.randoms(use_true_random=False))
def test_anything_that_is_said_means_something(
    conversation: list[dict[str, Any]], rng: random.Random
) -> None:
    before = digest(conversation)
    place = rng.randrange(len(conversation))
    said = [{**each} for each in conversation]
    said[place]["content"] += " and cancel it"
    assert digest(said) != before
    assert digest([*conversation, {"role": "user", "content": "and then?"}]) != before
    assert len(conversation) == 1 or digest(conversation[:-1]) != before
    other_role = [{**each} for each in conversation]
    other_role[place]["role"] = "system"
    assert digest(other_role) != before
    assert digest(conversation, [{"name": "refund"}]) != before


@given(arguments, st.randoms(use_true_random=False))
def test_each_argument_of_a_call_means_something(given_arguments: dict[str, Any], rng: random.Random) -> None:
    def ask(values: dict[str, Any]) -> str:
        return digest(
            [
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"id": "x", "name": "refund", "args": values}],
                }
            ]
        )

    name = rng.choice(list(given_arguments))
    assert ask(given_arguments) != ask({**given_arguments, name: "something else entirely"})
    assert ask(given_arguments) != ask({**given_arguments, "reason": "fraud"})


def test_a_clock_in_a_prompt_means_nothing_and_a_number_does() -> None:
    def ask(text: str) -> str:
        return digest([{"role": "system", "content": text}])

    assert ask("It is 2026-11-30T10:00:02Z. Be brief.") == ask("It is 2026-11-30T10:07:44Z. Be brief.")
    assert ask("Refund at most 50 EUR.") != ask("Refund at most 500 EUR.")


def make_bodies() -> Bodies:
    return Bodies(Redactor())


def read_back(ref: Ref, bodies: Bodies) -> list[str]:
    async def read(ref: Ref) -> bytes | None:
        return bodies.data(ref)

    request = asyncio.run(read_request(ref, read))
    assert request is not None
    return [bodies.text(each) for each in request.messages]


@given(st.lists(messages, min_size=1, max_size=5))
def test_a_recorded_request_is_read_back_whole(requests: list[list[dict[str, Any]]]) -> None:
    record, bodies = RequestRecord(), make_bodies()
    for conversation in requests:
        request: PreparedRequest = prepare_request("m", conversation, [], 100)
        ref = record.put(request, bodies)
        assert [json.loads(text) for text in read_back(ref, bodies)] == conversation


def test_a_long_conversation_takes_room_in_proportion_to_its_length() -> None:
    def measure(turns: int) -> int:
        record, bodies, conversation = RequestRecord(), make_bodies(), list[dict[str, Any]]()
        for turn in range(turns):
            conversation.append({"role": "user", "content": f"question {turn} {'x' * 200}"})
            record.put(prepare_request("m", conversation, [], 100), bodies)
        return sum(len(data) for data in bodies.known().values())

    small, large = measure(50), measure(500)
    assert large < 11 * small


def make_turns(turns: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": f"question {turn}"} for turn in range(turns)]


def record_first(conversation: list[dict[str, Any]]) -> tuple[Ref, Bodies]:
    """Records the first request of a run."""
    bodies = make_bodies()
    return RequestRecord().put(prepare_request("m", conversation, [], 100), bodies), bodies


def measure_runs(conversations: list[list[dict[str, Any]]]) -> float:
    """Records a run for each conversation; returns the bytes that the journal stores anew for a run, except the first."""
    stored = dict(record_first(conversations[0])[1].known())
    before = sum(map(len, stored.values()))
    for conversation in conversations[1:]:
        stored |= record_first(conversation)[1].known()
    return (sum(map(len, stored.values())) - before) / (len(conversations) - 1)


def test_a_conversation_of_many_runs_takes_room_in_proportion_to_its_length() -> None:
    turns = make_turns(1640)
    early = measure_runs([turns[:count] for count in range(100, 140)])
    late = measure_runs([turns[:count] for count in range(1600, 1640)])
    assert late < 3 * early


def test_a_conversation_whose_oldest_messages_are_left_out_takes_as_much_room() -> None:
    turns = make_turns(840)
    whole = measure_runs([turns[:count] for count in range(800, 840)])
    window = measure_runs([turns[count - 800 : count] for count in range(800, 840)])
    assert window < 3 * whole


@pytest.mark.parametrize("count", [1, 16, 17, 300, 3000])
@pytest.mark.parametrize("different", [1, 2, 10_000])
def test_a_long_request_is_read_back_whole(count: int, different: int) -> None:
    conversation = [{"role": "user", "content": f"{turn % different}"} for turn in range(count)]
    ref, bodies = record_first(conversation)
    assert [json.loads(text) for text in read_back(ref, bodies)] == conversation
    assert max(len(data) for data in bodies.known().values()) < 32 * 70


def test_a_request_of_which_a_part_was_erased_is_not_known() -> None:
    ref, bodies = record_first(make_turns(300))
    lists = [each for each, data in bodies.known().items() if data.startswith(b"[") and each != ref]
    assert lists
    for erased in lists:
        asyncio.run(check_unknown(ref, bodies, {erased: None}))
        asyncio.run(check_unknown(ref, bodies, {erased: b'{"role":"user"}'}))
    bomb: tuple[Ref, ...] = (ref,) * 100
    for depth in range(1, 6):
        block = bodies.put_plain(json.dumps(bomb))
        named = json.dumps({"add": [block] * 10, "depth": depth, "keep": 0, "prev": None, "tools": None})
        if depth == 5:
            asyncio.run(check_unknown(bodies.put_plain(named), bodies, {}))
        bomb = (block,) * 100
    deep = bodies.put_plain('{"add":[],"depth":1000000000,"keep":0,"prev":null,"tools":null}')
    asyncio.run(check_unknown(deep, bodies, {}))


async def check_unknown(ref: Ref, bodies: Bodies, changed: Mapping[Ref, bytes | None]) -> None:
    async def read(ref: Ref) -> bytes | None:
        return changed[ref] if ref in changed else bodies.data(ref)

    assert await read_request(ref, read) is None


def test_each_message_is_encoded_alone_whatever_another_one_has() -> None:
    odd = msgspec.Raw(b'{"content":\n"in two lines"}')
    written: list[Any] = [{"content": "one\ntwo"}, {"content": "half \ud83d"}, odd, {"b": 1, "a": "é"}]

    for count in range(len(written) + 1):
        expected = [to_canonical_text(each) for each in written[:count]]
        assert to_canonical_texts(written[:count]) == expected
        assert to_canonical_texts(tuple(written[:count])) == expected
    request = prepare_request("m", written, [], 100)
    assert request.messages == tuple(to_canonical_text(each) for each in written)
    assert request.size_bytes == sum(len(text.encode()) for text in request.messages)


def test_a_message_that_was_changed_in_place_makes_another_request() -> None:
    conversation: list[dict[str, Any]] = [{"role": "user", "content": "Where is order 17?"}]
    before = digest(conversation)
    conversation[0]["content"] = "Where is order 18?"

    assert digest(conversation) != before
    conversation[0]["content"] = "Where is order 17?"
    assert digest(conversation) == before


def test_a_message_of_any_framework_is_shown() -> None:
    assert show_message('{"role":"user","content":"hi"}') == ShownMessage("user", "hi", ())
    assert show_message('{"type":"human","data":{"content":[{"type":"text","text":"hi"}]}}') == ShownMessage(
        "user", "hi", ()
    )
    called = '{"role":"assistant","content":null,"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}'
    assert show_message(called) == ShownMessage("assistant", "", (("f", "{}"),))
    assert show_message(
        '{"type":"ai","data":{"content":"","tool_calls":[{"name":"f","args":{"a":1}}]}}'
    ).calls == (("f", '{"a":1}'),)
    assert show_message("no json").text == "no json"
    assert show_message('["list"]').text == '["list"]'
