"""The journal in a SQLite file: `SqliteJournal` and its `SqliteOptions`.

- `journal.py`: `SqliteJournal`, which implements the protocol; `options.py`: the bounds
- `journal_file.py`, `schema.py`: opening, schema, pragmas, clear errors; `mark.py`: the high-water mark
- `writer.py`: the thread that writes and its queue; `ops.py`: its operations; `transaction.py`: one commit
- `owner.py`, `liveness.py`: the name of the process that owns a run, and whether that process is alive
- `accounts.py`, `shared.py`: the tables beside the chain
- `reading.py`, `watch.py`: reading, and calling back after writes
- `chain.py`, `verify.py`, `retention.py`: the hash chain, checking it, pruning and erasing
"""

from __future__ import annotations

from seawall.journal.sqlite.journal import SqliteJournal
from seawall.journal.sqlite.options import SqliteOptions

__all__ = ["SqliteJournal", "SqliteOptions"]
