"""Parts of events that have no kind of their own."""

from __future__ import annotations

from typing import Literal

import msgspec

from seawall.core.canonical import Ref
from seawall.core.money import Money


class Gist(msgspec.Struct, frozen=True, array_like=True):
    """A hand-off's task in a form to compare with others; `seawall.run.fingerprint` makes it."""

    names: str
    """Digest of the task's literals: numbers, ids, addresses, paths and names."""
    words: tuple[int, ...]
    """The task's words as short hashes, each once."""


class Call(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One call that a model asked for."""

    id: str
    name: str
    arguments: Ref
    """The arguments as they are stored: without secrets."""
    seal: str | None = None
    """"": the arguments are stored as the model wrote them. Otherwise they were redacted, and this finds the original
    in the memory of the process that took the reply (see `run.originals`). None: an earlier version recorded the call."""


class Fork(msgspec.Struct, frozen=True):
    """Where a forked run branches off from its origin."""

    run: str
    at_step: int
    live_effects: bool = False
    origin: str = ""
    """The first run, of which `run` may be a fork itself. "" in a fork of an earlier version."""
    session: str | None = None
    """The conversation of the first run. The fork is in none."""
    probe: str = ""
    """What was planted into the answer of step `at_step` (`number`, `claim`, …; `unchanged`: nothing). Only the review of
    that answer is made, and the fork ends without an answer. "": the fork is not a probe."""


class StoppedBy(msgspec.Struct, frozen=True, omit_defaults=True):
    """What ended a run early."""

    guard: str
    reason: str
    step: int | None = None
    limit: str | None = None
    value: str | None = None


class Permit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one team's authority says of one agent: a row of the authority matrix."""

    agent: str
    team: str
    """The team whose authority has this row. Several rows about one agent all hold."""
    call: tuple[str, ...] | None = None
    """The tools that it may call; None: all that it has."""
    hand_to: tuple[str, ...] | None = None
    """The agents that it may hand work to, which are the coordinators of nested teams; None: all that it may ask."""
    decide: tuple[str, ...] | None = None
    """The agents whose answers it may decide on; None: those that it reviews."""
    up_to: dict[str, tuple[Money, ...]] = {}
    """By tool: the greatest amount, one for each currency. A tool that is not named has no such limit."""
    above: Literal["refuse", "ask"] = "refuse"
    """Whether a call above its amount is refused, or a person is asked."""
