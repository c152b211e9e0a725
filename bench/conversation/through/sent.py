"""What a framework sends to the model's server, byte by byte; the server; and how two players' requests are compared."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from conversation.script import Message, Script
from seawall.models.protocol import Assistant, ModelReply, ToolCall, Usage
from seawall.testing.wire import CONVERSATION_HEADER, ChatRequest, Raw, answer_error, make_all_comparable

_LEFT_OUT = (b"host", b"content-length")
SHOWN_CHARS = 160
"""Of each side of a difference."""


@dataclass(frozen=True)
class Request:
    """One request, as the client wrote it."""

    head: bytes
    """Method, path and headers, but for the server's port and the length of the body, which advice changes."""
    body: bytes


class Sent:
    """A client that keeps every request before it goes out."""

    def __init__(self) -> None:
        self.requests: dict[str, list[Request]] = defaultdict(list)
        """By conversation."""
        self.client = httpx2.AsyncClient(timeout=60.0, event_hooks={"request": [self._keep]})

    async def _keep(self, request: httpx2.Request) -> None:
        body = await request.aread()
        lines = [f"{request.method} {request.url.raw_path.decode()}".encode()]
        lines += [b"%s: %s" % pair for pair in request.headers.raw if pair[0].lower() not in _LEFT_OUT]
        self.requests[request.headers[CONVERSATION_HEADER]].append(Request(b"\r\n".join(lines), body))


class Server:
    """Answers the n-th request of a conversation as recorded, and compares its message list with the script's."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        self._rows: dict[str, list[Message]] = {one.key: one.rows[0]["messages"] for one in scripts}
        self._requests = {one.key: [run.request for run in one.runs] for one in scripts}
        self._comparable = {key: _read_all(messages) for key, messages in self._rows.items()}
        self.matched = 0
        self.problems: list[str] = []

    def answer(self, request: ChatRequest) -> ModelReply | Raw:
        """The recorded reply; a difference is noted, and answered all the same."""
        key = request.conversation or ""
        messages = self._rows.get(key, [])
        replies = [place for place, one in enumerate(messages) if one["role"] == "assistant"]
        number = sum(one["role"] == "assistant" for one in request.messages)
        if number >= len(replies):
            self.problems.append(f"{key}: request {number + 1}, and {len(replies)} are recorded")
            return answer_error(400, self.problems[-1])
        place = replies[number]
        want, have = self._want(key, place), _read_all(request.messages)
        if want == have:
            self.matched += 1
        else:
            at = next(n for n in range(place + 2) if want[n : n + 1] != have[n : n + 1])
            self.problems.append(
                f"{key}, message {at}: expected {_show(want[at : at + 1])}, and got {_show(have[at : at + 1])}"
            )
        said = messages[place]
        calls = tuple(
            ToolCall(one["id"], one["function"]["name"], one["function"]["arguments"])
            for one in said.get("tool_calls") or ()
        )
        finish = "tool_calls" if calls else "stop"
        return ModelReply(message=Assistant(said["content"], calls), usage=Usage(place, 1), finish=finish)

    def _want(self, key: str, place: int) -> list[dict[str, Any]]:
        """The messages before this one: advice on a request is a message of its own, and only in the request's first call."""
        made: list[dict[str, Any]] = []
        requests = iter(self._requests[key])
        for number, one in enumerate(self._comparable[key][:place], start=1):
            if one["role"] != "user":
                made.append(one)
                continue
            text = next(requests)
            made.append({**one, "content": text})
            note = one["content"].removeprefix(text).lstrip()
            made += [{**one, "content": note}] if note and number == place else []
        return made


def _read_all(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages in the form in which they are compared; arguments as what they say, since LangChain writes them anew."""
    made = make_all_comparable(messages)
    for one in made:
        for call in one.get("tool_calls") or ():
            call["function"] = {**call["function"], "arguments": json.loads(call["function"]["arguments"])}
    return made


@dataclass(kw_only=True)
class Compared:
    """The requests of one conversation, plain and gated."""

    same: int = 0
    """Equal to the byte."""
    advised: int = 0
    """Equal but for what a guard has advised, which is exactly that."""
    halted: int = 0
    """Plain requests after the one at which the gated run was halted."""
    problems: list[str] = field(default_factory=list)


def compare(plain: Sequence[Request], gated: Sequence[Request], scripts: tuple[Script, Script]) -> Compared:
    """Compare a conversation's requests; `scripts` are what it is without and with the guard."""
    found = Compared()
    key = scripts[0].key
    notes = list_notes(*scripts)
    wanted = sum(one["role"] == "assistant" for one in scripts[1].rows[0]["messages"])
    if len(gated) != wanted:
        found.problems.append(f"{key}: {len(gated)} gated requests, and {wanted} are expected")
    for number, (one, other) in enumerate(zip(plain, gated, strict=False), start=1):
        if one == other:
            found.same += 1
        elif one.head == other.head and _is_same_but_for(notes, one.body, other.body):
            found.advised += 1
        else:
            found.problems.append(f"{key}, request {number}: {_show_bytes(one, other)}")
    found.halted = max(0, len(plain) - len(gated)) if scripts[1].runs[-1].halted else 0
    return found


def list_notes(plain: Script, gated: Script) -> list[str]:
    """What guards add to results and requests."""
    pairs = zip(plain.rows[0]["messages"], gated.rows[0]["messages"], strict=False)
    told = [(a["content"], b["content"]) for a, b in pairs if a["role"] in ("tool", "user")]
    return [b.removeprefix(a).lstrip() for a, b in told if a != b]


def _is_same_but_for(notes: Sequence[str], one: bytes, other: bytes) -> bool:
    less = remove(other, notes)
    return remove(one, ()) == less != remove(other, ())


def remove(body: bytes, notes: Sequence[str]) -> bytes:
    """A request's body, written anew without what guards have added: below a result, or as a message of its own."""
    sent = json.loads(body)
    sent["messages"] = [one for one in sent["messages"] if one.get("content") not in notes]
    for one in sent["messages"]:
        if one["role"] == "tool":
            for note in notes:
                one["content"] = one["content"].removesuffix(f"\n\n{note}")
    return json.dumps(sent).encode()


def _show_bytes(one: Request, other: Request) -> str:
    pairs = ((one.head, other.head), (one.body, other.body))
    a, b = next(pair for pair in pairs if pair[0] != pair[1])
    at = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    begin = max(0, at - 20)
    return f"at byte {at}: plain {a[begin:][:SHOWN_CHARS]!r}, gated {b[begin:][:SHOWN_CHARS]!r}"


def _show(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
