"""OpenAI's responses protocol."""

from __future__ import annotations

from typing import Any, cast

import httpx2
from openai import AsyncOpenAI
from openai.resources.responses import AsyncResponses
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider

from seawall.models.providers.clients.http import TIMEOUT, move_to_extra_body


class _Responses(AsyncResponses):
    async def create(self, **given: Any) -> Any:
        create = cast("Any", super().create)  # its overloads do not accept what is passed on here
        return await create(**move_to_extra_body(given, "input", []))


_ENCRYPTED = "openai_supports_encrypted_reasoning_content"


class _EncryptedWhereKnown(OpenAIResponsesModel):
    """Sends reasoning items back to the server that made them, but asks only known servers for encrypted ones."""

    def _build_include(self, *given: Any, **named: Any) -> Any:
        asked = super()._build_include(*given, **named)
        known = self.provider.model_profile(self.model_name) if self.provider is not None else None
        return asked if (known or {}).get(_ENCRYPTED) else [one for one in asked if "encrypted" not in one]


def build(name: str, api_key: str, base_url: str | None, http: httpx2.AsyncClient) -> OpenAIResponsesModel:
    """Returns the model class over a client without retries."""
    client = AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0, http_client=http, timeout=TIMEOUT)
    client.__dict__["responses"] = _Responses(client)  # replaces the value of its cached property
    exact = OpenAIModelProfile(
        json_schema_transformer=None,  # a tool's schema is sent unchanged
        openai_supports_encrypted_reasoning_content=True,
    )
    return _EncryptedWhereKnown(name, provider=OpenAIProvider(openai_client=client), profile=exact)
