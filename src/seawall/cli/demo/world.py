"""The world outside: a real SQLite database of orders, which counts every call that reaches it.

It knows nothing of Seawall. What the demo claims is checked against these counters, not against the journal.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

Trouble = Literal["none", "carrier_down", "runaround", "carrier_slow"]
"""What is wrong with this world: nothing, a carrier that only fails, two desks that each point at the other,
or a carrier that takes `SLOW_S` to answer."""

SLOW_S = 3.0
"""What a slow carrier takes: three times as long as the demo's user waits."""
HOLD_S = 60.0
"""A held call goes on after so long: whoever was to kill the process is gone by then."""
LOCK_WAIT_S = 10.0
FIRST_ORDER = 1001
ORDERS = 64

_GOODS = ("espresso cups", "desk lamp", "bread knife", "wool blanket", "bicycle bell", "rain jacket")

_SCHEMA = """
CREATE TABLE trouble (name TEXT NOT NULL);
CREATE TABLE orders (id TEXT PRIMARY KEY, item TEXT NOT NULL, cents INTEGER NOT NULL, state TEXT NOT NULL);
CREATE TABLE payments (id INTEGER PRIMARY KEY, order_id TEXT NOT NULL, cents INTEGER NOT NULL);
CREATE TABLE calls (id INTEGER PRIMARY KEY, tool TEXT NOT NULL, order_id TEXT NOT NULL, held INTEGER NOT NULL DEFAULT 0);
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


class World:
    """One world: a file, its counters, and its trouble. Safe from several threads and processes.

    With `hold_at` the call of that number is taken, acted on, and never answered, until the caller is killed.
    """

    def __init__(self, path: Path, *, hold_at: int | None = None) -> None:
        self.path = path
        self._hold_at = hold_at
        self._gone = threading.Event()

    @classmethod
    def create(cls, path: Path, trouble: Trouble = "none") -> World:
        """A new world of 64 orders."""
        world = cls(path)
        with world._open() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript(f"BEGIN; {_SCHEMA}")
            database.execute("INSERT INTO trouble VALUES (?)", (trouble,))
            database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", _orders())
            database.execute("COMMIT")
        return world

    def __repr__(self) -> str:
        return f"<World {self.path.name} {self.calls()} calls>"

    def close(self) -> None:
        """Answer what is still slow, now."""
        self._gone.set()

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection, None, None]:
        with closing(sqlite3.connect(self.path, timeout=LOCK_WAIT_S, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous=OFF")  # a killed process loses nothing by it
            yield database

    @cached_property
    def _trouble(self) -> str:
        with self._open() as database:
            return database.execute("SELECT name FROM trouble").fetchone()[0]

    # ---- what may be asked of it

    def find_order(self, order_id: str) -> Order:
        """One order. Raises `NoSuchOrder`."""
        with self._open() as database:
            number = self._arrived(database, "find_order", order_id)
            item, cents, state = _order(database, order_id)
        if self._trouble == "runaround":
            state = "handed to the carrier: ask the carrier where it is"
        self._hold(number)
        return Order(order_id=order_id, item=item, paid=_eur(cents), state=state)

    def track_parcel(self, order_id: str) -> Parcel:
        """Where the parcel is. Raises `CarrierDown`, `NoSuchOrder`."""
        with self._open() as database:
            number = self._arrived(database, "track_parcel", order_id)
            _order(database, order_id)
        self._hold(number)
        if self._trouble == "carrier_down":
            raise CarrierDown("503 from the carrier: service unavailable, please try again")
        if self._trouble == "carrier_slow":
            self._gone.wait(SLOW_S)
        if self._trouble == "runaround":
            return Parcel(order_id=order_id, state="not scanned yet: ask the shop about the order")
        return Parcel(order_id=order_id, state="lost in transit since 2026-03-02")

    def refund(self, order_id: str, amount: Decimal) -> Receipt:
        """Pay money back, each time that it is asked to: this bank knows no idempotency key."""
        with self._open() as database:
            number = self._arrived(database, "refund", order_id)
            _, cents, _ = _order(database, order_id)
            if not 0 < amount * 100 <= cents:
                raise ValueError(f"order {order_id} was {_eur(cents)}: {amount} can't be refunded")
            statement = "INSERT INTO payments (order_id, cents) VALUES (?, ?) RETURNING id"
            paid = database.execute(statement, (order_id, int(amount * 100))).fetchone()[0]
        self._hold(number)
        return Receipt(receipt=f"rc-{5000 + paid}", order_id=order_id, refunded=_eur(int(amount * 100)))

    def find_payment(self, order_id: str) -> list[Receipt]:
        """What was paid back for an order."""
        with self._open() as database:
            number = self._arrived(database, "find_payment", order_id)
            rows = database.execute(
                "SELECT id, cents FROM payments WHERE order_id = ?", (order_id,)
            ).fetchall()
        self._hold(number)
        return [
            Receipt(receipt=f"rc-{5000 + paid}", order_id=order_id, refunded=_eur(cents))
            for paid, cents in rows
        ]

    # ---- its counters

    def calls(self) -> int:
        """Calls that reached it."""
        with self._open() as database:
            return database.execute("SELECT count(*) FROM calls").fetchone()[0]

    def calls_by_tool(self) -> dict[str, int]:
        """Calls that reached it, by tool."""
        with self._open() as database:
            return dict(database.execute("SELECT tool, count(*) FROM calls GROUP BY tool ORDER BY min(id)"))

    def payments(self) -> list[str]:
        """What it paid out, payment by payment."""
        with self._open() as database:
            return [_eur(cents) for (cents,) in database.execute("SELECT cents FROM payments ORDER BY id")]

    def holds(self) -> bool:
        """Whether a call is being held."""
        with self._open() as database:
            return database.execute("SELECT max(held) FROM calls").fetchone()[0] == 1

    # ---- within

    def _arrived(self, database: sqlite3.Connection, tool: str, order_id: str) -> int:
        statement = "INSERT INTO calls (tool, order_id) VALUES (?, ?) RETURNING id"
        return database.execute(statement, (tool, order_id)).fetchone()[0]

    def _hold(self, number: int) -> None:
        if number != self._hold_at:
            return
        with self._open() as database:
            database.execute("UPDATE calls SET held = 1 WHERE id = ?", (number,))
        self._gone.wait(HOLD_S)


def order_ids() -> list[str]:
    """Every order of the world."""
    return [str(FIRST_ORDER + index) for index in range(ORDERS)]


def _orders() -> list[tuple[str, str, int, str]]:
    return [
        (order_id, _GOODS[index % len(_GOODS)], 1990 + 450 * (index % 17), "sent")
        for index, order_id in enumerate(order_ids())
    ]


def _order(database: sqlite3.Connection, order_id: str) -> tuple[str, int, str]:
    row = database.execute("SELECT item, cents, state FROM orders WHERE id = ?", (order_id,)).fetchone()
    if row is None:
        raise NoSuchOrder(f"there is no order {order_id!r}")
    return row


def _eur(cents: int) -> str:
    return f"{cents / 100:.2f} EUR"
