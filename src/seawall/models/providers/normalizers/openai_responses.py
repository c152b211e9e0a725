"""OpenAI's responses protocol, as compatible servers write it."""

from __future__ import annotations

from typing import Any

from seawall.models.providers.finish_markers import judge_marker
from seawall.models.providers.normalizers.counts import UsageReports
from seawall.models.providers.normalizers.protocol import FinishSoFar, NamedEvent, is_error
from seawall.models.providers.normalizers.values import (
    as_dict,
    as_ident,
    as_index,
    as_list,
    as_number,
    as_text,
    write_arguments,
)

_ALIASES = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
_TERMINAL = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_BEGINNING = ("response.created", "response.in_progress", "response.queued")
_READ_HERE = (
    "response.content_part.added", "response.content_part.done",
    "response.output_text.annotation.added", "response.output_text.done",
)  # fmt: skip
_CALL = "function_call"
_OWN = ("begun", "done", "written", "output_index")
"""Keys under which a call's progress is kept with it; they are not sent to the client."""


def make(tools: frozenset[str]) -> ResponsesNormalizer:
    """Returns the normalizer of one reply."""
    del tools  # items have ids, which say what belongs together
    return ResponsesNormalizer()


class ResponsesNormalizer:
    """Reads a response. In a stream it passes text and reasoning on at once, and calls once they are complete."""

    def __init__(self) -> None:
        self.finish = FinishSoFar()
        self.usage = UsageReports(
            ("input_tokens",), ("output_tokens",), total="total_tokens", aliases=_ALIASES
        )
        self._top: dict[str, Any] = {}
        self._begun = False
        self._number = 0
        self._text_seen = False
        self._calls: list[dict[str, Any]] = []
        self._written = 0

    def __repr__(self) -> str:
        return f"<ResponsesNormalizer {self.finish.marker} {len(self._calls)} calls>"

    def read_whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns the response with all of its items."""
        if is_error(body) or not ("output" in body or "status" in body):
            return body
        items = self._read_items(body.get("output"))
        self._end(body)
        return self._write_response(items)

    def split_whole(self, body: dict[str, Any]) -> list[NamedEvent]:
        """Returns the response as a stream."""
        if is_error(body) or not ("output" in body or "status" in body):
            return [(None, body)]
        return self.read_event(None, {"type": "response.completed", "response": body})

    def read_event(self, name: str | None, data: dict[str, Any]) -> list[NamedEvent]:
        """Returns the events that replace this one."""
        kind = as_text(data.get("type")) or name or ""
        response = as_dict(data.get("response"))
        if is_error(data) or kind == "error" or response.get("error"):
            return [(kind or None, self._number_event({**data, "type": kind or "error"}))]
        if kind in _BEGINNING:
            return self._begin(response)
        begun = self._begin(response)
        if kind in _TERMINAL:
            return [*begun, *self._finish(kind, response)]
        item = as_dict(data.get("item"))
        match kind:
            case "response.output_text.delta":
                return [*begun, *self._say(data, data.get("delta"))]
            case "response.refusal.delta" | "response.refusal.done":
                self.finish.add("content_filter")
                return begun
            case "response.output_item.added" | "response.output_item.done" if item.get("type") == _CALL:
                call = self._add_call(data, item, done=kind.endswith("done"))
                return [*begun, *(self._write_call(call) if call.get("done") else ())]
            case "response.function_call_arguments.delta" | "response.function_call_arguments.done":
                self._add_arguments(data, done=kind.endswith("done"))
                return begun
            case _:
                passed = kind and kind not in _READ_HERE and item.get("type") != "message"
                return [*begun, (kind, self._number_event({**data, "type": kind}))] if passed else begun

    def finish_stream(self) -> list[NamedEvent]:
        """Returns nothing: a stream without its last event is not complete."""
        return []

    def _number_event(self, data: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        return {**data, "sequence_number": self._number}

    def _make(self, kind: str, **fields: Any) -> NamedEvent:
        return kind, self._number_event({"type": kind, **fields})

    def _begin(self, response: dict[str, Any]) -> list[NamedEvent]:
        if self._begun:
            return []
        self._begun = True
        self._read_top(response)
        return [self._make("response.created", response={**self._top, "status": "in_progress", "output": []})]

    def _read_top(self, body: dict[str, Any]) -> None:
        known = self._top
        kept = {"conversation": body["conversation"]} if as_dict(body.get("conversation")) else {}
        self._top = {
            **kept,
            "id": as_text(body.get("id")) or known.get("id", ""),
            "object": "response",
            "created_at": as_number(body.get("created_at")) or known.get("created_at", 0),
            "model": as_text(body.get("model")) or known.get("model", ""),
            "service_tier": as_text(body.get("service_tier")),
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }

    def _end(self, body: dict[str, Any], status: object = None) -> None:
        """Records how the response ended."""
        self._read_top(body)
        self.usage.add(body.get("usage"))
        reason = as_text(as_dict(body.get("incomplete_details")).get("reason"))
        self.finish.add(reason or as_text(body.get("status")) or status)

    def _write_response(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """Returns the response as completed, because Seawall and not the client judges its finish marker."""
        usage = self.usage.merged
        if usage is not None:
            usage.setdefault("input_tokens_details", {"cached_tokens": 0})
            usage.setdefault("output_tokens_details", {"reasoning_tokens": 0})
        status = "completed" if self.finish.marker else None
        return {**self._top, "status": status, "error": None, "output": items, "usage": usage}

    def _finish(self, kind: str, response: dict[str, Any]) -> list[NamedEvent]:
        """Returns the items that only the last event has, and the event that ends the stream."""
        items = self._read_items(response.get("output"))
        made: list[NamedEvent] = []
        if not self._text_seen:
            for place, item in enumerate(items):
                for part in item["content"] if item["type"] == "message" else ():
                    if part["type"] == "output_text":
                        made += self._say({"output_index": place, "item_id": item["id"]}, part["text"])
        self._add_last_calls(as_list(response.get("output")))
        for call in self._calls:
            made += self._write_call(call)
        self._end(response, kind.removeprefix("response."))
        if kind != "response.completed" and judge_marker(self.finish.marker or "") == "finished":
            self.finish.add(kind.removeprefix("response."))
        return [*made, self._make("response.completed", response=self._write_response([]))]

    def _say(self, data: dict[str, Any], text: object) -> list[NamedEvent]:
        if not isinstance(text, str) or not text:
            return []
        self._text_seen = True
        place, part = as_index(data.get("output_index")) or 0, as_index(data.get("content_index")) or 0
        at = {"item_id": as_ident(data.get("item_id")) or f"message-{place}", "output_index": place}
        kind = "response.output_text.delta"
        return [self._make(kind, **at, content_index=part, delta=text, logprobs=[])]

    def _read_items(self, output: object) -> list[dict[str, Any]]:
        items = [self._read_item(as_dict(one)) for one in as_list(output)]
        for number, call in enumerate((one for one in items if one["type"] == _CALL), start=1):
            call["call_id"] = call["call_id"] or f"call-{number}"
        return [{**item, "id": item["id"] or f"item-{place}"} for place, item in enumerate(items)]

    def _read_item(self, given: dict[str, Any]) -> dict[str, Any]:
        item = {key: value for key, value in given.items() if key not in _OWN}
        item["id"] = as_ident(given.get("id")) or ""
        kind = item["type"] = as_text(given.get("type")) or ("message" if "content" in given else _CALL)
        if kind == _CALL:
            item["call_id"] = as_ident(given.get("call_id")) or as_ident(given.get("id")) or ""
            item["name"] = as_text(given.get("name")) or ""
            item["arguments"] = write_arguments(given.get("arguments"))
            item["status"] = "completed"
        elif kind == "message":
            item["role"], item["status"] = "assistant", "completed"
            item["content"] = [self._read_part(one) for one in _list_parts(given.get("content"))]
        return item

    def _read_part(self, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("type") == "refusal" or given.get("refusal"):
            self.finish.add("content_filter")
            return {"type": "output_text", "text": "", "annotations": []}
        return {"type": "output_text", "text": as_text(given.get("text")) or "", "annotations": []}

    def _find_call(self, data: dict[str, Any], item: dict[str, Any]) -> dict[str, Any] | None:
        """Returns the call that an event belongs to, by any of the ids that servers use."""
        names = {
            "id": as_ident(data.get("item_id")) or as_ident(item.get("id")),
            "call_id": as_ident(item.get("call_id")),
            "output_index": as_index(data.get("output_index")),
        }
        known = {field: value for field, value in names.items() if value is not None}
        for call in reversed(self._calls):
            shared = [value == call[field] for field, value in known.items() if field in call]
            if shared and all(shared):
                return call
        ids = [field for field in ("id", "call_id") if field in known]
        same = (c for c in reversed(self._calls) if any(c.get(field) == known[field] for field in ids))
        return next(same, None)

    def _write_call(self, call: dict[str, Any]) -> list[NamedEvent]:
        """Returns a complete call as two events, and nothing if it was written already."""
        if call.get("written"):
            return []
        call["written"] = True
        self._written += 1
        item = self._read_item(call)
        item["id"] = item["id"] or f"item-{self._written}"
        item["call_id"] = item["call_id"] or f"call-{self._written}"
        at = {"output_index": as_index(call.get("output_index")) or 0}
        return [
            self._make("response.output_item.added", **at, item={**item, "arguments": ""}),
            self._make("response.output_item.done", **at, item=item),
        ]

    def _add_call(self, data: dict[str, Any], item: dict[str, Any], *, done: bool) -> dict[str, Any]:
        call = self._find_call(data, item)
        if call is None or (not done and call.get("begun")):
            last = self._calls[-1] if self._calls else None
            continues = done and last is not None and not last.get("done")
            call = last if continues and last is not None else dict[str, Any](arguments="")
            if call is not last:
                self._calls.append(call)
        arguments = write_arguments(item.get("arguments")) or call["arguments"]
        known = {key: value for key, value in item.items() if value is not None}
        index = as_index(data.get("output_index"))
        call.update(known, arguments=arguments, begun=True, done=done)
        if index is not None:
            call["output_index"] = index
        return call

    def _add_last_calls(self, output: list[Any]) -> None:
        """Adds the calls that the last event lists; most of them came in earlier events."""
        number = 0
        for place, one in enumerate(output):
            item = as_dict(one)
            if self._read_item(item)["type"] != _CALL:
                continue
            call = self._find_call({"output_index": place}, item)
            if call is None and number < len(self._calls):
                call = self._calls[number]
            number += 1
            if call is None:
                self._add_call({"output_index": place}, item, done=True)
            elif not call.get("written"):
                call["arguments"] = write_arguments(item.get("arguments")) or call["arguments"]

    def _add_arguments(self, data: dict[str, Any], *, done: bool) -> None:
        call = self._find_call(data, {}) or (self._calls[-1] if self._calls else None)
        if call is None:
            return
        piece = write_arguments(data.get("arguments" if done else "delta"))
        call["arguments"] = (piece or call["arguments"]) if done else call["arguments"] + piece


def _list_parts(content: object) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"text": content}]
    return [{"text": one} if isinstance(one, str) else as_dict(one) for one in as_list(content)]
