"""Memory at the gate: what a memory step records, what a hand-off tells of its branch, and what a run merges."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Literal

from msgspec.structs import replace

from seawall.core.events import Event, MemoryRead, MemoryWritten, RunEnded, StepDone
from seawall.journal.protocol.memory import Lineage, MemoryMerge, MemoryWrite
from seawall.run.bodies import Bodies
from seawall.run.branch import Branch, BranchEntry, find_clashes
from seawall.run.causes import Causes
from seawall.run.lineage import trace_memory, trace_shown
from seawall.run.state import RunState
from seawall.run.step import End, Result, Step

CLASH_CHARS = 500
"""Characters of each value that an agent is told of two that were written at once."""

_Trace = Callable[[RunState, int | None, str], tuple[Lineage, ...]]
"""Returns what a write of a step, or the answer (step None), was made of: (state, step, text)."""


def record_memory(
    step: Step, result: Result, done: StepDone, state: RunState, bodies: Bodies, at: float
) -> list[Event]:
    """Returns the events of what a memory step has shown and written.

    What it has shown counts as read, whatever a guard said of the result. Only a step that is `ok` writes.
    """
    use = result.memory
    if use is None:
        return []
    events: list[Event] = []
    if use.read or use.seen:
        events.append(MemoryRead(at=at, step=step.number, entries=use.read, written=use.seen))
    edit = use.edit
    if edit is not None and done.status == "ok":
        written = MemoryWritten(
            at=at,
            step=step.number,
            scope=edit.scope,
            key=bodies.put(edit.key),
            value=None if edit.value is None else bodies.put(edit.value),
            base=state.memory,
            labels=edit.labels,
            ttl_s=edit.ttl_s,
            loose=edit.loose,
        )
        events.append(written)
    return events


def tell_clashes(step: Step, result: Result, state: RunState, bodies: Bodies) -> Result:
    """Returns a hand-off's result with the keys that its frame wrote while its caller or a colleague did."""
    below, above = state.frames.get(step.number), state.frames.get(step.frame)
    if below is None or above is None or not isinstance(result.output, str):
        return result
    clashes = find_clashes(above.memory, below.memory, step.number, below.seen)
    if not clashes:
        return result
    lines = [
        f"- {json.dumps(bodies.text(each.ours.key), ensure_ascii=False)}: {_quote(each.ours, bodies)} (step {each.ours.step}) is kept; "
        f"{_quote(each.theirs, bodies)} (step {each.theirs.step}) is not"
        for each in clashes
    ]
    head = "[Memory: these keys were written at the same time, without one knowing of the other:]"
    return replace(result, output="\n".join([result.output, "", head, *lines]))


def _quote(entry: BranchEntry, bodies: Bodies) -> str:
    if entry.value is None:
        return "forgotten"
    text = bodies.text(entry.value)
    return json.dumps(text[:CLASH_CHARS], ensure_ascii=False) + ("…" if len(text) > CLASH_CHARS else "")


def list_writes(state: RunState, status: str) -> Branch:
    """Returns what a run that ends with `status` merges into memory: nothing, unless it has completed."""
    started, root = state.started, state.frames.get(0)
    if status != "completed" or started.fork is not None or started.errand is not None or root is None:
        return {}
    return root.memory


def name_merge(end: End, state: RunState) -> Literal["", "merged"]:
    """Returns `RunEnded.memory` of a run whose merge meets no conflict."""
    return "merged" if list_writes(state, end.status) else ""


def build_merge(state: RunState, ended: RunEnded, bodies: Bodies, causes: Causes) -> MemoryMerge | None:
    """Returns what a run merges in the commit of its end; None if it has neither written nor read anything.

    `state` is the one before the end: then the branches are there.
    """
    started = state.started
    if ended.status != "completed" or started.fork is not None or started.errand is not None:
        return None
    trace = partial(trace_memory, causes=causes)
    writes = [
        _build_write(entry, state, bodies, trace) for entry in list_writes(state, ended.status).values()
    ]
    answer = () if ended.answer is None else trace(state, None, bodies.text(ended.answer))
    read = state.read_entries
    shown = trace_shown(state, bodies, causes)
    if not writes and not read and not answer and not shown:
        return None
    return MemoryMerge(
        writes=tuple(writes), read=read, reviewed=bool(ended.reviewed), answer=answer, shown=shown
    )


def _build_write(entry: BranchEntry, state: RunState, bodies: Bodies, trace: _Trace) -> MemoryWrite:
    text = bodies.text(entry.key) if entry.value is None else bodies.text(entry.value)
    return MemoryWrite(
        scope=entry.scope,
        key=entry.key,
        value=entry.value,
        base=entry.base,
        step=entry.step,
        agent=entry.agent,
        labels=entry.labels,
        ttl_s=entry.ttl_s,
        loose=entry.loose,
        causes=trace(state, entry.step, text),
    )
