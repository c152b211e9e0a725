"""Reading a model's reply: calls, an answer, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from seawall.models.protocol import Assistant, ModelReply, ToolCall
from seawall.run.frame import Frame
from seawall.run.step import Result
from seawall.team.agent import ANSWER_TOOL
from seawall.team.context import encode_assistant, parse_json
from seawall.team.team import REVIEW_TOOL, Member
from seawall.team.tool import explain_validation

EMPTY = "Your reply was empty. Call a tool or answer."
MAX_CALLS = 64
"""Calls in one reply; providers' own limits are far below."""
MAX_NAME_CHARS = 256
"""Of a call's id and name, which stand in events; providers' own limits are 64."""


def read_reply(
    reply: ModelReply, member: Member, frame: Frame, usd: Decimal, clean: Callable[[str], str]
) -> Result:
    """A complete reply as a step's result. `clean` makes text as it is recorded, without secrets."""
    asked = len(reply.message.calls)
    calls = _distinct(reply.message.calls, clean) if asked <= MAX_CALLS else ()
    message = Assistant(clean(reply.message.content or "") or None, calls)
    answer: str | None = None
    problem: str | None = None
    approved: bool | None = None
    if reply.finish == "length":
        problem = f"Your reply was cut at {reply.usage.output_tokens or 'the most'} tokens. Be shorter."
        message = Assistant(message.content or "[cut]", ())
    elif reply.finish == "content_filter":
        return _failed(reply, usd, "the provider's content filter stopped the reply", "content_filter")
    elif asked > MAX_CALLS:
        problem = f"Your reply had {asked} calls (limit {MAX_CALLS}). Make fewer at once."
        message = Assistant(message.content or "[too many calls]", ())
    elif frame.kind == "review":
        answer, problem, approved = _decision(message)
    elif member.agent.adapter is not None:
        answer, problem = _structured(message, member.agent.adapter)
    elif not message.calls:
        answer, problem = (message.content, None) if (message.content or "").strip() else (None, EMPTY)
    if not message.calls and not (message.content or "").strip():
        message = Assistant("[empty]", ())  # some providers take no empty message
    return Result(
        status="ok",
        output=encode_assistant(message),
        calls=tuple((call.id, call.name, call.arguments) for call in message.calls),
        answer=answer,
        problem=problem,
        approved=approved,
        input_tokens=reply.usage.input_tokens,
        output_tokens=reply.usage.output_tokens,
        usd=usd,
    )


def _failed(reply: ModelReply, usd: Decimal, text: str, kind: str) -> Result:
    return Result(
        status="error",
        output=f"Error: {text}",
        error=kind,
        input_tokens=reply.usage.input_tokens,
        output_tokens=reply.usage.output_tokens,
        usd=usd,
    )


def _distinct(calls: tuple[ToolCall, ...], clean: Callable[[str], str]) -> tuple[ToolCall, ...]:
    """Calls as they are recorded, with ids of their own: a missing or repeated id gets a number."""
    seen: set[str] = set()
    distinct: list[ToolCall] = []
    for index, call in enumerate(calls):
        number = clean(call.id)[:MAX_NAME_CHARS] or f"call-{index + 1}"
        while number in seen:  # each turn makes it longer, so it ends
            number = f"{number}-{index + 1}"
        seen.add(number)
        distinct.append(ToolCall(number, clean(call.name)[:MAX_NAME_CHARS], clean(call.arguments)))
    return tuple(distinct)


def _alone(message: Assistant, name: str) -> ToolCall | None:
    return message.calls[0] if len(message.calls) == 1 and message.calls[0].name == name else None


def _structured(message: Assistant, adapter: TypeAdapter[Any]) -> tuple[str | None, str | None]:
    """(answer as JSON, problem); neither if the reply is made of other calls."""
    call = _alone(message, ANSWER_TOOL)
    if call is None and message.calls:
        return None, None
    if call is None and not (message.content or "").strip():
        return None, EMPTY
    try:
        if call is None:  # some models answer in plain JSON whatever they are told
            value = adapter.validate_json(message.content or "")
        else:
            arguments = parse_json(call.arguments)
            wrapped = adapter.json_schema().get("type") != "object"
            value = adapter.validate_python(_value(arguments) if wrapped else arguments)
    except ValidationError as error:
        return (
            None,
            f"Error: the answer does not fit: {explain_validation(error)}. Call {ANSWER_TOOL!r} with one that does.",
        )
    except (ValueError, KeyError, TypeError) as error:
        return None, f"Error: the answer does not fit: {error}. Call {ANSWER_TOOL!r} with one that does."
    return adapter.dump_json(value).decode(), None


def _value(arguments: Any) -> Any:
    """The answer in the arguments, of a type that had to be wrapped into an object."""
    if isinstance(arguments, dict) and "value" in arguments:
        return cast("Any", arguments["value"])
    names: object = ", ".join(cast("dict[str, Any]", arguments)) if isinstance(arguments, dict) else arguments
    raise ValueError(f"the argument 'value' is missing (got {str(names)[:200] or 'none'})")


def _decision(message: Assistant) -> tuple[str | None, str | None, bool | None]:
    """(what the coordinator is told, problem, approved)."""
    call = _alone(message, REVIEW_TOOL)
    if call is None and message.calls:
        return None, None, None
    if call is None:
        return None, f"Give your decision by calling {REVIEW_TOOL!r}, alone.", None
    try:
        arguments = parse_json(call.arguments)
        approved = arguments["approved"]
        feedback = arguments.get("feedback") or ""
        if not isinstance(approved, bool) or not isinstance(feedback, str):
            raise ValueError(
                f"'approved' must be true or false and 'feedback' a text (got {call.arguments[:200]})"
            )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"Error: {REVIEW_TOOL!r}: {error!s} (got {call.arguments[:200]})", None
    if approved:
        return "The reviewer approved your answer.", None, True
    return f"The reviewer rejected your answer: {feedback or 'no reason was given'}", None, False
