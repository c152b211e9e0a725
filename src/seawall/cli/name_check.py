"""What a journal knows of the names that brakes are put on."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Collection, Sequence

from seawall.cli.render.formats import many
from seawall.core.events import Event, StepIntended
from seawall.guards.pauses import ALL, MAX_RUNS
from seawall.journal.protocol import Journal, RunRow
from seawall.run.fold import fold

LOOKED_AT = 500
"""Of the newest runs, for a name: some tenths of a second, and what is paused in an incident is at work."""


async def unheard_of(journal: Journal, whats: Sequence[str]) -> list[str]:
    """A warning for each brake on a tool, an agent or a tenant that no run here has called, or been of."""
    wanted = [what for what in whats if what != ALL and not what.startswith("run:")]
    if not wanted:
        return []
    tenants = {f"tenant:{each.tenant}" for each in await journal.accounts(day="*")}
    looked, seen = 0, tenants
    async for row, events in _newest(journal):
        if all(what in seen for what in wanted):
            return []
        looked += 1
        seen |= {f"tenant:{row.tenant}", *_named_in(events)}
    among = f"in the newest {many(looked, 'run')}" if looked else "since no run is recorded"
    return [_warning(what, seen, among) for what in wanted if what not in seen]


async def parked_under(journal: Journal, whats: Collection[str]) -> list[str]:
    """The runs that were parked under these brakes and that no process has taken up again, oldest first."""
    found: list[str] = []
    for row in reversed(await journal.runs(state="waiting", limit=MAX_RUNS)):
        events = await journal.events(row.run)
        if events and any(brake.what in whats for brake in fold(events).paused):
            found.append(row.run)
    return found


async def _newest(journal: Journal) -> AsyncIterator[tuple[RunRow, list[Event]]]:
    for row in await journal.runs(limit=LOOKED_AT):
        yield row, list(await journal.events(row.run))


def _named_in(events: Sequence[Event]) -> set[str]:
    """The tools and agents of a run's steps, as brakes are called."""
    steps = [event for event in events if isinstance(event, StepIntended)]
    tools = {f"tool:{step.name}" for step in steps if step.kind == "tool"}
    asked = {f"agent:{step.name}" for step in steps if step.kind in ("handoff", "review")}
    return tools | asked | {f"agent:{step.agent}" for step in steps}


def _warning(what: str, seen: Collection[str], among: str) -> str:
    kind = what.partition(":")[0]
    of_its_kind = [each for each in seen if each.startswith(f"{kind}:") and each != "tenant:*"]
    alike = difflib.get_close_matches(what, of_its_kind, n=3)
    meant = f"; alike: {', '.join(alike)}" if alike else ""
    return f"warning: it is set, but {what} is not known {among}: is it a typing error?{meant}"
