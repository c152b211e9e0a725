"""One server behind its pins: before each call, the definition that it offers is compared with the accepted one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from seawall.adapters.mcp.connection import McpBroken, McpConnection
from seawall.adapters.mcp.content import read_result
from seawall.adapters.mcp.names import join_name
from seawall.adapters.mcp.pin_store import PinStore
from seawall.adapters.mcp.pins import Pin, explain_refusal
from seawall.runtime.seawall import Seawall

if TYPE_CHECKING:
    from mcp_types import CallToolResult

CHECK_S = 60.0
"""Seconds for which a list of tools is good before a read. Before an effect it is always read again."""
KEY_FIELD = "seawall/idempotency-key"
"""The field of a call's `_meta` that holds an effect's idempotency key, for servers that honour keys."""


class McpWithheld(Exception):
    """A call was not sent to its server; the message says why."""


class McpToolError(Exception):
    """A server answered that a call has failed."""


class PinnedServer:
    """A server whose tools are called only as they were accepted."""

    def __init__(
        self,
        connection: McpConnection,
        sea: Seawall,
        *,
        check_s: float = CHECK_S,
        trust_first: bool = True,
    ) -> None:
        """`trust_first`: tools that the server offers at its first use are accepted, unless a name or text is misleading."""
        self.connection = connection
        self.name = connection.source.name
        self._supervisor = sea.supervisor
        self._store = PinStore(sea.journal, sea.supervisor.clock)
        self._clock = sea.supervisor.clock
        self._redactor = connection.redactor
        self._secrets = [json.dumps(each)[1:-1] for each in self._redactor.values]
        self._check_s = check_s
        self._trust_first = trust_first
        self._live: dict[str, str] = {}
        """The digests of the definitions that the server offered when it was last asked, by tool."""
        self._listed_s: float | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"<PinnedServer {self.name} {len(self._live)} tools>"

    @property
    def has_answered(self) -> bool:
        """Whether the server has said what it offers, since this process began."""
        return self._listed_s is not None

    async def open(self) -> dict[str, Pin]:
        """Compares the tools that the server offers with the pins, and returns the pins.

        If the server can't be reached and its tools are pinned, they are compared before the first call instead. Raises
        `McpBroken` if the server can't be reached and nothing is pinned.
        """
        try:
            await self._refresh(self._clock.monotonic_s())
        except McpBroken:
            if not await self._store.is_known(self.name):
                raise
        return await self.read_pins()

    async def read_pins(self) -> dict[str, Pin]:
        """Returns the pins that are recorded now, by tool."""
        return await self._store.read(self.name)

    async def read_pin(self, tool: str) -> Pin | None:
        """Returns the pin of one tool that is recorded now."""
        return await self._store.read_one(self.name, tool)

    async def pin(self, by: str) -> dict[str, Pin]:
        """Accepts the tools that the server offers now in a person's name, unless a person has done so before. Returns the
        pins.
        """
        await self._refresh(self._clock.monotonic_s(), by=by)
        return await self.read_pins()

    async def _refresh(self, needed_s: float, by: str = "") -> None:
        """Compares the tools that the server offers with the pins, unless another call has done so since `needed_s`."""
        async with self._lock:
            if self._listed_s is not None and self._listed_s >= needed_s and not self.connection.stale:
                return
            began_s = self._clock.monotonic_s()
            offered = await self.connection.list_tools(self._redact)
            known = await self._store.read(self.name)
            first = await self._store.judge_first_use(self.name, trust=self._trust_first, by=by)
            await self._store.look(self.name, offered, first=first, known=known)
            await self._store.note_first_use(self.name, first.by)
            self._live = {definition.name: definition.digest for definition in offered}
            self._listed_s = began_s

    async def explain_refusal(self, tool: str, digest: str, *, effect: bool) -> str | None:
        """Returns why a tool with this definition may not be called now; None if it may."""
        now_s = self._clock.monotonic_s()
        await self._refresh(now_s if effect else now_s - self._check_s)
        pin = await self.read_pin(tool)
        refusal = explain_refusal(pin, self._live.get(tool))
        if refusal is None and pin is not None and pin.digest != digest:
            return "a person has accepted another definition of it since this program started: restart the program"
        return refusal

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        digest: str,
        key: str | None,
        timeout_s: float | None,
        check_lease: Callable[[], None] | None = None,
    ) -> str:
        """Calls a tool as `call_plainly` does, and returns its result as text. Raises `McpToolError` for an error result."""
        result = await self.call_plainly(
            tool, arguments, digest=digest, key=key, timeout_s=timeout_s, check_lease=check_lease
        )
        text = read_result(result)
        if result.is_error:
            raise McpToolError(text or "the server says that the call has failed, but not why")
        return text

    async def call_plainly(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        digest: str,
        key: str | None,
        timeout_s: float | None,
        check_lease: Callable[[], None] | None = None,
    ) -> CallToolResult:
        """Calls a tool, and returns its result. An effect has a `key`; `check_lease` is called just before the call is sent.

        Raises `McpWithheld` for a call that was not sent, `McpBroken` if the server can't be reached or went away, and
        `McpDeclined` for a protocol error.
        """
        if self._closed:
            raise McpWithheld(f"the connection to MCP server {self.name!r} was closed")
        refusal = await self.explain_refusal(tool, digest, effect=key is not None)
        if refusal is not None:
            raise McpWithheld(f"{join_name(self.name, tool)} was not called: {refusal}")
        if check_lease is not None:
            check_lease()
        meta = None if key is None else {KEY_FIELD: key}
        return self._conceal(await self.connection.call(tool, arguments, meta=meta, timeout_s=timeout_s))

    def _redact(self, text: str) -> str:
        """Returns JSON text without secrets. Those in the server's own configuration are removed, too."""
        return self._redactor.json(self._supervisor.make_bodies().redact_json(text))

    def _conceal(self, result: CallToolResult) -> CallToolResult:
        """Returns a result without the secrets in the server's configuration, in case the server repeats them."""
        if not self._secrets:
            return result
        text = result.model_dump_json(by_alias=True, exclude_none=True)
        if not any(secret in text for secret in self._secrets):
            return result
        return type(result).model_validate_json(self._redactor.json(text))

    async def close(self) -> None:
        """Ends the connection. After that no call is sent."""
        self._closed = True
        await self.connection.close()
