"""A recorded run, call by call, through the gate: what would have been advised on, and which call not made.

Nothing here knows a rule. Each recorded call is proposed to a real `Gate` with the guards given, its recorded
result is settled there, and the events that come out are folded by `apply`, as in a live run.
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
from seawall.core.events import Event, Judged, RunStarted, StepIntended
from seawall.core.limits import Limits
from seawall.core.redact import Redactor
from seawall.engine.gate import BUILT_IN, Admitted, Gate
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.fold import apply, begin
from seawall.run.guard import Guard
from seawall.run.state import RunState
from seawall.run.step import Action, Propose, Result, Step

ROOT = 0
_STEP = re.compile(r"\bstep (\d+)\b")
"""In what a guard says. A recording has calls, and no steps."""


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """What the guards would have done with a recorded run. Indices count its calls from 0."""

    id: str
    halted_at: int | None = None
    """The first call that would not have been made."""
    advised_at: tuple[int, ...] = ()
    """Calls whose results would have come with advice."""
    rule: str | None = None
    """The limit that was reached: an option of the guard. Where nothing was stopped, that of the first advice."""
    reason: str | None = None
    """What the guard says, with calls (`call #4`) where it speaks of steps."""


def audit(run: RecordedRun, guards: Sequence[Guard], names: ToolNames | None = None) -> Audited:
    """Judge a recorded run with these guards."""
    return _Audit(run, guards, names or ToolNames()).result()


class _Audit:
    """One recorded run on its way through the gate."""

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
            # What a run may spend is the user's to say; here only the guards speak.
            guards={**dict.fromkeys(BUILT_IN, "off"), **{guard.name: "enforce" for guard in guards}},
        )
        self._state: RunState = begin(started, guards)
        self._frames: dict[str, int] = {started.agent: ROOT}
        self._calls: dict[int, int] = {}
        """By step, the index of its call."""
        self._advised: list[int] = []
        self._first: Judged | None = None

    def result(self) -> Audited:
        """Go through the run up to the call that is not made."""
        for turn in _turns(self._run.calls):
            admitted: list[tuple[int, Step]] = []
            for index in turn:
                admission = self._admit(self._run.calls[index])
                self._record(admission.events)
                if admission.step is None:
                    return self._halted(index)
                self._calls[admission.step.number] = index
                admitted.append((index, admission.step))
            for index, step in admitted:
                call = self._run.calls[index]
                result = Result(status="error" if call.failed else "ok", output=call.result)
                events = self._gate.settle(step, result, self._state, 0.0)
                self._note(index, events)
                self._record(events)
        return self._audited(None, self._first)

    def _admit(self, call: RecordedCall) -> Admitted:
        frame = self._frame(call.agent)
        self._logic.call = call
        proposal = Propose(kind="tool", name=call.tool, agent=call.agent, frame=frame, depth=1)
        return self._gate.admit(proposal, self._state, self._state.left_s)

    def _frame(self, agent: str) -> int:
        """Each agent of a recording is a frame: the first one the run's own, the others at a task of theirs."""
        frame = self._frames.get(agent)
        if frame is None:
            frame = self._frames[agent] = self._state.steps + 1
            task = self._bodies.put("")
            handed = StepIntended(
                at=0.0, step=frame, kind="handoff", name=agent, agent="", frame=ROOT, input=task, depth=2
            )
            self._record([handed])
        return frame

    def _record(self, events: Sequence[Event]) -> None:
        for event in events:
            before = self._state
            self._state = apply(before, event, self._gate.guards)
            failed = self._gate.judge.halt_failed_folds(before, self._state)
            if failed:
                raise SeawallBug(f"recorded run {self._run.id!r}: {getattr(failed[0], 'reason', '')}")
        self._bodies.unsaved()

    def _note(self, index: int, events: Sequence[Event]) -> None:
        advice = [event for event in events if isinstance(event, Judged) and event.verdict == "advise"]
        if advice:
            self._advised.append(index)
            self._first = self._first or advice[0]

    def _halted(self, index: int) -> Audited:
        return self._audited(index, self._state.halted)

    def _audited(self, halted_at: int | None, judged: Judged | None) -> Audited:
        return Audited(
            id=self._run.id,
            halted_at=halted_at,
            advised_at=tuple(self._advised),
            rule=None if judged is None else (judged.limit or judged.guard).partition("=")[0],
            reason=None if judged is None else _STEP.sub(self._call_of, judged.reason),
        )

    def _call_of(self, step: re.Match[str]) -> str:
        index = self._calls.get(int(step[1]))
        return step[0] if index is None else f"call #{index}"


def _turns(calls: Sequence[RecordedCall]) -> Iterator[list[int]]:
    """Indices of calls that one reply asked for: they are admitted before any of them has a result."""

    def reply(index: int) -> tuple[str, str | int]:
        call = calls[index]
        return call.agent, index if call.turn is None else call.turn

    for _, indices in groupby(range(len(calls)), reply):
        yield list(indices)


class _RecordedLogic:
    """`run.step.Logic` of a recording: it only prepares the call in hand."""

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
        poll = self._names.poll(call)
        return Step(
            number=number,
            kind=proposal.kind,
            name=proposal.name,
            agent=proposal.agent,
            frame=proposal.frame,
            depth=proposal.depth,
            input=self._bodies.put(call.arguments),
            effect=not poll and self._names.effect(call),
            may_write=not poll and self._names.may_write(call),
            poll=poll,
        )

    def retries(self, step: Step, state: RunState, result: Result) -> bool:
        """Returns False: what was tried again is in the recording."""
        return False

    def transcript(self, state: RunState) -> Ref | None:
        """Returns None: a recording of calls has no transcript."""
        return None
