"""Memory at the gate: the record of a memory step, the clashes that a hand-off reports, and the merge of a run."""

from __future__ import annotations

import json
from typing import Literal

from msgspec.structs import replace

from seawall.core.events import Event, MemoryRead, MemoryWritten, RunEnded, StepDone
from seawall.journal.protocol.memory import MemoryMerge, MemoryWrite
from seawall.run.bodies import Bodies
from seawall.run.branch import Branch, BranchEntry, find_clashes
from seawall.run.causes import Causes
from seawall.run.lineage import trace_ended_answer, trace_shown, trace_write
from seawall.run.state import RunState
from seawall.run.step import End, Result, Step

CLASH_CHARS = 500
"""Characters of each value that are quoted to an agent if two values were written at the same time."""


def record_memory(
    step: Step, result: Result, done: StepDone, state: RunState, bodies: Bodies, at: float
) -> list[Event]:
    """Returns the events of the entries that a memory step has shown and written. Shown entries count as read, whatever
    a guard decides about the result. Only a step with status `ok` writes.
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
    """Returns a hand-off's result with a note on the keys that its frame wrote while its caller or another agent wrote
    them too.
    """
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
    head = "[Memory: these keys were written at the same time by two agents that did not know of each other:]"
    return replace(result, output="\n".join([result.output, "", head, *lines]))


def _quote(entry: BranchEntry, bodies: Bodies) -> str:
    if entry.value is None:
        return "forgotten"
    text = bodies.text(entry.value)
    return json.dumps(text[:CLASH_CHARS], ensure_ascii=False) + ("…" if len(text) > CLASH_CHARS else "")


def list_writes(state: RunState, status: str) -> Branch:
    """Returns the writes that a run with the end status `status` merges into memory: none, unless it has completed."""
    started, root = state.started, state.frames.get(0)
    if status != "completed" or started.fork is not None or started.errand is not None or root is None:
        return {}
    return root.memory


def name_merge(end: End, state: RunState) -> Literal["", "merged"]:
    """Returns `RunEnded.memory` of a run whose merge meets no conflict."""
    return "merged" if list_writes(state, end.status) else ""


def build_merge(state: RunState, ended: RunEnded, bodies: Bodies, causes: Causes) -> MemoryMerge | None:
    """Returns the merge of a run in the commit of its end; None if the run has neither written nor read anything.
    `state` is the state before the end, which still has the branches.
    """
    started = state.started
    if ended.status != "completed" or started.fork is not None or started.errand is not None:
        return None
    writes = [
        _build_write(entry, state, bodies, causes) for entry in list_writes(state, ended.status).values()
    ]
    answer = (
        () if ended.answer is None else trace_ended_answer(ended, bodies.text(ended.answer), state, causes)
    )
    read = state.read_entries
    shown = trace_shown(state, bodies, causes)
    if not writes and not read and not answer and not shown:
        return None
    return MemoryMerge(
        writes=tuple(writes), read=read, reviewed=bool(ended.reviewed), answer=answer, shown=shown
    )


def _build_write(entry: BranchEntry, state: RunState, bodies: Bodies, causes: Causes) -> MemoryWrite:
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
        causes=trace_write(state, entry.step, text, causes),
        at=entry.at,
    )
