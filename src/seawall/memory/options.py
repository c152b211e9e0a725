"""The options of memory: which scopes an agent reads and writes, for how long, who solves conflicts, and an index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast, get_args

from seawall.core.errors import Misused
from seawall.journal.protocol.memory import ScopeKind
from seawall.memory.index import MemoryIndex
from seawall.run.approve import check_seconds

KINDS: tuple[ScopeKind, ...] = get_args(ScopeKind)
"""What memory can belong to."""

Resolver = Callable[[Any, Any, Any], Awaitable[Any] | Any]
"""Gets (theirs, ours, base), each as text, as the object or list that was remembered, or None, and returns the value to
keep. It may be async."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What an agent, or every agent of a team, may read and write.

    `tenant` is everybody's, `session` the conversation's, `subject` the principal's on whose behalf a run is, and `team`
    the team's own, a shared scratchpad. Raises `Misused` for a scope that does not exist, and for other values that make
    no sense.
    """

    read: tuple[ScopeKind, ...] | None = None
    """The scopes that `recall` looks in. None: those of `write` or, without these, the session; a team's own scope if a
    team has this."""
    write: tuple[ScopeKind, ...] | None = None
    """The scopes that `remember` and `forget` change. None: none if `read` is given, else the same as `read`."""
    ttl_s: float | None = None
    """Seconds after which what is written is forgotten; agents may say a shorter time. None: it stays, because
    most facts have no end that is known."""
    resolve: Resolver | None = None
    """Solves conflicts: called with (theirs, ours, base) when a run ends that wrote a key which another run has written
    meanwhile; a value is None where there is none. What it returns is written. If it returns None or raises, or without
    it, both values are kept, and a person decides (`seawall memory conflicts`)."""
    index: MemoryIndex | None = None
    """Finds entries by what they mean, beside the words that `recall` looks for: your own embedding model and vector
    store, behind three methods. It is told what changes, and what it finds is looked up in memory."""

    def __post_init__(self) -> None:
        """Checks the values."""
        for what in ("read", "write"):
            _check_kinds(what, getattr(self, what))
        if self.read == () and not self.write:
            raise Misused("Memory: neither read nor write has a scope; leave memory out")
        check_seconds("Memory: ttl_s", self.ttl_s)
        if self.resolve is not None and not callable(cast("object", self.resolve)):
            raise Misused(
                f"Memory: resolve is {self.resolve!r}; it must be a function of (theirs, ours, base)"
            )
        if self.index is not None and not isinstance(cast("object", self.index), MemoryIndex):
            raise Misused(
                f"Memory: index is {self.index!r}; it must have the methods version, update and search "
                "(see seawall.MemoryIndex)"
            )

    def fill(self, kind: ScopeKind) -> tuple[tuple[ScopeKind, ...], tuple[ScopeKind, ...]]:
        """Returns the scopes to read and to write; `kind` is the one of whoever has this, if none are given."""
        if self.read is None and self.write is None:
            return (kind,), (kind,)
        write = self.write or ()
        return write if self.read is None else self.read, write


def _check_kinds(what: str, given: object) -> None:
    if given is None:
        return
    allowed = ", ".join(repr(kind) for kind in KINDS)
    if not isinstance(given, tuple):
        raise Misused(f"Memory: {what} is {given!r}; it must be a tuple of scopes ({allowed})")
    kinds = cast("tuple[object, ...]", given)
    for kind in kinds:
        if kind not in KINDS:
            raise Misused(f"Memory: {what} has {kind!r} in it; scopes are {allowed}")
        if kinds.count(kind) > 1:
            raise Misused(f"Memory: {what} has {kind!r} twice")
