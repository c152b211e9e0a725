"""A19 for effects, proposals and decisions: what is edited, deleted or cut off is found, and a decision that was made by
editing the file pays nothing without being found.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest
from msgspec.structs import replace

from effects.case import Case
from effects.desk import refund
from seawall.core.clock import SystemClock
from seawall.journal.sqlite import SqliteJournal


class Cell(NamedTuple):
    """A value in a table of the journal."""

    table: str
    column: str
    value: str | bytes


def find_cells(path: str, word: str) -> list[Cell]:
    """Returns the values in which a word stands, in whatever table."""
    database = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return list(_list_cells(database, word))
    finally:
        database.close()


def _list_cells(database: apsw.Connection, word: str) -> Iterator[Cell]:
    tables = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    for table in tables:
        columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
        for column in columns:
            for (value,) in database.execute(f'SELECT DISTINCT "{column}" FROM "{table}"'):
                if (isinstance(value, str) and word in value) or (
                    isinstance(value, bytes) and word.encode() in value
                ):
                    yield Cell(table, column, value)


def verify_changed(case: Case, directory: Path, sql: str, values: tuple[object, ...]) -> bool:
    """Changes a copy of the journal; returns whether `verify` finds nothing wrong with it."""
    directory.mkdir()
    for path in case.directory.glob("journal.db*"):
        shutil.copy(path, directory)
    database = apsw.Connection(str(directory / "journal.db"))
    database.execute(sql, values)
    assert database.changes() > 0
    database.close()

    async def verify() -> bool:
        journal = SqliteJournal.open(str(directory / "journal.db"), clock=SystemClock())
        try:
            return (await journal.verify()).ok
        finally:
            await journal.close()

    return asyncio.run(verify())


@pytest.fixture
def decided(case: Case) -> Case:
    """A refund that alice has approved and that was paid, and one that she has rejected."""
    orders = (case.order, f"{case.order}-b")
    case.asks(tuple(refund(order, "150.00") for order in orders))
    case.do("start")
    approve, reject = case.people("alice", "alice")
    decisions = (replace(approve, order=orders[0]), replace(reject, order=orders[1], action="reject"))
    assert case.do("decide", decisions=decisions).said == ("ok", "ok")
    case.do("go_on")
    assert [len(case.bank.paid(order)) for order in orders] == [1, 0]
    return case


@pytest.mark.parametrize(
    ("word", "other"),
    [("alice", "mallo"), ("rejected", "approved"), ("committed", "unknownnn"), ("150.00", "950.00")],
)
def test_a19_a_decision_an_effect_or_an_amount_that_was_edited_is_found(
    decided: Case, tmp_path: Path, word: str, other: str
) -> None:
    cells = find_cells(decided.job.journal, word)
    assert cells
    for number, cell in enumerate(cells):
        changed = (
            cell.value.replace(word, other)
            if isinstance(cell.value, str)
            else cell.value.replace(word.encode(), other.encode())
        )
        sql = f'UPDATE "{cell.table}" SET "{cell.column}" = ? WHERE "{cell.column}" = ?'
        fine = verify_changed(decided, tmp_path / f"copy-{number}", sql, (changed, cell.value))
        assert not fine, f"{word} became {other} in {cell.table}.{cell.column}, and nobody noticed"


def test_a19_a_decision_or_an_effect_that_was_deleted_is_found(decided: Case, tmp_path: Path) -> None:
    words = ["alice", *(effect.id for effect in decided.do("look").effects)]
    cells = {cell for word in words for cell in find_cells(decided.job.journal, word)}
    assert cells
    for number, cell in enumerate(sorted(cells, key=str)):
        sql = f'DELETE FROM "{cell.table}" WHERE "{cell.column}" = ?'
        fine = verify_changed(decided, tmp_path / f"copy-{number}", sql, (cell.value,))
        assert not fine, f"{cell.table} lacks a row, and nobody noticed"
