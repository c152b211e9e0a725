"""A client that shows the bytes: it writes HTTP/1.1 itself, so nothing is retried, decoded or hidden."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from seawall.testing.model_server import ModelServer


@dataclass
class Got:
    """An answer: `body` as the server framed it; `whole` is False if the framing ended early."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of a stream's events."""
        lines = self.body.decode().split("\n\n")
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        return [one if one == "[DONE]" else json.loads(one) for one in data]


class Connection:
    """One connection, for any number of requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, server: ModelServer) -> Self:
        host, port = server.origin.removeprefix("http://").rsplit(":", 1)
        return cls(*await asyncio.open_connection(host.strip("[]"), int(port)))

    def send(self, body: bytes, *, path: str = "/v1/chat/completions", headers: str = "") -> None:
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)

    async def ask(self, body: object, **given: str) -> Got:
        self.send(json.dumps(body).encode(), **given)
        return await self.answer()

    async def answer(self) -> Got:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body, whole = bytearray(), True
        try:
            if "content-length" in headers:
                body += await self.reader.readexactly(int(headers["content-length"]))
            else:
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    body += (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readexactly(2)
        except asyncio.IncompleteReadError as cut:
            body += cut.partial
            whole = False
        except ConnectionError:
            whole = False
        return Got(int(head[0].split()[1]), headers, bytes(body), whole)

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):  # the server reset it
            await self.writer.wait_closed()
