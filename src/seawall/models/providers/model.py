"""A provider's model as a `Model`: makes one call, watches it, and classifies its failure. Needs the provider's extra."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any, Self
from weakref import WeakKeyDictionary

from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta

from seawall.core.clock import Clock, SystemClock
from seawall.core.errors import Misused
from seawall.models.protocol import ModelFailed, ModelReply, ModelRequest, Price, TextDelta
from seawall.models.providers import failures
from seawall.models.providers.clients.http import Client, connect, load_builder
from seawall.models.providers.conversion import Conversion, MaxTokensField, complete_reply, read_response
from seawall.models.providers.history import Names
from seawall.models.providers.normalizers import find_normalizer
from seawall.models.providers.reasoning import find_origin
from seawall.models.providers.watch import Watch, WireLimits, current
from seawall.models.providers.wire_rules import find_rules

_REFUSED_NAME = re.compile(
    r"max_(?:completion_)?tokens.*(?:extra|forbid|not (?:supported|permitted|allowed)|un(?:supported|known|recognized|expected)"
    r"|same time|additional)|(?:extra|forbid|not (?:supported|permitted|allowed)"
    r"|un(?:supported|known|recognized|expected)|additional).*max_(?:completion_)?tokens",
    re.IGNORECASE | re.DOTALL,
)
_NO_KEY = "none"  # a server of the user's own often needs no key, and the clients require one


class ProviderModel:
    """A `Model` over one of pydantic-ai's model classes, which it calls directly, without retries.

    It keeps connections open for the event loop that made them; `aclose` (or `async with`) closes them.
    """

    def __init__(
        self,
        model: str,
        *,
        client: str,
        base_url: str | None = None,
        api_key: str | None = None,
        price: Price | None = None,
        clock: Clock | None = None,
        limits: WireLimits | None = None,
        max_tokens_field: MaxTokensField | None = None,
    ) -> None:
        self._full_name = model
        self._client = client
        self._build, self._model_name = load_builder(client), model.partition(":")[2]
        self._base_url, self._api_key = base_url, api_key
        self._price = price
        self._clock: Clock = clock or SystemClock()
        self._limits = limits or WireLimits()
        self._max_tokens_field: MaxTokensField | None = max_tokens_field
        self._origin = find_origin(model, base_url)
        self._conversion = Conversion(
            find_rules(client, self._model_name, base_url),
            self._origin,
            model.partition(":")[0].partition("-")[0],
            max_tokens_field=max_tokens_field,
        )
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Client] = WeakKeyDictionary()

    @property
    def name(self) -> str:
        """The name that was resolved, `provider:name`."""
        return self._full_name

    @property
    def base_url(self) -> str | None:
        """The address that the model calls; None for the provider's own address."""
        return self._base_url

    @property
    def max_tokens_field(self) -> MaxTokensField | None:
        """The field that limits the length of a reply for this server; None for a protocol with only one such field."""
        return self._max_tokens_field

    @property
    def price(self) -> Price | None:
        """The price, as given."""
        return self._price

    def __repr__(self) -> str:
        at = f" at {self._base_url}" if self._base_url else ""
        return f"<ProviderModel {self._full_name}{at}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes this event loop's connections. The model can be used again afterwards."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    async def respond(self, request: ModelRequest) -> ModelReply:
        """Returns one complete reply. Raises `ModelFailed`."""
        client, (arguments, names) = self._find_client(), self._convert(request)
        watch = self._start_watch(request, names, streaming=False)
        token = current.set(watch)
        try:
            with watch:
                response = await client.model.request(*arguments)
            reply = read_response(self._full_name, response, watch.normalizer)
            return complete_reply(reply, response, names, self._origin)
        except Exception as failed:  # noqa: BLE001  # each is classified, or raised unchanged
            raise self._classify(watch, failed) from None
        finally:
            current.reset(token)
            watch.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[TextDelta | ModelReply, None]:
        """Yields the reply's text in pieces, then the whole reply. Raises `ModelFailed`, possibly after some text."""
        client, (arguments, names) = self._find_client(), self._convert(request)
        watch = self._start_watch(request, names, streaming=True)
        async with AsyncExitStack() as stack:
            stack.callback(watch.close)
            try:
                token = current.set(watch)
                try:
                    with watch:
                        streamed = await stack.enter_async_context(client.model.request_stream(*arguments))
                finally:
                    current.reset(token)
                events = aiter(streamed)
                while True:
                    with watch:
                        event = await anext(events, None)
                    if event is None:
                        break
                    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                        text = event.part.content
                    elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                        text = event.delta.content_delta
                    else:
                        text = ""
                    yield TextDelta(text)
                response = streamed.get()
                reply = read_response(self._full_name, response, watch.normalizer)
                reply = complete_reply(reply, response, names, self._origin)
            except Exception as failed:  # noqa: BLE001  # each is classified, or raised unchanged
                raise self._classify(watch, failed) from None
            yield reply

    def _advise(self, status: int, text: str) -> str:
        """Returns advice for a server that refuses the field that limits the length of a reply; "" for other errors."""
        if status not in (400, 422) or self._max_tokens_field is None or not _REFUSED_NAME.search(text):
            return ""
        sent = self._max_tokens_field.replace("both", "max_completion_tokens and max_tokens")
        return (
            f". The request had {sent}; resolve({self._full_name!r}, …, max_tokens_field=…) says which this server takes:"
            " 'max_completion_tokens', 'max_tokens' or 'both'"
        )

    def _find_client(self) -> Client:
        """Returns the client of the running event loop, made on the first call."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = connect(
                self._build, self._model_name, api_key=self._api_key or _NO_KEY, base_url=self._base_url
            )
            self._clients[loop] = client
        return client

    def _convert(self, request: ModelRequest) -> tuple[tuple[Any, Any, Any], Names]:
        """Returns the arguments of pydantic-ai's `request`, and the names of the tools in it."""
        conversion = self._conversion
        tools = conversion.offer_tools(request)
        names = conversion.name_tools(tools)
        messages = conversion.convert_messages(request.messages, names)
        settings = conversion.convert_settings(request, messages)
        return (messages, settings, conversion.convert_tools(tools, names)), names

    def _start_watch(self, request: ModelRequest, names: Names, *, streaming: bool) -> Watch:
        return Watch(
            self._full_name,
            self._clock,
            self._limits,
            request.timeout_s,
            normalizer=find_normalizer(
                self._client, frozenset(names.send(tool.name) for tool in request.tools)
            ),
            streaming=streaming,
        )

    def _classify(self, watch: Watch, failed: Exception) -> Exception:
        """Returns the `ModelFailed` that an exception means, or the exception itself if it did not come from the wire."""
        if watch.failed is not None:
            return watch.failed
        if isinstance(failed, ModelFailed):
            return failed
        name, secrets = self._full_name, (self._api_key,) if self._api_key else ()
        if watch.status is not None and watch.status >= 300:
            wall_s = self._clock.wall_s()
            return failures.classify_status(
                name,
                watch.status,
                watch.headers,
                watch.body,
                wall_s=wall_s,
                secrets=secrets,
                path=watch.path,
                advice=self._advise,
            )
        if watch.body and (found := failures.read_error(watch.body)) is not None:
            return failures.classify_body(name, found, secrets=secrets)
        if isinstance(failed, UserError):
            return Misused(failures.hide(str(failed), secrets))
        answered = watch.status is not None
        return failures.classify_error(name, failed, answered=answered, secrets=secrets) or failed
