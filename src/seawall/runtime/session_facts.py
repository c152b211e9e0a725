"""Tells a session's next run what earlier runs did after the conversation had gone on without them.

When the user writes again while a run waits for a person, the next run begins, and notes how many events of the waiting
run it knew (`RunTaken.behind`). The run after that reads the later events, and is shown them as a message before its
request. So each event is told once, to the first run that begins after it, and that run's record has what it was told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from seawall.core.canonical import Ref
from seawall.core.events import EffectMoved, Event, LimitsRaised, RunEnded, StepDone, StepIntended
from seawall.core.refs import refs_of
from seawall.journal.protocol import Fact, Journal
from seawall.run.bodies import Bodies
from seawall.run.frame import effect_state
from seawall.team.context import quote_text


class SessionFacts(NamedTuple):
    """The facts to tell, oldest run first, and the runs that have not ended."""

    facts: tuple[Ref, ...]
    behind: dict[str, int]


async def read_facts(
    journal: Journal, tenant: str, behind: Mapping[str, int], bodies: Bodies
) -> SessionFacts:
    """Returns what has happened in runs after the events that are known of each."""
    facts: list[Ref] = []
    still: dict[str, int] = {}
    for run, known in behind.items():
        row = await journal.row(run)
        if row.state == "ended" and row.events == 0:  # its events were pruned
            facts.append(bodies.put(write_facts(run, ["it has ended, and what it said was deleted since"])))
            continue
        events = await journal.events(run) if row.events > known else []
        if row.state != "ended" or not any(isinstance(event, RunEnded) for event in events):
            still[run] = max(known, len(events))
        bodies.load(await journal.bodies(tenant, bodies.missing(refs_of(events))))
        if lines := list(_describe_events(events, known, bodies)):
            facts.append(bodies.put(write_facts(run, lines)))
    return SessionFacts(tuple(facts), still)


async def read_stored_facts(
    journal: Journal, tenant: str, session: str, bodies: Bodies
) -> tuple[tuple[Ref, ...], tuple[int, ...]]:
    """Returns what has happened outside the session's runs, and the numbers of these facts."""
    stored = await journal.facts(tenant, session)
    told: list[Ref] = []
    for fact in stored:
        lines = await _describe_fact(journal, tenant, fact, bodies)
        told.append(bodies.put(write_facts(fact.run, lines, "" if fact.effect else ERRAND)))
    return tuple(told), tuple(fact.number for fact in stored)


async def _describe_fact(journal: Journal, tenant: str, fact: Fact, bodies: Bodies) -> list[str]:
    if fact.effect:
        effect = await journal.effect(fact.effect)
        refs = [ref for ref in (effect.arguments, effect.receipt) if ref is not None]
        bodies.load(await journal.bodies(tenant, bodies.missing(refs)))
        call = f"{effect.tool}({bodies.text(effect.arguments)})"
        what = (
            _quote(effect.receipt, bodies)
            if effect.receipt
            else json.dumps(effect.reason, ensure_ascii=False)
        )
        by = f" (said by {effect.settled_by})" if effect.settled_by else ""
        return [f"{format_time(fact.at)}: {call} {_FATES.get(effect.state, effect.state)}: {what}{by}"]
    events = await journal.events(fact.run)
    bodies.load(await journal.bodies(tenant, bodies.missing([fact.text, *refs_of(events)])))
    lines = list(_describe_events(events, 0, bodies))
    return lines or [f"{format_time(fact.at)}: {_quote(fact.text, bodies)}"]


WAITED = ", which waited for a person"
ERRAND = ", which does what was asked for apart from this conversation"


def write_facts(run: str, lines: Sequence[str], which: str = WAITED) -> str:
    """Returns the message that tells a session's next run what has happened in `run`."""
    head = f"[Not from the user: what has happened since in run {run}{which}.]"
    return "\n".join([head, *(f"- {line}" for line in lines)])


def describe_changes(events: Sequence[Event], bodies: Bodies) -> list[str]:
    """Returns what became of each call of a run that changes the world."""
    return list(_describe_events([event for event in events if not isinstance(event, RunEnded)], 0, bodies))


def _describe_events(events: Sequence[Event], known: int, bodies: Bodies) -> Iterator[str]:
    """Yields what became of each effect after the first `known` events, and how the run ended."""
    steps = {event.step: event for event in events if isinstance(event, StepIntended)}
    calls: dict[tuple[int, str | None], str] = {}  # the newest attempt of a call counts
    end: list[str] = []
    for event in events[known:]:
        if isinstance(event, LimitsRaised):
            end.clear()
        elif isinstance(event, RunEnded):
            end.append(_describe_end(event, bodies))
        elif isinstance(event, StepDone | EffectMoved) and (step := steps.get(event.step)) is not None:
            fate = _find_fate(event, step)
            if fate is not None:
                output = event.output if isinstance(event, StepDone) else event.receipt
                calls.pop((step.frame, step.call), None)
                calls[step.frame, step.call] = describe_call(event.at, step, fate, output, bodies)
    yield from calls.values()
    yield from end


def _find_fate(event: StepDone | EffectMoved, step: StepIntended) -> str | None:
    """Returns the fate of an effect in words, by an event about it; None if the event does not change it."""
    if isinstance(event, EffectMoved):
        return _FATES.get(event.state)
    if step.kind == "tool" and step.effect and step.perform and event.status != "withdrawn":
        return _FATES.get(effect_state(event))
    rejected = step.kind == "approval" and step.call is not None and event.error == "rejected"
    return "was refused by a person" if rejected else None


_FATES = {
    "committed": "was done",
    "failed": "was not done",
    "unknown": "may have been done or not: that is not known",
}


def describe_call(at: float, step: StepIntended, fate: str, output: Ref | None, bodies: Bodies) -> str:
    """Returns the line that says what became of a call."""
    call = f"{step.name}({bodies.text(step.input)})"
    return f"{format_time(at)}: {call} {fate}: {_quote(output, bodies)}"


_PLAIN = ("cancel", "approval", "limits", "deadline", "budget", "review")
"""The guards whose reasons are told, because they come from people and limits, and not from tools."""


def _describe_end(ended: RunEnded, bodies: Bodies) -> str:
    answer = "" if ended.answer is None else f"; its answer: {_quote(ended.answer, bodies)}"
    why = ""
    if (stopped := ended.stopped_by) is not None:  # another guard's reason may quote what a tool returned
        why = f" ({stopped.guard}: {stopped.reason})" if stopped.guard in _PLAIN else f" ({stopped.guard})"
    return f"{format_time(ended.at)}: it ended as {ended.status}{why}{answer}"


def _quote(ref: Ref | None, bodies: Bodies) -> str:
    return quote_text(bodies.text(ref))


def format_time(at: float) -> str:
    """Returns a time to the minute, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
