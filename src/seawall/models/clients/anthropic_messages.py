"""Anthropic's messages protocol."""

from __future__ import annotations

import httpx2
from anthropic import AsyncAnthropic
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

from seawall.models.clients.http import TIMEOUT


def build(name: str, api_key: str, base_url: str | None, http: httpx2.AsyncClient) -> AnthropicModel:
    """The model class over a client without retries."""
    client = AsyncAnthropic(
        api_key=api_key, base_url=base_url, max_retries=0, http_client=http, timeout=TIMEOUT
    )
    return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))
