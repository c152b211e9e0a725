"""The contract, for every implementation."""

from __future__ import annotations

from pathlib import Path

import pytest

from journal.contract import JournalContract, SharedContract
from journal.story import Open
from seawall.journal.sqlite import SqliteJournal
from seawall.testing import ManualClock


class TestSqliteFile(JournalContract, SharedContract):
    """A journal in a file."""

    @pytest.fixture
    def open_journal(self, tmp_path: Path, clock: ManualClock) -> Open:
        return lambda: SqliteJournal.open(str(tmp_path / "journal.db"), clock=clock)


class TestSqliteMemory(JournalContract):
    """A journal in memory: the same code without a high-water mark."""

    @pytest.fixture
    def open_journal(self, clock: ManualClock) -> Open:
        return lambda: SqliteJournal.open(":memory:", clock=clock)
