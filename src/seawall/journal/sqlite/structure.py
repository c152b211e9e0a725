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
_COUNTED = {
    "effects": "pk",
    "proposals": "pk",
    "facts": "number",
    "memories": "number",
    "memory_versions": "version",
    "memory_conflicts": "number",
}
"""The tables whose numbers are never given twice, each with the column of the number."""
_COUNTERS = "SELECT name, seq FROM sqlite_sequence"
MAX_NUMBER = 1 << 62
"""Greatest number of a counter that is accepted, far above any number that was given. If a counter has SQLite's highest
number, SQLite reports that the disk is full."""
_OBJECTS = "SELECT type || ' ' || name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND NOT (type = 'table' AND name GLOB 'sqlite_*')"
"""All objects but SQLite's own: its tables (counters, statistics), and the indexes of keys, which have no text. A name
alone says nothing, because an author of the schema as a table could give SQLite's names to a trigger as well."""


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
        return _compare_schema(_read_schema(database), _make_schema()) or _check_counters(database)
    except (apsw.Error, UnicodeError) as error:
        return f"SQLite's integrity check can't read it: {error}"


def _check_counters(database: Database) -> str | None:
    """Returns what is wrong with the counters by which SQLite gives no number a second time."""
    counters: dict[object, object] = {}
    for name, number in database.fetch_all(_COUNTERS):
        if name not in _COUNTED or name in counters:
            return f"the counter of table {name!r:.40} is not one of a journal"
        counters[name] = number
    for table, column in _COUNTED.items():
        highest = database.fetch_value(f"SELECT coalesce(max({column}), 0) FROM {table}")
        number = counters.get(table, 0)
        if not isinstance(number, int) or not highest <= number < MAX_NUMBER:
            return f"the counter of table {table} is {number!r:.40}, and its highest number is {highest}"
    return None


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
