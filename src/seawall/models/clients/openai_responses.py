"""OpenAI's responses protocol."""

from __future__ import annotations

import httpx2
from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider

from seawall.models.clients.http import TIMEOUT


def build(name: str, api_key: str, base_url: str | None, http: httpx2.AsyncClient) -> OpenAIResponsesModel:
    """The model class over a client without retries."""
    client = AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0, http_client=http, timeout=TIMEOUT)
    exact = OpenAIModelProfile(json_schema_transformer=None)  # a tool's schema goes out as it was given
    return OpenAIResponsesModel(name, provider=OpenAIProvider(openai_client=client), profile=exact)
