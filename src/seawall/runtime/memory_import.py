"""Reads entries from outside: JSON lines, or the SQLite store of LangGraph. Everything in them is untrusted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from seawall.core.canonical import to_canonical_bytes
from seawall.core.errors import Misused
from seawall.journal.sqlite.langgraph_store import MAGIC, read_store
from seawall.memory.access import check_scope
from seawall.memory.calls import MAX_KEY_CHARS, MAX_LABELS, MAX_TTL_S, MAX_VALUE_CHARS

MAX_ENTRIES = 100_000
"""The most entries of one file, because all are checked before the first one is written."""
MAX_LINE_BYTES = 1024 * 1024
"""The most bytes of one line: several times the longest value."""
IMPORTED = "imported"
"""The label of every imported entry. Agents are shown it, and it stays after the entry is accepted."""
_LABEL = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")


class ImportedEntry(NamedTuple):
    """One entry of a file."""

    scope: str
    key: str
    value: str
    labels: tuple[str, ...] = (IMPORTED,)
    ttl_s: float | None = None


def read_import(path: Path, *, scope: str, now: float) -> list[ImportedEntry]:
    """Returns the entries of a file, the last one for each scope and key. `scope` is the default scope.

    Raises `Misused` for the first invalid entry.
    """
    check_scope(scope)
    try:
        with path.open("rb") as file:
            is_store = file.read(len(MAGIC)) == MAGIC
        read = _read_items(path, scope, now) if is_store else _read_lines(path, scope)
        entries: dict[tuple[str, str], ImportedEntry] = {}
        for count, (where, entry) in enumerate(read):
            if count == MAX_ENTRIES:
                raise Misused(f"{path} has more than {MAX_ENTRIES:,} entries: split it")
            checked = _check(entry, where)
            entries[checked.scope, checked.key] = checked
    except OSError as error:
        raise Misused(f"{path} can't be read: {error.strerror or error}") from None
    return [*entries.values()]


def _read_items(path: Path, scope: str, now: float) -> Iterator[tuple[str, ImportedEntry]]:
    """Yields the items of a LangGraph store. The namespace becomes a part of the key, because it is not a scope of a run."""
    for item in read_store(path, MAX_ENTRIES + 1):
        ttl_s = None if item.expires_at is None else item.expires_at - now
        if ttl_s is not None and ttl_s <= 0:
            continue
        key = f"{item.namespace}/{item.key}" if item.namespace else item.key
        yield f"{path}: item {key[:80]!r}", ImportedEntry(scope, key, item.value, ttl_s=ttl_s)


def _read_lines(path: Path, scope: str) -> Iterator[tuple[str, ImportedEntry]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            where = f"{path}:{number}"
            if len(line) > MAX_LINE_BYTES:
                raise Misused(f"{where}: the line has more than {MAX_LINE_BYTES:,} bytes")
            if line.strip():
                yield where, _read_line(line, where, scope)


def _read_line(line: bytes, where: str, scope: str) -> ImportedEntry:
    try:
        found: Any = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Misused(f"{where}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Misused(f"{where}: an entry is a JSON object with key and value")
    fields = cast("dict[str, Any]", found)
    value = fields.get("value")
    if value is None:
        raise Misused(f"{where}: value is missing")
    try:
        text = value if isinstance(value, str) else to_canonical_bytes(value).decode()
        named = check_scope(fields.get("scope") or scope)
    except (ValueError, Misused) as error:
        raise Misused(f"{where}: {error}") from None
    given: Any = fields.get("labels") or []
    labels = cast("list[Any]", given) if isinstance(given, list) else [given]
    ttl_s = fields.get("ttl_s")
    return ImportedEntry(named, fields.get("key", ""), text, tuple(dict.fromkeys((*labels, IMPORTED))), ttl_s)


def _check(entry: ImportedEntry, where: str) -> ImportedEntry:
    """Returns the entry with its key in the form that agents search for. Raises `Misused` for an invalid entry."""
    key, ttl_s = cast("object", entry.key), cast("object", entry.ttl_s)
    if not isinstance(key, str) or not key.strip():
        raise Misused(f"{where}: key is {key!r}; it must be a text")
    if len(key) > MAX_KEY_CHARS:
        raise Misused(f"{where}: key has {len(key):,} characters (limit {MAX_KEY_CHARS:,})")
    if not entry.value.strip():
        raise Misused(f"{where}: value is empty")
    if len(entry.value) > MAX_VALUE_CHARS:
        raise Misused(f"{where}: value has {len(entry.value):,} characters (limit {MAX_VALUE_CHARS:,})")
    for label in cast("tuple[object, ...]", entry.labels):
        if not isinstance(label, str) or _LABEL.fullmatch(label) is None:
            raise Misused(
                f"{where}: {label!r} is not a label: up to 32 of the characters a-z, 0-9, _, . and -"
            )
    if len(entry.labels) > MAX_LABELS + 1:
        raise Misused(f"{where}: it has {len(entry.labels)} labels (limit {MAX_LABELS})")
    number = isinstance(ttl_s, int | float) and not isinstance(ttl_s, bool)
    if ttl_s is not None and not (number and 0 < cast("float", ttl_s) <= MAX_TTL_S):
        raise Misused(
            f"{where}: ttl_s is {ttl_s!r:.40}; it must be a number of seconds above zero, at most {MAX_TTL_S:,}"
        )
    return entry._replace(key=key.strip())
