"""Decides whether a tool's exception means that its endpoint answered, perhaps with a refusal, or is broken.

A tool raises `Broken` to report a broken endpoint. Connection errors, time-outs, and the errors of common clients for a
status of 408, 429 or 5xx mean the same. The classifier knows these exceptions by names and attributes, so it imports
none of the clients' libraries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

from seawall.core.errors import Broken
from seawall.core.retry_after import read_retry_after_s

MAX_CAUSES = 10
"""How many exceptions of one chain are examined."""

_LOCAL = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
"""The `OSError`s that are answers of a working file system."""
_BROKEN_NAMES = frozenset(
    {
        "TransportError", "TimeoutException",  # httpx: connections, time-outs
        "ClientConnectionError", "ClientPayloadError",  # aiohttp
        "APIConnectionError",  # openai, anthropic
        "HTTPClientError", "EndpointConnectionError",  # botocore
        "HTTPError",  # urllib3
        "OperationalError", "InterfaceError",  # databases: the connection, not the statement
    }
)  # fmt: skip
_BROKEN_CODES = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL"})  # gRPC


class EndpointSignal(NamedTuple):
    """What an exception means for the endpoint."""

    endpoint: Literal["answered", "broken"]
    retry_after_s: float | None = None


def classify_exception(error: BaseException) -> EndpointSignal:
    """Returns what an exception means. The first exception of its chain with a clear meaning decides."""
    for one in _list_causes(error):
        try:
            status = _find_status(one)
            if status is not None:
                broken = status in (408, 429) or status >= 500
                return EndpointSignal(
                    "broken" if broken else "answered", _read_retry_after_s(one) if broken else None
                )
            if _is_broken(one):
                return EndpointSignal("broken", read_seconds(getattr(one, "retry_after_s", None)))
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 -- a user's own exception class may do anything
            continue
    return EndpointSignal("answered")


def _is_broken(error: BaseException) -> bool:
    if isinstance(error, Broken):
        return True
    if isinstance(error, OSError):  # with ConnectionError and TimeoutError
        return not isinstance(error, _LOCAL)
    if {base.__name__ for base in type(error).__mro__} & _BROKEN_NAMES:
        return True
    code = getattr(error, "code", None)
    return callable(code) and getattr(code(), "name", None) in _BROKEN_CODES


def _find_status(error: BaseException) -> int | None:
    """Returns the HTTP error status that the exception or its response carries; None without one."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, Mapping):  # botocore
        meta = cast("Mapping[str, Any]", response).get("ResponseMetadata")
        response = None
        if isinstance(meta, Mapping):
            return _as_http_error(cast("Mapping[str, Any]", meta).get("HTTPStatusCode"))
    for holder in (response, error):
        for name in ("status_code", "status", "code"):
            status = _as_http_error(getattr(holder, name, None))
            if status is not None:
                return status
    return None


def _as_http_error(value: object) -> int | None:
    return value if isinstance(value, int) and 400 <= value < 600 else None


def _read_retry_after_s(error: BaseException) -> float | None:
    """Returns the seconds of `Retry-After`. A date there is compared with the date of the response."""
    response: Any = getattr(error, "response", None)
    headers: Any = getattr(error, "headers", None) if response is None else getattr(response, "headers", None)
    if headers is None or not hasattr(headers, "items"):
        return None
    by_name = {str(name).lower(): str(value) for name, value in headers.items()}
    return read_retry_after_s(by_name)


def read_seconds(value: object) -> float | None:
    """Returns a number of seconds from outside; None unless it is a finite number, zero or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _list_causes(error: BaseException) -> list[BaseException]:
    """Returns an exception and its causes, the outermost first."""
    found: list[BaseException] = []
    one: BaseException | None = error
    try:
        while one is not None and len(found) < MAX_CAUSES:
            found.append(one)
            one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 -- a user's own exception class may do anything
        pass
    return found
