"""The world outside: a real SQLite database of orders, which counts every call that reaches it, and the bill of
the model provider.

It knows nothing of Seawall. What the demo claims is checked against these counters, not against the journal.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel

Trouble = Literal[
    "none", "carrier_down", "runaround", "carrier_slow", "carrier_small", "provider_down", "held", "delivered"
]
"""What is wrong with this world: nothing; a carrier that only fails; two desks that each point at the other; a
carrier that takes `SLOW_S` to answer; one that takes `CAPACITY` calls at once and fails the others; a model
provider that is overloaded; people who believe that no refund is paid now; a parcel that was delivered."""

SLOW_S = 1.2
"""What a slow carrier takes: twice as long as the demo's user waits."""
CAPACITY = 4
"""Calls that a small carrier can take at once, and how long each takes it."""
SMALL_S = 0.03
HOLD_S = 120.0
"""A held call goes on after so long: whoever was to kill the process, or to let the call go, is gone by then."""
LOCK_WAIT_S = 60.0
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
_ARRIVES = """
INSERT INTO calls (tool, order_id, trouble, inside)
SELECT ?, ?, trouble.name, 1 + (SELECT count(*) FROM calls WHERE NOT answered) FROM trouble
RETURNING id, trouble, inside
"""
_THINKS = """
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


class Call(NamedTuple):
    """A call that has arrived."""

    database: sqlite3.Connection
    trouble: str
    """What was wrong with the world when it came."""
    inside: int
    """Calls that were being answered at that moment, with this one."""


class World:
    """One world: a file, its counters, and its trouble. Safe from several threads and processes.

    With `hold_at` the call of that number is taken, acted on, and never answered, until the caller is killed.
    """

    def __init__(self, path: Path, *, hold_at: int | None = None) -> None:
        self.path = path
        self._hold_at = hold_at
        self._gone = threading.Event()
        self._open_gate = threading.Event()
        self._open_gate.set()

    @classmethod
    def create(cls, path: Path, trouble: Trouble = "none") -> World:
        """A new world of 64 orders."""
        world = cls(path)
        with world._open() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript(f"BEGIN; {_SCHEMA}")
            database.execute("INSERT INTO trouble VALUES (?, 0)", (trouble,))
            database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", _orders())
            database.execute("COMMIT")
        return world

    def __repr__(self) -> str:
        return f"<World {self.path.name} {self.calls()} calls>"

    def close(self) -> None:
        """Answer what is still slow, now."""
        self._gone.set()
        self._open_gate.set()

    def turn(self, trouble: Trouble, *, replies: int = 0) -> None:
        """From now on this is wrong with it, or `none`: nothing. For the provider it begins after so many replies."""
        with self._open() as database:
            database.execute("UPDATE trouble SET name = ?, replies = ?", (trouble, replies))

    def hold(self) -> None:
        """From now on the carrier tells this process of no parcel, until `let_go` or `close`."""
        self._open_gate.clear()

    def let_go(self) -> None:
        """The carrier answers whom it has kept waiting, and who comes."""
        self._open_gate.set()

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection, None, None]:
        with closing(sqlite3.connect(self.path, timeout=LOCK_WAIT_S, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous=OFF")  # a killed process loses nothing by it
            yield database

    # ---- what may be asked of it

    def find_order(self, order_id: str) -> Order:
        """One order. Raises `NoSuchOrder`."""
        with self._called("find_order", order_id) as call:
            item, cents, state = _order(call.database, order_id)
        if call.trouble == "runaround":
            state = "handed to the carrier: ask the carrier where it is"
        return Order(order_id=order_id, item=item, paid=_eur(cents), state=state)

    def track_parcel(self, order_id: str) -> Parcel:
        """Where the parcel is. Raises `CarrierDown`, `NoSuchOrder`."""
        with self._called("track_parcel", order_id) as call:
            _order(call.database, order_id)
            turned_away = call.trouble == "carrier_small" and call.inside > CAPACITY
            if call.trouble == "carrier_slow":
                self._gone.wait(SLOW_S)
            if not turned_away:
                self._open_gate.wait(HOLD_S)
            if call.trouble == "carrier_small" and not turned_away:
                self._gone.wait(SMALL_S)
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
        """Have the carrier keep a parcel where it is."""
        with self._called("stop_parcel", order_id) as call:
            _order(call.database, order_id)
        return Parcel(order_id=order_id, state="stopped: waits at the depot")

    def send_parcel(self, order_id: str) -> Parcel:
        """Have the carrier send a parcel on."""
        with self._called("send_parcel", order_id) as call:
            _order(call.database, order_id)
        return Parcel(order_id=order_id, state="on its way again")

    def refund(self, order_id: str, amount: Decimal) -> Receipt:
        """Pay money back, each time that it is asked to: this bank knows no idempotency key."""
        with self._called("refund", order_id) as call:
            _, cents, _ = _order(call.database, order_id)
            if not 0 < amount * 100 <= cents:
                raise ValueError(f"order {order_id} was {_eur(cents)}: {amount} can't be refunded")
            statement = "INSERT INTO payments (order_id, cents) VALUES (?, ?) RETURNING id"
            paid = call.database.execute(statement, (order_id, int(amount * 100))).fetchone()[0]
        return Receipt(receipt=f"rc-{5000 + paid}", order_id=order_id, refunded=_eur(int(amount * 100)))

    def find_payment(self, order_id: str) -> list[Receipt]:
        """What was paid back for an order."""
        with self._called("find_payment", order_id) as call:
            rows = call.database.execute(
                "SELECT id, cents FROM payments WHERE order_id = ?", (order_id,)
            ).fetchall()
        return [
            Receipt(receipt=f"rc-{5000 + paid}", order_id=order_id, refunded=_eur(cents))
            for paid, cents in rows
        ]

    def think(self, payer: str) -> bool:
        """A model call reaches the provider; whether that answers it."""
        with self._open() as database:
            return database.execute(_THINKS, (payer,)).fetchone()[0] != "provider_down"

    def bill(self, payer: str, usd: Decimal) -> None:
        """The provider charges for an answer."""
        with self._open() as database:
            database.execute("INSERT INTO bills (payer, usd) VALUES (?, ?)", (payer, str(usd)))

    # ---- its counters

    def calls(self) -> int:
        """Tool calls that reached it."""
        return self._count("SELECT count(*) FROM calls")

    def calls_by_tool(self) -> dict[str, int]:
        """Tool calls that reached it, by tool."""
        with self._open() as database:
            return dict(database.execute("SELECT tool, count(*) FROM calls GROUP BY tool ORDER BY min(id)"))

    def calls_in(self, trouble: Trouble, tool: str) -> int:
        """Calls of a tool that reached it while this was wrong."""
        return self._count("SELECT count(*) FROM calls WHERE trouble = ? AND tool = ?", trouble, tool)

    def unanswered(self, tool: str) -> int:
        """Calls of a tool that have reached it and were not answered yet."""
        return self._count("SELECT count(*) FROM calls WHERE tool = ? AND NOT answered", tool)

    def busiest(self) -> int:
        """The most tool calls that it ever had to answer at once."""
        return self._count("SELECT coalesce(max(inside), 0) FROM calls")

    def turned_away(self) -> int:
        """Calls that came while as many as a small carrier can take were being answered."""
        return self._count("SELECT count(*) FROM calls WHERE inside > ?", CAPACITY)

    def last_of(self, order_ids: Sequence[str]) -> int:
        """Which of all tool calls, from 1, was the last one for any of these orders."""
        marks = ", ".join("?" * len(order_ids))
        return self._count(f"SELECT max(id) FROM calls WHERE order_id IN ({marks})", *order_ids)

    def payments(self) -> list[str]:
        """What it paid out, payment by payment."""
        with self._open() as database:
            return [_eur(cents) for (cents,) in database.execute("SELECT cents FROM payments ORDER BY id")]

    def paid_again(self) -> int:
        """Payments for an order that had been paid back before."""
        return self._count("SELECT count(*) - count(DISTINCT order_id) FROM payments")

    def replies(self) -> int:
        """Model calls that reached the provider."""
        return self._count("SELECT count(*) FROM replies")

    def replies_in(self, trouble: Trouble) -> int:
        """Model calls that reached the provider while this was wrong."""
        return self._count("SELECT count(*) FROM replies WHERE trouble = ?", trouble)

    def billed(self) -> dict[str, Decimal]:
        """What the provider charged, by who pays."""
        with self._open() as database:
            sums: dict[str, Decimal] = {}
            for payer, usd in database.execute("SELECT payer, usd FROM bills ORDER BY id"):
                sums[payer] = sums.get(payer, Decimal(0)) + Decimal(usd)
            return sums

    def holds(self) -> bool:
        """Whether a call is being held."""
        return self._count("SELECT max(held) FROM calls") == 1

    # ---- within

    def _count(self, statement: str, *values: object) -> int:
        with self._open() as database:
            return database.execute(statement, values).fetchone()[0] or 0

    @contextmanager
    def _called(self, tool: str, order_id: str) -> Generator[Call, None, None]:
        """A call that has arrived, until it is answered."""
        with self._open() as database:
            number, trouble, inside = database.execute(_ARRIVES, (tool, order_id)).fetchone()
            try:
                yield Call(database, trouble, inside)
                if number == self._hold_at:
                    database.execute("UPDATE calls SET held = 1 WHERE id = ?", (number,))
                    self._gone.wait(HOLD_S)
            finally:
                database.execute("UPDATE calls SET answered = 1 WHERE id = ?", (number,))


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
