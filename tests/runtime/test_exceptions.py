"""What a tool's exception says about its endpoint: that it answered, if only with a refusal, or is broken."""

from __future__ import annotations

import urllib.error
from email.message import Message
from types import SimpleNamespace
from typing import Any

import pytest

from seawall import Broken, NotDone
from seawall.runtime.exceptions import classify_exception


def status_error(status: int, *, name: str = "HTTPStatusError", **headers: str) -> Exception:
    """An error as `httpx` and `requests` raise it."""
    error: Any = type(name, (Exception,), {})(f"status {status}")
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    error.response = SimpleNamespace(status_code=status, headers=given)
    return error


def named(*names: str) -> Exception:
    """An exception of a class with these names in its bases."""
    base: Any = Exception
    for each in reversed(names):
        base = type(each, (base,), {})
    return base("it")


def caused(outer: Exception, cause: Exception) -> Exception:
    outer.__cause__ = cause
    return outer


def boto(status: int) -> Exception:
    error: Any = named("ClientError")
    error.response = {"ResponseMetadata": {"HTTPStatusCode": status}}
    return error


def grpc(code: str) -> Exception:
    error: Any = named("AioRpcError", "RpcError")
    error.code = lambda: SimpleNamespace(name=code)
    return error


@pytest.mark.parametrize(
    "error",
    [
        Broken("the bank answers nonsense"),
        ConnectionError("refused"),
        TimeoutError(),
        OSError(113, "no route to host"),
        status_error(500),
        status_error(503),
        status_error(529),
        status_error(429),
        status_error(408),
        named("ConnectTimeout", "TimeoutException"),
        named("ReadError", "NetworkError", "TransportError"),
        named("ServerDisconnectedError", "ClientConnectionError"),
        named("OperationalError"),
        urllib.error.HTTPError("http://x", 502, "Bad Gateway", Message(), None),
        urllib.error.URLError("refused"),
        boto(503),
        grpc("UNAVAILABLE"),
        caused(RuntimeError("can't ask the bank"), ConnectionError("refused")),
        caused(NotDone("nothing was paid"), ConnectionError("refused")),
    ],
    ids=repr,
)
def test_the_endpoint_is_broken(error: Exception) -> None:
    assert classify_exception(error).endpoint == "broken"


@pytest.mark.parametrize(
    "error",
    [
        LookupError("no such order"),
        ValueError("a bad amount"),
        NotDone("the account is closed"),
        KeyError("order"),
        RuntimeError("a bug of the tool's own"),
        FileNotFoundError("orders.csv"),
        PermissionError("orders.csv"),
        status_error(404),
        status_error(422),
        urllib.error.HTTPError("http://x", 404, "Not Found", Message(), None),
        boto(400),
        grpc("NOT_FOUND"),
        caused(LookupError("no such order"), status_error(404)),
    ],
    ids=repr,
)
def test_the_endpoint_answered_if_only_with_a_refusal(error: Exception) -> None:
    assert classify_exception(error).endpoint == "answered"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"retry_after": "1.5"}, 1.5),
        (
            {
                "retry_after": "Thu, 01 Jan 2026 00:00:30 GMT",
                "date": "Thu, 01 Jan 2026 00:00:10 GMT",
            },
            20.0,
        ),
        ({"retry_after": "Thu, 01 Jan 2026 00:00:30 GMT"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "5, 30"}, 30.0),
        ({"retry_after": "5s"}, 5.0),
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"x_ms_retry_after_ms": "250"}, 0.25),
        ({"retry_after_ms": "soon", "retry_after": "9"}, 9.0),
        ({"retry_after": "soon", "date": "Thu, 01 Jan 2026 00:00:10 GMT"}, None),
        ({"retry_after": "Thu, 01 Jan 2026 00:00:30 GMT", "date": "today"}, None),
        ({"retry_after": "9" * 400}, None),
        ({}, None),
    ],
)
def test_the_retry_time_is_read_from_the_answer(headers: dict[str, str], seconds: float | None) -> None:
    assert classify_exception(status_error(429, **headers)) == ("broken", seconds)


def test_a_tool_may_give_the_retry_time_itself() -> None:
    class Busy(Broken):
        retry_after_s = 4

    assert classify_exception(Busy("at lunch")).retry_after_s == 4.0


def test_an_exception_that_misbehaves_says_nothing() -> None:
    class Odd(Exception):
        @property
        def response(self) -> Any:
            raise RuntimeError("no")

    error: Exception = Odd()
    for _ in range(100):
        error = caused(RuntimeError("again"), error)

    assert classify_exception(error) == ("answered", None)
    assert classify_exception(Odd()) == ("answered", None)
