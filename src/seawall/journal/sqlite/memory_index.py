"""The search index of memory: the text of keys, and the words of live entries. It is derived, and no chain holds it.

Only what holds now is in the index of words, so that a search does not grow with the number of versions. What an older
snapshot has beside it is searched in an index of its own, which is made for that search.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import apsw

from seawall.journal.memory_rules import make_match, read_text, read_words
from seawall.journal.protocol import MemoryEntry
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.schema import MEMORY

_ADD = "INSERT INTO memory_search(rowid, place, key, value) VALUES (?, ?, ?, ?)"
_FIND = (
    "SELECT rowid FROM memory_search WHERE memory_search MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?"
)
_ADD_KEY = (
    "INSERT INTO memory_keys(tenant, scope, text, key) VALUES (?, ?, ?, ?) "
    "ON CONFLICT(tenant, scope, text) DO NOTHING"
)
_BODY = "SELECT data FROM bodies WHERE tenant = ? AND hash = ?"
_LAST = chr(0x10FFFF)


def place_of(tenant: int, scope: str, *, quarantined: bool = False) -> str:
    """Returns the word by which the index knows a scope of a tenant: a digest, so that it is one token."""
    digest = hashlib.blake2b(f"{tenant}\0{scope}".encode(), digest_size=12).hexdigest()
    return ("q" if quarantined else "p") + digest


def read_body(database: Database, tenant: int, ref: str | None) -> bytes:
    """Returns a body; nothing for None, and for one that was erased."""
    return b"" if ref is None else database.fetch_value(_BODY, (tenant, bytes.fromhex(ref))) or b""


def add_to_index(database: Database, tenant: int, entry: MemoryEntry, key: bytes, value: bytes) -> None:
    """Adds a live entry."""
    text = read_text(key)
    database.run(_ADD_KEY, (tenant, entry.scope, text, bytes.fromhex(entry.key)))
    if entry.value is not None:
        place = place_of(tenant, entry.scope, quarantined=entry.quarantined)
        database.run(_ADD, (entry.number, place, text, read_words(value)))


def remove_from_index(database: Database, numbers: Iterable[int]) -> None:
    """Removes the words of entries that do not hold any more."""
    database.run_many("DELETE FROM memory_search WHERE rowid = ?", [(number,) for number in numbers])


def find_words(database: Database, places: Sequence[str], text: str, limit: int) -> Iterator[int]:
    """Yields the numbers of live entries in these places that have all words of a text, newest first."""
    match = make_match(places, text)
    last = 1 << 62
    while match is not None:
        rows = database.fetch_all(_FIND, (match, last, limit))
        for (number,) in rows:
            yield number
        if len(rows) < limit:
            return
        last = rows[-1][0]


def find_prefix(database: Database, tenant: int, scope: str, prefix: str) -> list[bytes]:
    """Returns the keys of a scope that begin with a text."""
    return [
        row[0]
        for row in database.fetch_all(
            "SELECT key FROM memory_keys WHERE tenant = ? AND scope = ? AND text >= ? AND text < ?",
            (tenant, scope, prefix, prefix + _LAST),
        )
    ]


def filter_by_words(texts: Iterable[tuple[int, bytes, bytes]], text: str) -> set[int]:
    """Returns the numbers of those entries (number, key, value) that have all words of a text, as the index finds them."""
    match = make_match(["here"], text)
    if match is None:
        return set()
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    index = Database(MEMORY, flags=flags, vfs=None)
    try:
        index.run("CREATE VIRTUAL TABLE memory_search USING fts5(place, key, value, tokenize = 'unicode61')")
        index.run_many(
            _ADD, [(number, "here", read_text(key), read_words(value)) for number, key, value in texts]
        )
        rows = index.fetch_all("SELECT rowid FROM memory_search WHERE memory_search MATCH ?", (match,))
    finally:
        index.close()
    return {row[0] for row in rows}
