"""The journal as a whole: what every implementation offers to the rest of Seawall."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from seawall.journal.protocol.accounts import AccountStore
from seawall.journal.protocol.effects import EffectStore
from seawall.journal.protocol.inbox import InboxStore
from seawall.journal.protocol.memory import MemoryStore
from seawall.journal.protocol.retention import RetentionStore
from seawall.journal.protocol.runs import RunStore
from seawall.journal.protocol.settings import SettingStore


class Journal(
    RunStore, InboxStore, SettingStore, AccountStore, EffectStore, MemoryStore, RetentionStore, Protocol
):
    """Everything that Seawall records. All times are wall seconds from the journal's injected clock.

    Appends of one run become durable in the order of the calls: all of them, or the first ones without a gap.
    `append` enqueues the events before it returns; the caller awaits its result until they are durable.
    """

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` on the running loop after any process has written; returns a function that stops it.

        Writes of this process are reported at once, those of other processes within 100 ms. The callback may
        also be called when nothing was written.
        """
        ...

    async def close(self) -> None:
        """Makes durable what is enqueued, and closes the file."""
        ...
