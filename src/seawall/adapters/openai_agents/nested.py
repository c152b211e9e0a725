"""Agents that tools and guardrails run by themselves: `agent.as_tool(…)`, or `Runner.run` inside of a function.

The SDK's default runner runs them. The runner that is installed here gates those that run inside of a gated run, each in a new
frame, and passes all others on to the runner before it. The SDK calls `set_default_agent_runner` experimental; if the
application sets another runner meanwhile, the next gated run puts this one before it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, NamedTuple, cast

from agents.items import ItemHelpers
from agents.result import RunResult, RunResultStreaming
from agents.run import AgentRunner, get_default_agent_runner, set_default_agent_runner
from agents.run_state import RunState

from seawall.adapters.openai_agents.gating import get_original, is_gated
from seawall.adapters.openai_agents.going_on import find_place, restore_state, wait_for_thread
from seawall.adapters.openai_agents.models import gate_config
from seawall.adapters.openai_agents.place import (
    NOT_OPEN,
    CallPlace,
    RunnerInvocation,
    convert_refusal,
    current,
    enter_place,
    find_invocation,
)
from seawall.adapters.openai_agents.replies import make_plain, write_answer
from seawall.core.canonical import digest_of
from seawall.runtime.foreign.asked import HandoffAsk


class _Nested(NamedTuple):
    """An agent that is about to run inside of a gated run."""

    invocation: RunnerInvocation
    agent: Any
    options: dict[str, Any]
    provider: Any
    """The provider of models that was made for this run, and is closed after it; None if none was made."""
    place: CallPlace | RunnerInvocation | None
    """Where the agent was asked."""

    def _check(self) -> None:
        """Raises the error that has ended the whole run, if there is one, and notes it for the tool that has asked."""
        stop = self.invocation.run.stop
        if stop is not None:
            if isinstance(self.place, CallPlace):
                self.place.stops.append(stop)
            raise stop

    async def finish(self, result: RunResult | RunResultStreaming) -> None:
        """Closes the agent's frames, unless the agent waits for a person."""
        run = self.invocation.run
        self._check()
        if result.interruptions or self.invocation.root == NOT_OPEN:
            return
        answer = write_answer(result.final_output)
        with run.translate_errors():
            for frame in reversed(self.invocation.frames):
                await run.session.close_frame(frame, answer)
            await run.session.close_frame(self.invocation.root, answer)

    async def fail(self, error: BaseException) -> None:
        """Closes the agent's frames after an error. Raises the error that has ended the whole run instead, if there is one."""
        run = self.invocation.run
        self._check()
        if isinstance(error, Exception) and self.invocation.root != NOT_OPEN:
            with run.translate_errors():
                for frame in (*reversed(self.invocation.frames), self.invocation.root):
                    await run.session.close_frame(frame, str(error), failed=True)

    async def close(self) -> None:
        """Closes the provider of models that was made for this run."""
        if self.provider is not None:
            await self.provider.aclose()


class NestedRunner(AgentRunner):
    """Gates agents that run inside of a gated run, and passes all others on to `inner`."""

    def __init__(self, inner: AgentRunner) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"<NestedRunner before {self.inner!r}>"

    async def run(self, starting_agent: Any, input: Any, **options: Any) -> RunResult:  # noqa: A002 -- the SDK's name
        """As `Runner.run`."""
        if current.get() is None:
            return await self.inner.run(starting_agent, input, **options)
        nested = _begin(starting_agent, input, options)
        with enter_place(nested.invocation):
            try:
                await nested.invocation.open()
                given = await _restore(nested, input) if isinstance(input, RunState) else input
                result = await self.inner.run(nested.agent, given, **nested.options)
            except BaseException as error:
                await nested.fail(error)
                raise
            finally:
                await nested.close()
            await nested.finish(result)
        return result

    def run_sync(self, starting_agent: Any, input: Any, **options: Any) -> RunResult:  # noqa: A002 -- the SDK's name
        """As `Runner.run_sync`."""
        if current.get() is None:
            return self.inner.run_sync(starting_agent, input, **options)
        return super().run_sync(starting_agent, input, **options)

    def run_streamed(self, starting_agent: Any, input: Any, **options: Any) -> RunResultStreaming:  # noqa: A002 -- the SDK's name
        """As `Runner.run_streamed`. The frame is opened before the agent's first step, because that may have to wait."""
        if current.get() is None:
            return self.inner.run_streamed(starting_agent, input, **options)
        nested = _begin(starting_agent, input, options)
        with enter_place(nested.invocation):
            given = wait_for_thread(_restore(nested, input)) if isinstance(input, RunState) else input
            result = self.inner.run_streamed(nested.agent, given, **nested.options)
        events = result.stream_events

        async def stream_events() -> AsyncIterator[Any]:
            try:
                async with contextlib.aclosing(cast("AsyncGenerator[Any]", events())) as inner:
                    async for event in inner:
                        yield event
            except BaseException as error:
                await nested.fail(error)
                raise
            finally:
                await nested.close()
            await nested.finish(result)

        setattr(result, "stream_events", stream_events)  # noqa: B010 -- of this result alone
        return result


def _ask_frame(agent: Any, given: Any) -> HandoffAsk:
    """Returns the ask for the frame of an agent that runs inside of a tool or a guardrail.

    Its key is the same after a crash: that of the call, the agent and its input, and the number of such runs before it.
    """
    found = current.get()
    invocation = find_invocation()
    state: Any = given
    original = state._original_input if isinstance(given, RunState) else given  # noqa: SLF001 -- the SDK offers no other way to it
    items = make_plain(ItemHelpers.input_to_new_input_list(original))
    name, goes_on = get_original(agent).name, isinstance(given, RunState)
    is_call = isinstance(found, CallPlace)
    by, frame, call = (
        (found.agent, found.frame, found.call) if is_call else (invocation.agent, invocation.frame, "beside")
    )
    if is_call and found.is_agent:
        # the tool starts again, and its agent's state may have another input by now
        key = invocation.number_agent(frame, f"{call}/agent/{digest_of(name)[:16]}")
    else:
        key = invocation.number_agent(frame, f"{call}/{digest_of([name, items])[:16]}", goes_on=goes_on)
    task = items[-1].get("content") if items else ""
    text = task if isinstance(task, str) else write_answer(task)
    return invocation.run.session.handoff(by, name, text or "(nothing)", call_id=key, frame=frame)


def _begin(agent: Any, given: Any, options: dict[str, Any]) -> _Nested:
    place, above = current.get(), find_invocation()
    run = above.run
    prepared, provider = gate_config(options)
    run.gate.note_session(options.get("session"))

    async def open_frame() -> int:
        await above.open()
        with enter_place(place), run.translate_errors(), convert_refusal():
            return await run.session.open_frame(_ask_frame(agent, given))

    invocation = RunnerInvocation(run, get_original(agent).name, NOT_OPEN, open_frame)
    invocation.is_resumable = above.is_resumable and isinstance(place, CallPlace) and place.is_agent
    return _Nested(invocation, run.gate.gate_agent(agent), prepared, provider, place)


async def _restore(nested: _Nested, state: Any) -> Any:
    """Returns the state with which a nested agent continues. It is the same object if the state has gated agents already,
    because the SDK reads that object again.
    """
    await nested.invocation.open()
    known = is_gated(state._current_agent)  # noqa: SLF001 -- the SDK offers no other way to it
    restored = state if known else await restore_state(nested.agent, state)
    await find_place(nested.invocation, restored)
    return restored


def install_runner() -> None:
    """Installs `NestedRunner` as the SDK's default runner, so that agents which tools and guardrails run are gated."""
    if not isinstance(get_default_agent_runner(), NestedRunner):
        set_default_agent_runner(NestedRunner(get_default_agent_runner()))


def find_plain_runner() -> AgentRunner:
    """Returns the SDK's default runner without the gate."""
    found = get_default_agent_runner()
    return found.inner if isinstance(found, NestedRunner) else found
