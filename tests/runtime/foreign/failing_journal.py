"""A journal that fails from some moment on, as a disk does that gets full."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from seawall.core.errors import JournalFull
from seawall.journal.sqlite import SqliteJournal


class FailingJournal:
    """Takes `left` more batches, and refuses every one after them."""

    def __init__(self, inner: SqliteJournal, left: float, error: type[Exception] = JournalFull) -> None:
        self._inner, self.left, self._error = inner, left, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def append(self, *arguments: Any, **options: Any) -> Awaitable[None]:
        self.left -= 1
        if self.left >= 0:
            return self._inner.append(*arguments, **options)
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed.set_exception(self._error("the disk is full; nothing was written"))
        return failed
