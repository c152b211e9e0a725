"""A bank: a process that knows nothing of Seawall, with a table of the payments that it has booked.

    python -I bank.py DIRECTORY [TTL_S]

It prints its port, answers HTTP on loopback, and ends when its standard input does, so also when whoever started it was
killed. Its clock stands still unless a client moves it. It needs the standard library alone, and starts in 0.1 s.

- `POST /pay` with order, amount, currency, key and reference: books a payment. A key that it has had within the last
  TTL_S seconds gives the receipt of that time; for another payment under it, the bank refuses.
- `GET /payments`, `GET /find?key=…` (a key or a reference), `POST /void` with a receipt.
- `POST /behave` with order, mode and times: what it does with the next requests for that order, see `MODES`.
- `POST /release` with an order: requests of the modes `late` and `hang` that wait go on. `POST /advance` moves the clock.
- `GET /wait?order=…&arrived=…`: answers once so many requests for that order have reached what their mode says.
- `GET /meet?name=…&n=…`: answers once `n` clients have asked for it.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import sqlite3
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

MODES = {
    "books": "It books the payment and answers.",
    "late": "It books, and answers once it is told to.",
    "hang": "It books nothing, and closes the connection once it is told to.",
    "drop_before": "It closes the connection and has booked nothing.",
    "drop_after": "It books, and closes the connection without an answer.",
    "error_after": "It books, and answers 500.",
    "error_before": "It answers 503 and has booked nothing.",
    "refuses": "It answers 402 and has booked nothing, and never will.",
}
PATIENCE_S = 60.0
"""How long a client may wait for something; then the bank answers 504, and the test fails."""

_SCHEMA = """
CREATE TABLE payments (
    number INTEGER PRIMARY KEY, order_id TEXT NOT NULL, amount TEXT NOT NULL, currency TEXT NOT NULL, key TEXT,
    reference TEXT, receipt TEXT NOT NULL, at REAL NOT NULL, voided INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE requests (
    number INTEGER PRIMARY KEY, what TEXT NOT NULL, order_id TEXT NOT NULL, key TEXT, reference TEXT, mode TEXT NOT NULL
);
"""


class Lost(ConnectionError):
    """The client gets no answer."""


class Bank:
    """The bank's books, and what it was told to do."""

    def __init__(self, path: Path, ttl_s: float) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; {_SCHEMA}")
        self._changed = threading.Condition()
        self._ttl_s = ttl_s
        self._now = 0.0
        self._behaviour: dict[str, list[str]] = {}
        self._reached: dict[str, int] = {}
        self._released: dict[str, int] = {}
        self._meetings: dict[str, int] = {}

    def answer(self, path: str, asked: dict[str, Any]) -> tuple[int, Any]:
        """Returns status and document of an answer. Raises `Lost` if there is none."""
        handle = {
            "/pay": self._pay,
            "/void": self._void,
            "/find": self._find,
            "/payments": lambda asked: (200, self._read("SELECT * FROM payments ORDER BY number")),
            "/behave": self._behave,
            "/release": self._release,
            "/advance": self._advance,
            "/wait": self._wait,
            "/meet": self._meet,
        }.get(path)
        return (404, {"error": f"no such path: {path}"}) if handle is None else handle(asked)

    def _pay(self, asked: dict[str, Any]) -> tuple[int, Any]:
        order, key, reference = str(asked["order"]), asked.get("key"), asked.get("reference")
        with self._changed:
            modes = self._behaviour.get(order, [])
            mode = modes.pop(0) if modes else "books"
            self._db.execute(
                "INSERT INTO requests (what, order_id, key, reference, mode) VALUES ('pay', ?, ?, ?, ?)",
                (order, key, reference, mode),
            )
            books = mode in ("books", "late", "drop_after", "error_after")
            receipt = self._book(order, asked) if books else ""
            self._reached[order] = self._reached.get(order, 0) + 1
            self._changed.notify_all()
            if mode in ("late", "hang"):
                before = self._released.get(order, 0)
                self._changed.wait_for(lambda: self._released.get(order, 0) > before, PATIENCE_S)
        if mode in ("hang", "drop_before", "drop_after"):
            raise Lost
        if mode in ("error_after", "error_before"):
            return (500 if mode == "error_after" else 503), {"error": "the bank has a problem"}
        if mode == "refuses" or not receipt:
            return 402, {"error": f"the bank refuses to pay for order {order}"}
        return 200, {"receipt": receipt}

    def _book(self, order: str, asked: dict[str, Any]) -> str:
        """Returns the receipt; "" for a key under which something else was paid."""
        key, amount, currency = asked.get("key"), str(asked["amount"]), str(asked["currency"])
        if key is not None:
            known = self._db.execute(
                "SELECT * FROM payments WHERE key = ? AND at >= ? ORDER BY number DESC",
                (key, self._now - self._ttl_s),
            ).fetchone()
            if known is not None:
                same = (known["order_id"], known["amount"], known["currency"]) == (order, amount, currency)
                return known["receipt"] if same else ""
        number = self._db.execute("SELECT count(*) FROM payments").fetchone()[0] + 1
        receipt = f"rc-{number}"
        self._db.execute(
            "INSERT INTO payments (order_id, amount, currency, key, reference, receipt, at) VALUES (?,?,?,?,?,?,?)",
            (order, amount, currency, key, asked.get("reference"), receipt, self._now),
        )
        return receipt

    def _void(self, asked: dict[str, Any]) -> tuple[int, Any]:
        with self._changed:
            self._db.execute(
                "INSERT INTO requests (what, order_id, key, mode) VALUES ('void', ?, ?, 'books')",
                (str(asked["receipt"]), asked.get("key")),
            )
            voided = self._db.execute(
                "UPDATE payments SET voided = voided + 1 WHERE receipt = ?", (asked["receipt"],)
            )
            return (
                (200, {"voided": asked["receipt"]})
                if voided.rowcount
                else (404, {"error": "no such payment"})
            )

    def _find(self, asked: dict[str, Any]) -> tuple[int, Any]:
        found = self._read(
            "SELECT * FROM payments WHERE key = ? OR reference = ?", (asked["key"], asked["key"])
        )
        return (200, {"receipt": found[0]["receipt"]}) if found else (404, {"error": "no such payment"})

    def _behave(self, asked: dict[str, Any]) -> tuple[int, Any]:
        if asked["mode"] not in MODES:
            return 400, {"error": f"mode is {asked['mode']!r}; it is one of {', '.join(MODES)}"}
        with self._changed:
            self._behaviour.setdefault(str(asked["order"]), []).extend([asked["mode"]] * int(asked["times"]))
        return 200, {}

    def _release(self, asked: dict[str, Any]) -> tuple[int, Any]:
        with self._changed:
            self._released[str(asked["order"])] = self._released.get(str(asked["order"]), 0) + 1
            self._changed.notify_all()
        return 200, {}

    def _advance(self, asked: dict[str, Any]) -> tuple[int, Any]:
        with self._changed:
            self._now += float(asked["seconds"])
        return 200, {"now": self._now}

    def _wait(self, asked: dict[str, Any]) -> tuple[int, Any]:
        with self._changed:
            came = self._changed.wait_for(
                lambda: self._reached.get(str(asked["order"]), 0) >= int(asked["arrived"]), PATIENCE_S
            )
        return (200, {}) if came else (504, {"error": f"no such requests came: {asked}"})

    def _meet(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = str(asked["name"])
        with self._changed:
            self._meetings[name] = self._meetings.get(name, 0) + 1
            self._changed.notify_all()
            came = self._changed.wait_for(lambda: self._meetings[name] >= int(asked["n"]), PATIENCE_S)
        return (200, {}) if came else (504, {"error": f"nobody else came: {asked}"})

    def _read(self, sql: str, values: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        with self._changed:
            return [dict(row) for row in self._db.execute(sql, values).fetchall()]


class Handler(BaseHTTPRequestHandler):
    """One request of one client."""

    bank: Bank

    def do_GET(self) -> None:
        """Answers what asks."""
        url = urlsplit(self.path)
        self._answer(url.path, dict(parse_qsl(url.query)))

    def do_POST(self) -> None:
        """Answers what changes something."""
        length = int(self.headers.get("Content-Length", "0"))
        self._answer(self.path, json.loads(self.rfile.read(length) or b"{}"))

    def _answer(self, path: str, asked: dict[str, Any]) -> None:
        self.close_connection = True
        try:
            status, document = self.bank.answer(path, asked)
        except Lost:
            return
        body = json.dumps(document).encode()
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name that the base class gives it
        """Says nothing."""


class Server(socketserver.ThreadingTCPServer):
    """One thread a connection."""

    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news; anything else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    """Serves until the standard input ends."""
    directory, ttl_s = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 86_400.0
    Handler.bank = Bank(directory / "bank.db", ttl_s)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        sys.stdin.read()
        os._exit(0)  # threads that wait for a release are not waited for


if __name__ == "__main__":
    main()
