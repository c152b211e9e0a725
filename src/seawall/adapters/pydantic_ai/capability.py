"""`SeawallCapability`: takes the models and tools of an agent through the gate."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Self

from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.models import Model
from pydantic_ai.output import OutputContext
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import AbstractToolset

from seawall.adapters.pydantic_ai.identity import LOOP, IdentitySource, Reads, may_begin_anew
from seawall.adapters.pydantic_ai.models import gate_model
from seawall.adapters.pydantic_ai.run import (
    PASSES,
    GatedAgentRun,
    current_place,
    has_ended,
    make_inner_id,
)
from seawall.adapters.pydantic_ai.toolset import GatedToolset
from seawall.core.errors import Misused
from seawall.core.limits import Limits
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.tools import Effects


class SeawallCapability(AbstractCapability[Any]):
    """Takes an agent's models and tools through the gate of an `Engine`.

    It stands next to the model and the tools, wherever it is in the list: each call that other capabilities retry or change
    passes it.

    - `effects`, `reads` and `polls` are those of this agent's tools, as in `Engine.begin`; `limits` those of each request.
    - `request_id`, `session`, `tenant` and `principal` say whose request a run answers: a text, or a function that reads it
      from the run's context (`lambda ctx: ctx.deps.ticket`). By default they come from the run's `metadata`
      (`seawall_request_id` and so on); the session is the conversation, and the request id is made from the conversation,
      the message before the prompt and the prompt.
    - `waits`: a call that a person must decide on is waited for. By default it is deferred (`DeferredToolRequests`).
    - `not_done`: errors of tools which say that nothing has happened. Any other error of an effect leaves open whether it has;
      so do `ModelRetry` and `ToolFailed`.

    A capability that is given to a run takes the place of the agent's own.
    """

    id: str | None = "seawall"

    def __init__(
        self,
        engine: Engine,
        *,
        effects: Effects | None = None,
        reads: Sequence[str] = (),
        polls: Sequence[str] = (),
        limits: Limits | None = None,
        name: str = "",
        request_id: Reads = None,
        session: Reads = None,
        tenant: Reads = None,
        principal: Reads = None,
        waits: bool = False,
        not_done: tuple[type[BaseException], ...] = (),
    ) -> None:
        self._engine, self._effects = engine, effects
        self._reads, self._polls = tuple(reads), tuple(polls)
        self._limits, self._name, self._waits, self._not_done = limits, name, waits, not_done
        self._source = IdentitySource(request_id, session, tenant, principal)
        self._declared = engine.tools.find_own(effects, reads, polls)
        self._tools = self._declared or engine.tools
        self.run: GatedAgentRun | None = None

    def __repr__(self) -> str:
        return f"<SeawallCapability of {self._engine!r}>"

    @classmethod
    def get_serialization_name(cls) -> str | None:
        """Returns None, because an engine can't be written to a file."""
        return None

    @classmethod
    def combine(cls, capabilities: Sequence[AbstractCapability[Any]]) -> AbstractCapability[Any]:
        """Returns the last capability, because an agent has one gate."""
        return capabilities[-1]

    def get_ordering(self) -> CapabilityOrdering:
        """Returns the place next to the model and the tools."""
        return CapabilityOrdering(position="innermost")

    # ---- one run

    async def for_run(self, ctx: RunContext[Any]) -> Self:
        """Returns the capability for one run. It has a new session or, if the run is inside of another run, a frame in that
        one's session.
        """
        mine = copy.copy(self)
        identity = self._source.read(ctx)
        agent = (None if ctx.agent is None else ctx.agent.name) or self._name or "agent"
        above = current_place.get()
        if above is not None and above.engine is self._engine:
            call_id = make_inner_id(above, agent, identity.request)
            handoff = above.session.handoff(
                above.agent,
                agent,
                identity.request,
                call_id=call_id,
                frame=above.frame,
                declared=self._declared,
            )
            mine.run = GatedAgentRun(self._engine, above.session, agent, identity, self._not_done, handoff)
            return mine
        if may_begin_anew(ctx) and await self._engine.call_async(partial(has_ended, identity=identity)):
            identity = self._source.read(ctx, anew=True)
        session = self._engine.begin(
            identity.request,
            loop=LOOP,
            name=self._name or agent,
            agent=agent,
            session=identity.session,
            tenant=identity.tenant,
            principal=identity.principal,
            request_id=identity.request_id,
            limits=self._limits,
            effects=self._effects,
            reads=self._reads,
            polls=self._polls,
            waits=self._waits,
            answers=True,
            not_done=self._not_done,
            passes=PASSES,
        )
        mine.run = GatedAgentRun(self._engine, session, agent, identity, self._not_done)
        return mine

    async def wrap_run(
        self, ctx: RunContext[Any], *, handler: Callable[[], Awaitable[AgentRunResult[Any]]]
    ) -> AgentRunResult[Any]:
        """Ends the session's run with the agent's output, or with the error of the agent's run."""
        run = self._find_run()
        try:
            await run.begin()
            result = await handler()
            run.raise_if_over()
        except BaseException as error:
            await run.fail(error)
            raise
        await run.finish(result.output)
        return result

    async def on_run_error(self, ctx: RunContext[Any], *, error: BaseException) -> AgentRunResult[Any]:
        """Raises the error that the gate has ended the run with, if there is one, and otherwise `error`."""
        self._find_run().raise_if_over(error)
        raise error

    def _find_run(self) -> GatedAgentRun:
        if self.run is None:
            raise Misused(
                "SeawallCapability gates the models and tools of an agent's run, and no run has begun"
            )
        return self.run

    # ---- wrappers around models, tools and output functions

    def get_wrapper_model(self, model: Model) -> Model:
        """Takes each attempt at a model through the gate."""
        return gate_model(model, self._find_run())

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any]:
        """Takes each call of a tool through the gate."""
        return GatedToolset(toolset, self._find_run())

    async def wrap_output_process(
        self,
        ctx: RunContext[Any],
        *,
        output_context: OutputContext,
        output: Any,
        handler: Callable[[Any], Awaitable[Any]],
    ) -> Any:
        """Takes an output function through the gate if it is declared. Another one is called without a step of its own."""
        name = output_context.function_name
        if not output_context.has_function or name is None:
            return await handler(output)
        if self._tools.find_kind(name) == "undeclared":
            self._engine.note_not_gated(f"output function {name!r}: it is not among the effects or the reads")
            return await handler(output)
        if ctx.partial_output:
            raise ModelRetry(f"output function {name!r} is called only after the output is complete")
        return await self._find_run().call_output(output_context, output, handler)
