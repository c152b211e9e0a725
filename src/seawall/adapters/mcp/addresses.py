"""Connects only to addresses that a server's URL may lead to. The address that a host resolves to is checked at the moment of
connecting, so that no host name can lead into the private network.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx2

from seawall.core.errors import Broken
from seawall.core.threads import start_in_thread

MAX_MESSAGE_BYTES = 24 * 1024 * 1024
"""Bytes of one message of a server: the longest result (16 MiB), as base64."""

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Returns the addresses of a host."""

_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressBlocked(Broken):
    """A connection was not made, because its address is not one that the server's URL may lead to."""


async def resolve(host: str, port: int) -> list[str]:
    """Returns the addresses of a host, as the system knows them."""
    found = await start_in_thread(
        lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), "seawall-resolve"
    )
    return list(dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found))


def _read_literal(host: str) -> _IPAddress | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def find_problem(host: str, address: str) -> str | None:
    """Returns why this address of a host must not be connected to; None if it may.

    Link-local, multicast and unspecified addresses are always refused: cloud machines serve their own credentials at a
    link-local address. An address of a private network, or of this machine, is allowed only if the URL names it plainly: as
    that address, or as `localhost`. Host names, and addresses in other notations, that lead there are refused.
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
    """Sends requests to addresses that were checked, and only to the host that was configured.

    A response is bounded by `MAX_MESSAGE_BYTES`; in a stream of events, each event is. A compressed response is not read,
    because its real size is not known before.
    """

    def __init__(
        self, origin: str, resolve: Resolve = resolve, inner: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """`origin` is the URL of the server. Its credentials are sent to no other host."""
        parts = urlsplit(origin)
        self._origin = (parts.scheme, parts.hostname, parts.port)
        self._resolve = resolve
        self._inner = inner or httpx2.AsyncHTTPTransport(trust_env=False)

    def __repr__(self) -> str:
        return f"<CheckedTransport to {self._origin[1]}>"

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends a request. Raises `AddressBlocked` if it would lead to another host or a refused address."""
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
        request.url = url.copy_with(host=addresses[0])  # the header `Host` keeps the host's name
        request.headers["Accept-Encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        packed = response.headers.get("content-encoding", "identity").lower()
        if packed != "identity":
            await response.aclose()
            raise httpx2.ReadError(f"{url.host} compressed its response ({packed!r:.40})", request=request)
        is_events = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        if not is_events and isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _BoundedBody(response.stream)
        return response

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._inner.aclose()


def make_http_client(origin: str) -> Callable[..., httpx2.AsyncClient]:
    """Returns a factory of HTTP clients for a server. A client follows no redirect to another host, and uses no proxy."""

    def make(**options: Any) -> httpx2.AsyncClient:
        options["follow_redirects"] = False
        return httpx2.AsyncClient(transport=CheckedTransport(origin), trust_env=False, **options)

    return make
