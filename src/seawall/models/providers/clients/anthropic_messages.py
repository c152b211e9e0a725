"""Anthropic's messages protocol."""

from __future__ import annotations

from typing import Any, cast

import httpx2
from anthropic import AsyncAnthropic
from anthropic.resources.beta.messages import AsyncMessages
from pydantic_ai.messages import ModelResponse, ThinkingPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

from seawall.models.providers.clients.http import TIMEOUT, move_to_extra_body


class _Messages(AsyncMessages):
    async def create(self, **given: Any) -> Any:
        create = cast("Any", super().create)  # its overloads do not accept what is passed on here
        return await create(**move_to_extra_body(given, "messages", []))


class _UnsignedThoughts(AnthropicModel):
    """Sends thoughts without a signature back unchanged; the library would convert them to text.

    Compatible servers do not sign thoughts. Thoughts of another model are removed before this.
    """

    def _map_thinking_part(
        self,
        message: ModelResponse,
        part: ThinkingPart,
        assistant_content_params: Any,
        carried_thinking_params: Any,
    ) -> None:
        if part.signature:
            super()._map_thinking_part(message, part, assistant_content_params, carried_thinking_params)
        else:
            assistant_content_params.append(
                {"type": "thinking", "thinking": part.content, "signature": part.signature or ""}
            )


def build(name: str, api_key: str, base_url: str | None, http: httpx2.AsyncClient) -> AnthropicModel:
    """Returns the model class over a client without retries."""
    client = AsyncAnthropic(
        api_key=api_key, base_url=base_url, max_retries=0, http_client=http, timeout=TIMEOUT
    )
    client.beta.__dict__["messages"] = _Messages(client)  # replaces the value of its cached property
    return _UnsignedThoughts(name, provider=AnthropicProvider(anthropic_client=client))
