"""The gate's answers on a step before it is performed."""

from __future__ import annotations

import msgspec

from seawall.core.events import Event, Planned
from seawall.effects.guard import Blocked, Question
from seawall.guards.shared import Defer
from seawall.journal.protocol.effects import RecordChange
from seawall.run.step import Step
from seawall.run.verdict import GuardVerdict, Verdict


class Admitted(msgspec.Struct, frozen=True):
    """The gate's answer to a proposal: the events to record, and the step if it may be performed. With `defer` the step
    waits for steps in flight, or for a guard that runs share.
    """

    events: list[Event]
    step: Step | None
    defer: Defer | None = None
    records: tuple[RecordChange, ...] = ()
    """The records that go to the journal with the events: a proposal to a person, or the effect that the step waits
    for."""


class JudgedStep(msgspec.Struct, frozen=True):
    """A step with the verdict on it before it is performed."""

    verdict: Verdict | Defer | Planned
    """The verdict, or a `Defer`, or the `Planned` event that replaces a step that does not fit into a limit."""
    step: Step
    events: list[Event]
    holds: tuple[GuardVerdict, ...] = ()
    question: Question | None = None
    blocked: Blocked | None = None
