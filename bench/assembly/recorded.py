"""Recordings as scripts: the requests of a session, and for each the batches of calls that its agent made."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from conversation import recorded

EFFECTS = (*recorded.EFFECT_PREFIXES, "Write", "Edit", "KillShell")
"""Tools whose names begin like this change the world; all others read, or nobody knows."""


class BadRecording(Exception):
    """The data is not there, or not of the form that this program plays."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One call, and what it returned."""

    name: str
    arguments: str
    result: str
    failed: bool


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked, the calls that were made at once, one batch after another, and the answer."""

    text: str
    batches: tuple[tuple[Recorded, ...], ...]
    answer: str


@dataclass(frozen=True, kw_only=True)
class Script:
    """One recorded conversation."""

    key: str
    system: str
    requests: tuple[Request, ...]


def load(path: Path) -> list[Script]:
    """All conversations of a file: of OpenAI's messages, or of calls. Raises `BadRecording`."""
    try:
        data = path.read_bytes()
        rows = (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()
        decoded = [json.loads(row) for row in rows]
        if decoded and "calls" in decoded[0]:
            return [_read_calls(number, row) for number, row in enumerate(decoded)]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise BadRecording(f"can't read the recording {path}: {error}") from None
    try:
        return [_read_conversation(one) for one in recorded.load(path)]
    except recorded.BadRecording as error:
        raise BadRecording(str(error)) from None


def _read_conversation(given: recorded.Conversation) -> Script:
    requests = [
        Request(
            text=turn.request,
            batches=tuple(
                (_make(call.name, call.arguments, call.result, failed=False),) for call in turn.calls
            ),
            answer=turn.answer or "(no answer)",
        )
        for turn in given.turns
    ]
    return Script(key=given.key, system=given.system, requests=tuple(requests))


def _read_calls(number: int, row: dict[str, Any]) -> Script:
    """A row of calls has neither prompts nor answers. What a sub-agent did is in a context of its own."""
    calls = [call for call in row["calls"] if call["agent"] != "sub" and call["tool"]]
    batches = tuple(
        tuple(
            _make(each["tool"], each["arguments"], each["result"] or "", failed=each["error"])
            for each in turn
        )
        for _, turn in groupby(calls, key=lambda call: call["turn"])
    )
    request = Request(text=f"Do the task {row['id']}.", batches=batches, answer="Done.")
    return Script(key=f"{number}/{row['id']}", system="You are an agent at a terminal.", requests=(request,))


def _make(name: str, arguments: str, result: str, *, failed: bool) -> Recorded:
    try:
        is_object = isinstance(json.loads(arguments), dict)
    except ValueError:
        is_object = False
    return Recorded(name=name, arguments=arguments if is_object else "{}", result=result, failed=bool(failed))
