"""The rules of memory: what a merge conflicts with, what a text is searched by, and what descends from a bad step. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from seawall.journal.protocol import Lineage, MemoryConflict, MemoryEntry, MemoryMerge, MemoryWrite

Judgement = Literal["write", "same", "newer"]
"""What becomes of a write: it is written, the same value is there already, or the key is newer than what the run
saw."""

_word = re.compile(r"\S+")
WORDS = 64
"""Most words of a search that are used: SQLite reads a list for each."""


def judge_write(write: MemoryWrite, newest: MemoryEntry | None, loose: str, now: float) -> Judgement:
    """Returns what becomes of a write. `newest` is the newest entry of the write's scope and key, also if it died, and
    `loose` the digest of that entry's value without its volatile parts.
    """
    live = None if newest is None or newest.died is not None else newest
    if live is not None and has_expired(live, now):
        live = None
    if write.value is None and (live is None or live.value is None):
        return "same"
    both = live is not None and live.value is not None and write.value is not None
    if live is not None and both and (write.value == live.value or (loose and write.loose == loose)):
        return "same"
    if newest is not None and find_change(newest) > write.base:
        return "newer"
    return "write"


def find_change(newest: MemoryEntry) -> int:
    """Returns the version in which a key was last changed: by its newest entry, or by that entry's end."""
    return newest.born if newest.died is None else newest.died


def make_conflict(
    write: MemoryWrite, newest: MemoryEntry | None, why: Literal["newer", "reverted"], tenant: str, run: str
) -> MemoryConflict:
    """Returns the conflict of a write."""
    return MemoryConflict(
        tenant=tenant,
        scope=write.scope,
        key=write.key,
        theirs=0 if newest is None or newest.died is not None else newest.number,
        ours=write.value,
        run=run,
        step=write.step,
        why=why,
    )


def list_unnamed(merge: MemoryMerge, found: Sequence[MemoryConflict]) -> list[MemoryConflict]:
    """Returns the conflicts that a merge does not name."""
    named = {(each.scope, each.key) for each in merge.conflicts}
    return [each for each in found if (each.scope, each.key) not in named]


def find_time(write: MemoryWrite, now: float) -> float:
    """Returns the wall second of a write, which is not later than now."""
    return min(write.at or now, now)


def find_expiry(write: MemoryWrite, now: float) -> float | None:
    """Returns the wall second at which the written entry expires; None: never."""
    return None if write.ttl_s is None else find_time(write, now) + write.ttl_s


def renew_expiry(write: MemoryWrite, live: MemoryEntry, now: float) -> float | None:
    """Returns the wall second at which an entry that was written again expires: never earlier than before; None:
    never.
    """
    expires_at = find_expiry(write, now)
    if expires_at is None or live.expires_at is None:
        return None
    return max(expires_at, live.expires_at)


def has_expired(entry: MemoryEntry, now: float) -> bool:
    """Returns whether an entry has expired, and is no longer shown."""
    return entry.expires_at is not None and entry.expires_at <= now


# ---- text


def read_text(body: bytes) -> str:
    """Returns the text of a key."""
    return body.decode("utf-8", "backslashreplace").replace("\0", " ")


def read_words(body: bytes) -> str:
    """Returns the words by which a value is found: its text or, for JSON, the texts and numbers in it."""
    text = read_text(body)
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return text
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return text
    words: list[str] = []
    _add_words(value, words)
    return " ".join(words).replace("\0", " ")


def _add_words(value: object, words: list[str]) -> None:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            for key, inner in reversed(list(each.items())):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - what JSON holds
                waiting += [inner, key]
        elif isinstance(each, list):
            waiting += reversed(each)  # pyright: ignore[reportUnknownArgumentType] - what JSON holds
        elif each is not None:
            words.append(str(each))


Split = Callable[[str], list[str]]
"""Splits a text into words as FTS5 does, without accents and capitals. No word contains a character that is syntax in
FTS5."""


def place_words(place: str, words: Iterable[str]) -> str:
    """Returns words as the index holds them: each begins with its place, so that a search reads only the words of its
    own place.
    """
    return " ".join(place + word for word in words)


def make_match(places: Sequence[str], text: str, split: Split) -> str | None:
    """Returns the FTS5 query for all words of `text`, each as a prefix; None if it has no word.

    Words that are not separated by white space, such as those of a date, are searched as a phrase.
    """
    phrases = [words for each in _word.findall(text.replace("\0", " ")) if (words := split(each))]
    if not phrases:
        return None

    def match(place: str) -> str:
        return "(" + " ".join(f'"{place_words(place, words)}" *' for words in phrases[:WORDS]) + ")"

    return " OR ".join(map(match, places))


# ---- descent


def entry_node(number: int) -> str:
    """Returns the name of an entry in the lineage."""
    return f"e:{number}"


def is_entry(node: str) -> bool:
    """Returns whether a node of the lineage is an entry."""
    return node.startswith("e:")


def read_entry(node: str) -> int:
    """Returns the number of the entry that a node is."""
    return int(node.removeprefix("e:"))


def answer_node(run: str) -> str:
    """Returns the name of a run's answer in the lineage."""
    return f"a:{run}"


def step_node(run: str, step: int) -> str:
    """Returns the name of a step in the lineage."""
    return f"s:{run}:{step}"


def node_of(source: Lineage) -> str:
    """Returns the name of a source in the lineage."""
    if source.entry:
        return entry_node(source.entry)
    return answer_node(source.run) if source.step is None else step_node(source.run, source.step)


def list_edges(causes: Iterable[Lineage], target: str) -> dict[tuple[str, str], bool]:
    """Returns the edges that lead from the causes to `target`: source and target, and whether a value was taken. If a
    source has both ties, the value counts.
    """
    edges: dict[tuple[str, str], bool] = {}
    for cause in causes:
        edge = node_of(cause), target
        if edge[0] != target:
            edges[edge] = edges.get(edge, False) or cause.tie == "value"
    return edges


Follow = Callable[[Sequence[str]], Iterable[tuple[str, str, bool]]]
"""Returns the edges (source, target, value) that lead away from some nodes."""


def follow_lineage(seeds: Sequence[Lineage], follow: Follow, *, exposed: bool) -> tuple[set[str], set[str]]:
    """Returns the nodes that took a value from `seeds`, and those that were only exposed to them. Both include the
    seeds.

    A path of value edges counts as a value, and a path with an edge of exposure as exposure. With `exposed` every path
    counts as a value.
    """
    values = {node_of(seed) for seed in seeds if exposed or seed.tie == "value"}
    touched = {node_of(seed) for seed in seeds} - values
    waiting = list(values)
    while waiting:
        found: list[str] = []
        for _, target, value in follow(waiting):
            if (value or exposed) and target not in values:
                values.add(target)
                found.append(target)
            elif not value and not exposed:
                touched.add(target)
        waiting = found
    waiting = list(touched - values)
    while waiting:
        found = []
        for _, target, _ in follow(waiting):
            if target not in touched and target not in values:
                touched.add(target)
                found.append(target)
        waiting = found
    return values, touched - values
