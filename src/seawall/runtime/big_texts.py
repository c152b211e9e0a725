"""Processes a run's long texts in a thread, before the event loop needs the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from seawall.core.big_values import BIG_CHARS, LEAST_KEPT_CHARS
from seawall.core.canonical import Ref
from seawall.core.events import Call, Event, StepDone, StepIntended
from seawall.core.threads import start_in_thread
from seawall.run.bodies import Bodies
from seawall.run.state import RunState
from seawall.team.context import read_assistant
from seawall.team.prepare import expect_calls
from seawall.team.team import Member, Team

LongText = tuple[int, Callable[[], object]]
"""The size of a text in bytes, and the function that computes and caches what is needed of it."""


async def compute_apart(texts: Iterator[LongText], bodies: Bodies) -> None:
    """Processes these texts in a thread, unless all together are short. `bodies` must have them loaded."""
    listed = list(texts)
    if sum(size for size, _ in listed) > BIG_CHARS:
        await start_in_thread(lambda: [work() for _, work in listed], "seawall-big")


async def put_apart(text: str, bodies: Bodies) -> None:
    """Prepares a big text in a thread, so that `bodies.put` of it is quick."""
    if len(text) > BIG_CHARS:
        await start_in_thread(partial(bodies.prepare, text), "seawall-big")


def list_open_texts(team: Team, state: RunState, bodies: Bodies) -> Iterator[LongText]:
    """Yields the long texts of a run that goes on: its conversations, and the calls that have no answer yet."""
    for frame in state.frames.values():
        for message in frame.messages:
            size = len(bodies.data(message.ref) or b"")
            if message.role == "assistant" and size >= LEAST_KEPT_CHARS:
                yield size, partial(_read_assistant, message.ref, bodies)
        member = team.members.get(frame.agent)
        calls = [pending.call for pending in frame.turn if pending.answer is None]
        if member is not None:
            yield from _list_calls(calls, member, state.started.run, bodies)


def list_recorded_texts(team: Team, run: str, events: Sequence[Event], bodies: Bodies) -> Iterator[LongText]:
    """Yields the long arguments of all calls of a recorded run."""
    agents = {event.step: event.agent for event in events if isinstance(event, StepIntended)}
    for event in events:
        if isinstance(event, StepDone) and event.calls:
            member = team.members.get(agents.get(event.step, ""))
            if member is not None:
                yield from _list_calls(event.calls, member, run, bodies)


def _list_calls(calls: Sequence[Call], member: Member, run: str, bodies: Bodies) -> Iterator[LongText]:
    for call in calls:
        size = len(bodies.data(call.arguments) or b"")
        if size >= LEAST_KEPT_CHARS:
            yield size, partial(_expect_call, call, member, run, bodies)


def _read_assistant(ref: Ref, bodies: Bodies) -> None:
    bodies.cache.compute(read_assistant, bodies.text(ref))


def _expect_call(call: Call, member: Member, run: str, bodies: Bodies) -> None:
    written = bodies.originals.find(run, call.seal) if call.seal else None
    expect_calls([(call.name, written or bodies.text(call.arguments))], member, bodies)
