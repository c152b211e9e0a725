"""Connects to the addresses that somebody meant, and to no others: what a URL's host resolves to is checked where it is
connected to, so that no name can lead into the own network.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx2

from seawall.core.errors import Broken

MAX_MESSAGE_BYTES = 24 * 1024 * 1024
"""Of one message of a server: the longest result (16 MiB), as base64."""

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Returns the addresses of a host."""

_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressBlocked(Broken):
    """A connection was not made, because it would have led to an address that nobody meant."""


async def resolve(host: str, port: int) -> list[str]:
    """Returns the addresses of a host, as the system knows them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found))


def _read_literal(host: str) -> _IPAddress | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def find_problem(host: str, address: str) -> str | None:
    """Returns why a connection to this address of a host is not made; None if it is.

    Link-local, multicast and unspecified addresses are never connected to: there are the machine's own credentials at
    one of the first. An address of a private network, or of this machine, is connected to only if the URL says so
    plainly: as that address, or as `localhost`. Names, and numbers in other notations, that lead there are not.
    """
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None) or ip
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return f"{address} is link-local, multicast or unspecified"
    literal = _read_literal(host)
    if literal is not None:
        return None
    if host.lower().rstrip(".") == "localhost" and ip.is_loopback:
        return None
    if not ip.is_global or ip.is_reserved:
        return f"{address} is in a private network, or is this machine, and the URL does not say so"
    return None


class _BoundedBody(httpx2.AsyncByteStream):
    """The body of a response, up to `MAX_MESSAGE_BYTES`."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yields the body. Raises `StreamError` past the bound."""
        left = MAX_MESSAGE_BYTES
        async for chunk in self._inner:
            left -= len(chunk)
            if left < 0:
                raise httpx2.StreamError(f"the response has more than {MAX_MESSAGE_BYTES:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        """Closes the body."""
        await self._inner.aclose()


class CheckedTransport(httpx2.AsyncBaseTransport):
    """Sends requests to addresses that were checked, and to no host but the one that was configured.

    A response is bounded, but for a stream of events, each of which is. One that is packed is not read: nobody knows how
    much is in it.
    """

    def __init__(
        self, origin: str, resolve: Resolve = resolve, inner: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """`origin` is the URL of the server; credentials are for it alone."""
        parts = urlsplit(origin)
        self._origin = (parts.scheme, parts.hostname, parts.port)
        self._resolve = resolve
        self._inner = inner or httpx2.AsyncHTTPTransport(trust_env=False)

    def __repr__(self) -> str:
        return f"<CheckedTransport to {self._origin[1]}>"

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends a request. Raises `AddressBlocked` if it would lead elsewhere."""
        url = request.url
        if (url.scheme, url.host, url.port) != self._origin:
            raise AddressBlocked(
                f"{url.host} was not connected to: the server of this URL is {self._origin[1]}"
            )
        try:
            addresses = await self._resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
        except OSError as error:
            raise httpx2.ConnectError(
                f"{url.host} has no address: {error.strerror}", request=request
            ) from None
        for address in addresses:
            if (problem := find_problem(url.host, address)) is not None:
                raise AddressBlocked(f"{url.host} was not connected to: {problem}")
        if not addresses:
            raise httpx2.ConnectError(f"{url.host} has no address", request=request)
        if _read_literal(url.host) is None:
            request.extensions = {**request.extensions, "sni_hostname": url.host}
        request.url = url.copy_with(host=addresses[0])  # the header `Host` was written before, and stays
        request.headers["Accept-Encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        packed = response.headers.get("content-encoding", "identity").lower()
        if packed != "identity":
            await response.aclose()
            raise httpx2.ReadError(f"{url.host} has packed its response ({packed!r:.40})", request=request)
        is_events = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        if not is_events and isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _BoundedBody(response.stream)
        return response

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._inner.aclose()


def make_http_client(origin: str) -> Callable[..., httpx2.AsyncClient]:
    """Returns what makes the HTTP client of a server: one that follows no redirect to elsewhere, and uses no proxy."""

    def make(**options: Any) -> httpx2.AsyncClient:
        options["follow_redirects"] = False
        return httpx2.AsyncClient(transport=CheckedTransport(origin), trust_env=False, **options)

    return make
