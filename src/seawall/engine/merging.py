"""The end of a run that merges its writes to memory: the end is appended again each time its merge meets conflicts.

A conflict is solved by the function that the writing agent's `Memory` has for it, or it is named: both values are kept,
and the outcome says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.events import Event, RunEnded
from seawall.journal.protocol.memory import MemoryConflict, MemoryConflicts, MemoryMerge, MemoryWrite
from seawall.run.fold import apply
from seawall.run.guard import Guard
from seawall.run.state import RunState

MAX_SOLVED = 8
"""Times that the conflict functions of a run are called. A key that is written more often meanwhile is left to a
person."""

Ending = Literal["merged", "conflict"]


class Resolve(Protocol):
    """Solves a conflict."""

    async def __call__(self, write: MemoryWrite, conflict: MemoryConflict) -> MemoryWrite | None:
        """Returns the write to make instead, based on the newest version; None: the conflict stays."""
        ...


class AppendEnd(Protocol):
    """Appends the batch with which a run ends."""

    def __call__(
        self, events: Sequence[Event], bodies: dict[Ref, bytes], *, merge: MemoryMerge
    ) -> Awaitable[None]:
        """Enqueues the batch at once. The returned awaitable raises `MemoryConflicts`, and the errors of
        `Journal.append`.
        """
        ...


class Merging:
    """The merge at the end of one run."""

    def __init__(
        self,
        append: AppendEnd,
        end_again: Callable[[Ending], list[Event]],
        take_bodies: Callable[[], dict[Ref, bytes]],
        resolve: Resolve | None,
    ) -> None:
        """`end_again` returns the batch with another end; `take_bodies` returns the bodies that were added since."""
        self._append = append
        self._end_again = end_again
        self._take_bodies = take_bodies
        self._resolve = resolve
        self._solved = 0

    def __repr__(self) -> str:
        return f"<Merging solved {self._solved}/{MAX_SOLVED} times>"

    def begin(self, events: Sequence[Event], bodies: dict[Ref, bytes], merge: MemoryMerge) -> Awaitable[None]:
        """Enqueues the end at once; it is durable when the returned future is done."""
        return self._go_on(self._append(events, bodies, merge=merge), bodies, merge)

    async def _go_on(self, sent: Awaitable[None], bodies: dict[Ref, bytes], merge: MemoryMerge) -> None:
        while True:
            try:
                await sent
            except MemoryConflicts as found:
                merge = await self._settle(merge, found.conflicts)
            else:
                return
            events = self._end_again("conflict" if merge.conflicts else "merged")
            bodies = bodies | self._take_bodies()
            sent = self._append(events, bodies, merge=merge)

    async def _settle(self, merge: MemoryMerge, conflicts: Sequence[MemoryConflict]) -> MemoryMerge:
        """Returns the merge in which each conflict is solved or named."""
        writes = {(write.scope, write.key): write for write in merge.writes}
        named = list(merge.conflicts)
        for conflict in conflicts:
            place = conflict.scope, conflict.key
            solved = None
            if self._resolve is not None and conflict.why == "newer" and self._solved < MAX_SOLVED:
                solved = await self._resolve(writes[place], conflict)
            if solved is None:
                named.append(conflict)
            else:
                writes[place] = solved
        self._solved += 1
        return replace(merge, writes=tuple(writes.values()), conflicts=tuple(named))


def change_end(
    batch: Sequence[Event], memory: Ending, before: RunState, guards: Sequence[Guard]
) -> tuple[list[Event], RunState]:
    """Returns the batch with which a run ends, with another `RunEnded.memory`, and the state after it.

    `before` is the state in which the run ended.
    """
    changed = [replace(event, memory=memory) if isinstance(event, RunEnded) else event for event in batch]
    at = next(index for index, event in enumerate(changed) if isinstance(event, RunEnded))
    state = before
    for event in changed[at:]:
        state = apply(state, event, guards)
    return changed, state
