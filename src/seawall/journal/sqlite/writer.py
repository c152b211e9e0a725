"""The one thread of a process that writes: takes what waits, commits it as one, wakes each loop once."""

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
from seawall.core.errors import Broken, JournalFailed, JournalFull, Misused, Refused, SeawallBug, SeawallError
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.journal_file import JournalFile
from seawall.journal.sqlite.ops import Op, WorkOp
from seawall.journal.sqlite.options import SqliteOptions
from seawall.journal.sqlite.schema import MEMORY
from seawall.journal.sqlite.transaction import Transaction
from seawall.journal.sqlite.watch import Watchers

_log = logging.getLogger("seawall.journal")
Why = Callable[[], BaseException]
_NO_SPACE = {28, 27, 122}  # ENOSPC, EFBIG, EDQUOT


class WriteFuture(asyncio.Future[Any]):
    """Done when a write is durable, or failed. Who waits for it and is cancelled learns of that only then:
    what is enqueued is written all the same.
    """

    def cancel(self, msg: Any | None = None) -> bool:
        """Refuse: the write goes on."""
        return False


class Writer:
    """A bounded queue and the thread behind it."""

    def __init__(
        self,
        opened: JournalFile,
        clock: Clock,
        watchers: Watchers,
        options: SqliteOptions,
        lock: threading.Lock,
    ) -> None:
        self._path = path = opened.path
        self._database = opened.database
        self._liveness = opened.liveness
        self._mark = opened.mark
        self._watchers = watchers
        self._options = options
        self._lock = lock  # around a transaction; readers of a memory journal share the database
        self._tx = Transaction(opened.database, str(opened.owner), clock, opened.liveness)
        self._failed: Why | None = None
        if opened.loss is not None:
            self.fail(
                f"journal {path} has lost its tail: {opened.loss}. It can be read, not written; restore a copy, "
                f"or remove {path}.mark to accept the loss"
            )
        self._queue: SimpleQueue[list[Op] | None] = SimpleQueue()
        self._mutex = threading.Lock()  # around the counters and lists below
        self._staged: dict[asyncio.AbstractEventLoop, list[Op]] = {}
        self._waiting_ops = 0
        self._waiting_bytes = 0
        self._rooms: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._closed = False
        self._commits = 0
        self._pid = os.getpid()
        # A memory journal has nothing to wait for: it commits on the loop, and a test's clock stays in charge.
        self._inline = path == MEMORY
        self._thread = threading.Thread(target=self._work, name=f"seawall-journal {path}", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        if not self._inline:
            self._thread.start()

    @property
    def failed(self) -> Why | None:
        """Why nothing is written any more; None while all is well."""
        return self._failed

    def fail(self, why: str) -> None:
        """Write nothing any more."""
        if self._failed is None:
            _log.error(why)
            self._failed = lambda: JournalFailed(why)

    # -- called on event loops

    def submit(self, op: Op) -> asyncio.Future[Any]:
        """Enqueue; the future is done when the operation is durable, or failed."""
        loop = asyncio.get_running_loop()
        op.loop = loop
        op.future = future = WriteFuture(loop=loop)
        with self._mutex:
            if self._closed:
                raise Misused(f"journal {self._path} is closed")
            if os.getpid() != self._pid:
                raise Misused(f"journal {self._path} was opened before a fork; open it again in the child")
            self._check_hard_bound()
            self._waiting_ops += 1
            self._waiting_bytes += op.size
            staged = self._staged.get(loop)
            if staged is None:
                # All that this round of the loop enqueues goes to the thread at once, at its end: one
                # wake-up instead of many, and the thread need not fight for the interpreter meanwhile.
                self._staged[loop] = [op]
                loop.call_soon(self._flush, loop)
            else:
                staged.append(op)
        return future

    def _check_hard_bound(self) -> None:
        hard = self._options.hard_factor
        limit_ops, limit_bytes = self._options.queue_ops * hard, self._options.queue_bytes * hard
        if self._waiting_ops >= limit_ops or (self._waiting_ops and self._waiting_bytes >= limit_bytes):
            raise Refused(
                f"journal {self._path}: {self._waiting_ops} writes of {self._waiting_bytes} bytes wait "
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
        """Return once the queue is below its bound."""
        while True:
            with self._mutex:
                if self._has_room() or self._closed:
                    return
                loop = asyncio.get_running_loop()
                future: asyncio.Future[None] = loop.create_future()
                self._rooms.append((loop, future))
            await future

    async def close(self) -> None:
        """Write what is enqueued, say goodbye to the file, and end the thread."""
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
        await asyncio.to_thread(self._thread.join)

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
                while not closing and len(backlog) < self._options.batch_ops:
                    ops = self._queue.get_nowait()
                    closing = ops is None
                    backlog.extend(ops or ())
            except Empty:
                pass
            try:
                self._run_round(backlog)
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, and the thread goes on
                self.fail(f"journal {self._path}: {type(error).__name__}: {error}; writing has stopped")
        self._finish()

    def _run_round(self, backlog: deque[Op]) -> None:
        """Commit what waits, tell who waits for it, and see to the file."""
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
        """Commit `batch`; each operation then has its result or its error."""
        if self._failed is not None:
            self._refuse(batch, self._failed)
            return
        try:
            with self._lock:
                self._commit(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, someone waits for it
            self._roll_back()
            why, sticky = self._explain(error)
            if sticky:
                self.fail(str(why()))
            elif why is _SINGLY and len(batch) > 1:
                # One of them is at fault: it alone shall fail.
                for op in batch:
                    op.error, op.result = None, None
                    self._write([op])
                return
            elif why is _SINGLY:
                text = f"journal {self._path}: {type(error).__name__}: {error}"
                why = lambda: SeawallBug(text)  # noqa: E731 - one line says it
            self._refuse(batch, why)

    def _commit(self, batch: list[Op]) -> None:
        tx = self._tx
        first = batch[0]
        if isinstance(first, WorkOp) and first.alone:
            first.result = first.work(self._database)
            return
        tx.begin()
        requests = [request for op in batch if (request := op.get_request()) is not None]
        tx.load([run for op in batch for run in op.get_runs()], requests)
        for op in batch:
            try:
                op.plan(tx)
            except SeawallError as error:
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

    def _explain(self, error: Exception) -> tuple[Why, bool]:
        """What to raise for `error`, and whether writing ends with it."""
        path = self._path
        errno = self._database.errno if isinstance(error, apsw.Error) else 0
        if isinstance(error, apsw.FullError) or (isinstance(error, apsw.IOError) and errno in _NO_SPACE):
            return lambda: JournalFull(f"journal {path}: the disk is full; nothing was written"), False
        if isinstance(error, apsw.BusyError):
            waited = self._options.lock_wait_s
            text = f"journal {path}: waited {waited:g} s for the write lock that another process holds"
            return lambda: Broken(text), False
        if isinstance(error, (apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.ReadOnlyError)):
            text = (
                f"journal {path}: {error}; writing has stopped, nothing of the last commit was acknowledged"
            )
            return lambda: JournalFailed(text), True
        return _SINGLY, False

    def _report(self, batch: list[Op]) -> None:
        """Wake each loop once, for all of its waiters and watchers."""
        size = sum(op.size for op in batch)
        with self._mutex:
            self._waiting_ops -= len(batch)
            self._waiting_bytes -= size
            rooms: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
            if self._rooms and self._has_room():
                rooms, self._rooms = self._rooms, rooms
        by_loop: dict[asyncio.AbstractEventLoop, list[Op]] = {}
        for op in batch:
            by_loop.setdefault(op.loop, []).append(op)
        rooms_by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for loop, future in rooms:
            rooms_by_loop.setdefault(loop, []).append(future)
        callbacks = self._watchers.claim_callbacks()
        for loop in dict.fromkeys([*by_loop, *rooms_by_loop, *callbacks]):
            arguments = by_loop.get(loop, []), rooms_by_loop.get(loop, []), callbacks.get(loop, [])
            try:
                loop.call_soon_threadsafe(_settle, *arguments)
            except RuntimeError:  # the loop was closed: nobody waits there any more
                self._watchers.drop_loop(loop)

    def _housekeep(self) -> None:
        """Heartbeat, high-water mark and checkpoint, when each is due."""
        if self._failed is not None:
            return
        try:
            with self._lock:
                due = self._liveness.due_in_s
                if due is not None and due <= 0:
                    self._in_transaction(self._liveness.beat)
                if self._mark is not None:
                    self._mark.follow(self._tx.head)
                    if self._mark.is_due():
                        self._mark.write(self._database)
                self._checkpoint()
        except apsw.BusyError:
            pass  # the next round tries again
        except (apsw.Error, OSError) as error:
            self._roll_back()
            why, sticky = self._explain(error)
            if sticky:
                self.fail(str(why()))
            else:
                _log.warning("journal %s: %s", self._path, error)
                if self._mark is not None:
                    self._mark.postpone()  # a directory that can't be written is not tried at every commit

    def _in_transaction(self, work: Callable[[Database], None]) -> None:
        self._database.run("BEGIN IMMEDIATE")
        work(self._database)
        self._database.run("COMMIT")

    def _checkpoint(self) -> None:
        self._commits += 1
        if self._commits % 32 == 0 and self._database.count_log_pages() >= self._options.checkpoint_pages:
            self._database.checkpoint()

    def _finish(self) -> None:
        try:
            with self._lock:
                if self._failed is None:
                    self._tx.release_all()
                    if self._mark is not None:
                        self._mark.write(self._database)
        except (apsw.Error, OSError) as error:
            _log.warning("journal %s: at close: %s", self._path, error)
            self._roll_back()


def _singly() -> BaseException:
    return SeawallBug("unreachable")


_SINGLY: Why = _singly


def _make_raiser(error: SeawallError) -> Why:
    """What raises `error`, a new one each time where it can be made again: several may wait for it."""
    return (lambda: error) if isinstance(error, Refused) else (lambda: type(error)(*error.args))


def _settle(ops: list[Op], rooms: list[asyncio.Future[None]], callbacks: list[Callable[[], None]]) -> None:
    for op in ops:
        future = op.future
        if future.done():
            continue
        if op.error is None:
            future.set_result(op.result)
        else:
            future.set_exception(op.error())
            future.exception()  # an intent may never be awaited: what follows it fails the same way
    for room in rooms:
        if not room.done():
            room.set_result(None)
    for callback in callbacks:
        callback()
