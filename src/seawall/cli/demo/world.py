"""The world outside: a SQLite database of orders that counts every call, and the bills of the model provider.

It does not depend on Seawall. The demo's claims are checked against these counters, not against the journal.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel

Trouble = Literal[
    "none", "carrier_down", "runaround", "carrier_slow", "carrier_small", "provider_down", "held", "delivered"
]
"""What is wrong with a world.

`carrier_down`: every call to the carrier fails. `runaround`: shop and carrier each say to ask the other.
`carrier_slow`: the carrier takes `SLOW_S` to answer. `carrier_small`: it takes `CAPACITY` calls at once and fails the
others. `provider_down`: the model provider is overloaded. `held`: the bank has asked not to be called for refunds.
`delivered`: the parcel has arrived."""

SLOW_S = 1.2
"""Seconds that a slow carrier takes: twice as long as the demo's user waits."""
CAPACITY = 4
"""Calls that a small carrier can take at once."""
SMALL_S = 0.03
"""Seconds that a small carrier takes for each call."""
HOLD_S = 120.0
"""Seconds after which a held call goes on; by then the process that was to be killed, or to release it, has ended."""
LOCK_WAIT_S = 60.0
"""Seconds that a connection waits for the database, to which other threads and processes write too."""
FIRST_ORDER = 1001
ORDERS = 64

_GOODS = ("espresso cups", "desk lamp", "bread knife", "wool blanket", "bicycle bell", "rain jacket")

_SCHEMA = """
CREATE TABLE trouble (name TEXT NOT NULL, replies INTEGER NOT NULL);
CREATE TABLE orders (id TEXT PRIMARY KEY, item TEXT NOT NULL, cents INTEGER NOT NULL, state TEXT NOT NULL);
CREATE TABLE payments (id INTEGER PRIMARY KEY, order_id TEXT NOT NULL, cents INTEGER NOT NULL);
CREATE TABLE calls (
    id INTEGER PRIMARY KEY, tool TEXT NOT NULL, order_id TEXT NOT NULL, trouble TEXT NOT NULL,
    inside INTEGER NOT NULL, answered INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE replies (id INTEGER PRIMARY KEY, payer TEXT NOT NULL, trouble TEXT NOT NULL);
CREATE TABLE bills (id INTEGER PRIMARY KEY, payer TEXT NOT NULL, usd TEXT NOT NULL);
"""
_RECORD_CALL = """
INSERT INTO calls (tool, order_id, trouble, inside)
SELECT ?, ?, trouble.name, 1 + (SELECT count(*) FROM calls WHERE NOT answered) FROM trouble
RETURNING id, trouble, inside
"""
_RECORD_REPLY = """
INSERT INTO replies (payer, trouble)
SELECT ?, iif((SELECT count(*) FROM replies) < trouble.replies, 'none', trouble.name) FROM trouble
RETURNING trouble
"""


class Order(BaseModel):
    """One order as the shop knows it."""

    order_id: str
    item: str
    paid: str
    state: str


class Parcel(BaseModel):
    """One parcel as the carrier knows it."""

    order_id: str
    state: str


class Receipt(BaseModel):
    """Money that was paid back."""

    receipt: str
    order_id: str
    refunded: str


class CarrierDown(Exception):
    """The carrier's service does not answer."""


class NoSuchOrder(Exception):
    """The shop has no such order."""


class ArrivedCall(NamedTuple):
    """A call that has reached the world."""

    database: sqlite3.Connection
    trouble: str
    """What was wrong with the world when the call arrived."""
    inside: int
    """Calls that were being answered at that moment, including this one."""


class World:
    """One world: a file, its counters, and its trouble. Safe from several threads and processes.

    With `hold_at` the call of that number is carried out and never answered, until its process is killed.
    """

    def __init__(self, path: Path, *, hold_at: int | None = None) -> None:
        self.path = path
        self._hold_at = hold_at
        self._closed = threading.Event()
        self._gate = threading.Event()
        self._gate.set()
        self._database: sqlite3.Connection | None = None
        """The main thread's connection: it counts model calls, of which there are many."""

    @classmethod
    def create(cls, path: Path, trouble: Trouble = "none") -> World:
        """Creates a world of 64 orders."""
        world = cls(path)
        with world._open() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript(f"BEGIN; {_SCHEMA}")
            database.execute("INSERT INTO trouble VALUES (?, 0)", (trouble,))
            database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", _make_orders())
            database.execute("COMMIT")
        return world

    def __repr__(self) -> str:
        return f"<World {self.path.name} {self.count_calls()} calls>"

    def close(self) -> None:
        """Answers all waiting calls now, and closes the main thread's connection."""
        self._closed.set()
        self._gate.set()
        if self._database is not None:
            self._database.close()
            self._database = None

    def set_trouble(self, trouble: Trouble, *, replies: int = 0) -> None:
        """Sets what is wrong from now on. Trouble of the provider begins after `replies` model calls."""
        with self._open() as database:
            database.execute("UPDATE trouble SET name = ?, replies = ?", (trouble, replies))

    def hold_carrier(self) -> None:
        """Keeps the carrier from answering this process, until `release_carrier` or `close`."""
        self._gate.clear()

    def release_carrier(self) -> None:
        """Lets the carrier answer again, also the calls that it has kept waiting."""
        self._gate.set()

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection, None, None]:
        """Yields the main thread's connection, or in another thread a new one."""
        if threading.current_thread() is not threading.main_thread() or self._closed.is_set():
            with closing(self._connect()) as database:
                yield database
            return
        if self._database is None:
            self._database = self._connect()
            weakref.finalize(self, self._database.close)
        yield self._database

    def _connect(self) -> sqlite3.Connection:
        # Garbage collection may close the main thread's connection in another thread.
        database = sqlite3.connect(
            self.path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False
        )
        database.execute("PRAGMA synchronous=OFF")  # a killed process loses nothing by it
        return database

    # ---- the services that tools call

    def find_order(self, order_id: str) -> Order:
        """Returns one order. Raises `NoSuchOrder`."""
        with self._receive_call("find_order", order_id) as call:
            item, cents, state = _read_order(call.database, order_id)
        if call.trouble == "runaround":
            state = "handed to the carrier: ask the carrier where it is"
        return Order(order_id=order_id, item=item, paid=_format_eur(cents), state=state)

    def track_parcel(self, order_id: str) -> Parcel:
        """Returns where the parcel is. Raises `CarrierDown`, `NoSuchOrder`."""
        with self._receive_call("track_parcel", order_id) as call:
            _read_order(call.database, order_id)
            turned_away = call.trouble == "carrier_small" and call.inside > CAPACITY
            if call.trouble == "carrier_slow":
                self._closed.wait(SLOW_S)
            if not turned_away:
                self._gate.wait(HOLD_S)
            if call.trouble == "carrier_small" and not turned_away:
                self._closed.wait(SMALL_S)
        if call.trouble == "carrier_down":
            raise CarrierDown("503 from the carrier: service unavailable, please try again")
        if turned_away:
            raise CarrierDown("503 from the carrier: too many calls at once")
        if call.trouble == "runaround":
            return Parcel(order_id=order_id, state="not scanned yet: ask the shop about the order")
        if call.trouble == "delivered":
            return Parcel(order_id=order_id, state="delivered on 2026-03-02, signed for by the customer")
        return Parcel(order_id=order_id, state="lost in transit since 2026-03-02")

    def stop_parcel(self, order_id: str) -> Parcel:
        """Has the carrier keep a parcel where it is."""
        with self._receive_call("stop_parcel", order_id) as call:
            _read_order(call.database, order_id)
        return Parcel(order_id=order_id, state="stopped: waits at the depot")

    def send_parcel(self, order_id: str) -> Parcel:
        """Has the carrier send a parcel on."""
        with self._receive_call("send_parcel", order_id) as call:
            _read_order(call.database, order_id)
        return Parcel(order_id=order_id, state="on its way again")

    def refund(self, order_id: str, amount: Decimal) -> Receipt:
        """Pays money back at each call, because this bank has no idempotency keys."""
        with self._receive_call("refund", order_id) as call:
            _, cents, _ = _read_order(call.database, order_id)
            if not 0 < amount * 100 <= cents:
                raise ValueError(f"order {order_id} was {_format_eur(cents)}: {amount} can't be refunded")
            statement = "INSERT INTO payments (order_id, cents) VALUES (?, ?) RETURNING id"
            paid = call.database.execute(statement, (order_id, int(amount * 100))).fetchone()[0]
        return _make_receipt(paid, order_id, int(amount * 100))

    def find_payment(self, order_id: str) -> list[Receipt]:
        """Returns what was paid back for an order."""
        with self._receive_call("find_payment", order_id) as call:
            return _list_receipts(call.database, order_id)

    def read_receipt(self, order_id: str) -> Receipt | None:
        """Returns the bank's receipt of the first payment for an order, as a person would ask for it; no tool call counts."""
        with self._open() as database:
            receipts = _list_receipts(database, order_id)
        return receipts[0] if receipts else None

    def receive_model_call(self, payer: str) -> bool:
        """Counts a model call at the provider. Returns whether the provider answers it."""
        with self._open() as database:
            return database.execute(_RECORD_REPLY, (payer,)).fetchone()[0] != "provider_down"

    def charge(self, payer: str, usd: Decimal) -> None:
        """Charges for a model's answer."""
        with self._open() as database:
            database.execute("INSERT INTO bills (payer, usd) VALUES (?, ?)", (payer, str(usd)))

    # ---- the counters

    def count_calls(self) -> int:
        """Returns how many tool calls reached the world."""
        return self._count("SELECT count(*) FROM calls")

    def count_calls_by_tool(self) -> dict[str, int]:
        """Returns how many tool calls reached the world, by tool."""
        with self._open() as database:
            return dict(database.execute("SELECT tool, count(*) FROM calls GROUP BY tool ORDER BY min(id)"))

    def count_calls_during(self, trouble: Trouble, tool: str) -> int:
        """Returns how many calls of a tool reached the world during this trouble."""
        return self._count("SELECT count(*) FROM calls WHERE trouble = ? AND tool = ?", trouble, tool)

    def count_unanswered(self, tool: str) -> int:
        """Returns how many calls of a tool have reached the world and are not answered yet."""
        return self._count("SELECT count(*) FROM calls WHERE tool = ? AND NOT answered", tool)

    def count_most_at_once(self) -> int:
        """Returns the largest number of tool calls that were in flight at once."""
        return self._count("SELECT coalesce(max(inside), 0) FROM calls")

    def count_turned_away(self) -> int:
        """Returns how many calls arrived while as many as a small carrier can take were in flight."""
        return self._count("SELECT count(*) FROM calls WHERE inside > ?", CAPACITY)

    def find_last_call(self, order_ids: Sequence[str]) -> int:
        """Returns the number, from 1, of the last tool call for any of these orders."""
        marks = ", ".join("?" * len(order_ids))
        return self._count(f"SELECT max(id) FROM calls WHERE order_id IN ({marks})", *order_ids)

    def list_payments(self) -> list[str]:
        """Returns each payment's amount."""
        with self._open() as database:
            rows = database.execute("SELECT cents FROM payments ORDER BY id")
            return [_format_eur(cents) for (cents,) in rows]

    def list_paid_orders(self) -> list[str]:
        """Returns the order of each payment."""
        with self._open() as database:
            rows = database.execute("SELECT order_id FROM payments ORDER BY id")
            return [order_id for (order_id,) in rows]

    def count_repeated_payments(self) -> int:
        """Returns how many payments were for an order that had been paid back before."""
        return self._count("SELECT count(*) - count(DISTINCT order_id) FROM payments")

    def count_replies(self) -> int:
        """Returns how many model calls reached the provider."""
        return self._count("SELECT count(*) FROM replies")

    def count_replies_during(self, trouble: Trouble) -> int:
        """Returns how many model calls reached the provider during this trouble."""
        return self._count("SELECT count(*) FROM replies WHERE trouble = ?", trouble)

    def sum_bills(self) -> dict[str, Decimal]:
        """Returns what the provider charged, by payer."""
        with self._open() as database:
            sums: dict[str, Decimal] = {}
            for payer, usd in database.execute("SELECT payer, usd FROM bills ORDER BY id"):
                sums[payer] = sums.get(payer, Decimal(0)) + Decimal(usd)
            return sums

    def has_held_call(self) -> bool:
        """Returns whether the call of number `hold_at` has arrived and is being held."""
        return self._count("SELECT max(held) FROM calls") == 1

    def _count(self, statement: str, *values: object) -> int:
        with self._open() as database:
            return database.execute(statement, values).fetchone()[0] or 0

    @contextmanager
    def _receive_call(self, tool: str, order_id: str) -> Generator[ArrivedCall, None, None]:
        """Counts a call when it arrives, and marks it when it is answered."""
        with self._open() as database:
            number, trouble, inside = database.execute(_RECORD_CALL, (tool, order_id)).fetchone()
            try:
                yield ArrivedCall(database, trouble, inside)
                if number == self._hold_at:
                    database.execute("UPDATE calls SET held = 1 WHERE id = ?", (number,))
                    self._closed.wait(HOLD_S)
            finally:
                database.execute("UPDATE calls SET answered = 1 WHERE id = ?", (number,))


def list_order_ids() -> list[str]:
    """Returns every order of the world."""
    return [str(FIRST_ORDER + index) for index in range(ORDERS)]


def _make_orders() -> list[tuple[str, str, int, str]]:
    return [
        (order_id, _GOODS[index % len(_GOODS)], 1990 + 450 * (index % 17), "sent")
        for index, order_id in enumerate(list_order_ids())
    ]


def _read_order(database: sqlite3.Connection, order_id: str) -> tuple[str, int, str]:
    row = database.execute("SELECT item, cents, state FROM orders WHERE id = ?", (order_id,)).fetchone()
    if row is None:
        raise NoSuchOrder(f"there is no order {order_id!r}")
    return row


def _list_receipts(database: sqlite3.Connection, order_id: str) -> list[Receipt]:
    statement = "SELECT id, cents FROM payments WHERE order_id = ? ORDER BY id"
    return [_make_receipt(paid, order_id, cents) for paid, cents in database.execute(statement, (order_id,))]


def _make_receipt(paid: int, order_id: str, cents: int) -> Receipt:
    return Receipt(receipt=f"rc-{5000 + paid}", order_id=order_id, refunded=_format_eur(cents))


def _format_eur(cents: int) -> str:
    return f"{cents / 100:.2f} EUR"
