"""Edits of a journal's file that other programs could make, or an older version left."""

from __future__ import annotations

from pathlib import Path

import apsw
import msgspec

from seawall.journal.protocol import Head
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.effect_rows import EFFECT_TABLES
from seawall.journal.sqlite.holding import hold_all_rows
from seawall.journal.sqlite.memory_rows import MEMORY_TABLES


def edit(path: str, sql: str) -> None:
    """Changes the file with one or more statements, of which the last changes something."""
    database = apsw.Connection(path)
    database.execute(sql)
    assert database.changes() > 0
    database.close()


def hold_again(path: str) -> None:
    """Makes rows that were edited pass for what was written."""
    database = Database(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=None)
    state = hold_all_rows(database)
    database.run("UPDATE batches SET state = ? WHERE id = (SELECT max(id) FROM batches)", (state,))
    database.close()


TRIGGER_OF_SCHEMA_6 = """
CREATE TRIGGER batches_have_state BEFORE INSERT ON batches WHEN new.state IS NULL BEGIN
    SELECT RAISE(ABORT, 'a newer seawall has migrated this journal: end the process of the older one');
END;
"""


TRIGGER_OF_SCHEMA_7 = """
CREATE TRIGGER batches_know_effects BEFORE INSERT ON batches WHEN new.writer IS NULL BEGIN
    SELECT RAISE(ABORT, 'a newer seawall has migrated this journal: end the process of the older one');
END;
"""


def leave_schema_7(path: str) -> None:
    """Makes a journal without memory the file that a version with schema 7 would have written."""
    database = apsw.Connection(path)
    for table in (*MEMORY_TABLES, "memory_keys", "memory_search"):
        assert database.execute(f"SELECT count(*) FROM {table}").get == 0
        database.execute(f"DROP TABLE {table}")
    database.execute(f"DROP TRIGGER batches_know_memory; {TRIGGER_OF_SCHEMA_7}")
    database.execute("UPDATE batches SET writer = 7; PRAGMA user_version = 7")
    database.close()


def leave_schema_6(path: str) -> None:
    """Makes a journal without records of effects the file that a version with schema 6 would have written."""
    leave_schema_7(path)
    indexes = ("runs_woken", "runs_at_work", "entries_by_decision")
    database = apsw.Connection(path)
    for table in EFFECT_TABLES:
        assert database.execute(f"SELECT count(*) FROM {table}").get == 0
        database.execute(f"DROP TABLE {table}")
    for index in indexes:
        database.execute(f"DROP INDEX {index}")
    database.execute("DROP TRIGGER batches_know_effects; ALTER TABLE batches DROP COLUMN writer")
    database.execute(TRIGGER_OF_SCHEMA_6)
    database.execute("ALTER TABLE runs DROP COLUMN taken; PRAGMA user_version = 6")
    database.close()


def write_mark(path: str) -> None:
    """Writes the high-water mark of a file that was restored from text."""
    database = Database(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=None)
    genesis = database.fetch_value("SELECT value FROM meta WHERE key = 'genesis'")
    batch, hash_ = database.fetch_one("SELECT id, hash FROM batches ORDER BY id DESC LIMIT 1")
    database.close()
    mark = Head(genesis=genesis.hex(), batch=batch, hash=hash_.hex(), at=0.0)
    Path(path + ".mark").write_bytes(msgspec.json.encode(mark))
