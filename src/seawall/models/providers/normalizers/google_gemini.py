"""Gemini's protocol. A stream's events have the form of whole replies."""

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
)

_INPUTS = ("promptTokenCount", "toolUsePromptTokenCount")
_OUTPUTS = ("candidatesTokenCount", "thoughtsTokenCount")


def make(tools: frozenset[str]) -> GeminiNormalizer:
    """Returns the normalizer of one reply."""
    del tools  # each call comes in one piece
    return GeminiNormalizer()


class GeminiNormalizer:
    """Reads a reply of Gemini. In a stream it holds back the finish marker and the usage."""

    def __init__(self) -> None:
        self.finish = FinishSoFar()
        self.usage = UsageReports(_INPUTS, _OUTPUTS, total="totalTokenCount")
        self._begun = False
        self._calls = 0

    def __repr__(self) -> str:
        return f"<GeminiNormalizer {self.finish.marker} {self._calls} calls>"

    def read_whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns the reply with one candidate."""
        if is_error(body):
            return body
        made = self._read(body)
        if self.finish.marker:
            made["candidates"][0]["finishReason"] = "STOP"  # the client does not know every marker
        return {**made, "usageMetadata": self.usage.merged}

    def read_event(self, name: str | None, data: dict[str, Any]) -> list[NamedEvent]:
        """Returns the event with its parts."""
        if is_error(data):
            return [(name, data)]
        self._begun = True
        return [(None, self._read(data))]

    def split_whole(self, body: dict[str, Any]) -> list[NamedEvent]:
        """Returns the reply as two events."""
        return [*self.read_event(None, body), *self.finish_stream()]

    def finish_stream(self) -> list[NamedEvent]:
        """Returns a last event with the finish marker and the usage."""
        if not self._begun:
            return []
        self._begun = False
        last = self._write([])
        if self.finish.marker:
            last["candidates"][0]["finishReason"] = "STOP"
        return [(None, {**last, "usageMetadata": self.usage.merged})]

    def _read(self, body: dict[str, Any]) -> dict[str, Any]:
        self.usage.add(body.get("usageMetadata"))
        if as_text(as_dict(body.get("promptFeedback")).get("blockReason")):
            self.finish.add("prohibited_content")  # of the request; there is no candidate
        listed = [as_dict(one) for one in as_list(body.get("candidates"))]
        candidate = next((one for one in listed if not as_index(one.get("index"))), as_dict(None))
        self.finish.add(candidate.get("finishReason"))
        content = as_dict(candidate.get("content"))
        top = {name: text for name in ("modelVersion", "responseId") if (text := as_text(body.get(name)))}
        return {
            **top,
            **self._write([self._read_part(as_dict(one)) for one in as_list(content.get("parts"))]),
        }

    def _write(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        made = {"content": {"role": "model", "parts": [one for one in parts if one]}, "index": 0}
        return {"candidates": [made]}

    def _read_part(self, part: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in part.items() if value is not None}
        if not isinstance(kept.get("text", ""), str):
            del kept["text"]
        if call := as_dict(kept.get("functionCall")):
            self._calls += 1
            kept["functionCall"] = {
                "id": as_ident(call.get("id")) or f"call-{self._calls}",
                "name": as_text(call.get("name")) or "",
                "args": read_arguments(call.get("args")),
            }
        return kept
