"""One run of a gate, and the place in it where something is asked for: whose frame, and inside which tool."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from seawall.core.errors import Broken, Misused, Refused
from seawall.runtime.foreign.asks import Held, Turn
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.loop_side import Asked, HandoffAsk
from seawall.runtime.foreign.own_errors import OwnErrors
from seawall.runtime.foreign.session import Performed, Session
from seawall.runtime.foreign.tools import ToolDeclarations

LOOP = "crewai"
MAX_ATTEMPTS = 3
"""Attempts at a call that a reply has written as text. CrewAI makes six in a row without telling the agent, which is a loop
for every guard; after these the agent is told."""
MAX_CALLS = 10_000
"""Calls of models' replies that a run remembers. Its own limits end a run long before that."""


class CrewStopped(BaseException):
    """What the gate has said, on its way out of CrewAI.

    CrewAI takes every `Exception` of a tool, a model or a hook for something that may be tried again, or told to the model, so
    this is none. Where a crew or an agent was kicked off, and at the end of the gate, it becomes `error`.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class CrewWaits(CrewStopped):
    """A step waits for a person. It was not made, and neither was the tool inside of which it was asked for."""


class CrewRun:
    """One run of a gate. It begins with the first thing that is asked for."""

    def __init__(
        self,
        engine: Engine,
        begin: Callable[[str], Session],
        tools: ToolDeclarations,
        not_done: tuple[type[BaseException], ...],
    ) -> None:
        """`begin` returns the session for what is asked for where something is kicked off first."""
        self.engine, self.tools, self.not_done = engine, tools, not_done
        self._begin, self._request = begin, ""
        self._session: Session | None = None
        self._lock = threading.Lock()
        self._counts: Counter[tuple[int, str]] = Counter()
        self._calls: dict[tuple[int, str], str] = {}
        self._written: dict[int, tuple[str, str]] = {}
        self._failed: dict[int, list[Exception]] = {}
        self._advice: dict[int, tuple[str, ...]] = {}
        self.failure: Exception | None = None
        """What the gate has said that ends the crew, whatever CrewAI has made of it."""
        self.over = False
        """The gate was left: nothing more is performed."""
        self._results: list[Any] = []

    def __repr__(self) -> str:
        return f"<CrewRun {self._session!r}>"

    def note_request(self, request: str) -> None:
        """Notes what is asked for, if nobody has said so before."""
        with self._lock:
            self._request = self._request or request

    def note_result(self, result: Any) -> None:
        """Notes the result of something that was kicked off. What goes on from a checkpoint is kicked off twice with one."""
        with self._lock:
            if not any(each is result for each in self._results):
                self._results.append(result)

    def list_answers(self) -> list[str]:
        """Returns what was answered where something was kicked off."""
        return [str(each.raw) for each in self._results]

    @property
    def session(self) -> Session:
        """The run's session."""
        with self._lock:
            if self._session is None:
                self._session = self._begin(self._request)
            return self._session

    @property
    def has_begun(self) -> bool:
        """Whether a step was recorded or given again."""
        return self._session is not None and self._session.run is not None

    def count(self, frame: int, what: str) -> int:
        """Returns how often this was begun in a frame, with this time."""
        with self._lock:
            self._counts[frame, what] += 1
            return self._counts[frame, what]

    # ---- the calls of the newest replies

    def note_calls(self, frame: int, ids: Mapping[str, str]) -> None:
        """Notes the calls of a reply: as CrewAI names them, and as they are recorded. Some providers' calls have no ids."""
        with self._lock:
            self._written.pop(frame, None)
            self._failed.pop(frame, None)
            if len(self._calls) < MAX_CALLS:
                self._calls.update({(frame, live): recorded for live, recorded in ids.items()})

    def note_written(self, frame: int, name: str, call_id: str) -> None:
        """Notes the one call that a reply has written as text."""
        with self._lock:
            self._written[frame] = name, call_id

    def find_call(self, frame: int, live: str, name: str) -> str:
        """Returns the recorded id of the call for which a tool is performed; "": no reply is known that asks for it."""
        with self._lock:
            if live:
                return self._calls.get((frame, live), "")
            written, call_id = self._written.get(frame, ("", ""))
            return call_id if written == name else ""

    def note_failed(self, frame: int, call_id: str, error: Exception) -> None:
        """Notes that a tool has raised."""
        with self._lock:
            if call_id and call_id == self._written.get(frame, ("", ""))[1]:
                self._failed.setdefault(frame, []).append(error)

    def check_attempts(self, frame: int, call_id: str) -> None:
        """Raises what a tool has raised if the call that was written as text was attempted often enough."""
        with self._lock:
            failed = self._failed.get(frame, [])
            if len(failed) >= MAX_ATTEMPTS and call_id == self._written.get(frame, ("", ""))[1]:
                raise failed[-1]

    # ---- what guards advise

    def note_advice(self, frame: int, notes: tuple[str, ...]) -> None:
        """Notes what guards advise with a tool's result. CrewAI keeps results in a cache, so it goes with the next request."""
        if notes:
            with self._lock:
                self._advice[frame] = (*self._advice.get(frame, ()), *notes)

    def take_advice(self, frame: int) -> tuple[str, ...]:
        """Returns what guards have advised in a frame since its newest request."""
        with self._lock:
            return self._advice.pop(frame, ())

    # ---- steps

    def stop(self, error: Exception) -> CrewStopped:
        """Returns what ends the crew because of what the gate has said."""
        with self._lock:
            if self.failure is None or isinstance(self.failure, Held):
                self.failure = error
        return CrewWaits(error) if isinstance(error, Held) else CrewStopped(error)

    def check(self) -> None:
        """Raises `CrewStopped` if nothing may be performed any more."""
        if self.over:
            raise CrewStopped(
                Misused("the gate around this crew was left; what still runs of it is not performed")
            )
        if self.failure is not None and not isinstance(self.failure, Held):
            raise CrewStopped(self.failure)

    def step_sync(self, asked: Asked, perform: Callable[[Turn], tuple[Any, Any]]) -> Performed:
        """Makes a step. What `perform` raises is raised as it is, and what the gate raises as `CrewStopped`."""
        self.check()
        own = OwnErrors()
        try:
            return self.session.step_sync(asked, own.watch_sync(perform))
        except (Refused, Broken, Misused) as error:
            if error in own:
                raise
            raise self.stop(error) from error

    async def step(self, asked: Asked, perform: Callable[[Turn], Awaitable[tuple[Any, Any]]]) -> Performed:
        """As `step_sync`."""
        self.check()
        own = OwnErrors()
        try:
            return await self.session.step(asked, own.watch(perform))
        except (Refused, Broken, Misused) as error:
            if error in own:
                raise
            raise self.stop(error) from error

    def open_frame_sync(self, asked: HandoffAsk) -> int:
        """Opens the frame of an agent at work. Raises `Refused` if a guard or a limit refuses the work: the run goes on."""
        self.check()
        try:
            return self.session.open_frame_sync(asked)
        except (Refused, Broken, Misused) as error:
            if _is_refused_work(error):
                raise
            raise self.stop(error) from error

    async def open_frame(self, asked: HandoffAsk) -> int:
        """As `open_frame_sync`."""
        self.check()
        try:
            return await self.session.open_frame(asked)
        except (Refused, Broken, Misused) as error:
            if _is_refused_work(error):
                raise
            raise self.stop(error) from error

    def close_frame_sync(self, frame: int, text: str, *, failed: bool = False) -> None:
        """Ends the frame of an agent."""
        try:
            self.session.close_frame_sync(frame, text, failed=failed)
        except (Refused, Broken, Misused) as error:
            raise self.stop(error) from error

    async def close_frame(self, frame: int, text: str, *, failed: bool = False) -> None:
        """As `close_frame_sync`."""
        try:
            await self.session.close_frame(frame, text, failed=failed)
        except (Refused, Broken, Misused) as error:
            raise self.stop(error) from error


def _is_refused_work(error: Exception) -> bool:
    return isinstance(error, Refused) and error.guard == "handoff"


@dataclass(frozen=True, kw_only=True)
class CrewPlace:
    """Where something is asked for."""

    run: CrewRun
    agent: str
    """The role of who works here."""
    frame: int = 0
    call: str = ""
    """The call of the tool that is performed here; "": none."""
    tool: int = 0
    """The identity of that tool: what its class asks of its own base class is the same call."""
    work: tuple[int, int] | None = None
    """The identity of the agent that works in this frame, and of its task: a retry of both stays in it."""

    def enter_call(self, call: str, tool: Any) -> CrewPlace:
        """Returns the place inside of a tool."""
        return replace(self, call=call, tool=id(tool), work=None)

    def enter_frame(self, frame: int, agent: str, work: tuple[int, int]) -> CrewPlace:
        """Returns the place where an agent works."""
        return replace(self, agent=agent, frame=frame, call="", tool=0, work=work)

    def leave_frames(self) -> CrewPlace:
        """Returns the place of the run itself."""
        return replace(self, frame=0, call="", tool=0, work=None)


class AgentsAtWork:
    """The agents that work inside of gates, by their identity: a model that one of them asks without a gate has lost it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works: Counter[int] = Counter()

    def any(self) -> bool:
        """Returns whether there is one."""
        return bool(self._works)

    def __contains__(self, agent: object) -> bool:
        return id(agent) in self._works

    def enter(self, agent: int) -> None:
        """An agent begins."""
        with self._lock:
            self._works[agent] += 1

    def leave(self, agent: int) -> None:
        """It has done, or failed."""
        with self._lock:
            self._works[agent] -= 1
            if not self._works[agent]:
                del self._works[agent]


at_work = AgentsAtWork()
current: ContextVar[CrewPlace | None] = ContextVar("seawall_crewai_place", default=None)
