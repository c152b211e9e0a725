"""The frames in which agents work, and the errors that end an invocation of ADK."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Generator
from contextvars import ContextVar
from typing import Any, NamedTuple

from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.invocation_context import InvocationContext

from seawall.core.canonical import digest_of
from seawall.core.errors import Refused, SeawallError
from seawall.run.outcome import Outcome
from seawall.runtime.foreign.asked import HandoffAsk
from seawall.runtime.foreign.asks import Halted, Held
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.session import Session

TRANSFER = "transfer_to_agent"
"""ADK's tool by which a model hands over to another agent."""
MAX_CAUSES = 20
"""Errors that are searched for one of Seawall's: ADK wraps a plugin's error once for each runner inside another."""


class AdkHalted(RuntimeError):
    """The run has ended, and the invocation ends with it.

    `outcome` says how the run ended; None if it was refused, or broke, before it could end.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.outcome: Outcome[Any] | None = error.outcome if isinstance(error, Halted) else None


class AdkHeld(RuntimeError):
    """A step waits for a person, and ADK can't ask for a confirmation there. Ask again, with the same request id, after the
    decision.
    """

    def __init__(self, held: Held, problem: str = "") -> None:
        """`problem`: why a confirmation that ADK has asked for does not count."""
        super().__init__(f"{held} ({problem})" if problem else str(held))
        self.held = held


class AdkRefused(RuntimeError):
    """A guard has refused a call of a model, which was not made. The run goes on if the application handles this error."""

    status_code = 503
    """The status of a server that does not answer: after it, a `FallbackModel` tries its next candidate."""


def find_outcome(error: BaseException | None) -> Outcome[Any] | None:
    """Returns the outcome of the run whose end has ended an invocation; None if the error has another reason."""
    found = _find_cause(error)
    return found.outcome if isinstance(found, AdkHalted) else None


def find_held(error: BaseException | None) -> Held | None:
    """Returns the step that waits for a person and so has ended an invocation; None if the error has another reason."""
    found = _find_cause(error)
    return found.held if isinstance(found, AdkHeld) else None


def _find_cause(error: BaseException | None) -> AdkHalted | AdkHeld | None:
    """Returns Seawall's error inside of `error`; None if there is none. ADK wraps a plugin's error, and agents in parallel may
    fail together.
    """
    looked: list[BaseException | None] = [error]
    for each in looked:
        if isinstance(each, AdkHalted | AdkHeld):
            return each
        if each is not None and len(looked) < MAX_CAUSES:
            together: Any = getattr(each, "exceptions", ())
            looked += [each.__cause__, each.__context__, *together]
    return None


class GatedSession:
    """A session, and the error that has ended it. An invocation inside of a tool shares that of the invocation around it."""

    def __init__(self, engine: Engine, session: Session) -> None:
        self.engine, self.session = engine, session
        self.failure: AdkHalted | AdkHeld | None = None
        """The error that has ended the run, kept because ADK or the application may replace or swallow it."""
        self.calls: set[str] = set()
        """The ids of the calls in the replies that were brought or given again."""
        self._is_told = False
        """Whether `failure` was raised to the caller of a model."""

    def __repr__(self) -> str:
        return f"<GatedSession of {self.session!r}>"

    @contextlib.contextmanager
    def translate_errors(self) -> Generator[None]:
        """Turns the gate's errors into `AdkHalted`, which ends an invocation. `Held` passes unchanged."""
        try:
            yield
        except Held:
            raise
        except SeawallError as error:
            self.failure = AdkHalted(error)
            raise self.failure from error

    async def open_frame(self, asked: HandoffAsk) -> tuple[int, str]:
        """Opens the frame of a hand-off. Returns its number and ""; or 0 and the reason why a guard or a limit refuses it."""
        with self.translate_errors():
            try:
                return await self.session.open_frame(asked), ""
            except Refused as refused:
                if isinstance(refused, Halted | Held) or refused.guard != "handoff":
                    raise
                return 0, str(refused)

    def hold(self, held: Held, problem: str = "") -> AdkHeld:
        """Returns the error of a step that waits for a person whom ADK can't ask."""
        self.failure = AdkHeld(held, problem)
        return self.failure

    def raise_if_over(self) -> None:
        """Raises the error that has ended the run, if there is one: the application may have swallowed it."""
        if self.failure is not None:
            raise self.failure

    def tell_if_over(self) -> None:
        """As `raise_if_over`, for the caller of a model; notes that the caller was told."""
        self._is_told = self.failure is not None
        self.raise_if_over()

    def insist_if_over(self) -> None:
        """As `raise_if_over`, but only after a model's caller was told and went on all the same.

        A hook calls it. The application can't handle a hook's error, but ADK wraps it, and agents in parallel lose its cause,
        so the caller is told first.
        """
        if self._is_told:
            self.raise_if_over()


class AdkPlace(NamedTuple):
    """An agent, and the frame in which it works."""

    agent: str
    frame: int


class AdkToolPlace:
    """The place inside of a tool's call: agents that run there work in frames below."""

    def __init__(
        self, gated: GatedSession, frames: object, place: AdkPlace, live: str, call: str, task: str
    ) -> None:
        """`frames` are those of the invocation that calls the tool, `live` is ADK's id of the call, `call` what is the same
        if the call is made again, and `task` its arguments.
        """
        self.gated, self.frames, self.task = gated, frames, task
        self.agent, self.frame, self.live, self.call = place.agent, place.frame, live, call
        self.opened: list[int] = []
        """The frames of the agents that have run inside of the tool."""
        self.refused = ""
        """Why an agent may not run inside of the tool; "" if it may."""
        self._runs: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<AdkToolPlace of call {self.call} in frame {self.frame}>"

    async def open(self, agent: str, task: str) -> int:
        """Opens the frame of an agent inside the tool, and returns its number, which is the same if the call is made again.

        Raises `Refused` if a guard or a limit refuses the frame; the model is told so.
        """
        self._runs[agent] += 1
        call = f"{self.call}/{agent}/{self._runs[agent]}"
        asked = self.gated.session.handoff(self.agent, agent, task, call_id=call, frame=self.frame)
        frame, self.refused = await self.gated.open_frame(asked)
        if self.refused:
            raise Refused(self.refused, guard="handoff")
        self.opened.append(frame)
        return frame


current_tool: ContextVar[AdkToolPlace | None] = ContextVar("seawall_google_adk_tool", default=None)


@contextlib.contextmanager
def enter_tool(place: AdkToolPlace) -> Generator[None]:
    """Marks a block as the tool's work."""
    token = current_tool.set(place)
    try:
        yield
    finally:
        current_tool.reset(token)


class Frames:
    """The frames of one invocation: those of its root agent, of agents that have taken over, and of its sub-agents.

    A frame stays open until the invocation ends: an agent in a loop continues its conversation, and an agent that has handed
    over may get the conversation back.
    """

    def __init__(self, gated: GatedSession, root: AdkPlace) -> None:
        self._gated, self._root = gated, root
        self._by_agent: dict[tuple[str | None, str], int] = {}
        """The frame of each agent, by branch and name."""
        self._handed: dict[str, int] = {}
        """The frames of hand-offs whose agents have not begun, by the agent's name."""
        self._opened: list[int] = []
        self._unnamed: Counter[tuple[int, str]] = Counter()
        """How often each call without an id was made, by frame."""
        self._texts: dict[int, str] = {}
        """The newest text of each frame's agent."""

    def __repr__(self) -> str:
        return f"<Frames {self._root.frame}, {self._opened}>"

    def find(self, context: InvocationContext) -> AdkPlace:
        """Returns the place where the agent of a context works."""
        name = self._root.agent if context.agent is None else context.agent.name
        return AdkPlace(name, self._by_agent.get((context.branch, name), self._root.frame))

    def make_key(self, place: AdkPlace, tool: str, arguments: Any) -> str:
        """Returns what is the same for a call without an id if the call is made again."""
        asked = f"{tool}/{digest_of(arguments)[:16]}"
        self._unnamed[place.frame, asked] += 1
        return f"{asked}/{self._unnamed[place.frame, asked]}"

    def note_text(self, frame: int, text: str) -> None:
        """Notes the newest text of an agent."""
        self._texts[frame] = text

    async def hand_over(
        self, place: AdkPlace, to: str, task: str, call: str, *, transfers: bool = True
    ) -> str:
        """Opens a frame for the agent `to`, to which the agent at `place` hands over by a call of its model. `transfers`: the
        agent at `place` does not speak again in this invocation.

        Returns why the hand-off is refused; "" if the frame is open.
        """
        asked = self._gated.session.handoff(
            place.agent, to, task, call_id=call, frame=place.frame, transfers=transfers
        )
        frame, refused = await self._gated.open_frame(asked)
        if not refused:
            self._handed[to] = self._note_opened(frame)
        return refused

    async def enter(self, agent: BaseAgent, context: InvocationContext) -> None:
        """Finds or opens the frame of an agent that begins to work."""
        key = context.branch, agent.name
        handed = self._handed.pop(agent.name, None)
        if handed is not None:
            self._by_agent[key] = handed
            return
        tool = current_tool.get()
        if tool is not None and tool.frames is self:
            self._by_agent[key] = await tool.open(agent.name, tool.task)
            return
        if key in self._by_agent:
            return
        self._by_agent[key] = await self._find(agent, context)

    async def _find(self, agent: BaseAgent, context: InvocationContext) -> int:
        with self._gated.translate_errors():
            # ADK goes on with an invocation that was cut off, or answers a question of one of its agents
            is_root = agent.name == self._root.agent
            for call in _list_handoffs(agent.name, context) or (
                _list_own_calls(agent, context) if is_root else []
            ):
                if len(path := await self._gated.session.find_frames(call)) > 1:
                    return self._note_opened(path[-1])
            if is_root:
                return self._root.frame
            above = self._find_above(agent, context)
            call = f"agent/{context.branch or ''}/{agent.name}"
            asked = self._gated.session.handoff(
                above.agent, agent.name, "", call_id=call, frame=above.frame, halts=True
            )
            return self._note_opened(await self._gated.session.open_frame(asked))

    def _find_above(self, agent: BaseAgent, context: InvocationContext) -> AdkPlace:
        """Returns the place of the nearest agent above that is at work, on this branch or on one that this branch comes from."""
        above = agent.parent_agent
        while above is not None:
            places = [
                (branch, frame) for (branch, name), frame in self._by_agent.items() if name == above.name
            ]
            fitting = [each for each in places if (context.branch or "").startswith(each[0] or "")]
            if fitting:
                _, frame = max(fitting, key=lambda each: len(each[0] or ""))
                return AdkPlace(above.name, frame)
            above = above.parent_agent
        return self._root

    def _note_opened(self, frame: int) -> int:
        if frame not in self._opened:
            self._opened.append(frame)
        return frame

    async def close(self) -> None:
        """Closes the frames that were opened, the newest first."""
        for frame in reversed(self._opened):
            await self._gated.session.close_frame(frame, self._texts.get(frame, ""))
        self._opened = []


def _list_handoffs(agent: str, context: InvocationContext) -> list[str]:
    """Returns the calls of this invocation that hand over to an agent, the newest first."""
    return [
        call.id
        for event in reversed(context.session.events)
        if event.invocation_id == context.invocation_id
        for call in event.get_function_calls()
        if call.id
        and (call.name == agent or (call.name == TRANSFER and (call.args or {}).get("agent_name") == agent))
    ]


def _list_own_calls(agent: BaseAgent, context: InvocationContext) -> list[str]:
    """Returns the calls of tools that an agent has asked for in this invocation, the newest first."""
    below = {TRANSFER, *(each.name for each in agent.sub_agents)}
    return [
        call.id
        for event in reversed(context.session.events)
        if event.invocation_id == context.invocation_id and event.author == agent.name
        for call in event.get_function_calls()
        if call.id and call.name not in below
    ]
