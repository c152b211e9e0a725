"""Strict servers: what each protocol's documentation says a request must be. They know nothing of Seawall's own rules.

- OpenAI chat: the API reference (names, ids, tool messages), the error messages of Moonshot's and DeepSeek's servers
  (no empty message), and chat templates of vLLM (roles alternate, arguments are an object).
- OpenAI responses: the API reference of `input` items.
- Anthropic: the reference of `messages`, and the pages on tool use and extended thinking.
- Gemini: the reference of `Content`, and the pages on function calling and thought signatures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

Problems = list[str]
Body = dict[str, Any]


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({name for name, _ in pairs}) == len(pairs), "a key is there twice"
    return dict(pairs)


def _integer(text: str) -> int:
    assert -(2**63) <= int(text) < 2**64, "a number of more than 64 bits"
    return int(text)


def _number(text: str) -> float:
    assert abs(float(text)) != float("inf"), "a number that no double holds"
    return float(text)


def strict_object(text: str) -> Problems:
    """What a strict parser says of arguments."""
    try:
        value: object = json.loads(
            text,
            parse_constant=_refuse,
            object_pairs_hook=_pairs,
            parse_int=_integer,
            parse_float=_number,
        )
        assert isinstance(value, dict), "no object"
        json.dumps(value, ensure_ascii=False).encode()
        assert not any("\0" in each for each in _strings(value)), "a zero character"
        assert _depth(value) <= 100, "too deep"
    except (ValueError, AssertionError, RecursionError) as error:
        return [f"arguments {text[:60]!r}: {error}"]
    return []


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner: list[Any] = [*value, *value.values()] if isinstance(value, dict) else value
    return [each for one in inner for each in _strings(one)] if isinstance(value, dict | list) else []


def _depth(value: Any) -> int:
    inner: list[Any] = (
        list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    )
    return 1 + max(map(_depth, inner), default=0) if isinstance(value, dict | list) else 0


def _check_text(text: object, what: str) -> Problems:
    if not isinstance(text, str) or not text.strip():
        return [f"{what} is blank"]
    return [f"{what} has a zero character"] if "\0" in text else []


def _check_unique(ids: list[str], pattern: str) -> Problems:
    found = [f"id {one!r}" for one in ids if not re.fullmatch(pattern, one)]
    return found + [f"id {one!r} twice" for one in set(ids) if ids.count(one) > 1]


def _check_names(names: list[str], pattern: str) -> Problems:
    return [f"name {one!r}" for one in names if not re.fullmatch(pattern, one)]


def check_chat(body: Body, *, mistral: bool = False) -> Problems:
    messages: list[Body] = body["messages"]
    found = _check_names([tool["function"]["name"] for tool in body.get("tools", [])], r"[a-zA-Z0-9_-]{1,64}")
    spoken = [one for one in messages if one["role"] != "system"]
    if not spoken or spoken[0]["role"] != "user":
        found.append("does not begin with a user")
    if mistral and spoken and spoken[-1]["role"] not in ("user", "tool"):
        found.append("ends with the assistant")
    ids: list[str] = []
    waiting: list[str] = []
    before = ""
    for one in messages:
        role = one["role"]
        if role == "tool":
            if one["tool_call_id"] not in waiting:
                found.append(f"result {one['tool_call_id']!r} has no call")
            else:
                waiting.remove(one["tool_call_id"])
            found += _check_text(one["content"], "a result")
        else:
            found += [f"call {each!r} has no result" for each in waiting]
            waiting = []
            if role == before and role != "system":
                found.append(f"two messages of {role} in a row")
            if mistral and role == "user" and before == "tool":
                found.append("Unexpected role 'user' after role 'tool'")
            calls = one.get("tool_calls") or []
            if role != "assistant" or not calls or one["content"] is not None:
                found += _check_text(one["content"], role)
            for call in calls:
                ids.append(call["id"])
                waiting.append(call["id"])
                found += _check_names([call["function"]["name"]], r"[a-zA-Z0-9_-]{1,64}")
                found += strict_object(call["function"]["arguments"])
        before = role
    found += [f"call {each!r} has no result" for each in waiting]
    return found + _check_unique(ids, r"[a-zA-Z0-9]{9}" if mistral else r"[\x21-\x7e]{1,40}")


def check_mistral(body: Body) -> Problems:
    return check_chat(body, mistral=True)


def check_responses(body: Body) -> Problems:
    items: list[Body] = body["input"]
    found = _check_names([tool["name"] for tool in body.get("tools", [])], r"[a-zA-Z0-9_-]{1,64}")
    calls = [one for one in items if one.get("type") == "function_call"]
    results = [one["call_id"] for one in items if one.get("type") == "function_call_output"]
    ids = [one["call_id"] for one in calls]
    found += _check_unique(ids, r"[a-zA-Z0-9_-]{1,64}") + _check_names(
        [one["name"] for one in calls], r"[a-zA-Z0-9_-]{1,64}"
    )
    if sorted(ids) != sorted(results):
        found.append(f"calls {ids}, results {results}")
    for number, one in enumerate(items):
        kind = one.get("type", "message")
        if kind == "function_call":
            found += strict_object(one["arguments"])
        elif kind == "function_call_output":
            found += _check_text(one["output"], "a result")
            if one["call_id"] not in [each.get("call_id") for each in items[:number]]:
                found.append("a result before its call")
        elif kind == "reasoning":
            follows = items[number + 1].get("type", "message") if number + 1 < len(items) else None
            if follows not in ("function_call", "message", "reasoning"):
                found.append("a reasoning item without the item that it belongs to")
        elif isinstance(one["content"], str):
            found += _check_text(one["content"], one["role"])
    return found


def _check_blocks(one: Body) -> Problems:
    found: Problems = []
    for block in one["content"]:
        if block["type"] == "text":
            found += _check_text(block["text"], "a text block")
        elif block["type"] == "tool_use":
            found += strict_object(json.dumps(block["input"]))
        elif block["type"] == "tool_result":
            inner = block["content"]
            for each in inner if isinstance(inner, list) else [{"text": inner}]:
                found += _check_text(each["text"], "a result")
    return found


def check_anthropic(body: Body) -> Problems:
    messages: list[Body] = body["messages"]
    found = _check_names([tool["name"] for tool in body.get("tools", [])], r"[a-zA-Z0-9_-]{1,128}")
    if not messages or messages[0]["role"] != "user":
        found.append("does not begin with a user")
    if messages and messages[-1]["role"] != "user":
        found.append("this model takes no prefill")
    if "system" in body and body["system"] != "":
        blocks = body["system"] if isinstance(body["system"], list) else [{"text": body["system"]}]
        for block in blocks:
            found += _check_text(block["text"], "system")
    used: list[Body] = []
    before: Body = {"role": "", "content": []}
    for one in messages:
        if one["role"] == before["role"]:
            found.append("roles do not alternate")
        if not one["content"]:
            found.append("an empty message")
        wanted = [block["id"] for block in before["content"] if block["type"] == "tool_use"]
        given = [block["tool_use_id"] for block in one["content"] if block["type"] == "tool_result"]
        if sorted(wanted) != sorted(given):
            found.append(f"calls {wanted}, results right behind them {given}")
        kinds = [block["type"] for block in one["content"]]
        if "text" in kinds and "tool_result" in kinds[kinds.index("text") :]:
            found.append("text before a result")
        used += [block for block in one["content"] if block["type"] == "tool_use"]
        found += _check_blocks(one)
        before = one
    if used and not body.get("tools"):
        found.append("requests with tool_use blocks must define tools")
    found += _check_unique([block["id"] for block in used], r"[a-zA-Z0-9_-]+")
    found += _check_names([block["name"] for block in used], r"[a-zA-Z0-9_-]{1,128}")
    return found + _check_thinking(body)


def _check_thinking(body: Body) -> Problems:
    """With thinking on, each message of the turn that goes on begins with its thoughts; signatures are Claude's own."""
    found: Problems = []
    for one in reversed(body["messages"]):
        kinds = [block["type"] for block in one["content"]]
        if one["role"] == "user" and kinds != ["tool_result"] * len(kinds):
            break
        on = body.get("thinking", {}).get("type") == "enabled"
        if on and one["role"] == "assistant" and kinds[0] not in ("thinking", "redacted_thinking"):
            found.append(f"Expected `thinking` or `redacted_thinking`, but found `{kinds[0]}`")
    for one in body["messages"]:
        found += [
            f"Invalid `signature` in `thinking` block: {block['signature']!r}"
            for block in one["content"]
            if block["type"] == "thinking" and not block["signature"].startswith("claude-")
        ]
    return found


def check_gemini(body: Body) -> Problems:
    contents: list[Body] = body["contents"]
    declared = [
        each["name"] for tool in body.get("tools", []) for each in tool.get("functionDeclarations", [])
    ]
    name = r"[a-zA-Z_][a-zA-Z0-9_:.-]{0,63}"
    found = _check_names(declared, name)
    if not contents or contents[0]["role"] != "user":
        found.append("does not begin with a user")
    if contents and contents[-1]["role"] != "user":
        found.append("ends with the model")
    ids: list[str] = []
    waiting: list[tuple[str, str]] = []
    before = ""
    for one in contents:
        if one["role"] == before == "model":
            found.append("two turns of the model")
        if not one["parts"]:
            found.append("no parts")
        results = [part["functionResponse"] for part in one["parts"] if "functionResponse" in part]
        if sorted(waiting) != sorted((each["id"], each["name"]) for each in results):
            found.append(f"calls {waiting}, function response turn {results}")
        called = [part for part in one["parts"] if "functionCall" in part]
        waiting = [(part["functionCall"]["id"], part["functionCall"]["name"]) for part in called]
        ids += [each for each, _ in waiting]
        found += _check_names([each for _, each in waiting], name)
        for part in called:
            found += strict_object(json.dumps(part["functionCall"].get("args") or {}))
        if called and "thoughtSignature" not in called[0]:
            found.append("Function call is missing a thought_signature")
        for part in one["parts"]:
            if "text" in part and not part.get("thoughtSignature"):
                found += _check_text(part["text"], "a text")
        before = one["role"]
    return found + _check_unique(ids, r"[a-zA-Z0-9_-]+")


CHECKS: dict[str, Callable[[Body], Problems]] = {
    "openai:m": check_chat,
    "openai:mistral-large": check_mistral,
    "openai-responses:m": check_responses,
    "anthropic:m": check_anthropic,
    "google:m": check_gemini,
}
