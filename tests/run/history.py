"""Random histories of a run: the real `decide`, gate and fold, with everything around them made up.

No loop, no journal, no clock: what a model says, how a call ends, in which order results come in and what a
person decides are all drawn. Every event goes through its encoding on the way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from seawall.core.events import (
    CommandTaken,
    Event,
    GuardSet,
    RunEnded,
    RunStarted,
    RunTaken,
    StepDone,
    StepIntended,
    decode_event,
    encode_event,
)
from seawall.core.limits import Limits
from seawall.core.redact import Redactor
from seawall.engine.gate import Gate
from seawall.engine.in_doubt import close_in_doubt
from seawall.guards.loops import Loops
from seawall.models.protocol import Assistant, ModelReply, ToolCall, Usage
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.fold import apply, begin
from seawall.run.frame import get_status_when_cut
from seawall.run.guard import Guard
from seawall.run.state import RunState
from seawall.run.step import Close, End, Propose, Result, Step, restore_step
from seawall.run.verdict import ALLOW, Advise, Halt, Hold, Refuse, Replace, Verdict
from seawall.team.agent import Agent
from seawall.team.prepare import TeamLogic
from seawall.team.reply import read_reply
from seawall.team.team import Team
from seawall.team.tool import tool
from seawall.testing import ScriptedModel

Draw = Callable[[Sequence[Any]], Any]
"""Picks one of several; the test decides how."""

MAX_EVENTS = 120
KINDS = ["calls"] * 12 + ["say"] * 6 + ["empty", "fail", "fail", "fail for good"]


@tool
def look(what: str) -> str:
    """Look something up."""
    return what


@tool(effect=True)
def pay(what: str) -> str:
    """Pay something, once."""
    return what


@tool(effect=True, idempotent=True, retries=1)
def book(what: str) -> str:
    """Book something; the other side honours a key."""
    return what


def desk() -> Team:
    """A coordinator with a specialist, a nested team of two, and a reviewer."""
    model = ScriptedModel([])
    inner = Team(
        "inner",
        Agent("lead", model=model, tools=[look]),
        specialists=[Agent("helper", model=model, tools=[look, book])],
    )
    return Team(
        "desk",
        Agent("boss", model=model, tools=[look, pay]),
        specialists=[Agent("clerk", model=model, tools=[look, pay, book]), inner],
        reviewer=Agent("auditor", model=model, tools=[look]),
    )


class Moody(Guard):
    """Says anything of anything, yet always the same of the same; its memory may break."""

    name = "moody"

    def __init__(self, salt: str, calm: int) -> None:
        self._salt = salt
        self._calm = calm

    def _mood(self, *key: object) -> int:
        text = repr((self._salt, *key)).encode()
        return hashlib.sha256(text).digest()[0] % self._calm

    def start(self) -> tuple[int, ...]:
        return ()

    def fold(self, memory: Any, event: Event, run: RunState) -> tuple[int, ...]:
        if self._mood("fold", run.seq) == 9:
            raise RuntimeError(f"can't take in event {run.seq}")
        return (*memory, run.seq) if isinstance(event, StepDone) else memory

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        return self._say(self._mood("before", step.number, len(memory)))

    def after(self, step: Step, result: Result, run: RunState, memory: Any) -> Verdict:
        return self._say(self._mood("after", step.number, len(memory)))

    def _say(self, mood: int) -> Verdict:
        said: list[Verdict] = [
            Advise("hm", "take care"),
            Replace("no need", "as you know"),
            Hold("ask a person"),
            Refuse("not that"),
            Halt("enough"),
        ]
        return said[mood] if mood < len(said) else ALLOW


class History:
    """One run, played to its end or until it waits for nothing that could come."""

    def __init__(self, draw: Draw, *, salt: str, calm: int, limits: Limits) -> None:
        self.draw = draw
        self.team = desk()
        self.guards: tuple[Guard, ...] = (Loops(), Moody(salt, calm))
        bodies = self.bodies = Bodies(Redactor())
        self.logic = TeamLogic(self.team, bodies, prices={})
        self.gate = Gate(self.logic, self.guards, limits, bodies, Causes(), now=lambda: 0.0)
        started = RunStarted(
            at=0.0,
            run="r-1",
            team="desk",
            team_version=self.team.version,
            agent="boss",
            intent=bodies.put("order 1042"),
            limits=limits,
            guards={"loops": "enforce", "moody": "enforce", "limits": "enforce"},
            session="s",
        )
        self.events: list[Event] = [started]
        self.state = begin(started, self.guards)
        self.states: list[RunState] = [self.state]
        """After each event."""
        self.shown: list[str] = [repr(self.state)]
        """What each of them looked like when it was new."""
        self.rests: list[int] = []
        """Lengths at which nothing was left to decide."""
        self.flying: dict[int, Step] = {}
        self.calls = 0

    def record(self, event: Event) -> None:
        event = decode_event(encode_event(event))
        before = self.state
        self.state = apply(before, event, self.guards)
        self.events.append(event)
        self.states.append(self.state)
        self.shown.append(repr(self.state))
        for judged in self.gate.judge.halt_failed_folds(before, self.state):
            self.record(judged)

    def play(self) -> None:
        """Go on until the run has ended."""
        self.record(RunTaken(at=0.0, owner="here", epoch=1, left_s=60.0))
        while self.decided() and len(self.events) < MAX_EVENTS:
            self.happen()
        if self.state.ended is None:
            self.record(CommandTaken(at=0.0, inbox=99, command="cancel"))
            self.decided()

    def decided(self) -> bool:
        """Do all that is to be done at once; whether the run goes on."""
        moved = True
        while moved and self.state.ended is None:
            moved = False
            for action in self.logic.decide(self.state):
                moved = self.act(action) or moved
                if self.state.ended is not None:
                    return False
        self.rests.append(len(self.events))
        return self.state.ended is None

    def act(self, action: Propose | Close | End) -> bool:
        match action:
            case Propose():
                admitted = self.gate.admit(action, self.state, self.state.left_s)
                events, step = admitted.events, admitted.step
                for event in events:
                    self.record(event)
                if step is not None and step.kind in ("model", "tool"):
                    self.flying[step.number] = step
                return bool(events)
            case Close():
                intent = self.state.open[action.step]
                text = action.text if action.text is not None else self.bodies.text(action.output)
                result = Result(
                    status=action.status, output=text, error=action.error, approved=action.approved
                )
                self.settle(restore_step(intent), result)
                return True
            case End():
                for step in sorted(self.state.open.values(), key=lambda step: -step.step):
                    self.record(StepDone(at=0.0, step=step.step, status=get_status_when_cut(step)))
                self.record(
                    RunEnded(
                        at=0.0,
                        status=action.status,
                        answer=action.answer,
                        stopped_by=action.stopped_by,
                        transcript=self.logic.transcript(self.state),
                    )
                )
                return True

    def settle(self, step: Step, result: Result) -> None:
        for event in self.gate.settle(step, result, self.state, 60.0):
            self.record(event)

    # ---- what may happen

    def happen(self) -> None:
        """A result, a decision, a crash, a switch or a cancellation."""
        waiting = self.state.approvals
        there: list[str] = ["result"] * 6 if self.flying else []
        there += ["decide"] * 2 if waiting else []
        if not there or self.draw(range(12)) == 0:
            there = ["crash", "switch", "switch"]
        if self.draw(range(100)) == 0:
            there = ["cancel"]
        match self.draw(there):
            case "result":
                step = self.flying.pop(self.draw(sorted(self.flying)))
                self.settle(step, self.model(step) if step.kind == "model" else self.tool(step))
            case "decide":
                self.decide(self.draw(sorted(waiting, key=lambda step: step.step)))
            case "crash":
                self.flying.clear()
                epoch = self.state.epoch + 1
                self.record(RunTaken(at=0.0, owner="there", epoch=epoch, left_s=50.0))
                for event in close_in_doubt(self.state, 0.0, lambda step, age_s: True):
                    self.record(event)
            case "cancel":
                self.record(CommandTaken(at=0.0, inbox=self.state.inbox + 1, command="cancel", by="user:7"))
            case _:
                mode = self.draw(["off", "observe", "enforce"])
                guard = self.draw(["loops", "moody", "limits"])
                self.record(GuardSet(at=0.0, guard=guard, mode=mode, by="ops"))

    def decide(self, step: StepIntended) -> None:
        approved = self.draw([True, False])
        self.record(
            CommandTaken(
                at=0.0, inbox=self.state.inbox + 1, command="decide", step=step.step, approved=approved
            )
        )
        output = self.bodies.put("yes" if approved else "no")
        status = "ok" if approved else "refused"
        error = None if approved else "rejected"
        self.record(StepDone(at=0.0, step=step.step, status=status, output=output, error=error))

    def tool(self, step: Step) -> Result:
        kind = self.draw(["ok", "ok", "ok", "same", "error", "retry", "timeout", "not_done"])
        match kind:
            case "ok" | "same":
                text = "it is there" if kind == "same" else f"order {self.draw(range(9))}"
                return Result(status="ok", output=text)
            case "error" | "retry":
                return Result(
                    status="error", output="Error: no", error="ValueError", retryable=kind == "retry"
                )
            case "timeout":
                return Result(status="timeout", output="Error: too slow", error="timeout")
            case _:
                return Result(status="error", output="Error: not done", error="not_done")

    def model(self, step: Step) -> Result:
        frame = self.state.frames[step.frame]
        match self.draw(KINDS):
            case "calls" if len(self.events) < MAX_EVENTS * 2 // 3:
                message = Assistant(None, tuple(self.call() for _ in range(self.draw([1, 1, 2, 3]))))
            case "empty":
                message = Assistant("")
            case "fail":
                return Result(status="error", output="Error: busy", error="overloaded", retryable=True)
            case "fail for good":
                return Result(status="error", output="Error: no", error="rejected")
            case _ if frame.kind == "review":
                arguments = self.draw(['{"approved": true}', '{"approved": false, "feedback": "why"}', "{"])
                message = Assistant(None, (ToolCall("", "review", arguments),))
            case _:
                message = Assistant(f"answer {self.draw(range(3))}")
        reply = ModelReply(message=message, usage=Usage(30, 5))
        member = self.team.members[step.agent]
        return read_reply(reply, member, frame, Decimal(0), self.bodies)

    def call(self) -> ToolCall:
        self.calls += 1
        name = self.draw(["look", "look", "pay", "book", "ask_clerk", "ask_inner", "ask_helper", "nothing"])
        argument = "task" if name.startswith("ask_") else "what"
        arguments = self.draw([*[f'{{"{argument}": "order {self.draw(range(9))}"}}'] * 8, "{}", "no json"])
        return ToolCall(self.draw(["", "same", f"call-{self.calls}"]), name, arguments)
