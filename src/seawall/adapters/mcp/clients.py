"""The clients of the proxy. Each client has its own run, so that loops and limits are judged per client."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from seawall.adapters.mcp.peers import Peer
from seawall.core.canonical import digest_of
from seawall.core.clock import Clock
from seawall.core.errors import Refused
from seawall.effects.credentials import Principal
from seawall.run.approve import EXPIRES_S
from seawall.runtime.foreign.asks import Halted, Turn
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.session import Performed, Session

MAX_CLIENTS = 1_000
"""Clients that may have a run at the same time. Another client is refused until the run of one of these has ended."""
RUN_FIELD = "seawall/run"
"""The field of a call's `_meta` with which a client names its run, so that it can continue the run after a restart."""
CALL_FIELD = "seawall/call"
"""The field of a call's `_meta` with which a client names the call. A second call of the same name is not made again."""

Perform = Callable[[Turn], Awaitable[tuple[Any, Any]]]


class ClientUser(NamedTuple):
    """The user of a client. The proxy uses it as the user's credential, after the client has asked them (an elicitation)."""

    name: str


def identify_user(credential: object) -> Principal:
    """Returns the principal of a `ClientUser`. Raises `Refused` for any other credential: other people decide with
    `seawall approve`.
    """
    if isinstance(credential, ClientUser):
        return Principal(credential.name)
    raise Refused("only the user of a client decides here", guard="approval")


class _OpenEffect(NamedTuple):
    """One of several equal effects of a client."""

    number: int
    begun: str
    """The version of the tool when the effect was begun; "" if it was not begun."""


class ClientRun:
    """The run of one client, and its effects that have not come to an end."""

    def __init__(self, session: Session, user: ClientUser, nonce: str, process: str = "") -> None:
        self.session = session
        self.user = user
        self.process = process
        """See `Peer.process`."""
        self._nonce = nonce
        self._next: dict[str, int] = {}
        self._open: dict[str, list[_OpenEffect]] = {}
        """The effects that have not come to an end, by the digest of their call."""
        self._reads = 0
        self.in_flight = 0
        self.used_s = 0.0
        self.proposals: dict[str, str] = {}
        """The hashes of the proposals that the client's user was asked about, by the proposal's id."""
        self.unknown: dict[str, str] = {}
        """The texts that the client was told of effects whose fate is not known, by the digest of the call."""

    def __repr__(self) -> str:
        return f"<ClientRun {self.session.run} of {self.user.name}, {self.in_flight} calls in flight>"

    @property
    def waits(self) -> bool:
        """Whether the run has effects that have not come to an end: most wait for a person."""
        return bool(self._open)

    async def call(
        self,
        agent: str,
        name: str,
        arguments: Mapping[str, Any],
        perform: Perform,
        *,
        version: str,
        effect: bool,
        call_id: str = "",
    ) -> Performed:
        """Has a call made behind the gate. An effect that was held or cancelled, and is asked for again, is the same call.

        It is another call if the effect was not begun and the tool's `version` has changed: an approval of one version does
        not hold for the other. Raises what `Session.step` raises.
        """
        if not effect:
            self._reads += 1
            asked = Session.tool(
                agent, name, arguments, call_id=call_id or f"{self._nonce}-{self._reads}", untrusted=True
            )
            return await self.session.step(asked, perform)
        digest = digest_call(name, arguments)
        is_new = digest not in self._open
        number, begun = self._take_effect(digest)
        version = begun or version

        async def note(turn: Turn) -> tuple[Any, Any]:
            nonlocal begun
            begun = version
            return await perform(turn)

        try:
            call_id = f"{call_id or f'{digest}-{number}'}-{version[:8]}"
            asked = Session.tool(agent, name, arguments, call_id=call_id, untrusted=True)
            return await self.session.step(asked, note)
        except BaseException as error:  # held, cancelled or halted: the effect has not come to an end
            # What a run that has ended refuses was never asked for, so that the client's next run need not wait for it.
            if begun or not is_new or not isinstance(error, Halted):
                self._open.setdefault(digest, []).append(_OpenEffect(number, begun))
            raise

    def _take_effect(self, digest: str) -> _OpenEffect:
        """Returns the effect that a call stands for: an equal one that has not come to an end, or else a new one."""
        waiting = self._open.get(digest)
        if waiting:
            effect = waiting.pop(0)
            if not waiting:
                del self._open[digest]
            return effect
        number = self._next.get(digest, 0)
        self._next[digest] = number + 1
        return _OpenEffect(number, "")


def digest_call(name: str, arguments: Mapping[str, Any]) -> str:
    """Returns a digest that is equal for calls with the same name and arguments."""
    return digest_of([name, dict(arguments)])


class ProxyClients:
    """The runs of all clients. A client that has made no call for `idle_s` seconds begins another run with its next call."""

    def __init__(
        self, engine: Engine, clock: Clock, *, tenant: str, run: str | None, idle_s: float, nonce: str
    ) -> None:
        """`run` is the request id of clients that name no run; `nonce` makes call ids differ from those of earlier processes."""
        self._engine = engine
        self._clock = clock
        self._tenant = tenant
        self._run = run
        self._idle_s = idle_s
        self._nonce = nonce
        self._runs: dict[str, ClientRun] = {}
        self._numbers = itertools.count()
        self._timer = clock.call_later(idle_s, self._sweep_soon)
        self._sweeping: set[Any] = set()

    def __repr__(self) -> str:
        return f"<ProxyClients {len(self._runs)} runs>"

    def find(self, peer: Peer) -> ClientRun:
        """Returns a client's run, and begins one if it has none. Raises `Refused` if there are too many."""
        if self._run is not None and not peer.run:
            peer = peer._replace(run=self._run)
        found = self._runs.get(peer.key)
        if found is None:
            if len(self._runs) >= MAX_CLIENTS:
                raise Refused(
                    f"{MAX_CLIENTS:,} clients have a run here",
                    guard="admission",
                    limit=MAX_CLIENTS,
                    retry_after_s=self._idle_s,
                )
            user = ClientUser(f"mcp:{peer.name}")
            session = self._engine.begin(
                f"Calls of the MCP client {peer.name}",
                loop="mcp",
                agent=peer.name,
                tenant=self._tenant,
                principal=user.name,
                request_id=peer.run,
            )
            found = self._runs[peer.key] = ClientRun(
                session, user, f"{self._nonce}-{next(self._numbers)}", peer.process
            )
        found.used_s = self._clock.monotonic_s()
        return found

    def list_processes(self) -> list[str]:
        """Returns the processes of clients that have a run."""
        return [run.process for run in self._runs.values() if run.process]

    def _sweep_soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self.sweep())
        self._sweeping.add(task)
        task.add_done_callback(self._sweeping.discard)
        self._timer = self._clock.call_later(self._idle_s, self._sweep_soon)

    async def sweep(self) -> None:
        """Ends the runs of clients that have made no call for `idle_s` seconds. A run with an open effect is kept for as long
        as a proposal is valid, if that is longer.
        """
        now_s = self._clock.monotonic_s()
        for key, run in list(self._runs.items()):
            patience_s = max(self._idle_s, EXPIRES_S) if run.waits else self._idle_s
            if not run.in_flight and now_s - run.used_s >= patience_s:
                del self._runs[key]
                await _end(run, "the client has been quiet")

    async def close(self) -> None:
        """Ends all runs except those that their clients have named: a client can continue its named run later."""
        self._timer.cancel()
        runs, self._runs = list(self._runs.items()), {}
        for key, run in runs:
            if key.startswith("run "):
                await run.session.detach()
            else:
                await _end(run, "the client has gone")


async def _end(run: ClientRun, answer: str) -> None:
    if run.session.run is not None:  # otherwise nothing was recorded of the run
        await run.session.end(answer)
