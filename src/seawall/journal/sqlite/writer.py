"""The only writing thread of a process: it commits all waiting operations together, then wakes each loop once."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

import apsw

from seawall.core.clock import Clock
from seawall.core.errors import (
    Broken,
    JournalDamaged,
    JournalFailed,
    JournalFull,
    Misused,
    Refused,
    SeawallBug,
    SeawallError,
)
from seawall.core.forks import refuse_in_child
from seawall.core.threads import start_in_thread
from seawall.journal.protocol import MemoryConflicts
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.journal_file import JournalFile
from seawall.journal.sqlite.ops import Op, Why, WorkOp
from seawall.journal.sqlite.options import SqliteOptions
from seawall.journal.sqlite.schema import MEMORY, MISREAD, OUTSIDE, is_disk_full
from seawall.journal.sqlite.transaction import Transaction
from seawall.journal.sqlite.watch import Watchers

_log = logging.getLogger("seawall.journal")
_FINAL = (apsw.IOError, apsw.CantOpenError, apsw.CorruptError, apsw.NotADBError, apsw.ReadOnlyError)
"""Errors after which the content of the file is unknown, or no later attempt can help."""
CHECKPOINT_ROUNDS = 32
"""Commits between two checks of the size of the log."""


_Report = tuple[list[Op], list[asyncio.Future[None]], list[Callable[[], None]]]
"""The news for one event loop after a commit: the operations of its callers, the callers that waited for room, and the
callbacks of its watchers."""


class WriteFuture(asyncio.Future[Any]):
    """The future of a write: done when the write is durable or has failed. An enqueued write can't be cancelled: if a
    task that awaits it is cancelled, the task gets its `CancelledError` only once the write is done.
    """

    def cancel(self, msg: Any | None = None) -> bool:
        """Returns False, because the write goes on."""
        return False


class Writer:
    """A bounded queue of operations, and the thread that commits them."""

    def __init__(
        self,
        file: JournalFile,
        clock: Clock,
        watchers: Watchers,
        options: SqliteOptions,
        lock: threading.Lock,
    ) -> None:
        self._path = path = file.path
        self._database = file.database
        self._liveness = file.liveness
        self._mark = file.mark
        self._files = file.files
        self._watchers = watchers
        self._options = options
        self._lock = lock  # held during a transaction; readers of a memory journal share its connection
        self._tx = Transaction(file.database, str(file.owner), clock, file.liveness, file.signer)
        self._failed: Why | None = None if file.unwritable is None else _make_raiser(file.unwritable)
        if file.loss is not None:
            self.fail(
                f"journal {path} has lost its tail: {file.loss}. It can be read, not written; restore a copy, "
                f"or remove {path}.mark to accept the loss"
            )
        self._queue: SimpleQueue[list[Op] | None] = SimpleQueue()
        self._mutex = threading.Lock()  # guards the counters and lists below
        self._staged: dict[asyncio.AbstractEventLoop, list[Op]] = {}
        self._waiting_ops = 0
        self._waiting_bytes = 0
        self._hard_ops = options.queue_ops * options.hard_factor
        self._hard_bytes = options.queue_bytes * options.hard_factor
        self._room_waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._closed = False
        self._rounds = 0
        self._pid = os.getpid()
        # A memory journal has no disk to wait for: it commits on the loop, so a test's manual clock controls it.
        self._inline = path == MEMORY
        self._thread = threading.Thread(target=self._work, name=f"seawall-journal {path}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        if not self._inline:
            self._thread.start()

    @property
    def failed(self) -> Why | None:
        """The reason why nothing is written any more; None while writing works."""
        return self._failed

    def fail(self, why: str) -> None:
        """Stops writing for good."""
        if self._failed is None:
            _log.error(why)
            self._failed = lambda: JournalFailed(why)
            self._database.leave_log()

    # -- called on event loops

    def submit(self, op: Op) -> asyncio.Future[Any]:
        """Enqueues an operation; returns a future that is done when it is durable or has failed."""
        if os.getpid() != self._pid:
            refuse_in_child(self._pid, f"journal {self._path}")
        loop = asyncio.get_running_loop()
        op.loop = loop
        op.future = future = WriteFuture(loop=loop)
        with self._mutex:
            if self._closed:
                raise Misused(f"journal {self._path} is closed")
            self._check_hard_bound()
            self._waiting_ops += 1
            self._waiting_bytes += op.size
            staged = self._staged.get(loop)
            if staged is None:
                # All operations that one iteration of the loop enqueues go to the thread together at its end. This
                # needs one wake-up instead of many, and the thread does not compete for the interpreter meanwhile.
                self._staged[loop] = [op]
                loop.call_soon(self._flush, loop)
            else:
                staged.append(op)
        return future

    def _check_hard_bound(self) -> None:
        limit_ops, limit_bytes = self._hard_ops, self._hard_bytes
        if self._waiting_ops >= limit_ops or (self._waiting_ops and self._waiting_bytes >= limit_bytes):
            raise Refused(
                f"journal {self._path}: {self._waiting_ops} writes of {self._waiting_bytes} bytes are waiting "
                f"(limits {limit_ops} and {limit_bytes}); await wait_for_room() between appends",
                guard="journal queue",
                limit=limit_ops,
                value=self._waiting_ops,
                retry_after_s=1.0,
            )

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._mutex:
            ops = self._staged.pop(loop, None)
            if ops is not None and not self._inline:
                self._queue.put(ops)
        if ops is not None and self._inline:
            self._work_inline(ops)

    def _work_inline(self, ops: list[Op]) -> None:
        backlog = deque(ops)
        while backlog:
            self._run_round(backlog)

    def _has_room(self) -> bool:
        options = self._options
        return self._waiting_ops < options.queue_ops and self._waiting_bytes < options.queue_bytes

    async def wait_for_room(self) -> None:
        """Returns once the queue is below its bound."""
        if self._has_room():
            return
        while True:
            with self._mutex:
                if self._has_room() or self._closed:
                    return
                loop = asyncio.get_running_loop()
                future: asyncio.Future[None] = loop.create_future()
                self._room_waiters.append((loop, future))
            await future

    async def close(self) -> None:
        """Writes the enqueued operations, releases this process's runs, and ends the thread."""
        with self._mutex:
            self._closed = True
            staged = list(self._staged.values())
            self._staged.clear()
            for ops in staged:
                self._queue.put(ops)
            self._queue.put(None)
        if self._inline:
            self._work()
            return
        await start_in_thread(self._thread.join, "seawall-journal close")

    # -- the thread

    def _work(self) -> None:
        backlog: deque[Op] = deque()
        closing = False
        while not (closing and not backlog):
            try:
                if not backlog:
                    ops = self._queue.get(timeout=self._measure_idle_s())
                    closing = ops is None
                    backlog.extend(ops or ())
                while not closing and len(backlog) < self._options.batch_ops and not self._queue.empty():
                    ops = self._queue.get_nowait()
                    closing = ops is None
                    backlog.extend(ops or ())
            except Empty:
                pass
            try:
                self._run_round(backlog)
            except Exception as error:  # noqa: BLE001 - the waiting callers must get the error, and the thread goes on
                self.fail(f"journal {self._path}: {type(error).__name__}: {error}; writing has stopped")
        self._finish()

    def _run_round(self, backlog: deque[Op]) -> None:
        """Commits the next batch, reports to its callers, and does the housekeeping."""
        if backlog:
            batch = self._cut_batch(backlog)
            try:
                self._write(batch)
            finally:
                self._report(batch)
        self._housekeep()

    def _measure_idle_s(self) -> float | None:
        dues = [
            due for due in (self._liveness.due_in_s, self._mark and self._mark.due_in_s) if due is not None
        ]
        return None if not dues or self._failed else max(0.05, min(dues))

    def _cut_batch(self, backlog: deque[Op]) -> list[Op]:
        batch = [backlog.popleft()]
        size = batch[0].size
        while backlog and len(batch) < self._options.batch_ops and not isinstance(batch[0], WorkOp):
            size += backlog[0].size
            if size > self._options.batch_bytes or isinstance(backlog[0], WorkOp):
                break
            batch.append(backlog.popleft())
        return batch

    def _write(self, batch: list[Op]) -> None:
        """Commits `batch`; afterwards each operation has its result or its error."""
        if self._failed is not None:
            self._refuse(batch, self._failed)
            return
        try:
            self._check_files()  # before this commit can overwrite writes of others
            with self._lock:
                self._commit(batch)
            self._check_files()  # before a caller is told that the commit is durable
        except JournalFailed as failed:
            self._roll_back()
            self.fail(
                f"journal {self._path}: {failed}; writing has stopped, nothing of the last commit was acknowledged"
            )
            self._refuse(batch, _make_raiser(failed))
        except Exception as error:  # noqa: BLE001 - callers wait for the result of any error
            self._roll_back()
            explained = self._explain(error)
            if explained is None and len(batch) > 1:
                for op in batch:  # one by one, so that only the operation at fault fails
                    op.error, op.result = None, None
                    self._write([op])
                return
            if explained is None:
                explained = self._explain_single(error), False
            why, is_final = explained
            if is_final:
                self.fail(str(why()))
            self._refuse(batch, why)

    def _check_files(self) -> None:
        """Raises `JournalFailed` if the files are not those that were opened."""
        if self._files is not None:
            self._files.check()
            if self._files.is_shorter:
                self._files.check_lengths(self._database)

    def _commit(self, batch: list[Op]) -> None:
        tx = self._tx
        first = batch[0]
        if isinstance(first, WorkOp) and first.alone:
            first.result = first.work(self._database)
            return
        tx.begin()
        runs: list[str] = []
        requests: list[tuple[str, str]] = []
        for op in batch:
            runs += op.get_runs()
            if (request := op.get_request()) is not None:
                requests.append(request)
        tx.load(runs, requests)
        for op in batch:
            try:
                op.plan(tx)
            except (SeawallError, MemoryConflicts) as error:
                op.error = _make_raiser(error)
                op.block_followers(op.error, tx)
        tx.commit()

    def _roll_back(self) -> None:
        self._liveness.forget()
        self._tx.forget()
        try:
            self._database.rollback()
        except apsw.Error as error:
            self.fail(f"journal {self._path}: rollback failed: {error}")

    def _refuse(self, batch: list[Op], why: Why) -> None:
        for op in batch:
            op.result = None
            op.error = why
            op.block_followers(why, self._tx)

    def _explain(self, error: Exception) -> tuple[Why, bool] | None:
        """Returns the error to raise for `error`, and whether writing stops for good. Returns None for an error that
        one operation of the batch may have caused.
        """
        path = self._path
        if isinstance(error, SeawallError):  # the newest batch can't be continued
            return _make_raiser(type(error)(f"journal {path}: {error}")), False
        if is_disk_full(error, self._database.errno):
            return lambda: JournalFull(f"journal {path}: the disk is full; nothing was written"), False
        if isinstance(error, apsw.BusyError):
            waited = self._options.lock_wait_s
            text = f"journal {path}: waited {waited:g} s for the write lock that another process holds"
            return lambda: Broken(text), False
        if isinstance(error, _FINAL):
            text = (
                f"journal {path}: {error}; writing has stopped, nothing of the last commit was acknowledged"
            )
            return lambda: JournalFailed(text), True
        if isinstance(error, (apsw.SQLError, apsw.MismatchError, UnicodeError)):
            text = f"journal {path} is damaged: {type(error).__name__}: {error}"
            return lambda: JournalDamaged(text), False
        return None

    def _explain_single(self, error: Exception) -> Why:
        """Returns the error to raise for an error of a single operation that `_explain` does not know."""
        text = f"journal {self._path}: {type(error).__name__}: {error}".rstrip(": ")
        if isinstance(error, OUTSIDE):
            return lambda: Broken(f"{text}; nothing was written")
        # The rows were looked up before they were written. If they contradict the file now, an index has hidden rows or
        # rows were lost.
        kind = JournalDamaged if isinstance(error, apsw.ConstraintError) else SeawallBug
        return lambda: kind(text)

    def _report(self, batch: list[Op]) -> None:
        """Wakes each loop once, for all of its callers and watchers."""
        size = 0
        reports: dict[asyncio.AbstractEventLoop, _Report] = {}
        for op in batch:
            size += op.size
            report = reports.get(op.loop)
            if report is None:
                report = reports[op.loop] = ([], [], [])
            report[0].append(op)
        with self._mutex:
            self._waiting_ops -= len(batch)
            self._waiting_bytes -= size
            rooms: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
            if self._room_waiters and self._has_room():
                rooms, self._room_waiters = self._room_waiters, rooms
        for loop, future in rooms:
            reports.setdefault(loop, ([], [], []))[1].append(future)
        for loop, callbacks in self._watchers.claim_callbacks().items():
            reports.setdefault(loop, ([], [], []))[2].extend(callbacks)
        here = asyncio.get_running_loop() if self._inline else None
        for loop, (ops, room, calls) in reports.items():
            try:
                if loop is here:
                    _settle(ops, room, [])
                    for call in calls:  # these run code of others, which may raise
                        loop.call_soon(call)
                else:
                    loop.call_soon_threadsafe(_settle, ops, room, calls)
            except RuntimeError:  # the loop was closed: nothing waits there any more
                self._watchers.drop_loop(loop)

    def _housekeep(self) -> None:
        """Writes heartbeat, high-water mark and checkpoint, each when it is due."""
        if self._failed is not None:
            return
        try:
            due = self._list_due()
            if due:
                self._check_files()  # files that were replaced are not written
                with self._lock:
                    for work in due:
                        work()
        except JournalFailed as failed:
            self.fail(f"journal {self._path}: {failed}; writing has stopped")
        except apsw.BusyError:
            pass  # the next round tries again
        except (apsw.Error, OSError, SeawallError, *MISREAD) as error:
            self._roll_back()
            explained = self._explain(error)
            if explained is not None and explained[1]:
                self.fail(str(explained[0]()))
            else:
                _log.warning("journal %s: %s", self._path, error)
                if self._mark is not None:
                    self._mark.postpone()  # so that a directory without write permission is not tried at every commit

    def _list_due(self) -> list[Callable[[], None]]:
        due: list[Callable[[], None]] = []
        beat_s, mark = self._liveness.due_in_s, self._mark
        if beat_s is not None and beat_s <= 0:
            due.append(lambda: self._run_in_transaction(self._liveness.beat))
        if mark is not None:
            mark.follow(self._tx.head)
            if mark.is_due():
                due.append(lambda: mark.write(self._database))
        self._rounds += 1
        if self._rounds % CHECKPOINT_ROUNDS == 0:
            due.append(self._checkpoint)
        return due

    def _run_in_transaction(self, work: Callable[[Database], None]) -> None:
        self._database.run("BEGIN IMMEDIATE")
        work(self._database)
        self._database.run("COMMIT")
        self._liveness.keep()

    def _checkpoint(self) -> None:
        if self._database.count_log_pages() >= self._options.checkpoint_pages:
            self._database.checkpoint()

    def _finish(self) -> None:
        try:
            if self._failed is None:
                self._check_files()
            with self._lock:
                if self._failed is None:
                    self._tx.release_all()
                    if self._mark is not None:
                        self._mark.write(self._database)
        except JournalFailed as failed:
            self.fail(f"journal {self._path}: {failed}; nothing was written at close")
        except (apsw.Error, OSError, SeawallError, *MISREAD) as error:
            _log.warning("journal %s: at close: %s", self._path, error)
            self._roll_back()


def _make_raiser(error: SeawallError | MemoryConflicts) -> Why:
    """Returns a function that makes a new copy of `error`, because several callers may wait for it."""
    if isinstance(error, Refused | MemoryConflicts):
        return lambda: error
    return lambda: type(error)(*error.args)


def _settle(ops: list[Op], rooms: list[asyncio.Future[None]], callbacks: list[Callable[[], None]]) -> None:
    for op in ops:
        future = op.future
        if future.done():
            continue
        if op.error is None:
            future.set_result(op.result)
        else:
            future.set_exception(op.error())
            future.exception()  # marks the error as retrieved, because no caller may await an intent
    for room in rooms:
        if not room.done():
            room.set_result(None)
    for callback in callbacks:
        callback()
