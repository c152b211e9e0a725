"""Opening a journal for a command."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from seawall.core.canonical import Ref
from seawall.core.errors import Misused
from seawall.core.events import Event, refs_of

if TYPE_CHECKING:
    from seawall.journal.protocol import Journal

READ_AT_ONCE = 500
"""Bodies that are read from the journal in one go."""


def there(path: Path) -> str:
    """The path of a journal that is there. Raises `Misused`, which says how to name another, if it is not."""
    if not path.exists():
        raise Misused(f"there is no journal at {path}: name one with --journal FILE or in SEAWALL_JOURNAL")
    return str(path)


@asynccontextmanager
async def reading(path: Path) -> AsyncGenerator[Journal]:
    """The journal at `path`, which must be there. Raises `Misused` if it is not."""
    from seawall.core.clock import SystemClock
    from seawall.journal.sqlite import SqliteJournal

    journal = SqliteJournal.open(there(path), clock=SystemClock(), create=False)
    try:
        yield journal
    finally:
        await journal.close()


class Texts:
    """The bodies of a run, as text."""

    def __init__(self, found: dict[Ref, bytes]) -> None:
        self._found = found

    def of(self, ref: Ref | None) -> str:
        """The text of a body; what was erased says so."""
        if not ref:
            return ""
        data = self._found.get(ref)
        return "[erased]" if data is None else data.decode("utf-8", "replace")


async def texts(journal: Journal, tenant: str, events: Iterable[Event]) -> Texts:
    """Every body that these events refer to."""
    wanted = refs_of(events)
    found: dict[Ref, bytes] = {}
    for start in range(0, len(wanted), READ_AT_ONCE):
        found |= await journal.bodies(tenant, wanted[start : start + READ_AT_ONCE])
    return Texts(found)
