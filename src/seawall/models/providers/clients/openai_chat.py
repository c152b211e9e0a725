"""OpenAI's chat completions protocol, which compatible servers speak too."""

from __future__ import annotations

import json
from typing import Any, cast

import httpx2
from openai import AsyncOpenAI
from openai.resources.chat.completions import AsyncCompletions
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider

from seawall.models.providers.clients.http import TIMEOUT, move_to_extra_body
from seawall.models.providers.reasoning import DETAILS, DETAILS_SEPARATOR


class _Completions(AsyncCompletions):
    async def create(self, **given: Any) -> Any:
        create = cast("Any", super().create)  # its overloads do not accept what is passed on here
        messages = [_read_details(message) for message in given["messages"]]
        return await create(**move_to_extra_body({**given, "messages": messages}, "messages", []))


def _read_details(message: dict[str, Any]) -> dict[str, Any]:
    """Returns a message in which reasoning details are a list instead of JSON text; see `providers/reasoning.py`."""
    text = message.get(DETAILS)
    if text is None:
        return message
    read = [detail for each in text.split(DETAILS_SEPARATOR) for detail in json.loads(each)]
    return {**message, DETAILS: read}


def build(name: str, api_key: str, base_url: str | None, http: httpx2.AsyncClient) -> OpenAIChatModel:
    """Returns the model class over a client without retries."""
    client = AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0, http_client=http, timeout=TIMEOUT)
    client.chat.__dict__["completions"] = _Completions(client)  # replaces the value of its cached property
    exact = OpenAIModelProfile(json_schema_transformer=None)  # a tool's schema is sent unchanged
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client), profile=exact)
