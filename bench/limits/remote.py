"""A tool's call to the world, from a system's process: standard library only, cancelled at once when its task is."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

from limits.asked import AskedRun


async def call(base_url: str, run: AskedRun, number: int, name: str, arguments: str) -> str:
    """Call tool `name` of the world; its result's text."""
    where = urlsplit(f"{base_url}/tools/{name}")
    assert where.hostname is not None and where.port is not None
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        body = json.dumps({"run": f"{run.key}/{number}", "arguments": arguments}).encode()
        head = f"POST {where.path} HTTP/1.1\r\nhost: {where.netloc}\r\ncontent-length: {len(body)}\r\n"
        writer.write(head.encode() + b"content-type: application/json\r\nconnection: close\r\n\r\n" + body)
        await writer.drain()
        _, _, answer = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    return json.loads(answer)["result"]
