"""Whose request a run of an agent answers: its request id, its conversation, its tenant and its principal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.tools import RunContext

from seawall.adapters.pydantic_ai.messages import find_answered
from seawall.core.canonical import digest_of
from seawall.runtime.foreign.results import to_json_value, write_text

LOOP = "pydantic-ai"

Reads = str | Callable[[RunContext[Any]], str | None] | None
"""A value for every run, or a function that reads it from the run's context, for example from its `deps`."""


class Identity(NamedTuple):
    """Whose request a run answers."""

    request: str
    """The text that the person has written."""
    request_id: str | None
    session: str | None
    tenant: str
    principal: str


class IdentitySource(NamedTuple):
    """Where the identity of a run comes from. A field that is None is read from the run's `metadata`."""

    request_id: Reads = None
    session: Reads = None
    tenant: Reads = None
    principal: Reads = None

    def read(self, ctx: RunContext[Any], *, anew: bool = False) -> Identity:
        """Returns the identity of a run. By default the session is the run's conversation. `anew`: see `make_request_id`."""
        return Identity(
            request=_read_request(ctx, anew=anew),
            request_id=_read(self.request_id, ctx, "seawall_request_id") or make_request_id(ctx, anew=anew),
            session=_read(self.session, ctx, "seawall_session") or ctx.conversation_id,
            tenant=_read(self.tenant, ctx, "seawall_tenant") or "",
            principal=_read(self.principal, ctx, "seawall_principal") or "",
        )


def _read(reads: Reads, ctx: RunContext[Any], key: str) -> str | None:
    given = reads(ctx) if callable(reads) else reads
    if given is None:
        given = (ctx.metadata or {}).get(key)
    return None if given is None else str(given)


def make_request_id(ctx: RunContext[Any], *, anew: bool = False) -> str:
    """Returns a request id made from the conversation, the message before the prompt, and the prompt.

    A run that continues a message history, because calls in it were deferred or cut off, has the request id of the earlier
    run, unless it begins `anew` with its own prompt. If the caller gives no conversation id, each run has a new conversation
    id and so a new request id.
    """
    prompt, before = _find_prompt(ctx, anew=anew)
    anchor = None if before is None else [before.run_id, str(before.timestamp)]
    return digest_of([LOOP, ctx.conversation_id, anchor, to_json_value(prompt)])


def may_begin_anew(ctx: RunContext[Any]) -> bool:
    """Returns whether a run has a prompt of its own after a history that an error or a cancellation has cut off: the framework
    makes none of the calls there any more.
    """
    return bool(ctx.prompt is not None and ctx.messages and ctx.messages[-1].state == "interrupted")


def _find_prompt(ctx: RunContext[Any], *, anew: bool) -> tuple[Any, ModelMessage | None]:
    """Returns the prompt that a run answers, and the message before it."""
    messages = ctx.messages
    if ctx.prompt is not None and (anew or not _is_unfinished(messages)):
        return ctx.prompt, messages[-1] if messages else None
    for index in range(len(messages) - 1, -1, -1):
        if (prompts := _read_prompts(messages, index)) is not None:
            return prompts[-1], messages[index - 1] if index else None
    return ctx.prompt, messages[-1] if messages else None


def _read_prompts(messages: Sequence[ModelMessage], index: int) -> list[Any] | None:
    """Returns the prompts of a message with which a request begins; None if none begins there.

    A tool's content beside its result, the advice of guards, and what is said to a run under way are prompts, too, for the
    framework. They stand beside results, or further on in the run.
    """
    message = messages[index]
    if not isinstance(message, ModelRequest):
        return None
    if index and message.run_id is not None and message.run_id == messages[index - 1].run_id:
        return None
    if any(isinstance(part, ToolReturnPart) for part in message.parts):
        return None
    return [part.content for part in message.parts if isinstance(part, UserPromptPart)] or None


def _is_unfinished(messages: Sequence[ModelMessage]) -> bool:
    """Returns whether a history ends with calls that have no result: then a run continues it."""
    newest = next((each for each in reversed(messages) if isinstance(each, ModelResponse)), None)
    if newest is None:
        return False
    return not {call.tool_call_id for call in newest.tool_calls} <= find_answered(messages)


def _read_request(ctx: RunContext[Any], *, anew: bool) -> str:
    prompt, _ = _find_prompt(ctx, anew=anew)
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    return "\n".join(write_text(each) for each in prompt)
