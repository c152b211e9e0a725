"""Watches a run that waits for people, because another process may end it while callers wait for it here."""

from __future__ import annotations

import asyncio
from typing import Any

from seawall.history.recorded import read_outcome
from seawall.run.outcome import Outcome
from seawall.runtime.foreign.asks import Asks
from seawall.runtime.supervisor import Supervisor


async def wait_ended_elsewhere(supervisor: Supervisor, asks: Asks) -> Outcome[Any] | None:
    """Returns the outcome once another process has ended the run; None once it goes on here, or no caller waits for it."""
    registry, journal, run = supervisor.registry, supervisor.journal, asks.run
    while asks.is_waited_for and not (registry.holds(run) or registry.closed):
        change = registry.get_next_change(run)
        row = await journal.row(run)
        if row.state == "ended":
            return await read_outcome(journal, run)
        moves = row.state != "waiting" or bool(await journal.inbox(run))
        await registry.wait_for_other_process(change, moves=moves)
    return None


def look_at_error(future: asyncio.Future[Any]) -> None:
    """Marks a future's error as seen, so that asyncio logs no unseen error."""
    if not future.cancelled():
        future.exception()
