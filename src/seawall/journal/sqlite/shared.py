"""Shared records: small values that all processes share. The chain holds those on which decisions rest.

A commit reads the records that it changes inside its transaction. Nothing is kept from commit to commit, because
another process may change a record in between.
"""

from __future__ import annotations

from collections.abc import Callable

from seawall.core.errors import JournalDamaged, Misused
from seawall.journal.protocol.settings import DECIDING
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.row_sum import LEAF_BYTES, RowSum, check_row, digest_row

KEY_BYTES = 512
"""Most bytes of a key: enough for a kind and the name of a tool, a model or a tenant."""
VALUE_BYTES = 64 * 1024
"""Most bytes of a value. Each change writes the whole value, so a value must be small."""

MAX_PREFIXES = 8
"""Most prefixes whose rows are kept. Only those of caps and endpoints are read again and again."""

_NOTE_WRITE = "INSERT INTO meta VALUES ('held', 1) ON CONFLICT(key) DO UPDATE SET value = value + 1"
_WRITTEN = "SELECT (SELECT value FROM meta WHERE key = 'held'), (SELECT max(rowid) FROM shared)"
"""Reads two numbers, one of which changes with each write of a record that the chain holds. Versions that do not count
these writes give a record that they write the highest rowid."""

_DECIDING = tuple([prefix.encode() for prefix in DECIDING])

ChangeFunction = Callable[[bytes | None], bytes | None]


def encode_key(key: str) -> bytes:
    """Returns a key as it is stored. Raises `Misused` for text that can't be a key."""
    try:
        data = key.encode()
    except UnicodeEncodeError:
        raise Misused(f"a shared record's key must be text that UTF-8 can write, not {key!r}") from None
    if not 0 < len(data) <= KEY_BYTES:
        raise Misused(f"a shared record's key has 1 to {KEY_BYTES} bytes, not {len(data)}: {key[:40]!r}")
    return data


def is_held(key: object) -> bool:
    """Returns whether the chain holds the record of a key, because it decides something."""
    return isinstance(key, bytes) and key.startswith(_DECIDING)


def check_record(key: object, value: object, leaf: object) -> bytes | None:
    """Returns the digest of a record that the chain holds; None for advice. Raises `JournalDamaged`."""
    if leaf is not None:
        return check_row("shared", (key, value), leaf)
    if is_held(key):
        raise JournalDamaged(f"shared record {key!r:.80} was not written here: the chain does not hold it")
    return None


def check_value(key: bytes, value: object) -> None:
    """Raises `Misused` for a value that a record can't have."""
    if value is None:
        return
    if not isinstance(value, bytes):
        raise Misused(
            f"shared record {key.decode()!r}: a change returned {type(value).__name__}, not bytes or None"
        )
    if len(value) > VALUE_BYTES:
        raise Misused(
            f"shared record {key.decode()!r}: {len(value)} bytes are above the limit of {VALUE_BYTES}"
        )


class SharedRecords:
    """The records that a commit changes. Nothing is kept from commit to commit."""

    def __init__(self, database: Database, total: RowSum) -> None:
        self._database = database
        self._sum = total
        self._changed: dict[bytes, bytes | None] = {}
        self._digests: dict[bytes, bytes] = {}
        """The digests, as they are in the file, of the held rows that this commit changes."""

    def clear(self) -> None:
        """Forgets all records."""
        self._changed.clear()
        self._digests.clear()

    @property
    def changed(self) -> bool:
        """True if there are records to write."""
        return bool(self._changed)

    def change(self, key: bytes, change: ChangeFunction) -> bytes | None:
        """Applies `change` to the record and returns the new value. If `change` raises, nothing changes."""
        if key in self._changed:
            old = self._changed[key]
        else:
            old = self._load(key)
        new = change(old)
        check_value(key, new)
        if new != old:
            self._changed[key] = new
        return new

    def _load(self, key: bytes) -> bytes | None:
        row = self._database.fetch_first("SELECT leaf, key, value FROM shared WHERE key = ?", (key,))
        if row is None:
            return None
        digest = check_record(row[1], row[2], row[0])
        if digest is not None:
            self._digests[key] = digest
        return row[2] if isinstance(row[2], bytes) else None  # damaged advice counts as none

    def write(self) -> bool:
        """Writes the records that have changed; returns True if the chain holds, or held, one of them."""
        put: list[Row] = []
        holds = False
        for key, value in self._changed.items():
            if key in self._digests:
                holds = True
                self._sum.remove(self._digests[key])
            if value is None:
                continue
            leaf = None
            if is_held(key):
                holds = True
                digest = digest_row("shared", (key, value))
                self._sum.add(digest)
                leaf = digest[:LEAF_BYTES]
            put.append((key, value, leaf))
        if put:
            self._database.run_many("INSERT OR REPLACE INTO shared(key, value, leaf) VALUES (?, ?, ?)", put)
        if holds:
            self._database.run(_NOTE_WRITE)
        deleted = [(key,) for key, value in self._changed.items() if value is None]
        if deleted:
            self._database.run_many("DELETE FROM shared WHERE key = ?", deleted)
        return holds


class SharedReader:
    """Reads shared records by prefix.

    Caps are read after every write of any process, and they seldom change. To read 10,000 records takes 10 ms, and to check
    them 50 ms more. So the newest rows of a few prefixes are kept, and those that the chain holds are read again only if
    one was written since.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Row, list[Row], dict[str, bytes]]] = {}

    def read(self, database: Database, prefix: str) -> dict[str, bytes]:
        """Returns the records whose keys begin with `prefix`."""
        written = database.fetch_one(_WRITTEN)  # before the records: at worst they are read once more
        known = self._known.get(prefix)
        if known is not None and known[0] == written and is_held(prefix.encode()):
            return known[2].copy()
        rows = _fetch(database, prefix)
        if known is not None and known[1] == rows:
            found = known[2]
        else:
            for leaf, key, value in rows:
                check_record(key, value, leaf)
            found = {bytes(key).decode(): value for _, key, value in rows if isinstance(value, bytes)}
        if len(self._known) >= MAX_PREFIXES:
            self._known = {}
        self._known[prefix] = (written, rows, found)
        return found.copy()


def _fetch(database: Database, prefix: str) -> list[Row]:
    if not prefix:
        return database.fetch_all("SELECT leaf, key, value FROM shared ORDER BY key")
    first = encode_key(prefix)  # no byte of UTF-8 is 0xff
    return database.fetch_all(
        "SELECT leaf, key, value FROM shared WHERE key >= ? AND key < ? ORDER BY key",
        (first, first + b"\xff"),
    )
