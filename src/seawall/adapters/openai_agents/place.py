"""The agent, the frame and the call that code runs in, and the errors that end a run of the SDK."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

from agents.exceptions import AgentsException

from seawall.core.errors import Misused, Refused, SeawallError
from seawall.run.outcome import Outcome
from seawall.runtime.foreign.asks import Ask, Halted, Held, Settled, Turn
from seawall.runtime.foreign.session import Session
from seawall.runtime.foreign.tools import ToolDeclarations

Asking = tuple[Ask, Turn] | Settled
NOT_OPEN = -1
"""Stands for the frame of an invocation before that is open. The run has no such frame, so no step is made in it."""


class AgentsHalted(AgentsException):
    """The run has ended, was refused, or broke: the SDK's run ends with it.

    `outcome` says how the run ended; None: it has not (the journal can't be written, for example). `cause` is Seawall's error.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.outcome: Outcome[Any] | None = cause.outcome if isinstance(cause, Halted) else None


class AgentsHeld(AgentsException):
    """A step waits for a person, and the SDK can't be interrupted there. Ask again, with the same request id, after the
    decision.
    """

    def __init__(self, held: Held) -> None:
        super().__init__(str(held))
        self.held = held


class AgentsRefused(AgentsException):
    """An agent may not begin to work. The agent that has handed over to it, or called it as a tool, is told why, and goes on."""


class AgentGating(Protocol):
    """Makes gated copies of agents and tools."""

    tools: ToolDeclarations
    """The declarations of the tools."""

    def gate_agent(self, agent: Any) -> Any:
        """Returns the gated copy of an agent as it is now. All that the agent can reach is gated, too."""
        ...

    def gate_tool(self, tool: Any) -> Any:
        """Returns the gated copy of a tool, or the tool itself if it can't be gated."""
        ...

    def note_session(self, session: Any) -> None:
        """Notes a session that asks a model by itself, to make the conversation shorter."""
        ...


class GatedRun:
    """One run: its session, and the calls of tools that were asked for and are not performed yet."""

    def __init__(self, session: Session, gate: AgentGating) -> None:
        self.session, self.gate = session, gate
        self.stop: AgentsException | None = None
        """The error that has ended the run. Each later call raises it again: a tool or a handler may have swallowed it."""
        self._asked: dict[tuple[int, str], Asking] = {}

    def __repr__(self) -> str:
        return f"<GatedRun {self.session.run}>"

    @contextlib.contextmanager
    def translate_errors(self) -> Generator[None]:
        """Turns an error that ends a run into `AgentsHeld` or `AgentsHalted`, which end the SDK's run, and remembers it.

        The first one stays: calls that were under way at that moment fail later, and only because the run was let go of.
        """
        self.check()
        try:
            yield
        except SeawallError as error:
            if self.stop is not None:
                raise self.stop from self.stop.__cause__
            self.stop = AgentsHeld(error) if isinstance(error, Held) else AgentsHalted(error)
            raise self.stop from error

    def check(self) -> None:
        """Raises the error that has ended the run, if there is one."""
        if self.stop is not None:
            raise self.stop

    # ---- calls of tools that were asked for, to see whether they are held

    async def is_held(self, agent: str, tool: str, arguments: Any, call_id: str, frame: int) -> Held | None:
        """Asks for a call of a tool. Returns `Held` if a person must decide; otherwise keeps the gate's answer until `take`."""
        if (frame, call_id) in self._asked:
            return None
        asked = self.session.tool(agent, tool, arguments, call_id=call_id, frame=frame)
        try:
            self._asked[frame, call_id] = await self.session.ask(asked)
        except Held as held:
            return held
        except Halted:
            return None  # the run has ended: the call raises that, unless the SDK does not make it
        return None

    def find(self, frame: int, call_id: str) -> Asking | None:
        """Returns the gate's answer to a call that was asked for; None if there is none."""
        return self._asked.get((frame, call_id))

    def take(self, frame: int, call_id: str) -> Asking | None:
        """As `find`, and forgets the answer."""
        return self._asked.pop((frame, call_id), None)

    async def give_back(self, frame: int | None = None) -> None:
        """Gives back the turns of calls that the SDK has decided not to make, in one frame or in all."""
        for key in [key for key in self._asked if frame is None or key[0] == frame]:
            asking = self._asked.pop(key)
            if not isinstance(asking, Settled):
                await self.session.give_back(asking[0])


class RunnerInvocation:
    """One invocation of the SDK's loop: the agent at work, and its frame. Hand-offs change both."""

    def __init__(
        self, run: GatedRun, agent: str, frame: int, opening: Callable[[], Awaitable[int]] | None = None
    ) -> None:
        """`opening` opens the frame of an invocation that begins without one (`NOT_OPEN`)."""
        self.run, self.agent, self.frame = run, agent, frame
        self._opening, self._lock = opening, asyncio.Lock()
        self.root = frame
        """The frame in which the invocation began."""
        self.is_resumable = True
        """False if the interruptions of its result are given to code of the user, and not to the caller of the run."""
        self.frames: list[int] = []
        """The frames that hand-offs have opened, the newest last."""
        self.calls: tuple[tuple[str, str, str], ...] = ()
        """(id, name, arguments) of the newest reply."""
        self.working: Any = None
        """The gated agent whose model was called last. It stays at work if a hand-off is refused."""
        self.refusal = ""
        """Why the newest hand-off was refused; "" if it was not."""
        self._begun: Counter[tuple[int, str]] = Counter()
        """How many agents code has run by itself, by frame and key without the number."""

    def __repr__(self) -> str:
        return f"<RunnerInvocation of {self.agent!r}, frame {self.frame}>"

    def number_agent(self, frame: int, key: str, *, goes_on: bool = False) -> str:
        """Returns the key of an agent that code runs by itself, with its number among those with an equal key.

        `goes_on`: it is the newest of them, which continues.
        """
        if not (goes_on and self._begun[frame, key]):
            self._begun[frame, key] += 1
        number = self._begun[frame, key]
        return key if number == 1 else f"{key}/{number}"

    async def open(self) -> None:
        """Opens the frame, unless it is open. Its first agent and an agent of a guardrail may come at the same time."""
        if self._opening is None:
            return
        async with self._lock:
            if self._opening is not None:
                self.frame = self.root = await self._opening()
                self._opening = None


class CallPlace(NamedTuple):
    """The agent, the frame and the tool's call in which code runs."""

    invocation: RunnerInvocation
    agent: str
    frame: int
    call: str
    """The id of the tool's call that is performed here."""
    stops: list[AgentsException]
    """Gets the errors that have ended the whole run in an agent that the tool runs. The tool may swallow them."""
    is_agent: bool = False
    """True if that tool is an agent."""
    refused: list[str] | None = None
    """If the tool is an agent: a list that gets the reason why it may not begin. The SDK would replace the text of an error."""


class RaisedInstead(NamedTuple):
    """What a tool has raised, in the place of its value."""

    error: BaseException


current: ContextVar[CallPlace | RunnerInvocation | None] = ContextVar(
    "seawall_openai_agents_place", default=None
)
"""The invocation, and in a tool the place of its call."""


def find_invocation() -> RunnerInvocation:
    """Returns the invocation that this task belongs to. Raises `AgentsHalted` outside of a run: a gated agent was run by
    another runner, and its tools and models are not called.
    """
    found = current.get()
    if found is None:
        raise AgentsHalted(
            Misused(
                "this agent is gated, and was run outside of a SeawallRunner: run it with SeawallRunner, or give the plain "
                "runner get_original(agent)"
            )
        )
    return found.invocation if isinstance(found, CallPlace) else found


@contextlib.contextmanager
def enter_place(place: CallPlace | RunnerInvocation | None) -> Generator[None]:
    """Marks a block as running at `place`."""
    token = current.set(place)
    try:
        yield
    finally:
        current.reset(token)


@contextlib.contextmanager
def convert_refusal() -> Generator[None]:
    """Raises `AgentsRefused` if a guard or a limit refuses a hand-off in this block."""
    try:
        yield
    except Refused as refused:
        if isinstance(refused, Halted | Held) or refused.guard != "handoff":
            raise
        place = current.get()
        if isinstance(place, CallPlace) and place.refused is not None:
            place.refused.append(str(refused))
        raise AgentsRefused(str(refused)) from refused
