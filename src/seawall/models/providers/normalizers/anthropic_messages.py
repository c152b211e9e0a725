"""Anthropic's messages protocol, as compatible servers and gateways write it."""

from __future__ import annotations

from typing import Any

from seawall.models.providers.normalizers.counts import UsageReports
from seawall.models.providers.normalizers.protocol import FinishSoFar, NamedEvent, is_error
from seawall.models.providers.normalizers.values import (
    as_dict,
    as_ident,
    as_index,
    as_list,
    as_text,
    read_arguments,
    write_arguments,
)

_INPUTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_ALIASES = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
_EVENTS = (
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
)
_BLOCK_TYPES = {"partial_json": "input_json_delta", "signature": "signature_delta"}
_TYPES_BY_FIELD = {"thinking": "thinking", "text": "text", "input": "tool_use", "name": "tool_use"}


def make(tools: frozenset[str]) -> AnthropicNormalizer:
    """Returns the normalizer of one reply."""
    del tools  # a block's beginning and end say which pieces belong together
    return AnthropicNormalizer()


class AnthropicNormalizer:
    """Reads a message. In a stream it writes each call in one piece, and holds back the stop reason and the usage."""

    def __init__(self) -> None:
        self.finish = FinishSoFar()
        self.usage = UsageReports(_INPUTS, ("output_tokens",), aliases=_ALIASES)
        self._begun = self._ended = False
        self._blocks = 0
        self._calls = 0
        self._by_index: dict[int, int] = {}
        self._call: dict[str, Any] | None = None
        self._pieces: list[str] = []

    def __repr__(self) -> str:
        return f"<AnthropicNormalizer {self.finish.marker} {self._blocks} blocks>"

    def read_whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns the message with all of its blocks."""
        if is_error(body) or not ("content" in body or "stop_reason" in body):
            return body
        self.usage.add(body.get("usage"))
        self.finish.add(body.get("stop_reason"))
        blocks: list[dict[str, Any]] = []
        for one in _list_blocks(body.get("content")):
            block = self._read_block(one)
            if block.get("type") == "tool_use":
                block["input"] = read_arguments(block.get("input"))
            blocks.append(block)
        return {**self._write_message(body), "content": blocks, "stop_reason": self._stop()}

    def split_whole(self, body: dict[str, Any]) -> list[NamedEvent]:
        """Returns the message as a stream."""
        if is_error(body) or not ("content" in body or "stop_reason" in body):
            return [("error" if is_error(body) else None, body)]
        made = self.read_event("message_start", {"type": "message_start", "message": body})
        for place, block in enumerate(_list_blocks(body.get("content"))):
            made += self._begin_block({"index": place, "content_block": block})
        return [*made, *self.finish_stream()]

    def read_event(self, name: str | None, data: dict[str, Any]) -> list[NamedEvent]:
        """Returns the events that replace this one."""
        kind = as_text(data.get("type")) or name
        if is_error(data) or kind == "error":
            return [("error", data)]
        if kind == "message_start":
            return self._begin(as_dict(data.get("message")))
        if kind not in _EVENTS:
            return [(kind, data)] if kind else []
        return [*self._begin({}), *self._read_known(kind, data)]

    def _begin(self, message: dict[str, Any]) -> list[NamedEvent]:
        """Returns the event that begins a message, unless it was written already."""
        self.usage.add(message.get("usage"))
        self.finish.add(message.get("stop_reason"))
        if self._begun or self._ended:
            return []
        self._begun = True
        begun: dict[str, Any] = {"content": [], "stop_reason": None, "usage": _NO_USAGE}
        return [_name({"type": "message_start", "message": {**self._write_message(message), **begun}})]

    def _read_known(self, kind: str, data: dict[str, Any]) -> list[NamedEvent]:
        match kind:
            case "content_block_start":
                return self._begin_block(data)
            case "content_block_delta":
                return self._continue_block(data)
            case "content_block_stop":
                stopped = self._end_call()
                return stopped or [_name({"type": kind, "index": self._find_index(data)})]
            case "message_delta":
                self.usage.add(data.get("usage"))
                self.finish.add(as_dict(data.get("delta")).get("stop_reason"))
                return []
            case _:
                return self.finish_stream()

    def finish_stream(self) -> list[NamedEvent]:
        """Returns the rest of a call, the stop reason and the usage."""
        if not self._begun or self._ended:
            return []
        self._ended = True
        delta = {"stop_reason": self._stop(), "stop_sequence": None}
        usage = self.usage.merged or _NO_USAGE
        last = [_name({"type": "message_delta", "delta": delta, "usage": usage})]
        return [*self._end_call(), *last, _name({"type": "message_stop"})] if self._stop() else []

    def _stop(self) -> str | None:
        """Returns the stop reason for the client, which does not know every marker."""
        return "end_turn" if self.finish.marker else None

    def _write_message(self, message: dict[str, Any]) -> dict[str, Any]:
        return {
            **{key: value for key, value in message.items() if key not in ("stop_details", "diagnostics")},
            "id": as_text(message.get("id")) or "",
            "type": "message",
            "role": "assistant",
            "model": as_text(message.get("model")) or "",
            "usage": self.usage.merged or _NO_USAGE,
        }

    def _read_block(self, given: dict[str, Any]) -> dict[str, Any]:
        block = {key: value for key, value in given.items() if value is not None}
        found = (kind for field, kind in _TYPES_BY_FIELD.items() if field in block)
        kind = block.setdefault("type", next(found, "text"))
        if kind in ("text", "thinking"):
            block[kind] = as_text(block.get(kind)) or ""
        if kind == "thinking":
            block.setdefault("signature", "")
        elif kind == "tool_use":
            self._calls += 1
            block["id"] = as_ident(block.get("id")) or f"call-{self._calls}"
            block["name"] = as_text(block.get("name")) or ""
        return block

    def _begin_block(self, data: dict[str, Any]) -> list[NamedEvent]:
        made = self._end_call()
        place, self._blocks = self._blocks, self._blocks + 1
        if (index := as_index(data.get("index"))) is not None:
            self._by_index[index] = place
        block = self._read_block(as_dict(data.get("content_block")))
        if block["type"] == "tool_use":
            self._call, self._pieces = {"index": place, "content_block": block}, []
            return made
        return [*made, _name({"type": "content_block_start", "index": place, "content_block": block})]

    def _continue_block(self, data: dict[str, Any]) -> list[NamedEvent]:
        delta = {key: value for key, value in as_dict(data.get("delta")).items() if value is not None}
        if "type" not in delta:
            named = (_BLOCK_TYPES.get(field, f"{field}_delta") for field in delta)
            delta["type"] = next(named, "")
        if delta["type"] == "input_json_delta":
            self._pieces.append(write_arguments(delta.get("partial_json")))
            return []
        if not isinstance(delta.get(str(delta["type"]).removesuffix("_delta"), ""), str):
            return []
        return [_name({"type": "content_block_delta", "index": self._find_index(data), "delta": delta})]

    def _find_index(self, data: dict[str, Any]) -> int:
        index = as_index(data.get("index"))
        return self._by_index.get(-1 if index is None else index, self._blocks - 1)

    def _end_call(self) -> list[NamedEvent]:
        """Returns a complete call as three events."""
        if self._call is None:
            return []
        begun, self._call = self._call, None
        block = begun["content_block"]
        text = "".join(self._pieces) or write_arguments(block.get("input"))
        delta = {"type": "input_json_delta", "partial_json": "" if text == "{}" else text}
        at = {"index": begun["index"]}
        return [
            _name({"type": "content_block_start", **at, "content_block": {**block, "input": {}}}),
            _name({"type": "content_block_delta", **at, "delta": delta}),
            _name({"type": "content_block_stop", **at}),
        ]


_NO_USAGE = {"input_tokens": 0, "output_tokens": 0}


def _name(data: dict[str, Any]) -> NamedEvent:
    return data["type"], data


def _list_blocks(content: object) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [
        {"type": "text", "text": one} if isinstance(one, str) else as_dict(one) for one in as_list(content)
    ]
