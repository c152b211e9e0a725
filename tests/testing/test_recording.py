"""Recordings: a request that equals a recorded beginning gets the recorded reply; any other is reported."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("h11")

from seawall.core.errors import Misused
from seawall.models.protocol import ModelReply
from seawall.testing.model_server import ModelServer
from seawall.testing.recording import Recording
from seawall.testing.wire import ChatRequest, Raw
from testing.client import Connection

Messages = list[dict[str, Any]]
ARGUMENTS = '{"order_id":  "1"}'


def said(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def looked_up(call_id: str) -> dict[str, Any]:
    function = {"name": "find_order", "arguments": ARGUMENTS}
    return said("assistant", None, tool_calls=[{"id": call_id, "type": "function", "function": function}])


def conversation(ending: str) -> Messages:
    return [
        said("system", "Be brief."),
        said("user", "Where is order 1?"),
        looked_up("c1"),
        said("tool", "{}", tool_call_id="c1", name="find_order"),
        said("assistant", ending),
        said("user", "Thanks."),
        said("assistant", "Bye."),
        said("user", "###STOP###"),
    ]


def recording() -> Recording:
    rows = [
        {"id": "a", "messages": conversation("It was sent.")},
        {"id": "b", "messages": conversation("No idea.")},
    ]
    return Recording(rows)


def ask(played: Recording, messages: Messages, key: str | None = None) -> ModelReply | str:
    """The reply, or what the 400 says."""
    headers = {"x-seawall-conversation": key} if key else {}
    got = played(ChatRequest(number=1, path="/", headers=headers, body={"messages": messages}))
    if isinstance(got, ModelReply):
        return got
    assert isinstance(got, Raw)
    assert got.status == 400
    (body,) = got.parts
    assert isinstance(body, bytes)
    text: str = json.loads(body)["error"]["message"]
    return text


def test_each_beginning_of_a_conversation_gets_what_followed() -> None:
    played = recording()
    for key, ending in (("a", "It was sent."), ("b", "No idea.")):
        messages = conversation(ending)
        first = ask(played, messages[:2], key)
        assert isinstance(first, ModelReply)
        assert (first.message.content, first.message.calls[0].arguments) == (None, ARGUMENTS)
        assert first.finish == "tool_calls"
        second = ask(played, messages[:4], key)
        assert isinstance(second, ModelReply)
        assert second.message.content == ending
        assert key not in played.finished
        ask(played, messages[:6], key)
        assert key in played.finished
    assert played.report() == {
        "conversations": 2,
        "finished": 2,
        "matched": 6,
        "mismatched": 0,
        "mismatches": [],
    }


@pytest.mark.parametrize("place", ["header", "user", "metadata"])
def test_the_key_may_be_a_header_the_user_or_metadata(place: str) -> None:
    body: dict[str, Any] = {"messages": conversation("No idea.")[:4]}
    headers: dict[str, str] = {}
    if place == "header":
        headers["x-seawall-conversation"] = "b"
    else:
        body |= {"user": "b"} if place == "user" else {"metadata": {"conversation": "b"}}
    got = recording()(ChatRequest(number=1, path="/", headers=headers, body=body))
    assert isinstance(got, ModelReply)
    assert got.message.content == "No idea."


def test_without_a_key_a_beginning_with_one_continuation_is_found_and_with_two_is_not() -> None:
    played, messages = recording(), conversation("It was sent.")
    assert isinstance(ask(played, messages[:2]), ModelReply)
    assert isinstance(ask(played, messages[:6]), ModelReply)
    told = ask(played, messages[:4])
    assert isinstance(told, str)
    assert "2 conversations go on differently from here; name one" in told
    assert "one of a, b" in told


def test_another_call_id_is_no_difference_if_the_result_has_it_too() -> None:
    played, messages = recording(), conversation("It was sent.")[:4]
    messages[2] = {**messages[2], "tool_calls": looked_up("c2")["tool_calls"]}
    text = ask(played, messages, "a")
    assert isinstance(text, str) and "message 3: tool_call_id differs" in text

    messages[3] = {**messages[3], "tool_call_id": "c2"}
    for key in ("a", None):
        assert isinstance(ask(played, messages, key), ModelReply) == (key == "a")


def test_a_text_without_a_letter_is_equal_to_what_is_sent_in_its_place() -> None:
    rows = [
        {"id": "a", "messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "Yes?"}]}
    ]
    assert isinstance(ask(Recording(rows), [{"role": "user", "content": "[empty]"}], "a"), ModelReply)


@pytest.mark.parametrize(
    ("at", "change", "told"),
    [
        (0, {"content": "Be verbose."}, ["message 0: content differs", "'Be brief.'", "'Be verbose.'"]),
        (1, {"role": "system"}, ["message 1: role differs", "'user'", "'system'"]),
        (2, {"content": "Hm."}, ["message 2: content differs", "null", "'Hm.'"]),
        (3, {"tool_call_id": "c9"}, ["message 3: tool_call_id differs", "'c1'", "'c9'"]),
        (3, {"content": "{ }"}, ["message 3: content differs", "'{}'", "'{ }'"]),
        (3, {"extra": 1}, ["message 3: extra differs", "null", "1"]),
    ],
)
def test_a_difference_is_shown_with_what_was_expected_and_got(
    at: int, change: dict[str, Any], told: list[str]
) -> None:
    played, messages = recording(), conversation("It was sent.")[:4]
    messages[at] = {**messages[at], **change}
    for key in ("a", None):
        text = ask(played, messages, key)
        assert isinstance(text, str)
        assert all(part in text for part in told), text
    assert (played.matched, played.mismatched) == (0, 2)
    assert [one.at for one in played.mismatches] == [at, at]


def test_a_long_difference_is_shown_from_a_little_before_it() -> None:
    messages = conversation("x" * 10_000 + "END")
    played = Recording([{"id": "a", "messages": messages}])
    text = ask(played, [*messages[:4], said("assistant", "x" * 10_000 + "FIN"), messages[5]], "a")
    assert isinstance(text, str)
    assert "(at 9941) …" in text
    assert "END" in text
    assert "FIN" in text
    assert len(text) < 1000


def test_arguments_that_mean_the_same_are_still_different_text() -> None:
    messages = conversation("It was sent.")[:4]
    function = {"name": "find_order", "arguments": '{"order_id": "1"}'}
    call = {"id": "c1", "type": "function", "function": function}
    messages[2] = {**messages[2], "tool_calls": [call]}
    assert "tool_calls differs" in str(ask(recording(), messages, "a"))


def test_what_the_protocol_has_in_two_forms_is_equal() -> None:
    messages = conversation("It was sent.")[:4]
    messages[1] = said("user", None) | {"content": [{"type": "text", "text": "Where is order 1?"}]}
    messages[2] = {key: value for key, value in messages[2].items() if key != "content"}
    messages[3] = {key: value for key, value in messages[3].items() if key != "name"}
    assert isinstance(ask(recording(), messages, "a"), ModelReply)


@pytest.mark.parametrize(
    ("messages", "key", "told"),
    [
        (conversation("It was sent."), "a", "no reply is recorded here"),
        (conversation("It was sent.")[:3], "a", "a tool message to come first"),
        ([*conversation("It was sent."), said("user", "more")], "a", "goes on after the recorded end"),
        (conversation("It was sent.")[:2], "zzz", "unknown conversation"),
        ([], "a", "a system message to come first"),
    ],
)
def test_a_request_where_no_reply_is_recorded_says_why(messages: Messages, key: str, told: str) -> None:
    assert told in str(ask(recording(), messages, key))


def test_kept_mismatches_are_bounded_and_all_are_counted() -> None:
    played = recording()
    for _ in range(150):
        ask(played, [said("user", "?")], "a")
    assert (played.mismatched, len(played.mismatches)) == (150, 100)


def test_a_file_that_is_no_recording_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"id": "a", "messages": []}\n{"id": "b"}\n')
    with pytest.raises(Misused, match=r"r\.jsonl, line 2 is not a recorded conversation"):
        Recording.load(path)
    with pytest.raises(Misused, match="can't read the recording"):
        Recording.load(tmp_path / "missing.jsonl.gz")
    with pytest.raises(Misused, match="two recorded conversations have the id 'a'"):
        Recording([{"id": "a", "messages": []}] * 2)


def written(directory: Path) -> Path:
    path = directory / "r.jsonl.gz"
    rows = [{"id": key, "messages": conversation(key), "more": 1} for key in ("a", "b")]
    path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in rows).encode()))
    return path


def started(path: Path) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-W", "error", "-m", "seawall.testing.model_server", "--recording", str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())["base_url"]


@pytest.mark.parametrize("how", ["SIGTERM", "stdin"])
def test_in_its_own_process_it_prints_its_url_and_in_the_end_a_report(tmp_path: Path, how: str) -> None:
    process, url = started(written(tmp_path))

    async def main() -> None:
        port = int(url.rsplit(":", 1)[1].split("/", 1)[0])
        connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
        good = await connection.ask({"messages": conversation("a")[:4], "user": "a"})
        assert good.json["choices"][0]["message"]["content"] == "a"
        bad = await connection.ask({"messages": conversation("b")[:5], "user": "a"})
        assert (bad.status, bad.json["error"]["code"]) == (400, "recording_mismatch")
        await connection.close()

    asyncio.run(main())
    if how == "SIGTERM":
        os.kill(process.pid, signal.SIGTERM)
    last, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    report = json.loads(last)
    assert {name: report[name] for name in ("requests", "matched", "mismatched", "finished")} == {
        "requests": 2,
        "matched": 1,
        "mismatched": 1,
        "finished": 0,
    }
    assert report["mismatches"][0]["problem"] == "content differs"


def test_a_recording_that_cannot_be_read_ends_the_process_with_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "seawall.testing.model_server", "--recording", str(tmp_path / "no")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "can't read the recording" in done.stderr


def test_through_the_real_client_each_request_equals_the_recording() -> None:
    pytest.importorskip("pydantic_ai")
    from seawall.models.protocol import (  # with what needs the extra
        Assistant,
        Message,
        ModelRequest,
        System,
        ToolResult,
        User,
    )
    from seawall.models.providers import resolve  # the extra

    async def main() -> None:
        played = recording()
        async with ModelServer(played) as server, resolve("openai:m", base_url=server.base_url) as model:
            for key, ending in (("a", "It was sent."), ("b", "No idea.")):
                settings = {"extra_headers": {"x-seawall-conversation": key}}
                messages: list[Message] = []
                for row in conversation(ending):
                    if row["role"] == "assistant":
                        reply = await model.respond(ModelRequest(messages=messages, settings=settings))
                        *_, last = [
                            item
                            async for item in model.stream(ModelRequest(messages=messages, settings=settings))
                        ]
                        assert isinstance(last, ModelReply)
                        assert last.message == reply.message
                        messages.append(reply.message)
                        assert isinstance(reply.message, Assistant)
                    elif row["role"] == "tool":
                        messages.append(ToolResult(row["tool_call_id"], row["name"], row["content"]))
                    else:
                        messages.append((System if row["role"] == "system" else User)(row["content"]))
        assert played.mismatches == []
        assert played.finished == {"a", "b"}

    asyncio.run(main())
