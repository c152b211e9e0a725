"""Whose request a run of an agent answers: its request id, its conversation, its tenant and its principal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, cast

from agent_framework import AgentContext, AgentSession, Content, HistoryProvider, Message

from seawall.adapters.agent_framework.messages import describe_message
from seawall.core.canonical import digest_of

LOOP = "agent-framework"
PREFIX = "seawall_"
"""Prefix of the keys in `function_invocation_kwargs` and `session.state` that say whose request a run answers."""
_TOLD = "seawall_told"
"""Key of what the caller has told the gate, in the metadata of the agent's context."""
_OPEN = "seawall_open"
"""Key in the state of a session, which the framework saves with the session. The value is the request that has not ended and
a digest of what was asked; or, for an agent inside of a request that waits for a person, its run and its frame.
"""

Reads = str | Callable[[AgentContext], str | None] | None
"""A value for every run, or a function that reads it from the run's context, for example from its `session`."""


class RequestIdentity(NamedTuple):
    """Whose request a run answers."""

    request: str
    """The text that the person has written."""
    request_id: str | None
    """None: the id is made from the conversation once the conversation is loaded, or there is no conversation."""
    session: str | None
    tenant: str
    principal: str
    by: str = ""
    """The person who answers the framework's requests for approval."""
    credential: object = None
    """Proof that the decision comes from this person; the engine's `authenticate` checks it."""
    reason: str = ""


class RequestIdentitySource(NamedTuple):
    """Where the identity of a run comes from. A field that is None is read from the arguments of the run for its tools
    (`function_invocation_kwargs`), and then from the state of its session.
    """

    request_id: Reads = None
    session: Reads = None
    tenant: Reads = None
    principal: Reads = None

    def read(self, context: AgentContext) -> RequestIdentity:
        """Returns the identity of a run, and removes Seawall's keys from the arguments for the tools.

        They are kept in the context, because middleware outside of the gate may have the agent run again.
        """
        told = context.function_invocation_kwargs
        mine: dict[str, Any] = dict(context.metadata.get(_TOLD, {}))
        mine |= {name: value for name, value in told.items() if name.startswith(PREFIX)}
        context.metadata[_TOLD] = dict(mine)
        context.function_invocation_kwargs = {name: value for name, value in told.items() if name not in mine}
        kept = {} if context.session is None else context.session.state
        for name in ("seawall_tenant", "seawall_principal"):
            if name not in mine and name in kept:
                mine[name] = kept[name]
        principal = _read(self.principal, context, mine, "seawall_principal") or ""
        conversation = None if context.session is None else context.session.session_id
        return RequestIdentity(
            request=_find_request(context.messages),
            request_id=_read(self.request_id, context, mine, "seawall_request_id"),
            session=_read(self.session, context, mine, "seawall_session") or conversation,
            tenant=_read(self.tenant, context, mine, "seawall_tenant") or "",
            principal=principal,
            by=str(mine.get("seawall_by") or principal or LOOP),
            credential=mine.get("seawall_credential"),
            reason=str(mine.get("seawall_reason") or ""),
        )


def _read(reads: Reads, context: AgentContext, told: Mapping[str, Any], key: str) -> str | None:
    given = reads(context) if callable(reads) else reads
    if given is None:
        given = told.get(key)
    return None if given is None else str(given)


def _find_request(messages: Sequence[Message]) -> str:
    """Returns the newest text of the user."""
    texts = (message.text for message in reversed(messages) if message.role == "user" and message.text)
    return next(texts, "(goes on)")


# ---- requests of a session that have not ended


def find_open_request(session: AgentSession | None, messages: Sequence[Message]) -> str | None:
    """Returns the open request of a session if `messages` answer its question or ask the same again; otherwise None."""
    kept = None if session is None else session.state.get(_OPEN)
    if not isinstance(kept, Mapping):
        return None
    known = cast("Mapping[str, str]", kept)
    goes_on = known.get("asked") == _digest_input(messages) or bool(find_answers(messages))
    return known.get("request_id") if goes_on else None


def note_open_request(
    session: AgentSession | None, request_id: str | None, messages: Sequence[Message]
) -> None:
    """Notes in the session that its request has begun."""
    if session is not None and request_id is not None and not find_answers(messages):
        session.state[_OPEN] = {"request_id": request_id, "asked": _digest_input(messages)}


def find_open_frame(session: AgentSession | None, run: str | None, messages: Sequence[Message]) -> int | None:
    """Returns the frame of an agent that waits for a person, if `messages` hold the person's answer; otherwise None."""
    kept = None if session is None else session.state.get(_OPEN)
    if not isinstance(kept, Mapping) or not find_answers(messages):
        return None
    known = cast("Mapping[str, Any]", kept)
    return known.get("frame") if known.get("run") == run else None


def note_open_frame(session: AgentSession | None, run: str | None, frame: int) -> None:
    """Notes in the session the frame of an agent that waits for a person."""
    if session is not None:
        session.state[_OPEN] = {"run": run, "frame": frame}


def forget_open_frame(session: AgentSession | None) -> None:
    """Forgets the frame of the session's agent, which has done its work. A note of the session's own request stays."""
    kept = None if session is None else session.state.get(_OPEN)
    if session is not None and isinstance(kept, Mapping) and "frame" in kept:
        del session.state[_OPEN]


def forget_open_request(session: AgentSession | None) -> None:
    """Forgets the request of the session, which has ended."""
    if session is not None:
        session.state.pop(_OPEN, None)


def find_answers(messages: Sequence[Message]) -> dict[str, Content]:
    """Returns the answers to the framework's questions, by call id: decisions, and results of calls that the caller makes.

    A question that is itself in `messages` belongs to another agent's conversation; its answer is left out.
    """
    contents = [content for message in messages for content in message.contents]
    asked = {each.call_id for each in contents if each.type == "function_call"}
    answers: dict[str, Content] = {}
    for each in contents:
        call = each.function_call if each.type == "function_approval_response" else each
        if each.type in ("function_approval_response", "function_result") and call is not None:
            answers[str(call.call_id)] = each
    return {call_id: answer for call_id, answer in answers.items() if call_id not in asked}


def _digest_input(messages: Sequence[Message]) -> str:
    return digest_of([describe_message(each) for each in messages])


def make_request_id(
    identity: RequestIdentity, messages: Sequence[Message], continues: object, providers: Collection[object]
) -> str | None:
    """Returns a request id made from the conversation and all that was said in it, up to the prompt.

    `messages` are those of the first request to the model, and `continues` is the conversation that the model's server
    keeps. `providers` are the agent's context providers: what they add to the conversation is left out, because it may
    differ from run to run. Returns None if there is no conversation: then each run is a request of its own.
    """
    if identity.session is None:
        return None
    return digest_of([LOOP, identity.session, continues, _digest_input(_list_said(messages, providers))])


def make_handoff_key(messages: Sequence[Message], providers: Collection[object]) -> str:
    """Returns a digest of what an agent inside of a request was asked and of what was said before. The same work has the same
    key.
    """
    return _digest_input(_list_said(messages, providers))[:16]


def _list_said(messages: Sequence[Message], providers: Collection[object]) -> list[Message]:
    kept = {each.source_id for each in providers if isinstance(each, HistoryProvider)}
    return [each for each in messages if _find_source(each) in (None, *kept)]


def _find_source(message: Message) -> str | None:
    """Returns the id of the provider that has added a message; None: a user or an agent has said it."""
    noted = message.additional_properties.get("_attribution")
    return cast("Mapping[str, str]", noted).get("source_id") if isinstance(noted, Mapping) else None
