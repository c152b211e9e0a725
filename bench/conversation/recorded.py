"""Rows of a recording (OpenAI's messages, with a label of success) as conversations, runs and calls."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

EFFECT_PREFIXES = ("book_", "cancel_", "update_", "send_", "transfer_")
"""Tools whose names begin like this change the world; all others read."""


class BadRecording(Exception):
    """The data is not there, or not of the form that this program plays."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One tool call, and what it returned."""

    id: str
    name: str
    arguments: str
    """JSON text as the model wrote it."""
    result: str
    text: str | None = None
    """What the agent said beside it."""

    @property
    def effect(self) -> bool:
        """Whether it changes the world."""
        return self.name.startswith(EFFECT_PREFIXES)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What became of one user message: a run."""

    request: str
    calls: tuple[Call, ...]
    answer: str | None
    """None: the recording ends with the last call's result."""


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """One recorded conversation."""

    key: str
    success: bool
    system: str
    turns: tuple[Turn, ...]


def load(path: Path) -> list[Conversation]:
    """All conversations of a file of JSON lines, gzipped or not. Raises `BadRecording`."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise BadRecording(f"can't read the recording {path}: {error}") from None
    conversations: list[Conversation] = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            conversations.append(_conversation(json.loads(line)))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise BadRecording(f"{path}, line {number}: {type(error).__name__}: {error}") from None
    if not conversations:
        raise BadRecording(f"{path} holds no conversation")
    keys = [one.key for one in conversations]
    for key in keys:
        if keys.count(key) > 1:
            raise BadRecording(f"{path}: two conversations have the id {key!r}")
    return conversations


def with_unique_ids(conversation: Conversation) -> Conversation:
    """The same conversation with another id for each call whose id an earlier one has."""
    times: Counter[str] = Counter()

    def rename(call: Call) -> Call:
        times[call.id] += 1
        return call if times[call.id] == 1 else replace(call, id=f"{call.id}-{times[call.id]}")

    turns = tuple(replace(turn, calls=tuple(map(rename, turn.calls))) for turn in conversation.turns)
    return replace(conversation, turns=turns)


def _conversation(row: dict[str, Any]) -> Conversation:
    messages: list[dict[str, Any]] = row["messages"]
    if messages[0]["role"] != "system":
        raise ValueError(f"the first message is a {messages[0]['role']} message, not the system prompt")
    turns: list[Turn] = []
    at = 1
    while at < len(messages):
        if messages[at]["role"] != "user":
            raise ValueError(f"message {at} is a {messages[at]['role']} message, not the user's")
        request = messages[at]["content"]
        at += 1
        if at == len(messages):  # nobody answered the last message: it is no run
            break
        turn, at = _turn(request, messages, at)
        turns.append(turn)
    return Conversation(
        key=str(row["id"]), success=bool(row["success"]), system=messages[0]["content"], turns=tuple(turns)
    )


def _turn(request: str, messages: list[dict[str, Any]], at: int) -> tuple[Turn, int]:
    """The run that begins with the reply at `at`, and where the next user message is."""
    calls: list[Call] = []
    while at < len(messages):
        said = messages[at]
        if said["role"] != "assistant":
            raise ValueError(f"message {at} is a {said['role']} message, not the assistant's")
        made = said.get("tool_calls") or []
        if not made:
            return Turn(request=request, calls=tuple(calls), answer=said["content"]), at + 1
        if len(made) > 1:
            raise ValueError(f"message {at} makes {len(made)} calls at once")
        told = messages[at + 1]
        if told["role"] != "tool" or told["tool_call_id"] != made[0]["id"]:
            raise ValueError(f"message {at + 1} is not the result of call {made[0]['id']!r}")
        function = made[0]["function"]
        calls.append(
            Call(
                id=made[0]["id"],
                name=function["name"],
                arguments=function["arguments"],
                result=told["content"],
                text=said["content"],
            )
        )
        at += 2
    return Turn(request=request, calls=tuple(calls), answer=None), at
