"""Reads recorded runs from the journal: events, state, outcome, and what a run waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from seawall.core.big_values import BIG_CHARS
from seawall.core.errors import Misused, SeawallBug
from seawall.core.events import Event, RunStarted, StoppedBy
from seawall.core.threads import start_in_thread
from seawall.journal.protocol import Journal, RunRow
from seawall.run.fold import apply, fold
from seawall.run.guard import Guard
from seawall.run.outcome import Outcome, Waiting, build_outcome, list_waits
from seawall.run.state import RunState

SLICE_EVENTS = 256
"""How many events are folded before other tasks get their turn, which takes some milliseconds."""


async def read_events(journal: Journal, run: str) -> list[Event]:
    """Returns all events of a run. Raises `Misused` if there is no such run, or if its events were pruned."""
    events = await journal.events(run)
    if not events:  # every run has a first event; only `prune` deletes events
        raise Misused(f"run {run}: its events were pruned; its summary row remains: seawall runs")
    return events


async def fold_in_slices(events: Sequence[Event], guards: Sequence[Guard] = ()) -> RunState:
    """Returns the same as `fold`, but lets other tasks run between two slices of a long run."""
    state = fold(events[:SLICE_EVENTS], guards)
    for at in range(SLICE_EVENTS, len(events), SLICE_EVENTS):
        await asyncio.sleep(0)
        for event in events[at : at + SLICE_EVENTS]:
            state = apply(state, event, guards)
    return state


async def read_state(journal: Journal, run: str) -> RunState:
    """Returns the recorded state of a run. Raises `Misused` if its events were pruned."""
    return await fold_in_slices(await read_events(journal, run))


async def read_waits(journal: Journal, run: str) -> list[Waiting]:
    """Returns what a run waits for, oldest first; an empty list if it does not wait (any more)."""
    events = await read_events(journal, run)
    state = await fold_in_slices(events)
    refs = [step.input for step in state.approvals if step.input]
    bodies = await journal.bodies(state.started.tenant, refs)
    texts = {ref: data.decode("utf-8", "replace") for ref, data in bodies.items()}
    return list_waits(state, events, lambda ref: texts.get(ref, "[erased]"))


async def read_outcome(journal: Journal, run: str, parse: Callable[[str], Any] | None = None) -> Outcome:
    """Returns the outcome of a run that has ended; for a pruned run, the outcome in its row.

    `parse` makes `Outcome.output` from the answer. Raises `Misused` if the run has not ended.
    """
    events = await journal.events(run)
    if not events:
        return restore_outcome(await journal.row(run))
    state = await fold_in_slices(events)
    if state.ended is None:
        raise Misused(
            f"run {run} has not ended, so it has no outcome yet: wait for it with `await (await sea.attach(run)).rest()`"
        )
    ref = state.ended.answer
    if ref is None:
        return build_outcome(state, None)
    bodies = await journal.bodies(state.started.tenant, [ref])
    if ref not in bodies:
        return build_outcome(state, "[erased]")
    answer = bodies[ref].decode()
    return build_outcome(state, answer, None if parse is None else await parse_apart(parse, answer))


async def check_request_kept(journal: Journal, started: RunStarted, so: str) -> None:
    """Raises `Misused` if the request of a run was erased; `so` says what can't be done for that reason."""
    if started.intent not in await journal.bodies(started.tenant, [started.intent]):
        raise Misused(f"run {started.run}: its request was erased, so {so}")


async def parse_apart(parse: Callable[[str], Any], answer: str) -> Any:
    """Returns the result of `parse` for an answer; a big answer is parsed in a thread."""
    if len(answer) <= BIG_CHARS:
        return parse(answer)
    return await start_in_thread(partial(parse, answer), "seawall-big")


def restore_outcome(row: RunRow) -> Outcome:
    """Returns the outcome in the row of a run whose events were pruned. The answer was pruned with the events."""
    summary = row.summary
    if summary is None:
        raise SeawallBug(f"run {row.run} has neither events nor a summary")
    reason = "its events were pruned, and with them what it said"
    return Outcome(
        run=row.run,
        status=summary.status,
        stopped_by=None if summary.stopped_by is None else StoppedBy(summary.stopped_by, reason),
        usd=Decimal(summary.usd),
        tokens=summary.tokens,
        model_calls=summary.model_calls,
        tool_calls=summary.tool_calls,
        active_s=summary.active_s,
    )
