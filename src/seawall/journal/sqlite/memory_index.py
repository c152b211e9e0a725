"""The search index of memory: the text of keys, and the words of live entries. It is derived, and no chain holds it.

Only what holds now is in the index of words, so that a search does not grow with the number of versions. What an older
snapshot has beside it is searched in an index of its own, which is made for that search.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence

import apsw

from seawall.journal.memory_rules import make_match, place_words, read_text, read_words
from seawall.journal.protocol import MemoryEntry
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.schema import MEMORY

_ADD = "INSERT INTO memory_search(rowid, words) VALUES (?, ?)"
_REMOVE = "DELETE FROM memory_search WHERE rowid = ?"
_FIND = (
    "SELECT rowid FROM memory_search WHERE memory_search MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?"
)
_ADD_KEY = (
    "INSERT INTO memory_keys(tenant, scope, text, key) VALUES (?, ?, ?, ?) "
    "ON CONFLICT(tenant, scope, text) DO NOTHING"
)
_REMOVE_KEY = """
DELETE FROM memory_keys WHERE tenant = ?1 AND scope = ?2 AND text IN
    (SELECT k.text FROM memory_keys k WHERE k.tenant = ?1 AND k.key = ?3 AND k.scope = ?2)
AND NOT EXISTS (SELECT 1 FROM memories m WHERE m.tenant = ?1 AND m.key = ?3 AND m.scope = ?2)
"""
_BODY = "SELECT data FROM bodies WHERE tenant = ? AND hash = ?"
_HERE = "h"
_LAST = chr(0x10FFFF)


def place_of(tenant: int, scope: str, *, quarantined: bool = False) -> str:
    """Returns what the words of a scope of a tenant begin with in the index, always as many letters and digits.

    It keeps a search from reading the words of others. Whose an entry is, is said by its row.
    """
    digest = hashlib.blake2b(f"{tenant}\0{scope}".encode(), digest_size=5).digest()
    return ("q" if quarantined else "p") + base64.b32encode(digest).decode().lower()


def read_body(database: Database, tenant: int, ref: str | None) -> bytes:
    """Returns a body; nothing for None, and for one that was erased."""
    return b"" if ref is None else database.fetch_value(_BODY, (tenant, bytes.fromhex(ref))) or b""


class IndexChanges:
    """What a commit changes of the index. The words are written together at its end, in the order that FTS5 writes at once:
    anything else makes it write a segment for each.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._added: dict[int, str] = {}
        self._removed: set[int] = set()

    def clear(self) -> None:
        """Forgets all changes."""
        self._added.clear()
        self._removed.clear()

    def add(self, tenant: int, entry: MemoryEntry, key: bytes, value: bytes) -> None:
        """Adds a live entry."""
        text = read_text(key)
        self._database.run(_ADD_KEY, (tenant, entry.scope, text, bytes.fromhex(entry.key)))
        if entry.value is not None:
            place = place_of(tenant, entry.scope, quarantined=entry.quarantined)
            self._added[entry.number] = make_words(self._database, place, key, value)

    def remove(self, numbers: Iterable[int]) -> None:
        """Removes the words of entries that do not hold any more."""
        for number in numbers:
            if self._added.pop(number, None) is None:
                self._removed.add(number)

    def write(self) -> None:
        """Writes the words."""
        database = self._database
        if self._removed:
            database.run_many(_REMOVE, [(number,) for number in sorted(self._removed)])
        if self._added:
            database.run_many(_ADD, sorted(self._added.items()))


def make_words(database: Database, place: str, key: bytes, value: bytes) -> str:
    """Returns what the index has of an entry."""
    return place_words(place, database.split_words(f"{read_text(key)} {read_words(value)}"))


def remove_key(database: Database, tenant: int, scope: str, key: bytes) -> None:
    """Removes the text of a key of which no entry is left."""
    database.run(_REMOVE_KEY, (tenant, scope, key))


def find_words(database: Database, places: Sequence[str], text: str, limit: int) -> Iterator[int]:
    """Yields the numbers of live entries in these places that have all words of a text, newest first."""
    match = make_match(places, text, database.split_words)
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
    start = read_text(prefix.encode())
    return [
        row[0]
        for row in database.fetch_all(
            "SELECT key FROM memory_keys WHERE tenant = ? AND scope = ? AND text >= ? AND text < ?",
            (tenant, scope, start, start + _LAST),
        )
    ]


def filter_by_words(texts: Iterable[tuple[int, bytes, bytes]], text: str) -> set[int]:
    """Returns the numbers of those entries (number, key, value) that have all words of a text, as the index finds them."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    index = Database(MEMORY, flags=flags, vfs=None)
    try:
        match = make_match([_HERE], text, index.split_words)
        if match is None:
            return set()
        index.run("CREATE VIRTUAL TABLE memory_search USING fts5(words, tokenize = 'unicode61')")
        index.run_many(_ADD, [(number, make_words(index, _HERE, key, value)) for number, key, value in texts])
        rows = index.fetch_all("SELECT rowid FROM memory_search WHERE memory_search MATCH ?", (match,))
    finally:
        index.close()
    return {row[0] for row in rows}
