"""Converts what a framework's model or tool has returned or raised into the result of a step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from types import NoneType
from typing import Any, cast, get_args

from msgspec.structs import replace
from pydantic_core import PydanticSerializationError, to_jsonable_python

from seawall.core.canonical import escape_surrogates_in_json, escape_unsendable, to_canonical_text
from seawall.core.errors import Misused, describe_error, is_error, name_error, read_error_text
from seawall.core.events import StepStatus
from seawall.models.protocol import Assistant, Price, ToolCall, Usage
from seawall.models.usage import check_usage
from seawall.run.step import Result
from seawall.runtime.exceptions import classify_exception
from seawall.team.context import encode_assistant
from seawall.team.folding import NOT_FROM_USER
from seawall.team.tool import NotDone

DONE = ("ok", "replaced", "simulated")
"""The statuses of a step whose text is a result, and not a failure."""
NO_USAGE = Usage(problem="the framework has reported no usage")
"""The usage of a call without a report, which is booked at its upper bound."""

_TEXT, _FLAG, _COUNT = (str,), (bool,), (int,)
_TYPES: tuple[tuple[str, tuple[type, ...]], ...] = (
    *(("error", (str, NoneType)), ("reasoning", (str, NoneType)), ("answer", (str, NoneType))),
    *(("problem", (str, NoneType)), ("problem_kind", _TEXT), ("usage_problem", _TEXT), ("trace", _TEXT)),
    *(("retryable", _FLAG), ("uncharged", _FLAG), ("delivered", _FLAG), ("approved", (bool, NoneType))),
    *(("input_tokens", _COUNT), ("output_tokens", _COUNT), ("cache_read_tokens", _COUNT)),
    *(("cache_write_tokens", _COUNT), ("usd", (Decimal,)), ("retry_after_s", (float, int, NoneType))),
)
"""The types of the fields of a `Result` that are recorded as they are."""
_STATUSES = get_args(StepStatus)


def check_result(name: str, result: Result) -> Result:
    """Returns a result that code of a loop has made. Raises `Misused` for one that nobody could read again from the record."""
    if result.status not in _STATUSES:
        raise Misused(
            f"{name!r}: the status of its result is {result.status!r}; it is one of {', '.join(_STATUSES)}"
        )
    for field, types in _TYPES:
        if not isinstance(getattr(result, field), types):
            words = " or ".join("None" if each is NoneType else each.__name__ for each in types)
            raise Misused(
                f"{name!r}: {field} of its result is {getattr(result, field)!r}; it must be {words}"
            )
    return result


def read_usage(read: Callable[[], Usage]) -> Usage:
    """Returns the usage that `read` returns. If it raises, the usage has a problem, and the reply is kept."""
    try:
        return read()
    except Exception as error:  # noqa: BLE001 -- the report comes from a server or a user's own class
        return Usage(problem=f"the usage can't be read: {name_error(error)}")


def add_counts(*counts: int | None) -> int:
    """Returns the sum of counts of tokens. If one is below zero, so is the result, so that the error is not hidden."""
    known = [count or 0 for count in counts]
    return min(known) if min(known) < 0 else sum(known)


def to_json_value(value: Any) -> Any:
    """Returns a framework's value as JSON values.

    A value without a JSON form is replaced by the name of its type, which is the same in every process. Bytes become text,
    or base64 if they are not UTF-8.
    """
    try:
        return to_jsonable_python(value, inf_nan_mode="strings", fallback=name_type)
    except (PydanticSerializationError, UnicodeDecodeError):
        return to_jsonable_python(value, inf_nan_mode="strings", bytes_mode="base64", fallback=name_type)


def name_type(value: Any) -> str:
    """Returns the text that replaces a value without a JSON form: the name of its type."""
    return f"<{value.__name__ if isinstance(value, type) else type(value).__name__}>"


def write_text(value: Any) -> str:
    """Returns a value as text: a string as it is, and anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(to_json_value(value), ensure_ascii=False)


class ModelResult:
    """A model's reply, as an adapter has read it."""

    def __init__(
        self,
        text: str,
        calls: Sequence[tuple[str, str, str]] = (),
        *,
        usage: Usage = NO_USAGE,
        raw: str = "",
        delivered: bool = False,
        cut: bool = False,
    ) -> None:
        """`calls`: (id, name, arguments as JSON text). `raw`: the reply as JSON, from which the adapter makes it again.

        `delivered`: the text was passed on piece by piece, before the step was settled. `cut`: it is only the beginning of a
        reply, because its reader has left the stream: it is charged, and never given again.
        """
        self.text, self.calls, self.usage, self.raw = text, tuple(calls), usage, raw
        self.delivered, self.cut = delivered, cut

    def __repr__(self) -> str:
        return f"<ModelResult of {len(self.calls)} calls>"


def make_model_result(reply: ModelResult, price: Price | None) -> Result:
    """Returns a model's reply as the result of its step. A reply that calls nothing is an answer."""
    usage, usd = check_usage(reply.usage, price)
    text = escape_unsendable(reply.text)
    calls = tuple([_read_call(*call) for call in reply.calls])
    message = Assistant(text or (None if calls else "[empty]"), calls)
    result = Result(
        status="ok",
        output=encode_assistant(message),
        reasoning=reply.raw or to_canonical_text(reply.text),
        calls=tuple([(call.id, call.name, call.arguments) for call in calls]),
        answer=None if calls or not text.strip() else text,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        usd=usd or Decimal(0),
        usage_problem=usage.problem,
        delivered=reply.delivered,
    )
    if not reply.cut:
        return result
    told = f"Error: the reader has left the stream before its end, after: {text}"
    return replace(
        result,
        status="error",
        output=told,
        error="cancelled",
        endpoint="cut",
        reasoning=None,
        calls=(),
        answer=None,
    )


def _read_call(call_id: str, name: str, arguments: str) -> ToolCall:
    """Returns a call as it is recorded, without characters that UTF-8 can't encode."""
    return ToolCall(escape_unsendable(call_id), escape_unsendable(name), escape_surrogates_in_json(arguments))


def make_tool_result(
    text: str, *, failed: bool = False, error: str = "error", raw: str | None = None
) -> Result:
    """Returns a tool's text as the result of its step. `failed`: the text tells of a failure.

    `raw`: the result as JSON, if the text does not hold all of it; the adapter restores the result from `Settled.raw`.
    Raises `Misused` if `text` is not text.
    """
    if not isinstance(cast("object", text), str):
        raise Misused(f"a tool's result is {text!r}; it must be text")
    if failed:
        return Result(status="error", output=text, error=error, reasoning=raw)
    return Result(status="ok", output=text, reasoning=raw)


def make_failure(error: BaseException, what: str, not_done: tuple[type[BaseException], ...] = ()) -> Result:
    """Returns the result of a model or a tool that raised. `not_done`: errors which say that nothing has happened."""
    if is_error(error, asyncio.CancelledError):
        return Result(
            status="error", output=f"Error: {what} was cancelled", error="cancelled", endpoint="cut"
        )
    if is_error(error, (NotDone, *not_done)):
        text = f"Error: not done: {read_error_text(error)}"
        return Result(status="error", output=text, error="not_done")
    signal = classify_exception(error)
    return Result(
        status="error",
        output=f"Error: {describe_error(error)}",
        error=name_error(error),
        retry_after_s=signal.retry_after_s,
        endpoint=signal.endpoint,
    )


def word_note(note: str) -> str:
    """Returns a guard's advice as a message that says that it is not from the user.

    The note may be in brackets, and may say so already.
    """
    if note.startswith(NOT_FROM_USER):
        return note
    inner = note[1:-1] if note.startswith("[") and note.endswith("]") else note
    return f"{NOT_FROM_USER}{inner}]"
