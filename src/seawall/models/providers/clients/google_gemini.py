"""Google's Gemini protocol."""

from __future__ import annotations

import httpx2
from google.genai.client import Client
from google.genai.types import HttpOptions, HttpRetryOptions
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.providers.google import GoogleProvider


def build(name: str, api_key: str, base_url: str | None, http: httpx2.AsyncClient) -> GoogleModel:
    """Returns the model class over a client without retries."""
    options = HttpOptions(
        base_url=base_url, httpx_async_client=http, retry_options=HttpRetryOptions(attempts=1)
    )
    client = Client(vertexai=False, api_key=api_key, http_options=options)
    return GoogleModel(name, provider=GoogleProvider(client=client))
