"""Continues a `RunState` with the decisions that people have made meanwhile: in the state, or by `seawall approve`."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from agents.run_context import RunContextWrapper
from agents.run_state import RunState

from seawall.adapters.openai_agents.client_tools import restore_asked
from seawall.adapters.openai_agents.gating import get_original_tool, needs_own_approval
from seawall.adapters.openai_agents.place import RunnerInvocation
from seawall.adapters.openai_agents.replies import list_calls, read_arguments, read_call
from seawall.core.errors import Misused
from seawall.runtime.foreign.asks import Held, Settled
from seawall.runtime.foreign.engine import Engine

T = TypeVar("T")


class StateDecider(NamedTuple):
    """The person who has made the decisions in a `RunState`."""

    by: str = ""
    credential: object = None


async def restore_state(agent: Any, state: Any) -> Any:
    """Returns the state with the gated agents in it: it may have been loaded with the user's own agents."""
    context = state._context  # noqa: SLF001 -- the SDK offers no other way to it
    kept = context if type(context) is RunContextWrapper else getattr(context, "context", None)
    data = state.to_json(context_serializer=_drop_context, include_tracing_api_key=True)
    _drop_mappings(data)
    return await RunState.from_json(agent, data, context_override=kept)


def _drop_context(context: Any) -> dict[str, Any]:
    return {}  # the context object is passed on as it is, not serialized


def _drop_mappings(data: dict[str, Any]) -> None:
    """As `_drop_context`, for mappings: the SDK takes them as they are, with values that are no JSON. So do nested states."""
    if data["context"]["context"] is not None:
        data["context"]["context"] = {}
    response: dict[str, Any] = data["last_processed_response"] or {}
    for call in response.get("functions", []):
        if "agent_run_state" in call:
            _drop_mappings(call["agent_run_state"])


async def find_place(invocation: RunnerInvocation, state: Any) -> None:
    """Sets the invocation's agent and frame to those at work in the state, by the hand-offs that were made before."""
    invocation.agent = state._current_agent.name  # noqa: SLF001 -- the SDK offers no other way to it
    responses = state._model_responses  # noqa: SLF001 -- the SDK offers no other way to it
    newest: list[Any] = responses[-1].output if responses else []
    invocation.calls = list_calls(responses[-1]) if responses else ()
    for item in newest:
        call_id = getattr(item, "call_id", None)
        path: tuple[int, ...] = () if not call_id else await invocation.run.session.find_frames(str(call_id))
        if invocation.root in path:
            below = list(path[path.index(invocation.root) + 1 :])
            if len(below) > len(invocation.frames):
                invocation.frames, invocation.frame = below, below[-1]


async def prepare_state(
    engine: Engine, invocation: RunnerInvocation, agent: Any, state: Any, decider: StateDecider
) -> Any:
    """Returns a state that can be continued, with the decisions of both sides.

    For calls that the gate holds, a decision in the state is also recorded in Seawall, and a decision in Seawall is also
    written into the state. Raises `Misused` for a decision without a person's name or credential, and the errors of
    `Seawall.decide`.
    """
    run = invocation.run
    with run.translate_errors():
        restored = await restore_state(agent, state)
        await find_place(invocation, restored)
    for item in restored.get_interruptions():
        if run.gate.tools.find_kind(str(item.tool_name)) == "effect":
            await _settle_item(engine, invocation, restored, item, decider)
    return restored


async def _settle_item(
    engine: Engine, invocation: RunnerInvocation, state: Any, item: Any, decider: StateDecider
) -> None:
    run, name, call_id = invocation.run, str(item.tool_name), str(item.call_id)
    call = read_call(item.raw_item)
    arguments = read_arguments(str(item.arguments or "") if call is None else call[2])
    decided = _find_decision(state, item)
    if decided is None and await _is_own(state, item, arguments, call_id):
        return
    path = await run.session.find_frames(call_id)
    frame = path[-1] if path else invocation.frame
    held = await _ask(invocation, item, arguments, frame)
    if held is not None and decided is not None:
        if not decider.by and decider.credential is None:
            raise Misused(
                f"the RunState decides on {name!r}, which the gate holds, without saying who decides: pass decided_by or "
                "credential"
            )
        deciding = held
        await engine.call_async(
            lambda sea: sea.decide(
                deciding.run,
                deciding.step,
                approve=decided,
                by=decider.by,
                credential=decider.credential,
                reason="decided in the RunState",
            )
        )
    elif held is None and decided is None:
        _tell_state(invocation, state, item, frame)


async def _ask(invocation: RunnerInvocation, item: Any, arguments: dict[str, Any], frame: int) -> Held | None:
    run = invocation.run
    with run.translate_errors():
        return await run.is_held(item.agent.name, str(item.tool_name), arguments, str(item.call_id), frame)


def _tell_state(invocation: RunnerInvocation, state: Any, item: Any, frame: int) -> None:
    """Writes into the state what was decided in Seawall."""
    asking = invocation.run.find(frame, str(item.call_id))
    if isinstance(asking, Settled) and asking.status not in ("ok", "replaced", "simulated"):
        state.reject(item, rejection_message=asking.told)
    else:
        state.approve(item)


def _find_decision(state: Any, item: Any) -> bool | None:
    """Returns the state's decision on a call; None if there is none. For a nested agent's call, the nested state is read."""
    nested = state._find_nested_approval_state(item)  # noqa: SLF001 -- the SDK offers no other way to it
    owner, known = nested or (state, item)
    context = owner._context  # noqa: SLF001 -- the SDK offers no other way to it
    if context is None:
        return None
    return context.get_approval_status(
        str(known.tool_name),
        str(known.call_id),
        tool_namespace=known.tool_namespace,
        existing_pending=known,
    )


async def _is_own(state: Any, item: Any, arguments: dict[str, Any], call_id: str) -> bool:
    """Returns whether the user's own approval policy asks the person, not the gate."""
    context = state._context  # noqa: SLF001 -- the SDK offers no other way to it
    own = _find_tool(item.agent.tools, item)
    if own is None:  # it may be a tool of an MCP server
        own = _find_tool(await item.agent.get_all_tools(context), item)
    if own is None:
        return True
    return await needs_own_approval(own, context, restore_asked(own, arguments), call_id)


def _find_tool(tools: Sequence[Any], item: Any) -> Any:
    """Returns the user's own tool that an interruption is about."""
    found = (get_original_tool(tool) for tool in tools if tool.name == item.tool_name)
    return next((tool for tool in found if tool is not None), None)


def wait_for_thread(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end in another thread, for a caller that can't await, with or without a running event loop."""
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(context.run, asyncio.run, work).result()
