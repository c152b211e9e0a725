"""Shared records: small values beside the chain that all processes agree on.

A commit reads those that it changes inside of its transaction, so that nothing is kept that another process
may have changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

from seawall.core.errors import Misused
from seawall.journal.sqlite.database import Database

KEY_BYTES = 512
"""A kind and the name of a tool, a model or a tenant."""
VALUE_BYTES = 64 * 1024
"""Each change writes all of it; what is bigger is no small value."""

ChangeFunction = Callable[[bytes | None], bytes | None]


def encode_key(key: str) -> bytes:
    """A key as it is stored. Raises `Misused` if it can't be one."""
    try:
        data = key.encode()
    except UnicodeEncodeError:
        raise Misused(f"a shared record's key must be text that UTF-8 can write, not {key!r}") from None
    if not 0 < len(data) <= KEY_BYTES:
        raise Misused(f"a shared record's key has 1 to {KEY_BYTES} bytes, not {len(data)}: {key[:40]!r}")
    return data


def check_value(key: bytes, value: object) -> None:
    """Raise `Misused` for what a change may not make of a record."""
    if value is None:
        return
    if not isinstance(value, bytes):
        raise Misused(
            f"shared record {key.decode()!r}: a change gave {type(value).__name__}, not bytes or None"
        )
    if len(value) > VALUE_BYTES:
        raise Misused(
            f"shared record {key.decode()!r}: {len(value)} bytes are above the limit of {VALUE_BYTES}"
        )


class SharedRecords:
    """The records that a commit changes. Nothing is kept from commit to commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed: dict[bytes, bytes | None] = {}

    def clear(self) -> None:
        """Know nothing any more."""
        self._changed.clear()

    @property
    def changed(self) -> bool:
        """True if there is something to write."""
        return bool(self._changed)

    def change(self, key: bytes, change: ChangeFunction) -> bytes | None:
        """What `change` makes of the record. Raises what it raises, and changes nothing then."""
        if key in self._changed:
            old = self._changed[key]
        else:
            old = self._database.fetch_value("SELECT value FROM shared WHERE key = ?", (key,))
        new = change(old)
        check_value(key, new)
        if new != old:
            self._changed[key] = new
        return new

    def write(self) -> None:
        """Write what has changed."""
        put = [(key, value) for key, value in self._changed.items() if value is not None]
        gone = [(key,) for key, value in self._changed.items() if value is None]
        if put:
            self._database.run_many("INSERT OR REPLACE INTO shared(key, value) VALUES (?, ?)", put)
        if gone:
            self._database.run_many("DELETE FROM shared WHERE key = ?", gone)


def read_shared(database: Database, prefix: str) -> dict[str, bytes]:
    """The records whose keys begin with `prefix`."""
    if not prefix:
        rows = database.fetch_all("SELECT key, value FROM shared ORDER BY key")
    else:  # no byte of UTF-8 is 0xff
        first = encode_key(prefix)
        rows = database.fetch_all(
            "SELECT key, value FROM shared WHERE key >= ? AND key < ? ORDER BY key", (first, first + b"\xff")
        )
    return {bytes(key).decode(): value for key, value in rows}
