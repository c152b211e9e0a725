"""`SeawallRunner`: a run of the SDK from its beginning to its end."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from agents.exceptions import (
    InputGuardrailTripwireTriggered,
    OutputGuardrailTripwireTriggered,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailTripwireTriggered,
)
from agents.items import ItemHelpers
from agents.result import RunResult, RunResultStreaming
from agents.run import AgentRunner, get_default_agent_runner
from agents.run_state import RunState

from seawall.adapters.openai_agents.gating import AgentGate, get_original
from seawall.adapters.openai_agents.going_on import StateDecider, prepare_state, wait_for_thread
from seawall.adapters.openai_agents.models import gate_config
from seawall.adapters.openai_agents.nested import find_plain_runner, install_runner
from seawall.adapters.openai_agents.place import (
    AgentsHalted,
    AgentsHeld,
    GatedRun,
    RunnerInvocation,
    current,
    enter_place,
    find_invocation,
)
from seawall.adapters.openai_agents.replies import write_answer
from seawall.core.errors import Broken, Misused, Refused, describe_error
from seawall.core.events import StoppedBy
from seawall.core.limits import Limits
from seawall.run.outcome import Outcome
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.tools import Effects

LOOP = "openai-agents"
MAX_REMEMBERED = 10_000
"""Calls that wait for a person, for which a runner remembers the request id of their run. For an older one the caller must pass
the `request_id`."""
_OUTCOME = "_seawall_outcome"
_TRIPWIRES = (
    InputGuardrailTripwireTriggered,
    OutputGuardrailTripwireTriggered,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailTripwireTriggered,
)


def find_outcome(result: RunResult | RunResultStreaming) -> Outcome[Any] | None:
    """Returns how the run of a result has ended; None if it is interrupted, or its stream was cancelled or is not read to its
    end.
    """
    return getattr(result, _OUTCOME, None)


class _Started(NamedTuple):
    """A run that is about to begin."""

    run: GatedRun
    invocation: RunnerInvocation
    agent: Any
    options: dict[str, Any]
    request_id: str
    tenant: str
    provider: Any
    """The provider of models that was made for this run, and is closed after it; None if none was made."""


class SeawallRunner:
    """Runs agents as `Runner` does, with their models and function tools through the gate of an `Engine`.

        runner = SeawallRunner(sea, effects=["refund"])
        result = await runner.run(agent, "Refund order 1042", request_id="r-17", session=session)

    `effects`, `reads` and `polls` are those of these agents' tools, as in `Engine.begin`. `limits` are those of each request.
    `not_done` are errors of tools which say that nothing has happened. Everything that `Runner.run` takes is passed on:
    `context`, `session`, `max_turns`, `run_config`, `hooks` and so on. The id of the `session` is the conversation's.

    Without a `request_id` each call begins a new run, also after a crash: its effects are then made again. Inside of a tool or
    a guardrail of a run of this runner, the agent works in a frame of that run instead. A `RunState` continues its own run;
    after a restart, pass the run's `request_id` or `session`.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        effects: Effects | None = None,
        reads: Sequence[str] = (),
        polls: Sequence[str] = (),
        limits: Limits | None = None,
        name: str = "",
        not_done: tuple[type[BaseException], ...] = (),
    ) -> None:
        """`name` is the application's, by default that of the first agent. Raises `Misused` as `Engine` does."""
        self._engine, self._effects = engine, effects
        self._reads, self._polls = tuple(reads), tuple(polls)
        self._limits, self._name, self._not_done = limits, name, not_done
        tools = engine.tools.declare(effects, reads, polls)
        self._gate = AgentGate(tools, engine.note_not_gated, not_done)
        self._requests: OrderedDict[str, tuple[str, str]] = OrderedDict()
        install_runner()

    def __repr__(self) -> str:
        return f"<SeawallRunner of {self._engine!r}>"

    # ---- the three ways of `Runner`

    async def run(
        self,
        starting_agent: Any,
        input: Any,  # noqa: A002 -- the SDK's name
        *,
        request_id: str | None = None,
        tenant: str = "",
        principal: str = "",
        decided_by: str = "",
        credential: object = None,
        **options: Any,
    ) -> RunResult:
        """Runs an agent, or continues a `RunState`. Returns the SDK's result: its `interruptions` wait for a person.

        `decided_by`, or a `credential` for the engine's `authenticate`, names the person who has decided in a `RunState` on
        the calls that the gate holds. Raises the errors of `Runner.run`, `AgentsHalted` once the run has ended, and
        `AgentsHeld` if a person must decide on a step at which the SDK can't be interrupted.
        """
        if self._works_within(request_id, tenant, principal) and not isinstance(input, RunState):
            return await get_default_agent_runner().run(starting_agent, input, **options)
        begun = self._begin(starting_agent, input, request_id, tenant, principal, options)
        if isinstance(input, RunState):
            input = await self._prepare(begun, input, StateDecider(decided_by, credential))  # noqa: A001 -- the SDK's name
        async with _end_by_error(begun):
            with enter_place(begun.invocation):
                result = await find_plain_runner().run(begun.agent, input, **begun.options)
            begun.run.check()
            await self._finish(begun, result)
        return result

    def run_sync(self, starting_agent: Any, input: Any, **options: Any) -> RunResult:  # noqa: A002 -- the SDK's name
        """As `run`, for callers without an event loop."""
        runner = self

        class _Sync(AgentRunner):
            async def run(self, starting_agent: Any, input: Any, **kept: Any) -> RunResult:  # noqa: A002 -- the SDK's name
                known = {name: value for name, value in kept.items() if value is not None}
                return await runner.run(starting_agent, input, **{**known, **options})

        return _Sync().run_sync(starting_agent, input)

    def run_streamed(
        self,
        starting_agent: Any,
        input: Any,  # noqa: A002 -- the SDK's name
        *,
        request_id: str | None = None,
        tenant: str = "",
        principal: str = "",
        decided_by: str = "",
        credential: object = None,
        **options: Any,
    ) -> RunResultStreaming:
        """As `run`: the result streams its events. Events of a reply are passed on before the reply is settled."""
        if isinstance(input, RunState):
            self._engine.check_may_wait()
        elif self._works_within(request_id, tenant, principal):
            return get_default_agent_runner().run_streamed(starting_agent, input, **options)
        begun = self._begin(starting_agent, input, request_id, tenant, principal, options)
        if isinstance(input, RunState):
            decider = StateDecider(decided_by, credential)
            input = wait_for_thread(self._prepare(begun, input, decider))  # noqa: A001 -- the SDK's name
        with enter_place(begun.invocation):
            result = find_plain_runner().run_streamed(begun.agent, input, **begun.options)
        events = result.stream_events

        async def stream_events() -> AsyncIterator[Any]:
            async with (
                _end_by_error(begun),
                contextlib.aclosing(cast("AsyncGenerator[Any]", events())) as inner,
            ):
                async for event in inner:
                    yield event
                begun.run.check()
                await self._finish(begun, result)

        setattr(result, "stream_events", stream_events)  # noqa: B010 -- of this result alone
        return result

    # ---- beginning

    def _works_within(self, request_id: str | None, tenant: str, principal: str) -> bool:
        """Returns whether this runner is called inside of one of its runs, and for no other request: then the agent works in a
        frame of that run.
        """
        if request_id is not None or tenant or principal or current.get() is None:
            return False
        return find_invocation().run.gate is self._gate

    def _begin(
        self,
        agent: Any,
        given: Any,
        request_id: str | None,
        tenant: str,
        principal: str,
        options: dict[str, Any],
    ) -> _Started:
        install_runner()
        agent = get_original(agent)
        sdk_session = options.get("session")
        self._gate.note_session(sdk_session)
        goes_on = isinstance(given, RunState)
        if goes_on and request_id is None:
            request_id, known_tenant = self._find_request(given)
            tenant = tenant or known_tenant
            if request_id is None and _find_session(sdk_session) is None:
                raise Misused(
                    "this runner has not interrupted this RunState, so it does not know the run: pass the request_id of the "
                    "run, or the session"
                )
        new_id = request_id or (None if goes_on else self._engine.make_request_id())
        session = self._engine.begin(
            _read_request(given),
            loop=LOOP,
            name=self._name or agent.name,
            agent=agent.name,
            session=_find_session(sdk_session),
            tenant=tenant,
            principal=principal,
            request_id=new_id,
            limits=self._limits,
            effects=self._effects,
            reads=self._reads,
            polls=self._polls,
            resume=goes_on,
            answers=True,
            not_done=self._not_done,
            passes=(AgentsHeld,),
        )
        run = GatedRun(session, self._gate)
        gated = self._gate.gate_agent(agent)
        prepared, provider = gate_config(options)
        return _Started(
            run, RunnerInvocation(run, agent.name, 0), gated, prepared, new_id or "", tenant, provider
        )

    def _find_request(self, state: Any) -> tuple[str | None, str]:
        """Returns the request id and the tenant of a state's run; (None, "") if this runner has not interrupted the run."""
        for item in state.get_interruptions():
            known = self._requests.get(str(item.call_id))
            if known is not None:
                return known
        return None, ""

    async def _prepare(self, begun: _Started, state: Any, decider: StateDecider) -> Any:
        """Returns a state that can be continued. After an error it detaches from the run, which can be tried again."""
        try:
            with enter_place(begun.invocation):
                return await prepare_state(self._engine, begun.invocation, begun.agent, state, decider)
        except BaseException:
            await _let_go(begun.run)
            raise

    # ---- ending

    def _remember(self, begun: _Started, interruptions: Sequence[Any]) -> None:
        """Notes to which run the waiting calls belong. A run without a request id is found by its session."""
        for item in interruptions if begun.request_id else ():
            self._requests[str(item.call_id)] = begun.request_id, begun.tenant
        while len(self._requests) > MAX_REMEMBERED:
            self._requests.popitem(last=False)

    async def _finish(self, begun: _Started, result: RunResult | RunResultStreaming) -> None:
        run = begun.run
        with run.translate_errors():
            await run.give_back()
            if result.interruptions or _was_cancelled(result):
                self._remember(begun, result.interruptions)
                await run.session.detach()
                return
            answer = write_answer(result.final_output)
            for frame in reversed(begun.invocation.frames):
                await run.session.close_frame(frame, answer)
            setattr(result, _OUTCOME, await run.session.end(answer))


def _find_session(session: Any) -> str | None:
    """Returns the id of an SDK session; None if there is no session, or its server gives the id at the first request."""
    try:
        return None if session is None else str(session.session_id)
    except ValueError:
        return None


def _was_cancelled(result: RunResult | RunResultStreaming) -> bool:
    """Returns whether `RunResultStreaming.cancel` has ended the SDK's loop before there was an answer."""
    return result.final_output is None and getattr(result, "_cancel_mode", "none") != "none"


@contextlib.asynccontextmanager
async def _end_by_error(begun: _Started) -> AsyncGenerator[None]:
    """Ends a run by the error that leaves the block: a guardrail's stops it, another one fails it. After an error of the gate,
    or a cancellation, it only detaches from the run.
    """
    session = begun.run.session
    try:
        yield
    except (AgentsHalted, AgentsHeld):
        await _let_go(begun.run)
        raise
    except _TRIPWIRES as error:
        await _give_back(begun.run)
        with contextlib.suppress(Refused, Broken, Misused):  # the SDK's own error says more
            await session.end(stopped_by=_describe_tripwire(error))
        raise
    except Exception as error:
        await _give_back(begun.run)
        if begun.run.stop is not None:
            await _let_go(begun.run)
            raise begun.run.stop from error
        with contextlib.suppress(Refused, Broken, Misused):  # as above
            await session.fail(describe_error(error))
        raise
    except BaseException:
        await _let_go(begun.run)
        raise
    finally:
        if begun.provider is not None:
            await begun.provider.aclose()


async def _give_back(run: GatedRun) -> None:
    with contextlib.suppress(Refused, Broken, Misused):
        await run.give_back()


async def _let_go(run: GatedRun) -> None:
    await _give_back(run)
    with contextlib.suppress(Refused, Broken, Misused):  # then the engine is closed, or the run has ended
        await run.session.detach()


def _describe_tripwire(error: Any) -> StoppedBy:
    found = getattr(error, "guardrail_result", None) or error
    guardrail = getattr(found, "guardrail", None)
    name = guardrail.get_name() if guardrail is not None else type(error).__name__
    return StoppedBy(guard=name, reason=describe_error(error))


def _read_request(given: Any) -> str:
    """Returns the newest text of the user."""
    if isinstance(given, RunState):
        return "(goes on)"
    items = ItemHelpers.input_to_new_input_list(given)
    texts = list(_list_texts(items))
    return texts[-1] if texts else ""


def _list_texts(items: Sequence[Any]) -> Iterator[str]:
    for item in items:
        message: Any = item
        if not isinstance(message, Mapping) or cast("Any", message).get("role") != "user":
            continue
        content = cast("Any", message).get("content")
        parts: list[Any] = [{"text": content}] if isinstance(content, str) else list(content or [])
        yield "".join(str(part.get("text") or "") for part in parts)
