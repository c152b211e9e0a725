"""Sends a recorded run through the gate, and reports which calls would have got advice or would not have been made.

This file holds no rules. It proposes each recorded call to a real `Gate` with the given guards, settles its recorded
result there, and folds the events with `apply`, as in a live run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

import msgspec

from seawall.audit.recording import RecordedCall, RecordedRun
from seawall.audit.tools import ToolNames
from seawall.core.errors import SeawallBug
from seawall.core.events import Call, Event, Judged, Mode, RunStarted, StepDone, StepIntended
from seawall.core.frozen import EMPTY
from seawall.core.limits import Limits
from seawall.core.redact import Redactor
from seawall.engine.gate import BUILT_IN, Admitted, Gate
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.fold import apply, begin
from seawall.run.guard import Guard
from seawall.run.state import RunState
from seawall.run.step import Action, LoopElsewhere, Propose, Result, Step
from seawall.run.traces import Traces
from seawall.run.waste import Spent, Wasted, WasteKind, WasteState, note_done, note_intent

ROOT = 0
_STEP = re.compile(r"\bstep (\d+)\b")
"""A step in a guard's reason. It is replaced by a call, because a recording has calls, not steps."""


class AuditResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the guards would have done with a recorded run. Its calls are counted from 0."""

    id: str
    halted_at: int | None = None
    """The first call that would not have been made."""
    advised_at: tuple[int, ...] = ()
    """The calls whose results would have come with advice."""
    rule: str | None = None
    """The guard's option whose limit was reached; if no call was stopped, the option that led to the first advice."""
    reason: str | None = None
    """The guard's reason, with calls (`call #4`) instead of steps."""


class FullAudit(NamedTuple):
    """The guards' judgement of a recorded run, and the cost of its calls that brought only what was known already."""

    judged: AuditResult
    waste: WasteState
    useless: dict[int, WasteKind]
    """The calls that brought only what was known already, and whether their own agent or another one knew it."""


def audit(run: RecordedRun, guards: Sequence[Guard], names: ToolNames | None = None) -> AuditResult:
    """Judges a recorded run with these guards, up to the first call that would not have been made."""
    return _Auditor(run, guards, names or ToolNames(), Bodies(Redactor()), "enforce").audit().judged


def audit_to_end(
    run: RecordedRun,
    guards: Sequence[Guard],
    names: ToolNames,
    bodies: Bodies,
    spent: Mapping[int, Spent] = EMPTY,
) -> FullAudit:
    """Judges a recorded run like `audit`, but to its last call, and finds the calls that brought only what was known already.

    `spent` are the tokens and the money of each reply, by its index among the run's messages.
    """
    return _Auditor(run, guards, names, bodies, "observe", spent).audit()


class _Auditor:
    """Sends one recorded run through the gate."""

    def __init__(
        self,
        run: RecordedRun,
        guards: Sequence[Guard],
        names: ToolNames,
        bodies: Bodies,
        mode: Mode,
        spent: Mapping[int, Spent] = EMPTY,
    ) -> None:
        """With the mode `observe`, a call that would not have been made is noted, and the recorded run continues."""
        self._run, self._spent = run, spent
        self._bodies = bodies
        self._logic = _RecordedLogic(names, self._bodies)
        self._gate = Gate(self._logic, guards, Limits(), self._bodies, Causes(_find_nothing), now=lambda: 0.0)
        started = RunStarted(
            at=0.0,
            run=run.id,
            team="",
            team_version="",
            agent=run.calls[0].agent if run.calls else "",
            intent=self._bodies.put(""),
            limits=Limits(),
            # Limits are the user's decision, so only the given guards judge here.
            guards={**dict.fromkeys(BUILT_IN, "off"), **{guard.name: mode for guard in guards}},
        )
        self._state: RunState = begin(started, guards)
        self._frames: dict[str, int] = {started.agent: ROOT}
        self._calls: dict[int, int] = {}
        """The index of each step's call, by the step's number."""
        self._advised: list[int] = []
        self._first_advice: Judged | None = None
        self._halted: tuple[int, Judged | None] | None = None
        """The first call that would not have been made, and why."""
        self._waste = WasteState()
        self._useless: dict[int, WasteKind] = {}

    def audit(self) -> FullAudit:
        """Judges the calls: all of them, or in the mode `enforce` up to the first call that would not have been made."""
        for turn in _split_turns(self._run.calls):
            admitted: list[tuple[int, Step]] = []
            self._note_reply(turn)
            for index in turn:
                admission = self._admit(self._run.calls[index])
                halt = _find_halt(admission.events)
                if self._halted is None and (admission.step is None or halt is not None):
                    self._halted = index, halt
                self._record(admission.events)
                if admission.step is None:
                    return self._conclude()
                self._calls[admission.step.number] = index
                admitted.append((index, admission.step))
                self._note_intent(admission.events)
            for index, step in admitted:
                call = self._run.calls[index]
                result = Result(status="error" if call.failed else "ok", output=call.result)
                events = self._gate.settle(step, result, self._state, 0.0)
                self._note_advice(index, events)
                self._note_result(index, step, events)
                self._record(events)
        return self._conclude()

    def _conclude(self) -> FullAudit:
        if self._halted is None:
            result = self._make_result(None, self._first_advice)
        else:
            result = self._make_result(self._halted[0], self._halted[1] or self._state.halted)
        return FullAudit(result, self._waste, self._useless)

    def _note_reply(self, turn: Sequence[int]) -> None:
        """Counts the tokens and the money of the reply that asks for these calls."""
        first = self._run.calls[turn[0]]
        spent = Spent() if first.reply is None else self._spent.get(first.reply, Spent())
        frame = self._find_frame(first.agent)
        step = StepIntended(at=0.0, step=0, kind="model", name="", agent=first.agent, frame=frame)
        calls = tuple(
            Call(id="", name=self._run.calls[index].tool, arguments=self._bodies.put("")) for index in turn
        )
        done = StepDone(at=0.0, step=0, status="ok", calls=calls)
        self._waste = note_done(
            self._waste, step, done, tokens=spent.tokens, usd=spent.usd, parent=ROOT, steps=self._state.steps
        )

    def _note_intent(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, StepIntended):
                self._waste = note_intent(self._waste, event)

    def _note_result(self, index: int, step: Step, events: Sequence[Event]) -> None:
        """Notes whether a call brought only what was known already."""
        intended = self._state.open.get(step.number)
        for event in events:
            if isinstance(event, StepDone) and intended is not None:
                before = self._waste
                self._waste = note_done(
                    before, intended, event, tokens=0, usd=Decimal(0), parent=ROOT, steps=self._state.steps
                )
                for kind, wasted in self._waste.wasted.items():
                    if wasted.calls > before.wasted.get(kind, Wasted()).calls:
                        self._useless[index] = kind

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
        self._bodies.take_unsaved()

    def _note_advice(self, index: int, events: Sequence[Event]) -> None:
        advice = [event for event in events if isinstance(event, Judged) and event.verdict == "advise"]
        if advice and self._halted is None:
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


def _find_halt(events: Sequence[Event]) -> Judged | None:
    return next((each for each in events if isinstance(each, Judged) and each.verdict == "halt"), None)


def _find_nothing(text: str) -> Traces:
    """Returns no traces. Only for answers is it needed where a value came from, and finding it costs as much as all else."""
    del text
    return Traces(frozenset(), frozenset(), whole=True)


def _split_turns(calls: Sequence[RecordedCall]) -> Iterator[list[int]]:
    """Yields the indices of the calls of each reply. All of them are admitted before the first one has a result."""

    def identify_reply(index: int) -> tuple[str, str | int]:
        call = calls[index]
        return call.agent, index if call.turn is None else call.turn

    for _, indices in groupby(range(len(calls)), identify_reply):
        yield list(indices)


class _RecordedLogic(LoopElsewhere):
    """Implements `run.step.Logic` for a recording: prepares the present call, and decides nothing."""

    def __init__(self, names: ToolNames, bodies: Bodies) -> None:
        self._names = names
        self._bodies = bodies
        self.call: RecordedCall | None = None

    def decide(self, state: RunState) -> Sequence[Action]:
        """Returns no actions, because the recording has decided."""
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
