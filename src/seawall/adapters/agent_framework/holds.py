"""Calls that a person must decide on: the framework asks with a request for approval, and the gate is told the answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from agent_framework import Content, FunctionInvocationContext, Message

from seawall.adapters.agent_framework.identity import RequestIdentity, find_answers
from seawall.adapters.agent_framework.run import AgentFrame
from seawall.adapters.agent_framework.tools import find_tool
from seawall.core.errors import Misused, Refused
from seawall.core.events import StepIntended
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.results import to_json_value
from seawall.runtime.seawall import Seawall


def make_approval_request(context: FunctionInvocationContext, held: Held, problem: str) -> Content:
    """Returns the framework's question for a call that is held. `problem` says why an approval did not count."""
    call_id = str(context.metadata["call_id"])
    occurrence = str(context.metadata.get("function_call_occurrence_id") or call_id)
    call = Content.from_function_call(
        call_id,
        find_tool(context).name,
        arguments=json.dumps(to_json_value(context.arguments), ensure_ascii=False),
        id=occurrence,
    )
    return Content.from_function_approval_request(
        occurrence, call, additional_properties=held.describe(problem)
    )


def is_approved(context: FunctionInvocationContext) -> bool:
    """Returns whether a person has approved this call in the framework."""
    answer = context.metadata.get("approval_response")
    return isinstance(answer, Content) and answer.approved is True


def find_problem(context: FunctionInvocationContext) -> str:
    """Returns why an earlier answer did not count, as the question that was answered has said; "" if there was none."""
    answer = context.metadata.get("approval_response")
    return str(answer.additional_properties.get("problem") or "") if isinstance(answer, Content) else ""


async def approve(frame: AgentFrame, held: Held) -> str:
    """Approves a held call in the name of the person who approved it in the framework. An earlier decision stands.

    Returns why the approval does not count; "" if the call is decided.
    """
    try:
        await frame.engine.call_async(partial(_approve, held=held, identity=frame.identity))
    except (Refused, Misused) as error:
        return str(error)
    return ""


async def reject_denied(frame: AgentFrame, messages: Sequence[Message]) -> None:
    """Rejects the open proposals of the calls that a person has denied in the framework.

    A proposal that this person may not reject stays open; the framework does not make the call in either case.
    """
    denied = _find_denied(messages)
    for call_id in denied:
        await frame.session.find_frames(call_id)
    run = frame.session.run
    if denied and run is not None:
        with contextlib.suppress(Refused, Misused):
            await frame.engine.call_async(partial(_reject, run=run, denied=denied, identity=frame.identity))


def _find_denied(messages: Sequence[Message]) -> dict[str, str]:
    """Returns the calls that a person has denied: the person's reason by the id of the call."""
    return {
        call_id: str(answer.additional_properties.get("reason") or "")
        for call_id, answer in find_answers(messages).items()
        if answer.type == "function_approval_response" and answer.approved is not True
    }


def _name_decider(identity: RequestIdentity) -> dict[str, Any]:
    if identity.credential is not None:
        return {"by": "", "credential": identity.credential}
    return {"by": identity.by, "credential": None}


async def _approve(sea: Seawall, held: Held, identity: RequestIdentity) -> None:
    if any(each.id == held.proposal for each in await sea.approvals(run=held.run)):
        who = _name_decider(identity)
        await sea.decide(held.run, held.step, approve=True, reason=identity.reason, **who)


async def _reject(sea: Seawall, run: str, denied: Mapping[str, str], identity: RequestIdentity) -> None:
    waiting = {each.id for each in await sea.approvals(run=run)}
    if not waiting:
        return
    who = _name_decider(identity)
    for event in await sea.journal.events(run):
        if not isinstance(event, StepIntended) or event.proposal not in waiting or event.call is None:
            continue
        call_id = event.call.partition("/")[2].partition("~")[0]
        if call_id in denied:
            reason = denied[call_id] or identity.reason
            await sea.decide(run, event.step, approve=False, reason=reason, **who)
