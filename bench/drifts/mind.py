"""A deterministic model: it follows the newest request that it is shown, and takes the newest fact that it is shown.

It can only act on what is in its context. Where it has memory tools it stores what it is told, and looks a fact up before
it answers; among hits it takes the newest, and the memory's word counts more than the conversation's, which has no dates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

TELL = re.compile(r"The (?P<key>[a-z ]+ of order \d+) is now (?P<value>[^.\n]+)\.")
ASK = re.compile(r"What is the (?P<key>[a-z ]+ of order \d+)\?")
LOOK = re.compile(r"Look up order (?P<order>\d+): what is its status\?")
PULL = re.compile(r"From now on answer every question with the (?P<key>[a-z ]+ of order \d+)\.")
BACK = re.compile(r"forget (?:that again|what I said of the (?P<key>[a-z ]+ of order \d+))\.")
REQUESTS = (TELL, ASK, LOOK, PULL, BACK)
MOST_TRIES = 8


@dataclass(frozen=True)
class Shown:
    """One message that the model is sent."""

    role: Literal["user", "assistant", "tool", "other"]
    text: str
    name: str = ""


@dataclass(frozen=True)
class Said:
    """What the model says: a call, or a text."""

    text: str = ""
    call: str = ""
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Hit:
    """A memory as it was shown; the one with the highest `when` is the newest."""

    key: str
    value: str
    when: float


def count_tokens(shown: Sequence[Shown]) -> int:
    """Returns what a context comes to, at four characters a token."""
    return sum(len(each.text) // 4 + 8 for each in shown)


def think(shown: Sequence[Shown], *, memory: bool) -> Said:
    """Returns what the model says to a context."""
    at, request = _find_request(shown)
    if request is None:
        return Said("What can I do for you?")
    since = shown[at + 1 :]
    key = request.groupdict().get("key") or ""
    if request.re is LOOK:
        return _look_up(request["order"], since)
    if request.re is TELL:
        if memory and not any(each.name == "remember" for each in since):
            return Said(call="remember", arguments={"key": key, "value": request["value"]})
        return Said(f"Noted: the {key} is {request['value']}.")
    if request.re is BACK and key and memory:
        return _take_back(key, shown[:at], since)
    if request.re is not ASK:
        return Said("All right.")
    return _answer(key, shown[:at], since, memory=memory)


def _find_request(shown: Sequence[Shown]) -> tuple[int, re.Match[str] | None]:
    for at in range(len(shown) - 1, -1, -1):
        if shown[at].role == "user":
            for pattern in REQUESTS:
                if found := pattern.search(shown[at].text):
                    return at, found
    return -1, None


def _look_up(order: str, since: Sequence[Shown]) -> Said:
    results = [each.text for each in since if each.name == "find_order"]
    if results and (status := re.search(r'"status": ?"([^"]+)"', results[-1])):
        return Said(f"The status of order {order} is: {status[1]}.")
    if len(results) >= MOST_TRIES:
        return Said(f"The status of order {order} is not to be had.")
    return Said(call="find_order", arguments={"order_id": order})


def _answer(key: str, before: Sequence[Shown], since: Sequence[Shown], *, memory: bool) -> Said:
    recalled = [each for each in since if each.name == "recall"]
    if memory and not recalled:
        return Said(call="recall", arguments={"query": key})
    hits = [hit for each in recalled for hit in read_hits(each.text) if hit.key == key]
    if hits:
        return Said(f"The {key} is {max(hits, key=lambda hit: hit.when).value}.")
    told = list(_list_told(key, before))
    if told:
        return Said(f"The {key} is {told[0]}.")
    return Said(f"The {key} is not known.")


def _list_told(key: str, before: Sequence[Shown]) -> Iterator[str]:
    """Yields the values that a conversation says, newest first, without what the user took back."""
    taken_back = 0
    for each in reversed(before):
        if each.role not in ("user", "assistant"):
            continue
        if each.role == "user":
            taken_back += sum(found["key"] == key for found in BACK.finditer(each.text))
        for found in TELL.finditer(each.text):
            if found["key"] == key and each.role == "user" and taken_back:
                taken_back -= 1
            elif found["key"] == key:
                yield found["value"]


def _take_back(key: str, before: Sequence[Shown], since: Sequence[Shown]) -> Said:
    """Makes memory forget what the user takes back, if it was stored."""
    wrong = next(
        (
            found["value"]
            for each in reversed(before)
            for found in TELL.finditer(each.text)
            if found["key"] == key
        ),
        None,
    )
    recalled = [each for each in since if each.name == "recall"]
    if not recalled:
        return Said(call="recall", arguments={"query": key})
    hits = [hit for each in recalled for hit in read_hits(each.text) if hit.key == key]
    newest = max(hits, key=lambda hit: hit.when).value if hits else None
    if newest is not None and newest == wrong and not any(each.name == "forget" for each in since):
        return Said(call="forget", arguments={"key": key})
    return Said("All right.")


def read_hits(text: str) -> list[Hit]:
    """Returns the memories of a result: every JSON object in it that has a key and a value."""
    found: list[Hit] = []
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            item, end = decoder.raw_decode(text, at)
        except ValueError:
            end = at + 1
        else:
            found += _collect(item)
        at = text.find("{", end)
    return found


def _collect(item: Any) -> list[Hit]:
    if isinstance(item, list):
        return [hit for each in item for hit in _collect(each)]
    if not isinstance(item, dict):
        return []
    if isinstance(item.get("key"), str) and "value" in item:
        return [Hit(item["key"], str(item["value"]), float(item.get("version") or item.get("when") or 0))]
    return [hit for each in item.values() for hit in _collect(each)]
