"""Classifies a failure on the wire as a `ModelFailed`, whose kind says whether another try may succeed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import msgspec

from seawall.core.redact import KEY_FRAGMENT
from seawall.core.retry_after import read_retry_after_s
from seawall.models.protocol import FailureKind, ModelFailed

_SHOWN_CHARS = 300  # of a provider's message
_MONEY_CODES = frozenset(
    {
        "Arrearage",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "budget_exceeded",
        "exceeded_current_quota_error",
        "insufficient_quota",
    }
)
_MONEY_WORDS = re.compile(
    r"billing (?:account|details|hard limit|is (?:not|disabled)|issue)|(?:and|&|see|your) billing|credit balance"
    r"|account balance|past invoices|in arrears|recharge|(?:over|max) budget|budget (?:has been )?exceeded"
    r"|(?:out of|any|all available|enough|more) credits|insufficient (?:quota|funds|credits?|balance)"
    r"|(?:spend(?:ing)?|usage|credit|monthly) limit|exceeded your current (?:\w+ )?quota",
    re.IGNORECASE,
)
"""The errors of providers whose account has no money left. Single words do not suffice, because an error may name a tool."""
_QUOTED = re.compile(r"'[^'\s]*'|\"[^\"\s]*\"|`[^`]*`")
_TOO_LONG_CODES = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "exceed_context_size_error",
        "model_context_window_exceeded",
        "request_too_large",
        "string_above_max_length",
    }
)
_TOO_LONG_WORDS = re.compile(
    r"context[ _-]?(?:length|window|size|limit)|maximum (?:context|prompt|input) length|max(?:imum)? model len"
    r"|(?:prompt|input|request|conversation|messages?) (?:is|are) too (?:long|large)"
    r"|(?:prompt|input|messages?).{0,60}(?:exceeds?|longer than|greater than).{0,60}(?:tokens?|context|length)"
    r"|(?:input )?token count.{0,60}exceeds?|exceeded model token limit|too many (?:input |prompt )?tokens"
    r"|request too large for|payload size exceeds the limit"
    r"|reduce the length of the (?:messages|prompt|input)|inputs?`? tokens \+ `?max_new_tokens|range of input length",
    re.IGNORECASE | re.DOTALL,
)
"""The errors of providers for a conversation that does not fit into a model's context; most have no code for it."""
_NEVER_FITS = re.compile(
    r"request too large for.{0,300}(?:Requested \d|must be reduced)", re.IGNORECASE | re.DOTALL
)
"""A 429 for one request that is above what a minute allows: waiting does not help, a shorter conversation does."""
_ABOUT_ACCESS = frozenset({401, 403, 404})
_ABOUT_MONEY = frozenset({400, 403, 412, 429})
_RETRYABLE_4XX = frozenset({408, 409, 425})  # the server stopped waiting; the request itself is correct
_WRONG_PATH = frozenset({404, 405, 410})  # the path is shown: the base URL may be wrong
_KINDS_BY_NAME: tuple[tuple[re.Pattern[str], FailureKind], ...] = (
    (re.compile(r"insufficient_quota|billing", re.IGNORECASE), "spend_limit"),
    (re.compile(r"rate_?limit|resource_exhausted|too_many_requests", re.IGNORECASE), "rate_limited"),
    (
        re.compile(r"overloaded|server_error|api_error|internal|unavailable|timeout|deadline", re.IGNORECASE),
        "overloaded",
    ),
    (re.compile(r"invalid|authentication|permission|not_found|too_large", re.IGNORECASE), "rejected"),
)


Advice = Callable[[int, str], str]
"""Returns what to do about an error's status and message; "" for nothing."""


def _advise_nothing(status: int, text: str) -> str:
    del status, text
    return ""


def hide(text: str, secrets: tuple[str, ...]) -> str:
    """Returns `text` without `secrets` and without anything that looks like a key: providers quote parts of keys."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[key]")
    return KEY_FRAGMENT.sub("[key]", text)


def _keep_if_valid(seconds: float) -> float | None:
    return seconds if 0 <= seconds < float("inf") else None


def _find_error(decoded: object) -> dict[str, Any] | None:
    """Returns the object that describes the error, in the form of OpenAI, Anthropic or Google."""
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


def read_error(body: bytes) -> dict[str, Any] | None:
    """Returns the error that a JSON body describes, or None."""
    try:
        return _find_error(msgspec.json.decode(body))
    except msgspec.DecodeError:
        return None


def _read_google_retry_s(found: Mapping[str, Any]) -> float | None:
    details = found.get("details")
    for one in cast("list[object]", details) if isinstance(details, list) else []:
        delay = cast("dict[str, Any]", one).get("retryDelay") if isinstance(one, dict) else None
        if isinstance(delay, str) and re.fullmatch(r"\d+(\.\d+)?s", delay):
            return _keep_if_valid(float(delay[:-1]))
    return None


def classify_status(
    name: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    wall_s: float,
    secrets: tuple[str, ...],
    path: str = "",
    advice: Advice = _advise_nothing,
) -> ModelFailed:
    """Returns the failure that an error status means. The message ends with what `advice` returns for it."""
    found = read_error(body) or {}
    wait_s = read_retry_after_s(headers, wall_s)
    if wait_s is None:
        wait_s = _read_google_retry_s(found)
    text = str(found.get("message") or body[:_SHOWN_CHARS].decode("utf-8", "replace")).strip()
    kind: FailureKind
    if status == 402 or _is_about_money(status, found, text, waits=wait_s is not None):
        kind, wait_s = "spend_limit", None
    elif status == 429 and _NEVER_FITS.search(text) is None:
        kind = "rate_limited"
    elif status not in _ABOUT_ACCESS and _is_about_length(found, text):
        kind = "context_too_long"
    elif status >= 500 or status in _RETRYABLE_4XX:
        kind = "overloaded"
    else:
        kind = "rejected"
    where = f" for {path!r}" if status in _WRONG_PATH and path else ""
    what = _describe(name, f"answered {status}{where}", text, secrets) + advice(status, text)
    return ModelFailed(kind, what, retry_after_s=wait_s)


def _is_about_length(found: Mapping[str, Any], text: str) -> bool:
    """Returns whether an error says that the conversation does not fit into the model's context."""
    codes = {str(found.get("code")), str(found.get("type"))}
    return bool(codes & _TOO_LONG_CODES) or _TOO_LONG_WORDS.search(text) is not None


def _is_about_money(status: int, found: Mapping[str, Any], text: str, *, waits: bool) -> bool:
    """Returns whether an error is about money. An error code decides it.

    Words decide only if the reply gives no time to wait, because some providers write "billing" for every rate limit.
    What the provider quotes from the request does not count.
    """
    if status < 500 and {str(found.get("code")), str(found.get("type"))} & _MONEY_CODES:
        return True
    return status in _ABOUT_MONEY and not waits and _MONEY_WORDS.search(_QUOTED.sub(" ", text)) is not None


def classify_body(name: str, found: Mapping[str, Any], *, secrets: tuple[str, ...]) -> ModelFailed:
    """Returns the failure that an error inside a 200 reply means; `incomplete` if it names no known kind."""
    code = found.get("code")
    if isinstance(code, str) and code.isdigit():
        code = int(code)
    is_status = isinstance(code, int) and 400 <= code < 600  # other numbers are a provider's own
    text = str(found.get("message") or "no message")
    wait_s = _read_google_retry_s(found)
    kind: FailureKind = "incomplete"
    if _is_about_length(found, text) and code != 429:
        kind = "context_too_long"
    elif _is_about_money(cast("int", code) if is_status else 400, found, text, waits=wait_s is not None):
        kind = "spend_limit"
    elif is_status:
        inner = msgspec.json.encode(
            {"error": {key: str(value) for key, value in found.items() if key != "details"}}
        )
        headers = {} if wait_s is None else {"retry-after": str(wait_s)}
        kind = classify_status(name, cast("int", code), headers, inner, wall_s=0.0, secrets=secrets).kind
    else:
        names = " ".join(str(found.get(field) or "") for field in ("code", "type", "status"))
        for pattern, named in _KINDS_BY_NAME:
            if pattern.search(names):
                kind = named
                break
    return ModelFailed(
        kind,
        _describe(name, "sent an error in its reply", text, secrets),
        retry_after_s=wait_s if kind == "rate_limited" else None,
        began=True,
    )


def classify_error(
    name: str, failed: BaseException, *, answered: bool, secrets: tuple[str, ...]
) -> ModelFailed | None:
    """Returns the failure behind a client's exception; None if the exception did not come from the wire.

    `answered`: the reply had begun. A connection that is lost before that is `unreachable`, after it `incomplete`.
    """
    chain = list(_walk_causes(failed))
    for one in chain:
        found = _find_error(getattr(one, "body", None) or getattr(one, "details", None))
        if found is None and getattr(one, "in_stream", False):
            found = {
                "message": str(one),
                "code": getattr(one, "provider_error_code", None),
                "type": getattr(one, "provider_error_type", None),
            }
        if found is not None:
            return classify_body(name, found, secrets=secrets)
    names = {base.__name__ for one in chain for base in type(one).__mro__}
    text = str(chain[-1]) or type(chain[-1]).__name__
    if names & {"ConnectTimeout", "PoolTimeout"}:
        return ModelFailed("unreachable", _describe(name, "can't be reached", text, secrets))
    if names & {"TimeoutException", "ModelTimeoutError"}:
        return ModelFailed("timeout", _describe(name, "did not answer in time", text, secrets))
    if names & {"JSONDecodeError", "UnicodeDecodeError", "ValidationError", "DecodingError"}:
        return ModelFailed(
            "malformed", _describe(name, "sent a reply that does not follow its protocol", text, secrets)
        )
    if names & {"TransportError", "OSError", "ModelConnectionError", "APIConnectionError"}:
        if answered:
            return ModelFailed(
                "incomplete", _describe(name, "stopped in the middle of its reply", text, secrets)
            )
        return ModelFailed("unreachable", _describe(name, "can't be reached", text, secrets))
    if "ended without content" in text:  # an empty stream, or one that holds only its end marker
        return ModelFailed("incomplete", _describe(name, "sent an empty stream", "", secrets))
    if answered or "ModelAPIError" in names:
        # a reply that the client's code does not expect: missing choices, a list instead of an object
        text = f"{type(chain[-1]).__name__}: {text}"
        return ModelFailed(
            "malformed", _describe(name, "sent a reply that does not follow its protocol", text, secrets)
        )
    return None


def _walk_causes(failed: BaseException) -> Iterator[BaseException]:
    """Yields an exception and its causes, the outermost first."""
    seen: set[int] = set()
    one: BaseException | None = failed
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _describe(name: str, what: str, text: str, secrets: tuple[str, ...]) -> str:
    text = hide(text, secrets)
    shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}… ({len(text)} characters)"
    return f"model {name!r} {what}: {shown}" if shown else f"model {name!r} {what}"
