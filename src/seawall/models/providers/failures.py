"""From what went wrong on the wire to a `ModelFailed` that says what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

import msgspec

from seawall.core.redact import KEY_FRAGMENT
from seawall.models.protocol import FailureKind, ModelFailed

_SHOWN_CHARS = 300  # of a provider's message
_MONEY_CODES = frozenset(
    {"insufficient_quota", "billing_error", "billing_hard_limit_reached", "billing_not_active"}
)
_MONEY_WORDS = re.compile(
    r"billing|credit balance|out of credits|insufficient (?:quota|funds|credits?)|spend", re.IGNORECASE
)
_RETRYABLE_4XX = frozenset({408, 425})  # the server gave up waiting; nothing is wrong with the request
_KINDS_BY_NAME: tuple[tuple[re.Pattern[str], FailureKind], ...] = (
    (re.compile(r"insufficient_quota|billing", re.IGNORECASE), "spend_limit"),
    (re.compile(r"rate_?limit|resource_exhausted|too_many_requests", re.IGNORECASE), "rate_limited"),
    (
        re.compile(r"overloaded|server_error|api_error|internal|unavailable|timeout|deadline", re.IGNORECASE),
        "overloaded",
    ),
    (re.compile(r"invalid|authentication|permission|not_found|too_large", re.IGNORECASE), "rejected"),
)


def hide(text: str, secrets: tuple[str, ...]) -> str:
    """`text` without `secrets` and without what looks like a key (providers repeat parts of it)."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[key]")
    return KEY_FRAGMENT.sub("[key]", text)


def retry_after_s(headers: Mapping[str, str], wall_s: float) -> float | None:
    """Seconds from `Retry-After-Ms`, or `Retry-After` as seconds or as an HTTP date; None where it is neither."""
    try:
        if (millis := headers.get("retry-after-ms")) is not None:
            return _sane(float(millis) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
            return _sane(float(value))
        return max(0.0, parsedate_to_datetime(value).timestamp() - wall_s)
    except (ValueError, OverflowError, TypeError):
        return None


def _sane(seconds: float) -> float | None:
    return seconds if 0 <= seconds < float("inf") else None


def _error_of(decoded: object) -> dict[str, Any] | None:
    """The object that describes the error, in the forms of OpenAI, Anthropic and Google."""
    if isinstance(decoded, list) and decoded:
        decoded = cast("list[object]", decoded)[0]
    if not isinstance(decoded, dict):
        return None
    body = cast("dict[str, Any]", decoded)
    inner: object = body.get("error")
    if isinstance(inner, dict):
        return cast("dict[str, Any]", inner)
    if isinstance(inner, str):
        return {"message": inner}
    if "message" in body and ("code" in body or "type" in body or "detail" in body or len(body) == 1):
        return body
    return None


def error_in(body: bytes) -> dict[str, Any] | None:
    """The error that a JSON body describes, or None."""
    try:
        return _error_of(msgspec.json.decode(body))
    except msgspec.DecodeError:
        return None


def _google_retry_s(found: Mapping[str, Any]) -> float | None:
    details = found.get("details")
    for one in cast("list[object]", details) if isinstance(details, list) else []:
        delay = cast("dict[str, Any]", one).get("retryDelay") if isinstance(one, dict) else None
        if isinstance(delay, str) and re.fullmatch(r"\d+(\.\d+)?s", delay):
            return float(delay[:-1])
    return None


def by_status(
    name: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    wall_s: float,
    secrets: tuple[str, ...],
) -> ModelFailed:
    """The failure that an error status means."""
    found = error_in(body) or {}
    wait_s = retry_after_s(headers, wall_s)
    if wait_s is None:
        wait_s = _google_retry_s(found)
    text = str(found.get("message") or body[:_SHOWN_CHARS].decode("utf-8", "replace")).strip()
    kind: FailureKind
    if status == 402 or (
        status in {400, 403, 429} and _is_about_money(found, text, waits=wait_s is not None)
    ):
        kind, wait_s = "spend_limit", None
    elif status == 429:
        kind = "rate_limited"
    elif status >= 500 or status in _RETRYABLE_4XX:
        kind = "overloaded"
    else:
        kind = "rejected"
    return ModelFailed(kind, _message(name, f"answered {status}", text, secrets), retry_after_s=wait_s)


def _is_about_money(found: Mapping[str, Any], text: str, *, waits: bool) -> bool:
    """Codes are definite. Words are not where a time to wait is given: some say "billing" for each rate limit."""
    if {str(found.get("code")), str(found.get("type"))} & _MONEY_CODES:
        return True
    return not waits and _MONEY_WORDS.search(text) is not None


def by_body(name: str, found: Mapping[str, Any], *, secrets: tuple[str, ...]) -> ModelFailed:
    """The failure that an error inside a 200 reply means: `incomplete` where it names no kind that is known."""
    code = found.get("code")
    if isinstance(code, str) and code.isdigit():
        code = int(code)
    text = str(found.get("message") or "no message")
    kind: FailureKind = "incomplete"
    if isinstance(code, int) and code >= 400:
        inner = msgspec.json.encode(
            {"error": {key: str(value) for key, value in found.items() if key != "details"}}
        )
        kind = by_status(name, code, {}, inner, wall_s=0.0, secrets=secrets).kind
    else:
        names = " ".join(str(found.get(field) or "") for field in ("code", "type", "status"))
        for pattern, named in _KINDS_BY_NAME:
            if pattern.search(names):
                kind = named
                break
    wait_s = _google_retry_s(found) if kind == "rate_limited" else None
    return ModelFailed(
        kind, _message(name, "sent an error in its reply", text, secrets), retry_after_s=wait_s, began=True
    )


def by_exception(
    name: str, failed: BaseException, *, answered: bool, secrets: tuple[str, ...]
) -> ModelFailed | None:
    """The failure behind a client's exception; None where it is none of the wire's.

    `answered` says whether the reply had begun: a connection lost before is `unreachable`, after it `incomplete`.
    """
    chain = list(_chain(failed))
    for one in chain:
        found = _error_of(getattr(one, "body", None) or getattr(one, "details", None))
        if found is None and getattr(one, "in_stream", False):
            found = {
                "message": str(one),
                "code": getattr(one, "provider_error_code", None),
                "type": getattr(one, "provider_error_type", None),
            }
        if found is not None:
            return by_body(name, found, secrets=secrets)
    names = {base.__name__ for one in chain for base in type(one).__mro__}
    text = str(chain[-1]) or type(chain[-1]).__name__
    if names & {"ConnectTimeout", "PoolTimeout"}:
        return ModelFailed("unreachable", _message(name, "can't be reached", text, secrets))
    if names & {"TimeoutException", "ModelTimeoutError"}:
        return ModelFailed("timeout", _message(name, "did not answer in time", text, secrets))
    if names & {"JSONDecodeError", "UnicodeDecodeError", "ValidationError", "DecodingError"}:
        return ModelFailed("malformed", _message(name, "sent what is not its protocol", text, secrets))
    if names & {"TransportError", "OSError", "ModelConnectionError", "APIConnectionError"}:
        if answered:
            return ModelFailed("incomplete", _message(name, "broke off its reply", text, secrets))
        return ModelFailed("unreachable", _message(name, "can't be reached", text, secrets))
    if "ended without content" in text:  # a stream of nothing, or of nothing but its end
        return ModelFailed("incomplete", _message(name, "sent an empty stream", "", secrets))
    if answered or "ModelAPIError" in names:
        # a reply that no client's code was made for: missing choices, a list where an object has to be
        text = f"{type(chain[-1]).__name__}: {text}"
        return ModelFailed("malformed", _message(name, "sent what is not its protocol", text, secrets))
    return None


def _chain(failed: BaseException) -> Iterator[BaseException]:
    """An exception and what it came from, the outermost first."""
    seen: set[int] = set()
    one: BaseException | None = failed
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _message(name: str, what: str, text: str, secrets: tuple[str, ...]) -> str:
    text = hide(text, secrets)
    shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}… ({len(text)} characters)"
    return f"model {name!r} {what}: {shown}" if shown else f"model {name!r} {what}"
