"""The writes of a run to memory that are not merged yet: a branch for each frame, which is a part of the fold. Pure.

A frame's branch goes into its caller's when its hand-off or review ends well, and the root's is what a completed run
merges. Every other end drops it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import MemoryWritten


class BranchEntry(msgspec.Struct, frozen=True, gc=False):
    """A frame's newest write of one key of a scope."""

    scope: str
    key: Ref
    value: Ref | None
    """The written value; None: the entry is forgotten."""
    base: int
    """See `MemoryWritten.base`."""
    step: int
    agent: str
    labels: tuple[str, ...] = ()
    ttl_s: float | None = None
    loose: str = ""
    """See `MemoryWritten.loose`."""
    at: float = 0.0
    """The wall second of the write."""


Branch = Mapping[tuple[str, Ref], BranchEntry]
"""The writes of a frame, by scope and key."""


class Clash(NamedTuple):
    """A key that two frames wrote at the same time, without having seen each other's write."""

    theirs: BranchEntry
    ours: BranchEntry


def add_write(
    branch: Branch, written: MemoryWritten, agent: str
) -> MappingProxyType[tuple[str, Ref], BranchEntry]:
    """Returns the branch after a write of `agent`."""
    entry = BranchEntry(
        written.scope,
        written.key,
        written.value,
        written.base,
        written.step,
        agent,
        written.labels,
        written.ttl_s,
        written.loose,
        written.at,
    )
    # The newest write is the last: a key that is written again moves to the end.
    rest = {place: each for place, each in branch.items() if place != (written.scope, written.key)}
    return MappingProxyType({**rest, (written.scope, written.key): entry})


def join(above: Branch, below: Branch) -> MappingProxyType[tuple[str, Ref], BranchEntry]:
    """Returns the caller's branch joined with the branch of a frame that ended well, whose writes win."""
    rest = {place: each for place, each in above.items() if place not in below}
    return MappingProxyType({**rest, **below})


def find_clashes(above: Branch, below: Branch, opened: int, seen: frozenset[int]) -> list[Clash]:
    """Returns the writes in its caller's branch that a frame overwrites without having seen them.

    `opened` is the step that opened the frame, `seen` the steps whose writes it was shown.
    """
    found = [Clash(above[place], ours) for place, ours in below.items() if place in above]
    return [
        each
        for each in found
        if each.theirs.value != each.ours.value and each.theirs.step > opened and each.theirs.step not in seen
    ]
