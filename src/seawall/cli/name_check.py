"""Checks the names that pauses are set on against what the journal knows, and finds the runs that a pause has parked."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Collection, Sequence

from seawall.cli.render.formats import format_number
from seawall.core.events import CALLED, Event, StepIntended
from seawall.guards.pauses import ALL, MAX_RUNS
from seawall.journal.protocol import Journal, RunFilter, RunRow
from seawall.run.fold import fold

SEARCHED_RUNS = 500
"""How many of the newest runs are searched for a name. The search takes some tenths of a second. A tool or agent
that somebody pauses in an incident is in use at that time, so the newest runs are enough."""


async def warn_of_unknown_names(journal: Journal, targets: Sequence[str]) -> list[str]:
    """Returns a warning for each paused tool, agent or tenant that no run on this journal has used."""
    wanted = [target for target in targets if target != ALL and not target.startswith("run:")]
    if not wanted:
        return []
    seen = {f"tenant:{each.tenant}" for each in await journal.accounts(day="*")}
    searched = 0
    async for row, events in _read_newest(journal):
        if all(target in seen for target in wanted):
            return []
        searched += 1
        seen |= {f"tenant:{row.tenant}", *_list_used_names(events)}
    where = f"in the newest {format_number(searched, 'run')}" if searched else "since no run is recorded"
    return [_format_warning(target, seen, where) for target in wanted if target not in seen]


async def find_parked_runs(journal: Journal, targets: Collection[str]) -> list[str]:
    """Returns the runs that these pauses have parked and that no process has taken up again, oldest first."""
    found: list[str] = []
    for row in reversed(await journal.runs(RunFilter(state="waiting"), limit=MAX_RUNS)):
        events = await journal.events(row.run)
        if events and any(pause.what in targets for pause in fold(events).paused):
            found.append(row.run)
    return found


async def _read_newest(journal: Journal) -> AsyncIterator[tuple[RunRow, list[Event]]]:
    for row in await journal.runs(limit=SEARCHED_RUNS):
        yield row, list(await journal.events(row.run))


def _list_used_names(events: Sequence[Event]) -> set[str]:
    """Returns the tools and agents of a run's steps, written as the targets of pauses are."""
    steps = [event for event in events if isinstance(event, StepIntended)]
    tools = {f"tool:{step.name}" for step in steps if step.kind in CALLED}
    called = {f"agent:{step.name}" for step in steps if step.kind in ("handoff", "review")}
    return tools | called | {f"agent:{step.agent}" for step in steps}


def _format_warning(target: str, seen: Collection[str], where: str) -> str:
    kind = target.partition(":")[0]
    of_its_kind = [each for each in seen if each.startswith(f"{kind}:") and each != "tenant:*"]
    near = difflib.get_close_matches(target, of_its_kind, n=3)
    suggestion = f" Similar names: {', '.join(near)}" if near else ""
    return f"warning: the pause is set, but {target} is not known {where}: is it a typing error?{suggestion}"
