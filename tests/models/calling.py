"""One call to a provider's model over a loopback server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from seawall.models.protocol import ModelFailed, ModelReply, ModelRequest, TextDelta, User
from seawall.models.providers import resolve
from seawall.models.providers.model import ProviderModel
from seawall.testing.faults import Answer
from seawall.testing.model_server import ModelServer
from seawall.testing.wire import ChatRequest

ASK = ModelRequest(messages=(User("Where is order 1042?"),))


def served(
    answer: Answer | Callable[[ChatRequest], Answer],
    use: Callable[[ProviderModel, ModelServer], Awaitable[Any]],
    **given: Any,
) -> Any:
    """Returns the result of `use` with a model over a server that answers each request with `answer`."""

    async def main() -> Any:
        def handler(request: ChatRequest) -> Answer:
            return answer(request) if callable(answer) else answer

        async with (
            ModelServer(handler) as server,
            resolve("openai:m", base_url=server.base_url, api_key="sk-never-shown", **given) as model,
        ):
            return await use(model, server)

    return asyncio.run(main())


def failed(answer: Answer, *, streaming: bool, **given: Any) -> ModelFailed:
    """Returns the failure of one call, which made exactly one request."""

    async def use(model: ProviderModel, server: ModelServer) -> ModelFailed:
        with pytest.raises(ModelFailed) as caught:
            await asked(model, streaming=streaming)
        assert server.request_count == 1
        assert caught.value.__cause__ is None, "a cause may show what the message hides"
        return caught.value

    found: ModelFailed = served(answer, use, **given)
    return found


async def asked(
    model: ProviderModel, *, streaming: bool, request: ModelRequest = ASK
) -> list[TextDelta | ModelReply]:
    """Returns everything that one call yields."""
    if streaming:
        return [item async for item in model.stream(request)]
    return [await model.respond(request)]
