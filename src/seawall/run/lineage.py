"""The sources, outside of the run, of a run's writes to memory and of its answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from seawall.core.errors import Misused
from seawall.core.events import (
    EVERYTHING,
    Cause,
    Event,
    MemoryWritten,
    RunEnded,
    RunStarted,
    Source,
    StepIntended,
    StepKind,
    Tie,
)
from seawall.journal.protocol.memory import Lineage, StepLineage
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.descent import Descent, Origins
from seawall.run.lifted import leave_out_lifted
from seawall.run.state import RunState

MAX_EXPOSURES = 64
"""Most exposures that one entry stores. An entry with more is stored as exposed to its run's answer, and so to
everything that the answer is exposed to."""

_SHOWN_LATER: tuple[StepKind, ...] = ("tool", "handoff", "review", "memory")
"""Steps of the coordinator whose results stand in the session's conversation."""


def trace_write(state: RunState, step: int, text: str, causes: Causes) -> tuple[Lineage, ...]:
    """Returns the sources of the value `text` that memory step `step` wrote. `state` is the state before the run's end,
    when its frames are still open.
    """
    descent = causes.descent
    written = descent.find_input(step)
    found = descent.find((), causes.find_edges(text).sources)
    origins = Origins(written.value | found.value, written.exposure & ~found.value)
    if descent.count_exposed(origins) > MAX_EXPOSURES:
        value, _ = descent.list_sources(Origins(origins.value))
        return (*[_name("value", each) for each in value], Lineage(tie="exposure", run=state.started.run))
    return _list_lineage(descent, origins)


def trace_ended_answer(ended: RunEnded, text: str, state: RunState, causes: Causes) -> tuple[Lineage, ...]:
    """Returns the sources of the answer `text` with which a run has `ended`; `state` is the state before that."""
    return _list_lineage(causes.descent, _trace_answer(ended, text, state, causes))


def _list_lineage(descent: Descent, origins: Origins) -> tuple[Lineage, ...]:
    value, exposed = descent.list_sources(origins)
    return (*[_name("value", each) for each in value], *[_name("exposure", each) for each in exposed])


def trace_shown(state: RunState, bodies: Bodies, causes: Causes) -> tuple[StepLineage, ...]:
    """Returns the sources, outside of the run, of the results that the session's next run is shown."""
    root = state.frames.get(0)
    if state.started.session is None or root is None:
        return ()
    found: list[StepLineage] = []
    texts = {each.step: each.ref for each in root.messages if each.role == "tool" and not each.run}
    for step, ref in texts.items():
        value, _ = causes.descent.list_sources(causes.descent.find_result(step))
        # the values that its agent was shown are in its answer, and not in its task
        if causes.is_handoff(step):
            value += causes.find_edges(bodies.text(ref)).sources
        if value:
            named = [_name("value", each) for each in dict.fromkeys(value)]
            found.append(StepLineage(step=step, causes=tuple(named)))
    return tuple(found)


def _trace_answer(ended: RunEnded, text: str, state: RunState, causes: Causes) -> Origins:
    root = state.frames.get(0)
    by = None if root is None else root.last_reply
    if by is not None and state.plan.course == "team":
        return causes.descent.find(ended.causes, ended.sources)
    # the answer was put together without the coordinator
    edges = causes.find_edges(text, by=by)
    return causes.descent.find((*edges.causes, Cause(EVERYTHING, "exposure")), edges.sources)


def _name(tie: Tie, source: Source) -> Lineage:
    return Lineage(tie=tie, entry=source.entry, run=source.run, step=source.step)


def find_seeds(events: Iterable[Event], step: int) -> tuple[Lineage, ...]:
    """Returns the parts of a run that descend from its step `step` and may have reached other runs, each with its tie
    to the step. These are the memory steps that wrote something, the results that the session's next run was shown, and
    the answer. A hand-off includes all steps in its frame. Step 0 is the request, and so the whole run. Raises
    `Misused` for a run whose events were pruned, and for a step that the run does not have.
    """
    descent = Descent(step)
    shown: dict[int, StepIntended] = {}
    written: set[int] = set()
    started: RunStarted | None = None
    ended: RunEnded | None = None
    for event in descent.fold(leave_out_lifted(events)):
        match event:
            case RunStarted():
                started = event
            case StepIntended():
                shown[event.step] = event
            case MemoryWritten():
                written.add(event.step)
            case RunEnded():
                ended = event
            case _:
                pass
    if started is None:
        raise Misused("the run's events were pruned, and what descends from its steps is not known any more")
    if step and step not in shown:
        raise Misused(f"run {started.run} has no step {step}; it has {len(shown)} steps")
    run = started.run
    seeds: list[Lineage] = []
    for number, intent in shown.items():
        origins = descent.find_input(number) if number in written else descent.find_result(number)
        tie = descent.tie(origins)
        if tie is not None and (number in written or (intent.frame == 0 and intent.kind in _SHOWN_LATER)):
            seeds.append(Lineage(tie=tie, run=run, step=number))
    if ended is not None and ended.answer is not None:
        origins = descent.find(ended.causes, ended.sources)
        tie = "value" if step == 0 else descent.tie(origins)
        if tie is not None:
            seeds.append(Lineage(tie=tie, run=run))
    return tuple(seeds)
