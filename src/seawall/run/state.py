"""The state of a run: everything that decisions and guards may look at. States are values; `fold.py` makes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import (
    PERFORMED,
    CommandTaken,
    EffectState,
    Judged,
    LimitsRaised,
    Mode,
    Paused,
    RunEnded,
    RunStarted,
    StepDeferred,
    StepDone,
    StepIntended,
)
from seawall.core.frozen import EMPTY
from seawall.core.persistent import Latest, Log
from seawall.run.branch import Branch, BranchEntry
from seawall.run.frame import Frame, find_call
from seawall.run.ledger import Ledger, Overrun
from seawall.run.plan import Closed, Plan
from seawall.run.waste import WasteState

BEFORE = -1
"""What stands for a step in `RunState.reads`: the runs of the session before this one."""


class EffectChange(msgspec.Struct, frozen=True):
    """A change of an effect's state. A second attempt after a crash has the same key and another step."""

    key: str
    step: int
    tool: str
    state: EffectState
    at: float = 0.0
    """Wall seconds of the change."""
    receipt: Ref | None = None
    """What it returned, or what is said of it outside of its own step."""
    identity: str = ""
    tool_key: str = ""
    """See `StepIntended.key`."""
    input: Ref | None = None
    """The arguments of the attempt, as they are recorded."""
    seal: str = ""
    """See `Call.seal`."""


class PastPause(msgspec.Struct, frozen=True):
    """A person's pause that held the run for a while."""

    what: str
    by: str
    why: str
    seconds: float
    """By the wall clock, from the moment in which the run was parked; 0 for one that holds it still."""


class RunState(msgspec.Struct, frozen=True):
    """Everything that decisions and guards may look at."""

    started: RunStarted
    seq: int = 0
    """Events folded: the next one's seq."""
    steps: int = 0
    """Steps so far; ids count from 1."""
    frames: MappingProxyType[int, Frame] = EMPTY
    open: MappingProxyType[int, StepIntended] = EMPTY
    """Steps without a result: in flight, waiting, or hand-offs whose frame is at work."""
    deferred: MappingProxyType[tuple[int, str | None], StepDeferred] = EMPTY
    """By frame and call: the steps that wait for an endpoint which is out of order."""
    ledger: Ledger = Ledger()
    delivered: bool = False
    """A loop outside has passed on text of a model before it was settled."""
    overrun: Overrun | None = None
    """The first model call that went above what was reserved for it."""
    usage_problems: Log[str] = Log()
    """What is wrong with the usage that models reported, each with its step."""
    modes: MappingProxyType[str, Mode] = EMPTY
    halted: Judged | None = None
    before_halt: RunState | None = None
    """The run as if a limit had not halted it: it goes on from there with raised limits. None: nothing of the kind did."""
    raised: tuple[LimitsRaised, ...] = ()
    """The limits that people have given it since it was started; `started.limits` are those in force."""
    holds: MappingProxyType[int, tuple[str, ...]] = EMPTY
    """By open approval step: the guards that hold it."""
    stopped: CommandTaken | None = None
    """The rejection with which a person ended the run."""
    cancelled: CommandTaken | None = None
    ended: RunEnded | None = None
    inbox: int = -1
    epoch: int = 0
    history: Ref | None = None
    """The session's conversation before this run."""
    facts: tuple[Ref, ...] = ()
    """What the coordinator is told before the request: see `RunTaken.facts`."""
    answered: StepDone | None = None
    """Errands: the result of the call."""
    behind: Mapping[str, int] = EMPTY
    """The session's earlier runs that were not over: see `RunTaken.behind`."""
    left_s: float = 0.0
    effects: Log[EffectChange] = Log()
    """What became of effects, oldest first; the last change of a key holds."""
    attempts: Latest[str, EffectChange] = Latest()
    """By key: the newest of these changes."""
    paused: tuple[Paused, ...] = ()
    """The pauses under which the run is parked."""
    past_pauses: tuple[PastPause, ...] = ()
    """Pauses that held it before."""
    memories: MappingProxyType[str, Any] = EMPTY
    """What each guard remembers, by its `memory_key`: its name or, of a nested team's guard, the coordinator's too."""
    plan: Plan = Plan()
    waste: WasteState = WasteState()
    """What was spent on what was known."""
    memory: int = 0
    """The version of memory that the run sees: its snapshot. 0: it has no memory, or there was nothing in it."""
    reads: MappingProxyType[int, tuple[int, ...]] = EMPTY
    """By step: the numbers of the entries that it has shown; 0 is what the run was told when it went on, and `BEFORE`
    what the session's conversation rests on."""
    cut: tuple[int, ...] = ()
    """The entries that it has read and that it knows to be reverted."""
    cut_texts: tuple[Ref, ...] = ()
    """What these entries said."""

    @property
    def pruned(self) -> tuple[str, ...]:
        """What the planner left out, because it did not fit the time."""
        return self.plan.pruned

    def is_closing(self, frame: int) -> bool:
        """Returns whether a frame, or one above it, answers with what it has because a limit is used up."""
        return self.find_closed(frame) is not None

    def find_closed(self, frame: int) -> Closed | None:
        """Returns why a frame answers with what it has; None if it does not."""
        if not self.plan.closing:
            return None
        return next((found for each in self.walk_up(frame) if (found := self.plan.closing.get(each))), None)

    def walk_up(self, frame: int) -> Iterator[int]:
        """Yields a frame and the frames above it, innermost first; the last is 0, the run's own."""
        while frame:
            yield frame
            found = self.frames.get(frame)
            frame = 0 if found is None else found.parent
        yield 0

    @property
    def approvals(self) -> list[StepIntended]:
        """Approval steps that wait for a person."""
        return [step for step in self.open.values() if step.kind == "approval"]

    @property
    def asked(self) -> list[StepIntended]:
        """Approval steps that a person is asked about; the others wait for effects of other calls."""
        return [step for step in self.approvals if not step.waits_for]

    @property
    def waits(self) -> bool:
        """Whether nothing can go on before a person decides, or lifts a pause."""
        if self.ended is not None:
            return False
        waits = bool(self.paused)
        for step in self.open.values():
            if step.kind == "approval":
                waits = True
            elif step.perform and step.kind in PERFORMED:
                return False
        return waits

    @property
    def in_flight(self) -> list[StepIntended]:
        """Steps that are being performed."""
        return [step for step in self.open.values() if step.kind in PERFORMED and step.perform]

    @property
    def read_entries(self) -> tuple[int, ...]:
        """The numbers of all memory entries that the run has read, each once."""
        return tuple(dict.fromkeys(number for numbers in self.reads.values() for number in numbers))

    def list_branches(self, frame: int) -> list[Branch]:
        """Returns what a frame sees of the run's own writes to memory: its own, then those of the frames above it."""
        found: list[Branch] = []
        at = self.frames.get(frame)
        while at is not None:
            found.append(at.memory)
            at = self.frames.get(at.parent) if at.id else None
        return found

    def find_written(self, frame: int, scope: str, key: Ref) -> BranchEntry | None:
        """Returns what a frame sees as the run's own newest write of a key; None if there is none."""
        found = (branch.get((scope, key)) for branch in self.list_branches(frame))
        return next((entry for entry in found if entry is not None), None)

    def call_key(self, frame: int, call: str | None) -> str:
        """Returns what makes an attempt the same call within a run: the reply that asked for it, and its call id.

        Providers may use the same call id again in another reply.
        """
        if self.started.loop:  # the reply is part of the key
            return f"{frame}:{call}"
        asked = self.frames.get(frame)
        return f"{0 if asked is None else asked.last_reply}:{call}"

    def effect_states(self) -> list[EffectChange]:
        """Returns the newest change of each effect."""
        return list({change.key: change for change in self.effects}.values())

    def find_effect(self, step: int) -> EffectChange | None:
        """Returns the newest change of the effect that was attempted in `step`; None for another step."""
        return next((change for change in reversed(self.effects) if change.step == step), None)

    def find_attempt(self, frame: int, call: str | None) -> EffectChange | None:
        """Returns the newest change of the effect that this call has attempted; None if it has not."""
        return self.attempts.get(self.call_key(frame, call))

    def find_first_attempt(self, frame: int, call: str | None) -> float | None:
        """Returns when the first attempt of an effect was recorded; None if there was none."""
        key = self.call_key(frame, call)
        return next((change.at for change in self.effects if change.key == key), None)


def may_have_happened(state: RunState, frame: int, call: str | None) -> bool:
    """Returns whether an attempt of an effect that is being made again may have happened."""
    asked = state.frames.get(frame)
    pending = None if asked is None or call is None else find_call(asked, call)
    return pending is not None and pending.doubtful is not None
