"""The bank as its clients see it: tests, which start it and read its table; and tools, which ask it to pay."""

from __future__ import annotations

import asyncio
import http.client
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import quote

Mode = Literal["books", "late", "hang", "drop_before", "drop_after", "error_after", "error_before", "refuses"]
_PROGRAM = Path(__file__).parent / "bank.py"
_START_S = 20.0
_REPLY_S = 90.0
"""Longer than the bank lets anybody wait."""


class BankLost(ConnectionError):
    """The connection ended without an answer: nobody knows what the bank has done."""


class BankFailed(RuntimeError):
    """The bank answered with an error, after which nobody knows what it has done."""


class BankRefused(RuntimeError):
    """The bank has booked nothing, and says so."""


class Payment(NamedTuple):
    """One row of the bank's table of payments."""

    number: int
    order_id: str
    amount: str
    currency: str
    key: str | None
    reference: str | None
    receipt: str
    at: float
    voided: int


class Teller:
    """Asks the bank, for a tool; it lives in the process of the tool, and needs the bank's port alone."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def pay(
        self, order: str, amount: str, currency: str, *, key: str | None, reference: str | None
    ) -> str:
        """Returns the receipt. `key`: it is to be booked once under it. `reference`: it can be found by that."""
        asked = {"order": order, "amount": amount, "currency": currency, "key": key, "reference": reference}
        return cast("str", (await self._ask("POST", "/pay", asked))["receipt"])

    async def find(self, key: str) -> str | None:
        """Returns the receipt of a payment that the bank has booked; None if there is none."""
        try:
            return cast("str", (await self._ask("GET", f"/find?key={quote(key)}"))["receipt"])
        except BankRefused:
            return None

    async def paid(self, order: str) -> list[str]:
        """Returns the receipts of what was paid for an order."""
        payments = cast("list[dict[str, Any]]", await self._ask("GET", "/payments"))
        return [payment["receipt"] for payment in payments if payment["order_id"] == order]

    async def void(self, receipt: str, *, key: str | None) -> str:
        """Voids a payment."""
        return cast("str", (await self._ask("POST", "/void", {"receipt": receipt, "key": key}))["voided"])

    async def meet(self, name: str, n: int) -> None:
        """Returns once `n` clients have come to this point."""
        await self._ask("GET", f"/meet?name={quote(name)}&n={n}")

    async def _ask(self, method: str, path: str, document: Any = None) -> Any:
        body = b"" if document is None else json.dumps(document).encode()
        head = f"{method} {path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(head + body)
                answer = await reader.read()
            finally:
                writer.close()
        except OSError as error:
            raise BankLost(str(error)) from error
        start, separator, text = answer.partition(b"\r\n\r\n")
        if not separator:
            raise BankLost("the connection was closed without an answer")
        return _read_answer(int(start.split(None, 2)[1]), text)


class Bank:
    """The bank, for a test: it runs until `close`, or until the process that started it ends."""

    def __init__(self, directory: Path, *, ttl_s: float = 86_400.0) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._file = directory / "bank.db"
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(_PROGRAM), str(directory), str(ttl_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the bank. Its table stays."""
        self._process.communicate(timeout=_START_S)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    # -- its table, read from its file: it can be read whatever became of the bank

    def payments(self, order: str | None = None) -> list[Payment]:
        """Returns the payments that were booked, of one order or of all, in order."""
        where = "" if order is None else " WHERE order_id = ?"
        return [Payment(*row) for row in self._read(f"SELECT * FROM payments{where} ORDER BY number", order)]

    def paid(self, order: str) -> list[str]:
        """Returns the receipts of what was paid for an order."""
        return [payment.receipt for payment in self.payments(order)]

    def requests(self, order: str, what: str = "pay") -> int:
        """Returns how often it was asked for that, whether or not it did it."""
        rows = self._read(f"SELECT number FROM requests WHERE what = '{what}' AND order_id = ?", order)
        return len(rows)

    def _read(self, sql: str, order: str | None) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{quote(str(self._file))}?mode=ro", uri=True)) as database:
            return database.execute(sql, () if order is None else (order,)).fetchall()

    # -- what it is to do

    def behave(self, order: str, mode: Mode, times: int = 1) -> None:
        """Has it treat the next requests for an order in that way, after those that were named before."""
        self._ask("POST", "/behave", {"order": order, "mode": mode, "times": times})

    def release(self, order: str) -> None:
        """Lets requests for an order go on that wait in it."""
        self._ask("POST", "/release", {"order": order})

    def advance(self, seconds: float) -> None:
        """Moves its clock, by which it forgets keys."""
        self._ask("POST", "/advance", {"seconds": seconds})

    def wait_for(self, order: str, arrived: int = 1) -> None:
        """Returns once so many requests for an order have come; what was to be booked at once is booked then."""
        self._ask("GET", f"/wait?order={quote(order)}&arrived={arrived}")

    def _ask(self, method: str, path: str, document: Any = None) -> Any:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=_REPLY_S)) as connection:
            connection.request(method, path, None if document is None else json.dumps(document))
            answer = connection.getresponse()
            return _read_answer(answer.status, answer.read())


def _read_answer(status: int, body: bytes) -> Any:
    if status == 200:
        return json.loads(body)
    problem = json.loads(body)["error"]
    raise (BankRefused if status < 500 else BankFailed)(f"{status}: {problem}")
