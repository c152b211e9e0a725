"""Crews and agents at work: what the caller kicks off, and the frame in which an agent does a task."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Awaitable, Callable, Generator, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, NamedTuple, cast

from crewai.agent.core import Agent
from crewai.crew import Crew
from crewai.events import event_context
from crewai.task import Task

from seawall.adapters.crewai.metering import leave_call
from seawall.adapters.crewai.place import CrewPlace, CrewRun, CrewStopped, at_work, current
from seawall.core.canonical import digest_of
from seawall.core.errors import describe_error
from seawall.runtime.foreign.asked import HandoffAsk
from seawall.runtime.foreign.results import to_json_value, write_text


class _Work(NamedTuple):
    """What an agent is about to do."""

    role: str
    task: str
    key: Any
    """JSON that is equal for equal work, also after a crash."""
    identity: tuple[int, int]
    """The `id` of the agent and of its task."""


def describe_task(agent: Agent, task: Task, context: str | None) -> _Work:
    """Returns the work of a task."""
    role = agent.role.strip() or "agent"
    key = [role, task.description, task.expected_output, context or ""]
    return _Work(role, task.description, key, (id(agent), id(task)))


def describe_kickoff(agent: Agent, asked: Any) -> _Work:
    """Returns the work of an agent that is kicked off by itself."""
    role = agent.role.strip() or "agent"
    given: Any = to_json_value(asked)
    messages = cast("list[Any]", given if isinstance(given, list) else [given])
    last: Any = messages[-1] if messages else ""
    text: Any = last if not isinstance(last, Mapping) else cast("Mapping[str, Any]", last).get("content")
    return _Work(role, write_text(text), [role, given], (id(agent), id(asked)))


def describe_crew(crew: Crew, inputs: Mapping[str, Any] | None) -> str:
    """Returns what a crew is asked to do."""
    tasks = "\n".join(task.description for task in crew.tasks)
    return f"{tasks}\n{json.dumps(to_json_value(dict(inputs)), ensure_ascii=False)}" if inputs else tasks


def note_crew(run: CrewRun, crew: Crew) -> None:
    """Notes for the coverage which calls of a crew can't be gated."""
    for agent in crew.agents:
        note_agent(run, agent)
    _note_embeddings(run, crew)


def note_agent(run: CrewRun, agent: Any) -> None:
    """Notes for the coverage which calls of an agent can't be gated."""
    if not isinstance(agent, Agent):
        run.engine.note_not_gated(
            f"models of agent {agent.role!r}: it is an agent of another framework, {type(agent).__name__}"
        )
    elif getattr(agent, "a2a", None):
        run.engine.note_not_gated(f"what agent {agent.role!r} has remote agents do (A2A)")
    _note_embeddings(run, agent)


def _note_embeddings(run: CrewRun, who: Any) -> None:
    if getattr(who, "memory", None) or getattr(who, "knowledge_sources", None):
        run.engine.note_not_gated("embeddings of memory and knowledge: they come from a client of their own")


# ---- what is kicked off


@contextlib.contextmanager
def raise_gate_error(place: CrewPlace) -> Generator[None]:
    """Raises the gate's error itself, in place of `CrewStopped`, out of a crew or an agent that the caller has kicked off.

    Out of one that was kicked off inside of a task or a tool, `CrewStopped` passes, so that CrewAI does not take it for a
    failure of the task or the tool.
    """
    inside = bool(place.frame or place.call)
    scope = save_scope()
    try:
        yield
    except CrewStopped as stopped:
        restore_scope(scope)
        if inside:
            raise
        raise stopped.error from None
    except Exception as error:
        if inside or place.run.failure is None or error is place.run.failure:
            raise
        raise place.run.failure from error
    if not inside and place.run.failure is not None:
        raise place.run.failure


Scope = Mapping[ContextVar[Any], Any]
"""The values of CrewAI's context variables that hold the events which have begun and not ended."""


def save_scope() -> Scope:
    """Returns the scope as it is now."""
    values: list[Any] = list(vars(event_context).values())
    found = [cast("ContextVar[Any]", each) for each in values if isinstance(each, ContextVar)]
    return {each: each.get() for each in found}


def restore_scope(scope: Scope) -> None:
    """Forgets the events that have begun since `save_scope` and will never end: CrewAI stops once a hundred are open."""
    for each, value in scope.items():
        if each.get() is not value:
            each.set(value)


def note_answer(place: CrewPlace, result: Any) -> None:
    """Notes the result of a crew or an agent that the caller has kicked off."""
    if isinstance(getattr(result, "raw", None), str) and not place.frame and not place.call:
        place.run.note_result(result)


def gate_thread(method: Callable[..., None]) -> Callable[..., None]:
    """Returns the method that does a task in a thread, so that `CrewStopped` comes out of the task's future, too.

    CrewAI has only an `Exception` come out of it, and would wait forever.
    """

    @functools.wraps(method)
    def execute(task: Task, agent: Any, context: Any, tools: Any, future: Future[Any]) -> None:
        try:
            method(task, agent, context, tools, future)
        except CrewStopped as stopped:
            future.set_exception(stopped)

    return execute


# ---- agents at work


def _ask_frame(place: CrewPlace, work: _Work) -> HandoffAsk:
    """Returns the ask for the frame of an agent's work. Equal work has an equal key."""
    asked = digest_of(work.key)[:16]
    number = place.run.count(place.frame, f"{place.call}/{asked}")
    key = f"{place.call or 'task'}/{asked}/{number}"
    return place.run.session.handoff(
        place.agent,
        work.role,
        work.task or "(nothing)",
        call_id=key,
        frame=place.frame,
        halts=not place.call,  # outside of a tool there is no model that could be told of a refused task
    )


@contextlib.contextmanager
def _enter_work(place: CrewPlace, work: _Work, frame: int) -> Generator[None]:
    """Marks a block as the agent's work: calls in it are made by the agent, in its frame."""
    token = current.set(place.enter_frame(frame, work.role, work.identity))
    at_work.enter(work.identity[0])
    try:
        with leave_call():
            yield
    finally:
        at_work.leave(work.identity[0])
        current.reset(token)


def work_sync(place: CrewPlace, work: _Work, perform: Callable[[], Any]) -> Any:
    """Has an agent work in a new frame. If CrewAI retries the same work, the retry stays in this frame, and is given again
    what is recorded.
    """
    if place.work == work.identity:
        place.run.begin_again(place.frame)
        return perform()
    frame = place.run.open_frame_sync(_ask_frame(place, work))
    try:
        with _enter_work(place, work, frame):
            result = perform()
    except Exception as error:
        place.run.close_frame_sync(frame, describe_error(error), failed=True)
        raise
    place.run.close_frame_sync(frame, write_result(result))
    return result


async def work_async(place: CrewPlace, work: _Work, perform: Callable[[], Awaitable[Any]]) -> Any:
    """As `work_sync`."""
    if place.work == work.identity:
        place.run.begin_again(place.frame)
        return await perform()
    frame = await place.run.open_frame(_ask_frame(place, work))
    try:
        with _enter_work(place, work, frame):
            result = await perform()
    except Exception as error:
        await place.run.close_frame(frame, describe_error(error), failed=True)
        raise
    await place.run.close_frame(frame, write_result(result))
    return result


def leave_work(method: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `method`, which starts work in the background, so that the work belongs to the run and not to the agent's frame:
    the frame may end before the work.
    """

    @functools.wraps(method)
    def submit(*arguments: Any, **options: Any) -> Any:
        place = current.get()
        if place is None:
            return method(*arguments, **options)
        token = current.set(place.leave_frames())
        try:
            return method(*arguments, **options)
        finally:
            current.reset(token)

    return submit


def write_result(result: Any) -> str:
    """Returns an agent's answer as text."""
    raw = getattr(result, "raw", result)
    return raw if isinstance(raw, str) else write_text(raw)
