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
"""The kinds of scopes."""

Resolver = Callable[[Any, Any, Any], Awaitable[Any] | Any]
"""Gets (theirs, ours, base), each as text, as the object or list that was remembered, or None, and returns the value to
keep. It may be async."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The memory that an agent, or every agent of a team, may read and write.

    `tenant` is shared by all runs of the tenant, `session` by the runs of a conversation, `subject` by the runs for a
    principal, and `team` by the runs of the team, as a scratchpad. Raises `Misused` for a scope that does not exist, and
    for other invalid values.
    """

    read: tuple[ScopeKind, ...] | None = None
    """The scopes that `recall` looks in. None: those of `write`. If `write` is None, too: the session for an agent, and
    the team's own scope for a team."""
    write: tuple[ScopeKind, ...] | None = None
    """The scopes that `remember` and `forget` change. None: none if `read` is given, else the same as `read`."""
    ttl_s: float | None = None
    """Seconds after which a written entry is forgotten; agents may give a shorter time. None: entries stay, because most
    facts have no known end."""
    resolve: Resolver | None = None
    """Solves conflicts: called with (theirs, ours, base) if another run has written the same key before this run ends; a
    missing value is None. Its result is written. If it returns None or raises, or is not given, both values are kept, and
    a person decides (`seawall memory conflicts`)."""
    index: MemoryIndex | None = None
    """An index that finds entries by their meaning, in addition to the words that `recall` looks for: your own embedding
    model and vector store, behind three methods. It is told the changes, and the entries that it finds are looked up in
    memory."""

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
        """Returns the scopes to read and to write; `kind` is the owner's default scope, if none are given."""
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
