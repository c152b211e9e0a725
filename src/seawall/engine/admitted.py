"""What the gate says of a step before it is performed."""

from __future__ import annotations

import msgspec

from seawall.core.events import Event, Planned
from seawall.effects.guard import Blocked, Question
from seawall.guards.shared import Defer
from seawall.journal.protocol.effects import RecordChange
from seawall.run.step import Step
from seawall.run.verdict import GuardVerdict, Verdict


class Admitted(msgspec.Struct, frozen=True):
    """What became of a proposal: the events to record, and the step if it is to be performed.

    With `defer` the step waits: for what is in flight, or for something that runs share.
    """

    events: list[Event]
    step: Step | None
    defer: Defer | None = None
    records: tuple[RecordChange, ...] = ()
    """What the journal records beside the events: what a person is asked, or what the step waits for."""


class JudgedStep(msgspec.Struct, frozen=True):
    """What was said of a step before it is performed."""

    verdict: Verdict | Defer | Planned
    """`Planned`: what takes the place of a step that does not fit into a limit."""
    step: Step
    events: list[Event]
    holds: tuple[GuardVerdict, ...] = ()
    question: Question | None = None
    blocked: Blocked | None = None
