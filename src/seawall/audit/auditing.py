"""Sends a recorded run through the gate, and reports which calls would have got advice or would not have been made.

This file knows no rule. It proposes each recorded call to a real `Gate` with the given guards, settles its recorded
result there, and folds the events with `apply`, as in a live run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec

from seawall.audit.recording import RecordedCall, RecordedRun
from seawall.audit.tools import ToolNames
from seawall.core.canonical import Ref
from seawall.core.errors import SeawallBug
from seawall.core.events import Event, Judged, RunStarted, Status, StepIntended
from seawall.core.limits import Limits
from seawall.core.redact import Redactor
from seawall.engine.gate import BUILT_IN, Admitted, Gate
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.fold import apply, begin
from seawall.run.guard import Guard
from seawall.run.ledger import NO_REST, Rest
from seawall.run.state import RunState
from seawall.run.step import Action, Propose, Result, RetryPolicy, Step

ROOT = 0
_STEP = re.compile(r"\bstep (\d+)\b")
"""A step in a guard's reason. A recording has calls and no steps."""


class AuditResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the guards would have done with a recorded run. Its calls are counted from 0."""

    id: str
    halted_at: int | None = None
    """The first call that would not have been made."""
    advised_at: tuple[int, ...] = ()
    """The calls whose results would have come with advice."""
    rule: str | None = None
    """The option of the guard whose limit was reached. If no call was stopped, that of the first advice."""
    reason: str | None = None
    """The guard's reason, with calls (`call #4`) in place of steps."""


def audit(run: RecordedRun, guards: Sequence[Guard], names: ToolNames | None = None) -> AuditResult:
    """Judges a recorded run with these guards."""
    return _Auditor(run, guards, names or ToolNames()).audit()


class _Auditor:
    """Sends one recorded run through the gate."""

    def __init__(self, run: RecordedRun, guards: Sequence[Guard], names: ToolNames) -> None:
        self._run = run
        self._bodies = Bodies(Redactor())
        self._logic = _RecordedLogic(names, self._bodies)
        self._gate = Gate(self._logic, guards, Limits(), self._bodies, Causes(), now=lambda: 0.0)
        started = RunStarted(
            at=0.0,
            run=run.id,
            team="",
            team_version="",
            agent=run.calls[0].agent if run.calls else "",
            intent=self._bodies.put(""),
            limits=Limits(),
            # The user decides what a run may spend, so only the given guards judge here.
            guards={**dict.fromkeys(BUILT_IN, "off"), **{guard.name: "enforce" for guard in guards}},
        )
        self._state: RunState = begin(started, guards)
        self._frames: dict[str, int] = {started.agent: ROOT}
        self._calls: dict[int, int] = {}
        """By step: the index of its call."""
        self._advised: list[int] = []
        self._first_advice: Judged | None = None

    def audit(self) -> AuditResult:
        """Goes through the run up to the first call that would not have been made."""
        for turn in _split_turns(self._run.calls):
            admitted: list[tuple[int, Step]] = []
            for index in turn:
                admission = self._admit(self._run.calls[index])
                self._record(admission.events)
                if admission.step is None:
                    return self._make_result(index, self._state.halted)
                self._calls[admission.step.number] = index
                admitted.append((index, admission.step))
            for index, step in admitted:
                call = self._run.calls[index]
                result = Result(status="error" if call.failed else "ok", output=call.result)
                events = self._gate.settle(step, result, self._state, 0.0)
                self._note_advice(index, events)
                self._record(events)
        return self._make_result(None, self._first_advice)

    def _admit(self, call: RecordedCall) -> Admitted:
        frame = self._find_frame(call.agent)
        self._logic.call = call
        proposal = Propose(kind="tool", name=call.tool, agent=call.agent, frame=frame, depth=1)
        return self._gate.admit(proposal, self._state, self._state.left_s)

    def _find_frame(self, agent: str) -> int:
        """Returns the frame of an agent. The first agent has the run's own frame; each other one gets a hand-off."""
        frame = self._frames.get(agent)
        if frame is None:
            frame = self._frames[agent] = self._state.steps + 1
            task = self._bodies.put("")
            handoff = StepIntended(
                at=0.0, step=frame, kind="handoff", name=agent, agent="", frame=ROOT, input=task, depth=2
            )
            self._record([handoff])
        return frame

    def _record(self, events: Sequence[Event]) -> None:
        for event in events:
            before = self._state
            self._state = apply(before, event, self._gate.guards)
            failed = self._gate.judge.halt_failed_folds(before, self._state)
            if failed:
                raise SeawallBug(f"recorded run {self._run.id!r}: {getattr(failed[0], 'reason', '')}")
        self._bodies.unsaved()

    def _note_advice(self, index: int, events: Sequence[Event]) -> None:
        advice = [event for event in events if isinstance(event, Judged) and event.verdict == "advise"]
        if advice:
            self._advised.append(index)
            self._first_advice = self._first_advice or advice[0]

    def _make_result(self, halted_at: int | None, judged: Judged | None) -> AuditResult:
        return AuditResult(
            id=self._run.id,
            halted_at=halted_at,
            advised_at=tuple(self._advised),
            rule=None if judged is None else (judged.limit or judged.guard).partition("=")[0],
            reason=None if judged is None else _STEP.sub(self._name_call, judged.reason),
        )

    def _name_call(self, step: re.Match[str]) -> str:
        index = self._calls.get(int(step[1]))
        return step[0] if index is None else f"call #{index}"


def _split_turns(calls: Sequence[RecordedCall]) -> Iterator[list[int]]:
    """Yields the indices of the calls of each reply: all are admitted before any of them has a result."""

    def identify_reply(index: int) -> tuple[str, str | int]:
        call = calls[index]
        return call.agent, index if call.turn is None else call.turn

    for _, indices in groupby(range(len(calls)), identify_reply):
        yield list(indices)


class _RecordedLogic:
    """Implements `run.step.Logic` for a recording: prepares the call at hand, and decides nothing."""

    def __init__(self, names: ToolNames, bodies: Bodies) -> None:
        self._names = names
        self._bodies = bodies
        self.call: RecordedCall | None = None

    def decide(self, state: RunState) -> Sequence[Action]:
        """Returns nothing: the recording decides."""
        return ()

    def prepare(self, proposal: Propose, state: RunState, number: int) -> Step:
        """Returns the recorded call as a step."""
        call = self.call
        if call is None:
            raise SeawallBug("a step of a recording was prepared without its call")
        poll = self._names.is_poll(call)
        return Step(
            number=number,
            kind=proposal.kind,
            name=proposal.name,
            agent=proposal.agent,
            frame=proposal.frame,
            depth=proposal.depth,
            input=self._bodies.put(call.arguments),
            effect=not poll and self._names.is_effect(call),
            may_write=not poll and self._names.may_write(call),
            poll=poll,
        )

    def compute_rest(self, frame: int, step: Step | None, state: RunState) -> Rest:
        """Returns nothing: the user decides what a run may spend."""
        return NO_REST

    def retries(self, step: Step, state: RunState) -> RetryPolicy:
        """Returns "never": retries are in the recording."""
        return "never"

    def transcript(self, state: RunState, status: Status) -> Ref | None:
        """Returns None: a recording of calls has no transcript."""
        return None
