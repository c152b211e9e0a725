"""`SeawallPlugin`: takes the models and tools of an application through the gate."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.callback_context import CallbackContext
from google.adk.agents.invocation_context import InvocationContext
from google.adk.agents.llm_agent import LlmAgent
from google.adk.events.event import Event
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.tools.agent_tool import AgentTool
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext

from seawall.adapters.google_adk.gating import Invocations, check_call, expect_call, gate_tool
from seawall.adapters.google_adk.identity import LOOP, AdkIdentity, AdkIdentitySource, Reads
from seawall.adapters.google_adk.invocation import PASSES, GatedInvocation
from seawall.adapters.google_adk.places import AdkPlace, GatedSession, current_tool
from seawall.core.errors import Misused
from seawall.core.limits import Limits
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.tools import Effects

_WORKFLOWS = ("SequentialAgent", "ParallelAgent", "LoopAgent")
"""Classes of ADK whose agents only call other agents. ADK has deprecated them, so they are not imported."""


class SeawallPlugin(BasePlugin):
    """Takes an application's models and tools through the gate of an `Engine`.

    Wherever the plugin stands in the list, the gate judges each call as it is really made: after other plugins and the agents'
    callbacks have changed it.

    - `effects`, `reads` and `polls` are those of this application's tools, as in `Engine.begin`; `limits` those of each request.
    - `request_id`, `session`, `tenant` and `principal` say whose request an invocation answers: a text, or a function that
      reads it from the invocation's context (`lambda context: context.session.state["ticket"]`). By default they come from
      the `custom_metadata` of the `RunConfig` (`seawall_request_id` and so on), and then from ADK: the session is ADK's, the
      tenant and the principal are its user, and the request is the invocation. So **a new invocation is a new run**, also
      after a crash: resume the invocation, or give a request id.
    - `credential` returns the credential of the person who has confirmed a call, for the engine's `authenticate`. By default
      the credential is in the answer's payload, which ADK keeps in its session.
    - `waits`: a call that a person must decide on is waited for. By default ADK asks for a confirmation.
    - `not_done`: errors of tools which say that nothing has happened. Any other error of an effect leaves open whether it has.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        effects: Effects | None = None,
        reads: Sequence[str] = (),
        polls: Sequence[str] = (),
        limits: Limits | None = None,
        request_id: Reads = None,
        session: Reads = None,
        tenant: Reads = None,
        principal: Reads = None,
        credential: Callable[[ToolContext], object] | None = None,
        waits: bool = False,
        not_done: tuple[type[BaseException], ...] = (),
        name: str = "seawall",
    ) -> None:
        """`name` is the plugin's name, which ADK wants to be unique."""
        super().__init__(name)
        self._engine, self._effects = engine, effects
        self._reads, self._polls = tuple(reads), tuple(polls)
        self._limits, self._waits, self._not_done = limits, waits, not_done
        self._credential = credential
        self._source = AdkIdentitySource(request_id, session, tenant, principal)
        self.invocations = Invocations()
        """The invocations that are in progress."""

    def __repr__(self) -> str:
        return f"<SeawallPlugin of {self._engine!r}>"

    # ---- beginning and ending

    async def before_run_callback(self, *, invocation_context: InvocationContext) -> None:
        """Begins a session for an invocation or, inside of another invocation, a frame in that one's session.

        Raises `Misused` if the runner has another `SeawallPlugin`: each would see a part of the calls.
        """
        plugins = [
            each for each in invocation_context.plugin_manager.plugins if isinstance(each, SeawallPlugin)
        ]
        if len(plugins) > 1:
            names = ", ".join(repr(each.name) for each in plugins)
            raise Misused(f"this runner has {len(plugins)} SeawallPlugins ({names}): leave one of them")
        if invocation_context.live_request_queue is not None:
            self._engine.note_not_gated(f"live mode of application {invocation_context.app_name!r}")
            return
        if invocation_context.events_compaction_config is not None:
            self._engine.note_not_gated("the model that summarizes a session's events")
        agent = invocation_context.agent
        identity = self._source.read(invocation_context)
        name = invocation_context.app_name if agent is None else agent.name
        tool = current_tool.get()
        if tool is not None and tool.gated.engine is self._engine:
            place = AdkPlace(name, await tool.open(name, identity.request))
            invocation = GatedInvocation(tool.gated, identity, place, nested=True)
        else:
            gated = self._begin(identity, invocation_context.app_name, name)
            place = AdkPlace(name, 0)
            invocation = GatedInvocation(
                gated, identity, place, nested=False, read_credential=self._credential
            )
        self.invocations.add(invocation_context.invocation_id, invocation)
        forget = self.invocations.forget
        weakref.finalize(invocation_context, forget, invocation_context.invocation_id, invocation)

    def _begin(self, identity: AdkIdentity, application: str, agent: str) -> GatedSession:
        session = self._engine.begin(
            identity.request,
            loop=LOOP,
            name=application,
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
        return GatedSession(self._engine, session)

    async def on_event_callback(self, *, invocation_context: InvocationContext, event: Event) -> Event | None:
        """Notes an event that ADK shows to the application.

        The event of an error that the gate has raised is marked as a fragment, so that the application sees it and ADK does
        not store it: ADK does not resume an invocation whose session ends with an error.
        """
        invocation = self.invocations.find(invocation_context.invocation_id)
        if invocation is None:
            return None
        invocation.note_event(event)
        if invocation.gated.failure is None or not event.error_code or event.content is not None:
            return None
        return event.model_copy(update={"partial": True})

    async def after_run_callback(self, *, invocation_context: InvocationContext) -> None:
        """Ends the session's run with the invocation's answer. Raises the error that has ended the run before, if any."""
        invocation = self.invocations.take(invocation_context.invocation_id)
        if invocation is not None:
            await invocation.finish(invocation_context)

    async def on_run_error_callback(self, *, invocation_context: InvocationContext, error: Exception) -> None:
        """Ends the session's run with the error of the invocation."""
        invocation = self.invocations.take(invocation_context.invocation_id)
        if invocation is not None:
            await invocation.fail(error)

    # ---- agents

    async def before_agent_callback(self, *, agent: BaseAgent, callback_context: CallbackContext) -> None:
        """Finds the frame of an agent that begins to work."""
        context = callback_context.get_invocation_context()
        invocation = self._find(context)
        if invocation is None:
            return
        is_workflow = type(agent).__name__ in _WORKFLOWS and type(agent).__module__.startswith("google.adk.")
        if not isinstance(agent, LlmAgent) and not is_workflow:
            self._engine.note_not_gated(
                f"what agent {agent.name!r} ({type(agent).__name__}) does by itself: it has code of its own"
            )
        elif isinstance(agent, LlmAgent) and agent.code_executor is not None:
            self._engine.note_not_gated(f"code that agent {agent.name!r} executes")
        await invocation.frames.enter(agent, context)

    async def after_agent_callback(self, *, agent: BaseAgent, callback_context: CallbackContext) -> None:
        """Detaches from the run if the invocation is being cancelled: ADK calls no other hook then."""
        task = asyncio.current_task()
        context = callback_context.get_invocation_context()
        if task is not None and task.cancelling() and agent.parent_agent is None:
            invocation = self.invocations.find(context.invocation_id)
            if invocation is not None:
                await invocation.fail(asyncio.CancelledError())

    # ---- calls

    async def before_model_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest
    ) -> None:
        """Puts the gate around the model that is about to be called."""
        context = callback_context.get_invocation_context()
        invocation = self._find(context)
        if invocation is None:
            return
        invocation.gated.insist_if_over()
        if context.run_config is not None and context.run_config.support_cfc:
            raise Misused("compositional function calling runs a model in live mode, which can't be gated")
        # an earlier plugin may call one before this one hears of it
        for tool in llm_request.tools_dict.values():
            gate_tool(tool)
        await expect_call(invocation, context, llm_request, invocation.frames.find(context))

    async def after_model_callback(
        self, *, callback_context: CallbackContext, llm_response: LlmResponse
    ) -> None:
        """Raises `Misused`, which ends the invocation, if its model was called past the gate."""
        invocation = self.invocations.find(callback_context.invocation_id)
        if invocation is not None:
            check_call(invocation)

    async def before_tool_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext
    ) -> None:
        """Puts the gate around the tool that is about to be called."""
        invocation = self._find(tool_context.get_invocation_context())
        if invocation is None:
            return
        invocation.gated.insist_if_over()
        if isinstance(tool, AgentTool) and not tool.include_plugins:
            self._engine.note_not_gated(f"agent {tool.name!r}: its tool has include_plugins=False")
        gate_tool(tool)

    def _find(self, context: InvocationContext) -> GatedInvocation | None:
        """Returns an invocation; None if it runs in live mode. Raises `Misused` for one that began without the plugin."""
        invocation = self.invocations.find(context.invocation_id)
        if invocation is None and context.live_request_queue is None:
            raise Misused(
                "SeawallPlugin was not told when this invocation began, so nothing of it is performed"
            )
        return invocation
