"""One run of a gate, and the place in it that a call comes from: the agent's frame, and the tool that is performed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from seawall.core.errors import Broken, Misused, Refused
from seawall.runtime.foreign.asked import Asked, HandoffAsk
from seawall.runtime.foreign.asks import Held, Turn
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.own_errors import OwnErrors
from seawall.runtime.foreign.session import Performed, Session
from seawall.runtime.foreign.tools import ToolDeclarations

LOOP = "crewai"
MAX_ATTEMPTS = 3
"""Attempts at a call that a reply has written as text. CrewAI makes six in a row without telling the agent, which every guard
takes for a loop; after three failed attempts the agent is told the error."""
MAX_CALLS = 10_000
"""Calls of models' replies that a run remembers. The run's limits end it long before that."""


class CrewStopped(BaseException):
    """Carries the gate's `error` through CrewAI.

    CrewAI takes every `Exception` of a tool, a model or a hook for something that may be tried again, or told to the model, so
    this class is a `BaseException`. Where the caller kicked off the crew or the agent, and at the end of the gate, `error`
    itself is raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class CrewWaits(CrewStopped):
    """A step waits for a person. The step was not made, and the call of the tool that asked for it counts as not made."""


class CrewRun:
    """One run of a gate. It begins with the first step."""

    def __init__(
        self,
        engine: Engine,
        begin: Callable[[str], Session],
        tools: ToolDeclarations,
        not_done: tuple[type[BaseException], ...],
    ) -> None:
        """`begin` returns the session for a request: the text of the first crew or agent that is kicked off."""
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
        """The gate's error that ends the crew, kept because CrewAI may swallow it."""
        self.over = False
        """True once the gate was left: then nothing more is performed."""
        self._results: list[Any] = []

    def __repr__(self) -> str:
        return f"<CrewRun {self._session!r}>"

    def note_request(self, request: str) -> None:
        """Notes the text of the request, unless one is known already."""
        with self._lock:
            self._request = self._request or request

    def note_result(self, result: Any) -> None:
        """Notes the result of a crew or an agent that was kicked off, once: a crew that is restored from a checkpoint reports
        the same result twice.
        """
        with self._lock:
            if not any(each is result for each in self._results):
                self._results.append(result)

    def list_answers(self) -> list[str]:
        """Returns the answers of all crews and agents that were kicked off."""
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
        """True once a step was recorded, or a recorded step was returned."""
        return self._session is not None and self._session.run is not None

    def count(self, frame: int, what: str) -> int:
        """Returns how often `what` was begun in a frame, this time included."""
        with self._lock:
            self._counts[frame, what] += 1
            return self._counts[frame, what]

    # ---- the calls of the newest replies

    def note_calls(self, frame: int, ids: Mapping[str, str]) -> None:
        """Notes the calls of a reply: `ids` gives the recorded id for CrewAI's. Calls of some providers have no ids."""
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
        """Returns the recorded id of the call for which a tool is performed; "" if no known reply asks for it."""
        with self._lock:
            if live:
                return self._calls.get((frame, live), "")
            written, call_id = self._written.get(frame, ("", ""))
            return call_id if written == name else ""

    def note_failed(self, frame: int, call_id: str, error: Exception) -> None:
        """Notes the error that a tool has raised, if its call was written as text."""
        with self._lock:
            if call_id and call_id == self._written.get(frame, ("", ""))[1]:
                self._failed.setdefault(frame, []).append(error)

    def check_attempts(self, frame: int, call_id: str) -> None:
        """Raises the newest error of a call that was written as text, if `MAX_ATTEMPTS` attempts at it have failed."""
        with self._lock:
            failed = self._failed.get(frame, [])
            if len(failed) >= MAX_ATTEMPTS and call_id == self._written.get(frame, ("", ""))[1]:
                raise failed[-1]

    # ---- advice of guards

    def note_advice(self, frame: int, notes: tuple[str, ...]) -> None:
        """Notes the guards' advice on a tool's result, for the agent's next request. The result itself stays without it,
        because CrewAI keeps results in a cache.
        """
        if notes:
            with self._lock:
                self._advice[frame] = (*self._advice.get(frame, ()), *notes)

    def take_advice(self, frame: int) -> tuple[str, ...]:
        """Returns the advice of guards in a frame since its newest request, and forgets it."""
        with self._lock:
            return self._advice.pop(frame, ())

    # ---- steps

    def stop(self, error: Exception) -> CrewStopped:
        """Returns the exception that ends the crew because of an error of the gate."""
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
        """Makes a step. Raises errors of `perform` unchanged, and errors of the gate as `CrewStopped`."""
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

    def begin_again(self, frame: int) -> None:
        """Notes that CrewAI retries the work of a frame, from its beginning."""
        with self._lock:
            self._counts = Counter(
                {what: number for what, number in self._counts.items() if what[0] != frame}
            )
        self.session.begin_again(frame)

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
    """The place in a run that a call comes from."""

    run: CrewRun
    agent: str
    """The role of the agent that works here."""
    frame: int = 0
    call: str = ""
    """The call of the tool that is performed here; "" if there is none."""
    tool: int = 0
    """The `id` of that tool. A call that its class passes on to a base class is the same call."""
    work: tuple[int, int] | None = None
    """The `id` of the agent that works in this frame, and of its task. A retry of the same task by the same agent stays here."""

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
    """The agents that work inside of gates, by their `id`. If one of them asks a model outside of a gate, its thread has lost
    the gate's context.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works: Counter[int] = Counter()

    def any(self) -> bool:
        """Returns whether any agent is at work."""
        return bool(self._works)

    def __contains__(self, agent: object) -> bool:
        return id(agent) in self._works

    def enter(self, agent: int) -> None:
        """Notes that an agent begins to work."""
        with self._lock:
            self._works[agent] += 1

    def leave(self, agent: int) -> None:
        """Notes that an agent has done its work, or failed."""
        with self._lock:
            self._works[agent] -= 1
            if not self._works[agent]:
                del self._works[agent]


at_work = AgentsAtWork()
current: ContextVar[CrewPlace | None] = ContextVar("seawall_crewai_place", default=None)
