"""The verdicts that a guard can give on a step, from mild to severe."""

from __future__ import annotations

from typing import NamedTuple, cast

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import Mode, VerdictKind

MAX_WAIT_S = 1_000_000_000
"""Most seconds that a guard may let a step wait: more than any run has, and few enough for every timer."""


class Allow(msgspec.Struct, frozen=True):
    """Go on; after `wait_s` seconds, if it is above zero."""

    wait_s: float = 0.0


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
    ref: Ref | None = None
    """A recorded body that is the answer, in place of `answer`."""


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


class Rejected(Refuse, frozen=True):
    """This step fails, because a person rejected the same proposal before."""


class Halt(msgspec.Struct, frozen=True):
    """The run ends."""

    reason: str
    limit: object = None
    value: object = None


class GuardFailed(Halt, frozen=True):
    """The run ends, because the guard itself raised: it can't judge, so it lets nothing pass."""

    error: BaseException | None = None


Verdict = Allow | Advise | Replace | Hold | Refuse | Halt

ALLOW = Allow()


class GuardVerdict(NamedTuple):
    """One guard's verdict on one step, and the mode of that guard."""

    guard: str
    verdict: Verdict
    mode: Mode


SEVERITY: dict[VerdictKind, int] = {
    "allow": 0,
    "advise": 1,
    "replace": 2,
    "hold": 3,
    "refuse": 4,
    "halt": 5,
}


def kind_of(verdict: Verdict) -> VerdictKind:
    """Returns the verdict's name as it is recorded."""
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


def check_verdict(verdict: object) -> Verdict:
    """Returns a guard's return value if it is a verdict that can be recorded. Raises `TypeError` if it is not."""
    if not isinstance(verdict, Allow | Advise | Replace | Hold | Refuse | Halt):
        raise TypeError(f"it gave {verdict!r}, which is not a verdict")
    for name in ("reason", "note", "answer"):
        text = getattr(verdict, name, "")
        if not isinstance(text, str):
            raise TypeError(f"the {name} of its {type(verdict).__name__} is {text!r}, not a text")
    if isinstance(verdict, Allow):
        wait_s = cast("object", verdict.wait_s)
        if isinstance(wait_s, bool) or not isinstance(wait_s, int | float) or not 0 <= wait_s <= MAX_WAIT_S:
            raise TypeError(f"the wait_s of its Allow is {wait_s!r}, not seconds from 0 to {MAX_WAIT_S:,}")
    for name in ("limit", "value"):
        str(getattr(verdict, name, None))
    return verdict
