"""The bodies that a check has seen, by tenant and hash. They may be more than memory should hold."""

from __future__ import annotations

import apsw

from seawall.journal.sqlite.database import Database


class SeenBodies:
    """A set of bodies. What exceeds SQLite's cache is kept on disk."""

    def __init__(self) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        self._database = Database("", flags=flags, vfs=None)
        self._database.run_pragma("journal_mode", "off")
        self._database.run(
            "CREATE TABLE noted(tenant, hash BLOB, PRIMARY KEY (tenant, hash)) WITHOUT ROWID; BEGIN"
        )

    def add(self, tenant: object, hash_: bytes) -> bool:
        """Adds a body; returns False if it is known."""
        self._database.run("INSERT OR IGNORE INTO noted VALUES (?, ?)", (tenant, hash_))
        return self._database.changes > 0

    def has(self, tenant: object, hash_: bytes) -> bool:
        """Returns True for a known body."""
        found = self._database.fetch_first(
            "SELECT 1 FROM noted WHERE tenant = ? AND hash = ?", (tenant, hash_)
        )
        return found is not None

    def close(self) -> None:
        """Deletes everything."""
        self._database.close()
