"""A call of a memory tool: read from what a model wrote, validated, and ready to be performed. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from seawall.core.big_values import decode_in_pieces
from seawall.core.canonical import escape_unsendable, to_canonical_bytes
from seawall.core.events import RunStarted
from seawall.memory.access import (
    FORGET,
    HITS,
    MAX_HITS,
    RECALL,
    REMEMBER,
    MemoryAccess,
    MemoryPlace,
    MemoryTool,
)
from seawall.memory.index import MemoryIndex
from seawall.run.bodies import Bodies
from seawall.run.state import RunState
from seawall.run.step import Step

MAX_KEY_CHARS = 200
"""Characters of a key: a name, and not the fact itself."""
MAX_VALUE_CHARS = 20_000
"""Characters of a value: some pages. A document belongs into a store of its own, and its address into memory."""
MAX_CALL_CHARS = 8 * MAX_VALUE_CHARS
"""Characters of a whole call: room for a value in escapes. More is not even decoded."""
MAX_LABELS = 8
"""Labels of one entry. They stand in events, which are never erased, so they are single words."""
MAX_TTL_S = 1_000 * 365 * 86_400
"""Seconds for which an entry may be kept, if not for ever: a millennium is longer than any journal."""
_LABEL = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")

_TAKES: dict[str, tuple[str, ...]] = {
    REMEMBER: ("key", "value", "scope", "labels", "ttl_s"),
    RECALL: ("query", "key", "prefix", "scope", "limit"),
    FORGET: ("key", "scope"),
}


class MemoryCall(msgspec.Struct, frozen=True, kw_only=True):
    """What a memory step does."""

    tool: MemoryTool
    scopes: tuple[tuple[str, str], ...]
    """(label, scope): where it looks, or what it changes; the nearest first."""
    key: str | None = None
    value: str = ""
    """`remember`: the value as it is stored. Text as it is, and all else as JSON."""
    query: str | None = None
    prefix: str | None = None
    labels: tuple[str, ...] = ()
    ttl_s: float | None = None
    limit: int = HITS
    indexes: tuple[MemoryIndex | None, ...] = ()
    """`recall`: what is asked beside the words of `query`, for each of `scopes`."""


def prepare_memory(step: Step, access: MemoryAccess, state: RunState, bodies: Bodies) -> Step:
    """Returns the step with what it does; what is wrong with its call goes into `Step.invalid`.

    What is remembered is what is stored: without secrets. So nothing of such a call can get lost.
    """
    text = "" if step.call is None else bodies.text(step.call.arguments)
    step = replace(step, version=access.version, volatile=("age",))
    try:
        arguments = _parse(text)
        call = _read_call(step.name, arguments, access, state.started)
    except ValueError as error:
        return replace(step, invalid=f"Error: {step.name!r}: {error}")
    encoded = bodies.put_json(to_canonical_bytes(arguments).decode())
    return replace(step, arguments=arguments, input=encoded, target=call)


def _parse(text: str) -> dict[str, Any]:
    if len(text) > MAX_CALL_CHARS:
        raise ValueError(f"the call has {len(text):,} characters (limit {MAX_CALL_CHARS:,})")
    try:
        arguments: Any = decode_in_pieces(text) if text.strip() else {}
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"the arguments are not JSON: {error} (got {text[:200]!r})") from None
    if not isinstance(arguments, dict):
        raise ValueError(f"the arguments are not a JSON object (got {text[:200]!r})")
    return cast("dict[str, Any]", arguments)


def _read_call(name: str, given: dict[str, Any], access: MemoryAccess, started: RunStarted) -> MemoryCall:
    takes = _TAKES[name]
    if unknown := [each for each in given if each not in takes]:
        raise ValueError(f"there is no argument {unknown[0]!r}; there are: {', '.join(takes)}")
    # Models write null for what they leave out; only a value can be meant so.
    given = {each: value for each, value in given.items() if value is not None}
    places = access.reads if name == RECALL else access.writes
    scopes, ttl_s = _find_scopes(given.get("scope"), places, started, one=name == REMEMBER)
    match name:
        case "remember":
            return _read_remember(given, scopes, ttl_s)
        case "recall":
            first = next((place.meaning for place in places if place.meaning is not None), None)
            indexes = {place.label: first if place.meaning is None else place.meaning for place in places}
            return _read_recall(given, scopes, tuple(indexes[label] for label, _ in scopes))
        case _:
            return MemoryCall(tool=FORGET, scopes=scopes, key=_read_key(given, "key"))


def _read_remember(
    given: dict[str, Any], scopes: tuple[tuple[str, str], ...], most_s: float | None
) -> MemoryCall:
    value = given.get("value")
    if value is None:
        raise ValueError("value is missing; `forget` removes a key")
    text = value if isinstance(value, str) else to_canonical_bytes(value).decode()
    if not text.strip():
        raise ValueError("value is empty; `forget` removes a key")
    if len(text) > MAX_VALUE_CHARS:
        raise ValueError(f"value has {len(text):,} characters (limit {MAX_VALUE_CHARS:,}); keep its essence")
    ttl_s = _read_number(given, "ttl_s")
    ttl_s = min((each for each in (ttl_s, most_s) if each is not None), default=None)
    return MemoryCall(
        tool=REMEMBER,
        scopes=scopes,
        key=_read_key(given, "key"),
        value=text,
        labels=_read_labels(given.get("labels", [])),
        ttl_s=ttl_s,
    )


def _read_recall(
    given: dict[str, Any], scopes: tuple[tuple[str, str], ...], indexes: tuple[MemoryIndex | None, ...]
) -> MemoryCall:
    asked = [each for each in ("query", "key", "prefix") if given.get(each) not in (None, "")]
    if len(asked) > 1:
        raise ValueError(f"give one of query, key and prefix, not {' and '.join(asked)}")
    limit = given.get("limit", HITS)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_HITS:
        raise ValueError(f"limit is {limit!r}; it must be a whole number from 1 to {MAX_HITS}")
    texts = {each: _read_key(given, each) for each in asked}
    return MemoryCall(
        tool=RECALL,
        scopes=scopes,
        query=texts.get("query"),
        key=texts.get("key"),
        prefix=texts.get("prefix"),
        limit=limit,
        indexes=indexes,
    )


def _find_scopes(
    given: object, places: Sequence[MemoryPlace], started: RunStarted, *, one: bool
) -> tuple[tuple[tuple[str, str], ...], float | None]:
    """Returns the scopes that are meant, the nearest first, and the longest that the nearest one keeps anything.

    `one`: the nearest that the agent has, and no wider one where the run has not that.
    """
    labels = [place.label for place in places]
    if given is not None and given not in labels:
        raise ValueError(f"scope is {given!r}; it is one of {', '.join(labels)}")
    wanted = [place for place in places if given is None or place.label == given][: 1 if one else None]
    found = [(place, scope) for place in wanted if (scope := place.name_scope(started)) is not None]
    if not found:
        why = {"session": "it belongs to no session", "subject": "it is on behalf of nobody"}
        reasons = " and ".join(dict.fromkeys(why[place.kind] for place in wanted if place.kind in why))
        raise ValueError(f"this run has no memory {wanted[0].label!r}: {reasons}")
    return tuple((place.label, scope) for place, scope in found), found[0][0].ttl_s


def _read_key(given: dict[str, Any], name: str) -> str:
    key = given.get(name)
    if not isinstance(key, str) or not key.strip():
        raise ValueError(f"{name} is {key!r}; it must be text")
    if len(key) > MAX_KEY_CHARS:
        raise ValueError(f"{name} has {len(key):,} characters (limit {MAX_KEY_CHARS})")
    return escape_unsendable(key.strip())  # as it is stored


def _read_labels(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or len(cast("list[object]", given)) > MAX_LABELS:
        raise ValueError(f"labels is {given!r}; it must be a list of at most {MAX_LABELS} words")
    labels = cast("list[object]", given)
    for label in labels:
        if not isinstance(label, str) or not _LABEL.fullmatch(label):
            raise ValueError(
                f"label {label!r} is not a word of a-z, 0-9, '.', '_' and '-' (at most 32 characters)"
            )
    return tuple(dict.fromkeys(cast("list[str]", labels)))


def _read_number(given: dict[str, Any], name: str) -> float | None:
    number = given.get(name)
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= MAX_TTL_S:
        raise ValueError(
            f"{name} is {number!r:.40}; it must be a number of seconds above zero, at most {MAX_TTL_S:,}"
        )
    return float(number)
