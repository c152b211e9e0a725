"""Which entries of memory each run has read. A revert finds with it the runs in flight that it affects, and forgetting
a person finds what runs were shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from seawall.journal.sqlite.row_sum import check_row
from seawall.journal.sqlite.transaction import Transaction

_READ = "SELECT leaf, run, entry FROM memory_reads WHERE run = ? AND entry = ?"


def note_reads(tx: Transaction, run: str, numbers: Sequence[int]) -> int:
    """Records that a run has read entries; returns how many of these records are new."""
    new = 0
    for number in dict.fromkeys(numbers):
        row = tx.database.fetch_first(_READ, (run, number))
        if row is not None:
            check_row("memory_reads", row[1:], row[0])
            continue
        tx.tables["memory_reads"].put(None, (run, number))
        tx.wrote = True
        new += 1
    return new
