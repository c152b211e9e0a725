"""Callbacks after writes, and the thread that polls for the writes of other processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import apsw

from seawall.core.errors import JournalFailed
from seawall.journal.sqlite.database import Database

Callback = Callable[[], None]


class Watcher:
    """One callback on one loop. At most one call of the callback is pending, however fast commits follow each other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callback) -> None:
        self.loop = loop
        self._callback = callback
        self._pending = False
        self.stopped = False

    def claim(self) -> bool:
        """Returns whether a call should be scheduled now; the call then counts as pending."""
        if self._pending or self.stopped:
            return False
        self._pending = True
        return True

    def call(self) -> None:
        """Calls the callback; runs on the loop."""
        self._pending = False
        if not self.stopped:
            self._callback()


class Watchers:
    """All watchers of one journal, and the thread that polls for writes of other processes."""

    def __init__(self, poll_s: float, connect: Callable[[], Database] | None) -> None:
        self._poll_s = poll_s
        self._connect = connect  # None: a journal in memory, which no other process can write
        self._mutex = threading.Lock()
        self._watchers: list[Watcher] = []
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def add(self, callback: Callback) -> Callback:
        """Adds a callback on the running loop; returns a function that removes it."""
        watcher = Watcher(asyncio.get_running_loop(), callback)
        with self._mutex:
            self._watchers.append(watcher)
            if self._thread is None and self._connect is not None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._poll, name="seawall-journal watch", daemon=True)
                self._thread.start()

        def stop() -> None:
            watcher.stopped = True
            with self._mutex:
                if watcher in self._watchers:
                    self._watchers.remove(watcher)

        return stop

    def claim_callbacks(self) -> dict[asyncio.AbstractEventLoop, list[Callback]]:
        """Returns, by loop, the calls that must be made now."""
        if not self._watchers:
            return {}
        found: dict[asyncio.AbstractEventLoop, list[Callback]] = {}
        with self._mutex:
            for watcher in self._watchers:
                if watcher.claim():
                    found.setdefault(watcher.loop, []).append(watcher.call)
        return found

    def drop_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Drops the watchers of a loop that was closed."""
        with self._mutex:
            self._watchers = [watcher for watcher in self._watchers if watcher.loop is not loop]

    def notify(self) -> None:
        """Schedules the callbacks, because another process has written."""
        for loop, callbacks in self.claim_callbacks().items():
            try:
                for callback in callbacks:
                    loop.call_soon_threadsafe(callback)
            except RuntimeError:
                self.drop_loop(loop)

    def _poll(self) -> None:
        assert self._connect is not None
        database: Database | None = None
        seen: object = None
        try:
            while not self._stop.wait(self._poll_s):
                if not self._watchers:
                    continue
                try:
                    if database is None:
                        database = self._connect()
                    version = database.run_pragma("data_version")
                except (apsw.Error, JournalFailed):
                    continue  # the file is busy or gone: the next poll tries again, and the writer reports the reason
                if version != seen:
                    seen = version
                    self.notify()
        finally:
            if database is not None:
                database.close()

    def close(self) -> None:
        """Stops polling; no callback is called after this."""
        self._stop.set()
        with self._mutex:
            for watcher in self._watchers:
                watcher.stopped = True
            self._watchers.clear()
        if self._thread is not None:
            self._thread.join()
