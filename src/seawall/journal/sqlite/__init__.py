"""The journal in a SQLite file: `SqliteJournal` and its `SqliteOptions`.

- `journal.py`: the protocol; `options.py`: the bounds
- `journal_file.py`, `schema.py`: opening, schema, pragmas, clear errors; `mark.py`: the high-water mark
- `writer.py`: the thread and its queue; `ops.py`: what it can be asked; `transaction.py`: one commit
- `owner.py`, `liveness.py`: who owns a run, and whether it lives
- `accounts.py`, `shared.py`: what lies beside the chain
- `reading.py`, `watch.py`: reads, and news of writes
- `chain.py`, `verify.py`, `retention.py`: the hash chain, checking it, pruning and erasing
"""

from __future__ import annotations

from seawall.journal.sqlite.journal import SqliteJournal
from seawall.journal.sqlite.options import SqliteOptions

__all__ = ["SqliteJournal", "SqliteOptions"]
