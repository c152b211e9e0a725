"""The record of a run: each step with everything that was recorded about it, in the order of the events.

The state (`run/state.py`) keeps what decisions need and forgets the rest. The record keeps everything, for people.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from seawall.core.errors import SeawallBug
from seawall.core.events import (
    CommandTaken,
    ContextFolded,
    EffectMoved,
    Event,
    GuardSet,
    Judged,
    LimitsRaised,
    Planned,
    RunEnded,
    RunStarted,
    RunTaken,
    StepDone,
    StepIntended,
    StepLate,
)
from seawall.core.limits import Limits
from seawall.run.lifted import is_lifted, is_raisable


class StepRecord(msgspec.Struct):
    """One step, from its intent to the last event about it."""

    intent: StepIntended
    segment: int
    """The number of the segment in which it began, from 1."""
    done: StepDone | None = None
    late: StepLate | None = None
    judged: list[Judged] = []
    moved: list[EffectMoved] = []
    decision: CommandTaken | None = None
    """The decision of a person on this approval step."""
    folded: ContextFolded | None = None
    """For model steps: what was shortened in the context right before the step."""

    @property
    def number(self) -> int:
        """The step's number, from 1."""
        return self.intent.step

    @property
    def duration_s(self) -> float | None:
        """The seconds that the step took; None while it has no result, or if no process saw its end."""
        if self.done is None:
            return None
        if self.done.status == "cancelled" and not self.done.duration_s:
            return max(0.0, self.done.at - self.intent.at)  # the process that performed the step cut it off
        unseen = self.done.status in ("lost", "unknown") and not self.done.duration_s
        return None if unseen else self.done.duration_s


class Segment(msgspec.Struct):
    """The time in which one process drove the run. Later segments follow a crash or a wait."""

    number: int
    taken: RunTaken
    first_step: int
    """The number of the first step in the segment, or of the step that would have been the first."""
    last_at: float
    """The wall clock, in seconds, at the last event of the segment."""


class RunRecord:
    """Everything that was recorded about one run. `add` takes events in order, also while the run goes on."""

    def __init__(self, started: RunStarted) -> None:
        self.started = started
        self.ended: RunEnded | None = None
        self.steps: dict[int, StepRecord] = {}
        self.segments: list[Segment] = []
        self.unmade: list[Judged] = []
        """Verdicts that prevented their step, and verdicts on the run itself (step 0)."""
        self.commands: list[CommandTaken] = []
        self.switched: list[GuardSet] = []
        self.planned: list[Planned] = []
        self.raised: list[tuple[Limits, LimitsRaised]] = []
        """The limits that people have given the run, each with the limits before it."""
        self.events = 1
        self._halted = False
        self._cut: list[StepRecord] = []
        """The steps that a halt for a limit has ended."""
        self._by_frame: dict[int, list[StepRecord]] = {}
        self._calls: set[tuple[int, str | None]] = set()
        self._open: dict[int, StepRecord] = {}
        self._newest_step = 0
        self._folded: ContextFolded | None = None

    def __repr__(self) -> str:
        return f"<RunRecord {self.started.run} {len(self.steps)} steps, {self.events} events>"

    def add(self, event: Event) -> None:
        """Adds the next event."""
        self.events += 1
        if self.segments and not isinstance(event, RunTaken):
            self.segments[-1].last_at = event.at
        match event:
            case RunTaken():
                number = len(self.segments) + 1
                self.segments.append(Segment(number, event, self._newest_step + 1, event.at))
            case StepIntended():
                self._add_step(StepRecord(event, max(1, len(self.segments))))
            case StepDone() | StepLate() | EffectMoved() | Judged():
                self._add_to_step(event)
            case CommandTaken():
                self._add_command(event)
            case GuardSet():
                self.switched.append(event)
            case Planned():
                self.planned.append(event)
            case ContextFolded():
                self._folded = event
            case RunEnded():
                self.ended = event
            case LimitsRaised():
                self._raise_limits(event)
            case _:
                pass

    def _raise_limits(self, event: LimitsRaised) -> None:
        """Reopens the record after the end, with the hand-offs and reviews that a halt had cut off."""
        self.raised.append((self.started.limits, event))
        self.started = msgspec.structs.replace(self.started, limits=event.limits)
        self.ended, self._halted = None, False
        for step in self._cut:
            if step.intent.kind in ("handoff", "review") and step.intent.perform:
                step.done, self._open[step.number] = None, step
        self._cut = []

    def _add_step(self, step: StepRecord) -> None:
        intent = step.intent
        if self._folded is not None and self._folded.step == step.number:
            step.folded = self._folded
        self.steps[step.number] = self._open[step.number] = step
        self._by_frame.setdefault(intent.frame, []).append(step)
        call = intent.call
        # A key with the reply and the id: `3/c1~2`, `handoff/3/c1`.
        if self.started.loop and call is not None:
            call = call.removeprefix("handoff/").partition("/")[2].partition("~")[0]
        self._calls.add((intent.frame, call))
        self._newest_step = max(self._newest_step, step.number)

    def _add_to_step(self, event: StepDone | StepLate | EffectMoved | Judged) -> None:
        step = self.steps.get(event.step)
        self._halted = self._halted or is_raisable(event)
        if step is None:
            if isinstance(event, Judged):
                self.unmade.append(event)
            return
        match event:
            case StepDone():
                if self._halted and step.done is None and is_lifted(event):
                    self._cut.append(step)
                step.done = step.done or event  # the first one counts
                self._open.pop(event.step, None)
            case StepLate():
                step.late = event
            case EffectMoved():
                step.moved.append(event)
            case Judged():
                step.judged.append(event)

    def _add_command(self, event: CommandTaken) -> None:
        self.commands.append(event)
        step = self.steps.get(event.step or 0)
        if event.command == "decide" and step is not None and step.decision is None:
            step.decision = event

    def list_steps(self, frame: int) -> list[StepRecord]:
        """Returns the steps of one frame, in order. `frame` is 0 or the number of a hand-off or review step."""
        return list(self._by_frame.get(frame, ()))

    def has_made(self, frame: int, call: str) -> bool:
        """Returns whether a step made this call of a model's reply."""
        return (frame, call) in self._calls

    def list_open_steps(self) -> list[StepRecord]:
        """Returns the steps that have no result yet."""
        return [] if self.ended is not None else list(self._open.values())


def build_record(events: Iterable[Event]) -> RunRecord:
    """Returns the record of a run. Raises `SeawallBug` if the first event is not `RunStarted`."""
    iterator = iter(events)
    first = next(iterator, None)
    if not isinstance(first, RunStarted):
        raise SeawallBug(f"a run's first event is {type(first).__name__}, not RunStarted")
    record = RunRecord(first)
    for event in iterator:
        record.add(event)
    return record
