"""The HTTP client under every provider client."""

from __future__ import annotations

import importlib
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2
from pydantic_ai.models import Model

from seawall.models.providers.watch import watch_response

_CONNECT_S = 10.0  # to reach a provider; `Watch` bounds everything after that
_LIMITS = httpx2.Limits(
    max_connections=1000, max_keepalive_connections=100
)  # as in the providers' own clients
TIMEOUT = httpx2.Timeout(None, connect=_CONNECT_S)
"""The client itself limits only the time to connect; `Watch` enforces every other time limit."""


class Client(NamedTuple):
    """A pydantic-ai model and the function that closes its connections."""

    model: Model
    close: Callable[[], Awaitable[None]]


Builder = Callable[[str, str, str | None, httpx2.AsyncClient], Model]


def load_builder(kind: str) -> Builder:
    """Returns `build` of `clients/{kind}.py`. Raises `ImportError` if that provider's client is not installed."""
    made: Builder = importlib.import_module(f"seawall.models.providers.clients.{kind}").build
    return made


def connect(build: Builder, name: str, *, api_key: str, base_url: str | None) -> Client:
    """Returns a client for the running event loop."""
    http = httpx2.AsyncClient(
        timeout=TIMEOUT,
        limits=_LIMITS,
        headers={
            "accept-encoding": "identity"
        },  # a small compressed reply may expand to a huge one before its bytes are counted
        event_hooks={"response": [watch_response]},
        trust_env=not _is_loopback(base_url),  # a proxy can't reach this machine's loopback
    )
    return Client(build(name, api_key, base_url, http), http.aclose)


def move_to_extra_body(given: dict[str, Any], field: str, empty: object) -> dict[str, Any]:
    """Returns a client's arguments with `field` moved into the extra body, which the client sends unchanged.

    The clients walk through every other argument to rename keys, which takes 0.15 ms for each message: a conversation
    of 1,000 messages would block the event loop for 150 ms. pydantic-ai has already written the messages in the form
    of the wire.
    """
    extra: dict[str, Any] = {field: given[field], **(given.get("extra_body") or {})}
    return {**given, field: empty, "extra_body": extra}


def _is_loopback(base_url: str | None) -> bool:
    host = urlsplit(base_url or "").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
