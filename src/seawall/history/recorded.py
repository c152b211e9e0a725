"""Recorded runs, for whoever goes on from one: its events, or what is left of them after `prune`."""

from __future__ import annotations

from decimal import Decimal

from seawall.core.errors import Misused, SeawallBug
from seawall.core.events import Event, StoppedBy
from seawall.journal.protocol import Journal, RunRow
from seawall.run.fold import fold
from seawall.run.outcome import Outcome, Waiting, list_waits


async def read_events(journal: Journal, run_id: str) -> list[Event]:
    """All events of a run. Raises `Misused` if there is no such run, or if its events were pruned."""
    events = await journal.events(run_id)
    if not events:  # every run has its first; only `prune` takes them
        raise Misused(f"run {run_id}: its events were pruned; its summary row remains: seawall runs")
    return events


async def read_waits(journal: Journal, run_id: str) -> list[Waiting]:
    """What a run waits for, oldest first; nothing if it does not (any more)."""
    events = await read_events(journal, run_id)
    state = fold(events)
    refs = [step.input for step in state.approvals if step.input]
    bodies = await journal.bodies(state.started.tenant, refs)
    texts = {ref: data.decode("utf-8", "replace") for ref, data in bodies.items()}
    return list_waits(state, events, lambda ref: texts.get(ref, "[erased]"))


def restore_outcome(row: RunRow) -> Outcome:
    """The outcome of a run whose events were pruned: what its row says. The answer went with the events."""
    kept = row.summary
    if kept is None:
        raise SeawallBug(f"run {row.run} has neither events nor a summary")
    reason = "its events were pruned, and with them what it said"
    return Outcome(
        run=row.run,
        status=kept.status,
        stopped_by=None if kept.stopped_by is None else StoppedBy(kept.stopped_by, reason),
        usd=Decimal(kept.usd),
        tokens=kept.tokens,
        model_calls=kept.model_calls,
        tool_calls=kept.tool_calls,
        active_s=kept.active_s,
    )
