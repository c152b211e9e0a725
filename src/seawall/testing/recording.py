"""Recorded conversations that a `ModelServer` plays back. Every request must equal a prefix of a recording."""

from __future__ import annotations

import gzip
import hashlib
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from seawall.core.canonical import to_canonical_bytes
from seawall.core.errors import Misused
from seawall.models.protocol import Assistant, ModelReply, ToolCall, Usage
from seawall.testing.wire import ChatRequest, Raw, answer_error, make_all_comparable, make_comparable

_KEPT_MISMATCHES = 100  # kept with their differences; further ones are only counted
_SHOWN_CHARS = 300  # characters shown of a value that differs
_BEFORE_CHARS = 60  # shown of the equal text before the first difference


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """A request that is not a prefix of its recording."""

    request: int
    conversation: str | None
    at: int
    """The index of the first message that differs, from 0."""
    problem: str
    """The field that differs, or the reason why there is no reply."""
    expected: str
    got: str

    def __str__(self) -> str:
        name = self.conversation or "no conversation"
        head = f"request {self.request} ({name}), message {self.at}: {self.problem}"
        return f"{head}\n  expected {self.expected}\n  got      {self.got}"


class Recording:
    """A handler that answers each request as recorded, or with a 400 and a `Mismatch`.

    Each row has `id` and `messages` in OpenAI's form. A request names its conversation by the header
    `x-seawall-conversation`, the field `user`, or `metadata.conversation`:

        ModelRequest(…, settings={"extra_headers": {"x-seawall-conversation": "0-0-0"}})

    Its whole message list must then equal the beginning of that conversation, and the reply is the assistant's
    message that follows. If a request names none, all conversations are searched for its list; it is a mismatch if
    several continue it differently. `wire.make_all_comparable` says how they
    are compared.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._messages: dict[str, list[dict[str, Any]]] = {}
        self._comparable: dict[str, list[dict[str, Any]]] = {}
        self._prefixes: dict[str, list[bytes]] = {}
        self._by_prefix: dict[bytes, list[str]] = {}
        self._last: dict[str, int] = {}
        for row in rows:
            self._add(str(row["id"]), row["messages"])
        self.matched = 0
        self.mismatched = 0
        self._mismatches: deque[Mismatch] = deque(maxlen=_KEPT_MISMATCHES)
        self._finished: set[str] = set()

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Reads rows from a file of JSON lines, gzipped if its name ends in `.gz`. Raises `Misused`, which names a bad line."""
        path = Path(path)
        try:
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        except (OSError, EOFError) as failed:
            raise Misused(f"can't read the recording {path}: {failed}") from failed
        rows: list[Mapping[str, Any]] = []
        for number, line in enumerate(data.splitlines(), start=1):
            try:
                row = msgspec.json.decode(line)
                rows.append({"id": row["id"], "messages": row["messages"]})
            except (msgspec.DecodeError, KeyError, TypeError) as failed:
                raise Misused(f"{path}, line {number} is not a recorded conversation: {failed!r}") from failed
        return cls(rows)

    def _add(self, key: str, messages: list[dict[str, Any]]) -> None:
        if key in self._messages:
            raise Misused(f"two recorded conversations have the id {key!r}")
        self._messages[key] = messages
        self._comparable[key] = comparable = make_all_comparable(messages)
        digests = _digest_prefixes(comparable)
        self._prefixes[key] = digests
        for place, message in enumerate(messages):
            if message["role"] == "assistant":
                self._by_prefix.setdefault(digests[place], []).append(key)
                self._last[key] = place

    @property
    def conversations(self) -> tuple[str, ...]:
        """The ids of all conversations."""
        return tuple(self._messages)

    @property
    def mismatches(self) -> list[Mismatch]:
        """The latest mismatches; `mismatched` counts all of them."""
        return list(self._mismatches)

    @property
    def finished(self) -> set[str]:
        """The conversations whose last recorded reply was requested."""
        return set(self._finished)

    def report(self) -> dict[str, Any]:
        """Returns the counts and the kept mismatches, for JSON."""
        return {
            "conversations": len(self._messages),
            "finished": len(self._finished),
            "matched": self.matched,
            "mismatched": self.mismatched,
            "mismatches": [msgspec.to_builtins(one) for one in self._mismatches],
        }

    def __repr__(self) -> str:
        return (
            f"<Recording {len(self._messages)} conversations, {self.matched} matched, {self.mismatched} not>"
        )

    def __call__(self, request: ChatRequest) -> ModelReply | Raw:
        """Returns the recorded reply to a request, or a 400 with the difference."""
        messages, key = request.messages, request.conversation
        place = len(messages)
        found = self._find_by_key(request, key) if key is not None else self._find_by_messages(request)
        if isinstance(found, Mismatch):
            self.mismatched += 1
            self._mismatches.append(found)
            return answer_error(400, str(found), code="recording_mismatch")
        self.matched += 1
        if place == self._last[found]:
            self._finished.add(found)
        return _make_reply(self._messages[found][place], place)

    def _find_by_key(self, request: ChatRequest, key: str) -> str | Mismatch:
        recorded = self._messages.get(key)
        place = len(request.messages)
        if recorded is None:
            known = f"{len(self._messages)} conversations"
            return self._make_mismatch(request, key, 0, "unknown conversation", f"one of {known}", key)
        answers = place < len(recorded) and recorded[place]["role"] == "assistant"
        if answers and _digest(make_all_comparable(request.messages)) == self._prefixes[key][place]:
            return key
        return self._find_difference(request, key)

    def _find_by_messages(self, request: ChatRequest) -> str | Mismatch:
        messages = make_all_comparable(request.messages)
        keys = self._by_prefix.get(_digest(messages), [])
        if keys:
            nexts = {to_canonical_bytes(self._comparable[key][len(messages)]) for key in keys}
            if len(nexts) == 1:
                return keys[0]
            known = ", ".join(keys[:5])
            problem = f"{len(keys)} conversations go on differently from here; name one"
            return self._make_mismatch(request, None, len(messages), problem, f"one of {known}", "no key")
        best = max(
            self._comparable, key=lambda key: _count_equal(self._comparable[key], messages), default=None
        )
        if best is None:
            return self._make_mismatch(request, None, 0, "the recording is empty", "nothing", "a request")
        return self._find_difference(request, best)

    def _find_difference(self, request: ChatRequest, key: str) -> Mismatch:
        recorded, messages = self._comparable[key], make_all_comparable(request.messages)
        at = _count_equal(recorded, messages)
        if at == len(messages):
            role = recorded[at]["role"] if at < len(recorded) else None
            expected = "the end of the recording" if role is None else f"a {role} message to come first"
            return self._make_mismatch(
                request, key, at, "no reply is recorded here", expected, "a request for one"
            )
        got = _shorten(messages[at])
        if at >= len(recorded):
            return self._make_mismatch(
                request, key, at, "goes on after the recorded end", f"{len(recorded)} messages", got
            )
        want, have = recorded[at], messages[at]
        fields = [name for name in {**want, **have} if want.get(name) != have.get(name)]
        name = "role" if "role" in fields else fields[0]
        raw, sent = make_comparable(self._messages[key][at]), make_comparable(request.messages[at])
        if raw.get(name) != sent.get(name):
            want, have = raw, sent
        shown = _show_difference(want.get(name), have.get(name))
        return self._make_mismatch(request, key, at, f"{name} differs", *shown)

    def _make_mismatch(
        self, request: ChatRequest, key: str | None, at: int, problem: str, expected: str, got: str
    ) -> Mismatch:
        return Mismatch(
            request=request.number, conversation=key, at=at, problem=problem, expected=expected, got=got
        )


def _digest_prefixes(messages: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Returns for each position the digest of the messages before it."""
    running = hashlib.blake2b(digest_size=16)
    made = [running.digest()]
    for message in messages:
        running.update(to_canonical_bytes(message))
        running.update(b"\n")
        made.append(running.digest())
    return made


def _digest(messages: Iterable[Mapping[str, Any]]) -> bytes:
    running = hashlib.blake2b(digest_size=16)
    for message in messages:
        running.update(to_canonical_bytes(message))
        running.update(b"\n")
    return running.digest()


def _count_equal(recorded: list[dict[str, Any]], messages: list[dict[str, Any]]) -> int:
    """Returns how many messages at the beginning are equal."""
    for place, (want, have) in enumerate(zip(recorded, messages, strict=False)):
        if want != have:
            return place
    return min(len(recorded), len(messages))


def _shorten(value: object) -> str:
    text = value if isinstance(value, str) else to_canonical_bytes(value).decode()
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}… ({len(text)} characters)"


def _show_difference(want: object, have: object) -> tuple[str, str]:
    """Returns both values, each from a little before their first difference."""
    texts = [repr(one) if isinstance(one, str) else to_canonical_bytes(one).decode() for one in (want, have)]
    pairs = enumerate(zip(*texts, strict=False))
    first = next((place for place, (a, b) in pairs if a != b), min(map(len, texts)))
    start = max(0, first - _BEFORE_CHARS)
    lead = f"(at {start}) …" if start else ""
    return lead + _shorten(texts[0][start:]), lead + _shorten(texts[1][start:])


def _make_reply(message: Mapping[str, Any], place: int) -> ModelReply:
    given = cast("list[dict[str, Any]]", message.get("tool_calls") or [])
    made = tuple(ToolCall(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in given)
    return ModelReply(
        message=Assistant(message.get("content"), made),
        usage=Usage(place, 1),
        finish="tool_calls" if made else "stop",
    )
