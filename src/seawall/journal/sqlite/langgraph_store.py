"""Reads the file of another system: the store of langgraph-checkpoint-sqlite (`SqliteStore`). Nothing is written to it.

Its table `store` has a row for each item: `prefix` is the namespace, joined with dots, `key` the item's name in it, and
`value` a JSON object, as text or as bytes. Newer versions have `expires_at`, a time as text.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import apsw

from seawall.core.errors import Misused
from seawall.journal.sqlite.database import Database

MAGIC = b"SQLite format 3\0"
"""The first bytes of such a file."""
_COLUMNS = {"prefix", "key", "value"}


class StoreItem(NamedTuple):
    """One item of such a store."""

    namespace: str
    key: str
    value: str
    """A JSON object, if LangGraph wrote the item."""
    expires_at: float | None
    """Wall seconds."""


def read_store(path: Path, limit: int) -> Iterator[StoreItem]:
    """Yields the first `limit` items of a store, by namespace and key. Raises `Misused` for a file without such a
    store.
    """
    try:
        database = Database(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=None)
        try:
            # The file is untrusted: its views and triggers are switched off.
            database.run_pragma("trusted_schema", 0)
            columns = _find_columns(database)
            if not columns >= _COLUMNS:
                raise Misused(
                    f"{path} is a SQLite file without LangGraph's store: it has no table 'store' with {', '.join(sorted(_COLUMNS))}"
                )
            expires = "expires_at" if "expires_at" in columns else "NULL"
            yield from map(
                _make_item,
                database.fetch_all(
                    f"SELECT prefix, key, value, {expires} FROM store ORDER BY prefix, key LIMIT ?", (limit,)
                ),
            )
        finally:
            database.close()
    except apsw.Error as error:
        raise Misused(f"{path} can't be read as a SQLite file: {error}") from None


def _find_columns(database: Database) -> set[str]:
    kinds = database.fetch_all("SELECT type FROM sqlite_schema WHERE name = 'store'")
    if [row[0] for row in kinds] != ["table"]:
        return set()
    return {str(row[0]) for row in database.fetch_all("SELECT name FROM pragma_table_info('store')")}


def _make_item(row: tuple[object, ...]) -> StoreItem:
    prefix, key, value, expires_at = row
    return StoreItem(_read_text(prefix), _read_text(key), _read_text(value), _read_time(expires_at))


def _read_text(value: object) -> str:
    return (
        value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)
    )


def _read_time(value: object) -> float | None:
    """Returns the wall seconds of a time that Python or SQLite wrote as text; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(_read_text(value))
    except ValueError:
        return None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
