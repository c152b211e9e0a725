"""The world outside: a process of its own that Seawall does not know. It writes down, on disk, what really happened.

Its clients are the tools and models of every worker. Each call is one line of JSON over a socket, and so is the
answer; a connection that is closed without one is an answer that got lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from pathlib import Path
from typing import Literal

import msgspec

from seawall.core.clock import SystemClock

Fate = Literal["ok", "declined", "lost_before", "lost_after"]


class WorldCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call as it reaches the world."""

    kind: Literal["model", "read", "effect"]
    name: str
    case: str
    run: str = ""
    step: int = 0
    key: str = ""
    honours: bool = False
    """The world makes calls with one key happen once."""
    tokens: int = 0
    pid: int = 0


class Question(msgspec.Struct, frozen=True, kw_only=True, tag="question"):
    """A person asks whether an effect happened. Attempts of one call have one key."""

    key: str


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one call."""

    number: int
    call: WorldCall
    fate: Fate
    happened: bool
    """It changed the world, or was charged, at this call."""
    known: bool = False
    """It had happened before, under the same key."""
    reply: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the client is told."""

    reply: str = ""
    declined: bool = False
    number: int = 0


class WorldLost(ConnectionError):
    """The connection to the world ended without an answer."""


def read_happenings(path: Path) -> list[Happening]:
    """Returns everything that happened, in order."""
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=Happening) for line in path.read_bytes().splitlines()]


class World:
    """The server. What it does with a call follows from its seed and the order of the calls."""

    def __init__(self, directory: Path, seed: str) -> None:
        self._rng = random.Random(f"{seed}:world")
        self._clock = SystemClock()
        self._log = os.open(directory / "world", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._number = 0
        self._receipts: dict[str, str] = {}

    async def serve(self, listening: socket.socket) -> None:
        """Answers calls for ever."""
        server = await asyncio.start_unix_server(self._answer, sock=listening)
        await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, msgspec.DecodeError):
            line = await reader.readuntil(b"\n")
            if b'"type":"question"' in line:
                asked = msgspec.json.decode(line, type=Question)
                answer = Answer(reply=self._receipts.get(asked.key, ""))
            else:
                answer = await self._take(msgspec.json.decode(line, type=WorldCall))
            if answer is not None:
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()

    async def _take(self, call: WorldCall) -> Answer | None:
        """Lets a call happen or not, writes that down, and returns the answer; None if it gets lost."""
        self._number += 1
        fate: Fate = self._rng.choices(
            ("ok", "declined", "lost_before", "lost_after"),
            (94, 2, 2, 2) if call.kind == "effect" else (97, 1, 1, 1),
        )[0]
        known = call.honours and call.key in self._receipts
        does = fate in ("ok", "lost_after")
        reply = f"{call.name}-receipt-{self._number}"
        if known and does:
            reply = self._receipts[call.key]
        if does and call.kind == "effect":
            self._receipts.setdefault(call.key, reply)
        made = Happening(
            number=self._number,
            call=call,
            fate=fate,
            happened=does and not known,
            known=known,
            reply=reply if does else "",
        )
        os.write(self._log, msgspec.json.encode(made) + b"\n")
        os.fsync(self._log)
        if call.name == "slow_read":
            await self._clock.sleep(3.0)
        elif self._rng.random() < (0.5 if call.kind == "effect" else 0.15):
            await self._clock.sleep(self._rng.uniform(0.0, 0.4))
        if fate in ("lost_before", "lost_after"):
            return None
        return Answer(reply=reply, declined=fate == "declined", number=made.number)


async def call_world(path: Path, call: WorldCall | Question) -> Answer:
    """Returns the world's answer. Raises `WorldLost` if there is none."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
        try:
            writer.write(msgspec.json.encode(call) + b"\n")
            line = await reader.readline()
        finally:
            writer.close()
    except OSError as error:
        raise WorldLost(str(error)) from error
    return _read_answer(line)


def call_world_blocking(path: Path, call: WorldCall) -> Answer:
    """Returns the world's answer, for tools that run in a thread. Raises `WorldLost` if there is none."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(msgspec.json.encode(call) + b"\n")
            with client.makefile("rb") as file:
                line = file.readline()
    except OSError as error:
        raise WorldLost(str(error)) from error
    return _read_answer(line)


def _read_answer(line: bytes) -> Answer:
    if not line.endswith(b"\n"):
        raise WorldLost("the connection was closed without an answer")
    return msgspec.json.decode(line, type=Answer)
