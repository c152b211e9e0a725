"""Several processes make one new journal at the same time: SQLite's refusal to wait is no error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from seawall.journal.sqlite.database import Database


class Contended(Database):
    """A connection of which SQLite says some times that the file is locked, each time after it has waited `waits` times."""

    refusals = 3
    waits = 0

    def run_pragma(self, name: str, value: object = None) -> Any:
        if name == "journal_mode" and self.refusals:
            self.refusals -= 1
            for count in range(self.waits):
                self.lock_wait(count)
            raise apsw.BusyError("database is locked")
        return super().run_pragma(name, value)


@pytest.fixture
def contended(tmp_path: Path) -> Iterator[Contended]:
    database = Contended(
        str(tmp_path / "j.db"), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, vfs=None
    )
    yield database
    database.close()


def test_a_lock_for_which_sqlite_does_not_wait_is_waited_for(contended: Contended) -> None:
    contended.set_lock_wait(1.0)

    assert contended.use_log() == "wal"
    assert contended.refusals == 0


def test_a_lock_for_which_sqlite_has_waited_is_not_waited_for_again(contended: Contended) -> None:
    contended.set_lock_wait(0.002)
    contended.waits = 3

    with pytest.raises(apsw.BusyError):
        contended.use_log()
    assert contended.refusals == 2


def test_the_wait_for_a_lock_ends(contended: Contended) -> None:
    contended.set_lock_wait(0.002)
    contended.refusals = 100

    with pytest.raises(apsw.BusyError):
        contended.use_log()
