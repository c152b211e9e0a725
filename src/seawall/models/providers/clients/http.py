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

_CONNECT_S = 10.0  # to reach a provider; everything after that is watched on Seawall's clock
_LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)  # as the providers' own clients
TIMEOUT = httpx2.Timeout(None, connect=_CONNECT_S)
"""No time limit of the client's own beyond connecting: `Watch` keeps them."""


class Client(NamedTuple):
    """A pydantic-ai model and what closes its connections."""

    model: Model
    close: Callable[[], Awaitable[None]]


Builder = Callable[[str, str, str | None, httpx2.AsyncClient], Model]


def builder(kind: str) -> Builder:
    """`build` of `clients/{kind}.py`. Raises `ImportError` where that provider's client is not installed."""
    made: Builder = importlib.import_module(f"seawall.models.providers.clients.{kind}").build
    return made


def connect(build: Builder, name: str, *, api_key: str, base_url: str | None) -> Client:
    """A client for the running event loop."""
    http = httpx2.AsyncClient(
        timeout=TIMEOUT,
        limits=_LIMITS,
        headers={"accept-encoding": "identity"},  # a small compressed reply may be huge: bytes are counted
        event_hooks={"response": [watch_response]},
        trust_env=not _is_loopback(base_url),  # a proxy cannot reach this machine's loopback
    )
    return Client(build(name, api_key, base_url, http), http.aclose)


def untouched(given: dict[str, Any], field: str, empty: object) -> dict[str, Any]:
    """A client's arguments with `field` moved into the extra body, which is sent as it is.

    The clients walk through every argument to rename keys, at 0.15 ms a message: 150 ms of a blocked event loop for
    a conversation of 1,000. pydantic-ai has already written the messages as the wire has them.
    """
    extra: dict[str, Any] = {field: given[field], **(given.get("extra_body") or {})}
    return {**given, field: empty, "extra_body": extra}


def _is_loopback(base_url: str | None) -> bool:
    host = urlsplit(base_url or "").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
