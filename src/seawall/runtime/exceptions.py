"""What an exception of a tool says of the other side: that it answered, if only to say no, or that it is broken.

A tool that raises `Broken` says so itself. Beside it count errors of a connection, time-outs, and what the common
clients raise for a status of 408, 429 or 5xx. They are known by their names and attributes, so that none of these
libraries is imported.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple, cast

from seawall.core.errors import Broken

MAX_CAUSES = 10
"""Of one exception that are looked at; a longer chain says nothing new."""

_LOCAL = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
"""`OSError`s about files that are as they should be: an answer."""
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
    """What is known of it."""

    endpoint: Literal["answered", "broken"]
    retry_after_s: float | None = None


def classify_exception(error: BaseException) -> EndpointSignal:
    """What this exception says. The first in its chain that says anything definite counts."""
    for one in _chain(error):
        try:
            status = _status(one)
            if status is not None:
                broken = status in (408, 429) or status >= 500
                return EndpointSignal(
                    "broken" if broken else "answered", _retry_after_s(one) if broken else None
                )
            if _is_broken(one):
                return EndpointSignal("broken", _number(getattr(one, "retry_after_s", None)))
        except Exception:  # noqa: BLE001 -- somebody's own exception class may do anything
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


def _status(error: BaseException) -> int | None:
    """The HTTP status that it carries: itself, or its response."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, Mapping):  # botocore
        meta = cast("Mapping[str, Any]", response).get("ResponseMetadata")
        response = None
        if isinstance(meta, Mapping):
            return _http(cast("Mapping[str, Any]", meta).get("HTTPStatusCode"))
    for holder in (response, error):
        for name in ("status_code", "status", "code"):
            status = _http(getattr(holder, name, None))
            if status is not None:
                return status
    return None


def _http(value: object) -> int | None:
    return value if isinstance(value, int) and 400 <= value < 600 else None


def _retry_after_s(error: BaseException) -> float | None:
    """Seconds of `Retry-After`; a date in it is taken against the response's own."""
    response: Any = getattr(error, "response", None)
    headers: Any = getattr(error, "headers", None) if response is None else getattr(response, "headers", None)
    if headers is None or not hasattr(headers, "items"):
        return None
    found = {str(name).lower(): str(value) for name, value in headers.items()}
    given = found.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", given):
        return _number(float(given))
    if given and "date" in found:
        wait = parsedate_to_datetime(given) - parsedate_to_datetime(found["date"])
        return max(0.0, wait.total_seconds())
    return None


def _number(value: object) -> float | None:
    good = isinstance(value, (int, float)) and math.isfinite(value) and value >= 0
    return float(cast("float", value)) if good else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it came from, the outermost first."""
    one: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if one is None:
            return
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
