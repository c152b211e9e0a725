"""Chat completions, as compatible servers write them."""

from __future__ import annotations

from typing import Any

from seawall.models.providers.normalizers.calls import Calls
from seawall.models.providers.normalizers.counts import UsageReports
from seawall.models.providers.normalizers.protocol import FinishSoFar, NamedEvent, is_error
from seawall.models.providers.normalizers.thoughts import TagSplitter, close_thoughts
from seawall.models.providers.normalizers.values import (
    as_dict,
    as_index,
    as_list,
    as_number,
    as_text,
    join_content,
)

_ALIASES = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
_CHECKED = ("role", "content", "tool_calls", "function_call", "refusal", "audio", "annotations", "logprobs")
"""Fields of a message that are read here or dropped; all other fields are passed on."""
_REASONING = ("reasoning", "reasoning_content")


def make(tools: frozenset[str]) -> ChatNormalizer:
    """Returns the normalizer of one reply."""
    return ChatNormalizer(tools)


class ChatNormalizer:
    """Reads a chat completion. In a stream it passes the text on, and holds back calls, finish marker and usage."""

    def __init__(self, tools: frozenset[str]) -> None:
        self.finish = FinishSoFar()
        self.usage = UsageReports(
            ("prompt_tokens",), ("completion_tokens",), total="total_tokens", aliases=_ALIASES
        )
        self._calls = Calls(tools)
        self._tags = TagSplitter()
        self._choice: int | None = None
        self._top: dict[str, Any] = {}
        self._begun = False

    def __repr__(self) -> str:
        return f"<ChatNormalizer {self.finish.marker} {self._calls!r}>"

    def read_whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns the completion with one choice."""
        choice = self._read_top(body)
        if is_error(body) or choice is None:
            return body
        if failed := choice.get("error"):
            return {"error": failed}
        message = self._read_message(choice.get("message") or choice.get("delta"), whole=True)
        if text := message.setdefault("content", None):
            message["content"] = close_thoughts(text)
        message["role"] = "assistant"
        if len(self._calls):
            message["tool_calls"] = self._calls.write()
        made = {"index": 0, "message": message, "finish_reason": self.finish.marker}
        return {**self._top, "object": "chat.completion", "choices": [made], "usage": self.usage.merged}

    def read_event(self, name: str | None, data: dict[str, Any]) -> list[NamedEvent]:
        """Returns chunks with the text of this event."""
        if is_error(data):
            return [(name, data)]
        if data.get("object") == "error" or ("message" in data and "choices" not in data):
            return [(name, {"error": data})]
        choice = self._read_top(data)
        self._begun = True
        if choice is None:
            return []
        if failed := choice.get("error"):
            return [(name, {"error": failed})]
        given = choice.get("delta") or choice.get("message")
        return self._write_pieces(self._read_message(given, whole=False))

    def split_whole(self, body: dict[str, Any]) -> list[NamedEvent]:
        """Returns the completion as a stream of two chunks."""
        if is_error(body):
            return [(None, body)]
        choice = self._read_top(body)
        self._begun = True
        if choice is None:
            return []
        message = self._read_message(choice.get("message") or choice.get("delta"), whole=True)
        return [*self._write_pieces(message), *self.finish_stream()]

    def finish_stream(self) -> list[NamedEvent]:
        """Returns a last chunk with all calls, the finish marker and the usage."""
        if not self._begun:
            return []
        self._begun = False
        delta = {"tool_calls": self._calls.write()} if len(self._calls) else dict[str, Any]()
        held = [self._write({"content": piece}) for piece in self._tags.finish()]
        return [*held, self._write(delta, self.finish.marker, self.usage.merged)]

    def _write_pieces(self, delta: dict[str, Any]) -> list[NamedEvent]:
        """Returns a delta as chunks, each with one piece of its text."""
        pieces = self._tags.feed(delta.pop("content", ""))
        first = [self._write(delta)] if delta or not pieces else []
        return [*first, *(self._write({"content": piece}) for piece in pieces)]

    def _write(
        self, delta: dict[str, Any], finish: str | None = None, usage: dict[str, Any] | None = None
    ) -> NamedEvent:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return None, {**self._top, "object": "chat.completion.chunk", "choices": [choice], "usage": usage}

    def _read_top(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Records the fields beside the choices, and returns the choice that is read; None if there is none."""
        known = self._top
        self._top = {
            "id": as_text(body.get("id")) or known.get("id", ""),
            "created": int(as_number(body.get("created"))) or known.get("created", 0),
            "model": as_text(body.get("model")) or known.get("model", ""),
            "service_tier": as_text(body.get("service_tier")) or known.get("service_tier"),
        }
        self.usage.add(body.get("usage"))
        self.usage.add(as_dict(body.get("x_groq")).get("usage"))
        choice = self._choose(as_list(body.get("choices")))
        if choice is not None:
            self.usage.add(choice.get("usage"))
            self.finish.add(choice.get("finish_reason"))
        return choice

    def _choose(self, choices: list[Any]) -> dict[str, Any] | None:
        """Returns the choice that is read: the first one that came, if the request asked for several."""
        listed = [as_dict(one) for one in choices]
        by_index = {as_index(one.get("index")) or 0: one for one in reversed(listed) if one}
        if self._choice is None and by_index:
            self._choice = min(by_index)
        return by_index.get(self._choice or 0)

    def _read_message(self, given: object, *, whole: bool) -> dict[str, Any]:
        """Records the calls of a message or delta, and returns the message without them."""
        message = as_dict(given)
        made = {key: value for key, value in message.items() if key not in _CHECKED}
        for name in _REASONING:
            if not isinstance(made.get(name, ""), str):
                del made[name]
        if message.get("refusal"):
            self.finish.add("content_filter")
        self._calls.add(message.get("tool_calls"), whole=whole)
        if as_dict(message.get("function_call")):
            self._calls.add({"index": 0, "function": message["function_call"]}, whole=whole)
        if (text := join_content(message.get("content"))) is not None:
            made["content"] = text
        return made
