"""What a guard can say of a step, from mild to severe."""

from __future__ import annotations

import msgspec

from seawall.core.events import VerdictKind


class Allow(msgspec.Struct, frozen=True):
    """Go on."""


class Advise(msgspec.Struct, frozen=True):
    """Go on, and tell the agent `note`."""

    reason: str
    note: str
    limit: object = None
    value: object = None


class Replace(msgspec.Struct, frozen=True):
    """Do not perform the step; answer with `answer`."""

    reason: str
    answer: str
    limit: object = None
    value: object = None


class Hold(msgspec.Struct, frozen=True):
    """Wait for a person."""

    reason: str
    limit: object = None
    value: object = None


class Refuse(msgspec.Struct, frozen=True):
    """This step fails; the agent is told `reason` and may adapt."""

    reason: str
    limit: object = None
    value: object = None


class Halt(msgspec.Struct, frozen=True):
    """The run ends."""

    reason: str
    limit: object = None
    value: object = None


Verdict = Allow | Advise | Replace | Hold | Refuse | Halt

ALLOW = Allow()

SEVERITY: dict[VerdictKind, int] = {
    "allow": 0,
    "advise": 1,
    "replace": 2,
    "hold": 3,
    "refuse": 4,
    "halt": 5,
}


def kind_of(verdict: Verdict) -> VerdictKind:
    """The verdict's name as it is recorded."""
    match verdict:
        case Allow():
            return "allow"
        case Advise():
            return "advise"
        case Replace():
            return "replace"
        case Hold():
            return "hold"
        case Refuse():
            return "refuse"
        case Halt():
            return "halt"
