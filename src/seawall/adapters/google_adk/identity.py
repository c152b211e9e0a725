"""Whose request an invocation answers: its request id, its conversation, its tenant and its principal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from google.adk.agents.invocation_context import InvocationContext

from seawall.adapters.google_adk.messages import read_content
from seawall.core.canonical import digest_of

LOOP = "google-adk"
DECISIONS = ("adk_request_confirmation", "adk_request_credential", "adk_request_input")
"""Names of the calls by which ADK asks a person. The invocation continues with the person's answer."""

Reads = str | Callable[[InvocationContext], str | None] | None
"""A value for every invocation, or a function that reads it from the invocation's context."""


class AdkIdentity(NamedTuple):
    """Whose request an invocation answers."""

    request: str
    """The text that the person has written."""
    request_id: str
    session: str
    tenant: str
    principal: str


class AdkIdentitySource(NamedTuple):
    """Where the identity of an invocation comes from. A field that is None is read from the metadata of its `RunConfig`."""

    request_id: Reads = None
    session: Reads = None
    tenant: Reads = None
    principal: Reads = None

    def read(self, context: InvocationContext) -> AdkIdentity:
        """Returns the identity of an invocation. Values that are not given come from ADK's session."""
        return AdkIdentity(
            request=read_content(context.user_content),
            request_id=_read(self.request_id, context, "seawall_request_id") or make_request_id(context),
            session=_read(self.session, context, "seawall_session")
            or f"{context.app_name}/{context.session.id}",
            tenant=_read(self.tenant, context, "seawall_tenant") or context.user_id,
            principal=_read(self.principal, context, "seawall_principal") or context.user_id,
        )


def _read(reads: Reads, context: InvocationContext, key: str) -> str | None:
    given = reads(context) if callable(reads) else reads
    if given is None:
        config = context.run_config
        given = None if config is None else (config.custom_metadata or {}).get(key)
    return None if given is None else str(given)


def make_request_id(context: InvocationContext) -> str:
    """Returns a request id made from ADK's session and the invocation.

    An invocation that ADK resumes has the same id. The late result of a long-running tool arrives after its invocation has
    ended, and is a new request.
    """
    session = context.session
    parts: list[Any] = [LOOP, context.app_name, context.user_id, session.id, context.invocation_id]
    if late := _find_late_results(context):
        parts.append(late)
    return digest_of(parts)


def _find_late_results(context: InvocationContext) -> list[Any]:
    """Returns the ids of the newest user message and of the calls whose late results it brings; [] if it brings none, or a
    person's decision.
    """
    newest = next((each for each in reversed(context.session.events) if each.author == "user"), None)
    if newest is None or newest.invocation_id != context.invocation_id:
        return []
    brought = newest.get_function_responses()
    if not brought or any(each.name in DECISIONS for each in brought):
        return []
    return [newest.id, *sorted(str(each.id) for each in brought)]
