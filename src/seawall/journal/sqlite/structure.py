"""The file as SQLite sees it: its pages, its indexes against its tables, and its schema."""

from __future__ import annotations

import functools

import apsw

from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.migrations import MIGRATIONS
from seawall.journal.sqlite.schema import MEMORY

FINDINGS = 3
"""Most findings that SQLite reports: one broken page can cause thousands."""

_SHADOWS = "table memory_search_"
"""The prefix of the tables in which SQLite itself keeps the index of words; another version of SQLite may define them
in another way."""
_SEEN = "SELECT rowid FROM memory_search LIMIT 1"
"""A statement that makes a connection read the newest state of the index of words. Otherwise SQLite's check uses the
state that the connection read last."""
_OBJECTS = "SELECT type || ' ' || name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"


def find_damage(database: Database) -> str | None:
    """Returns a text about the damage in the file's structure; None if there is none.

    SQLite's `integrity_check` reads every page, and compares each index with its table: a flipped bit in an index can
    hide a row from every query that goes through it.
    """
    try:
        database.fetch_first(_SEEN)
        rows = database.fetch_all(f"PRAGMA integrity_check({FINDINGS})")
        if rows != [("ok",)]:
            found = "; ".join(line.strip() for row in rows for line in str(row[0]).splitlines())
            return f"SQLite's integrity check says: {found}"
        return _compare_schema(_read_schema(database), _make_schema())
    except (apsw.Error, UnicodeError) as error:
        return f"SQLite's integrity check can't read it: {error}"


def _read_schema(database: Database) -> dict[str, str]:
    return {name: "".join(str(sql).split()) for name, sql in database.fetch_all(_OBJECTS)}


@functools.cache
def _make_schema() -> dict[str, str]:
    """Returns the schema of a new journal, by the type and name of each object."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    database = Database(MEMORY, flags=flags, vfs=None)
    try:
        for step in MIGRATIONS:
            database.run(step)
        return _read_schema(database)
    finally:
        database.close()


def _compare_schema(found: dict[str, str], expected: dict[str, str]) -> str | None:
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            return f"the {name} is missing"
        if name not in expected:
            return f"the {name} does not belong to a journal"
        if found[name] != expected[name] and not name.startswith(_SHADOWS):
            return f"the {name} is not defined as in a journal"
    return None
