"""Reads a model's reply: its calls, its answer, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

from msgspec.structs import replace
from pydantic import TypeAdapter, ValidationError

from seawall.core.canonical import encode_text
from seawall.models.protocol import Assistant, ModelReply, ToolCall, Usage
from seawall.run.bodies import Bodies
from seawall.run.frame import Frame
from seawall.run.step import Result
from seawall.team.agent import ANSWER_TOOL
from seawall.team.context import encode_assistant, encode_reasoning, parse_json
from seawall.team.parameters import explain_validation
from seawall.team.problem import InvalidValue, Problem, describe_problem, find_validation_kind
from seawall.team.team import REVIEW_TOOL, Member

EMPTY = Problem("Your reply was empty. Call a tool or answer.", "empty")
DOES_NOT_FIT = Problem(f"Error: the answer does not fit. Call {ANSWER_TOOL!r} with one that does.")
MAX_CALLS = 64
"""The most calls in one reply; providers' own limits are far below."""
MAX_NAME_CHARS = 256
"""The most characters of a call's id and name, which are recorded in events; providers' own limits are 64."""


def read_reply(
    reply: ModelReply, member: Member, frame: Frame, usd: Decimal, bodies: Bodies, *, last: bool = False
) -> Result:
    """Returns a complete reply, whose usage was checked, as a step's result. `last`: see `StepIntended.last`.

    The message is the recorded one, without secrets. The calls are as the model wrote them, and so is the answer that is
    validated. Reasoning is kept only with a message that is recorded whole.
    """
    count = len(reply.message.calls)
    made = _find_last_answer(reply.message.calls, frame) if last else reply.message.calls
    written = _make_ids_unique(made, member, bodies.redact) if len(made) <= MAX_CALLS else ()
    message = shown = _redact_message(reply.message.content, written, bodies)
    answer: str | None = None
    problem: Problem | None = None
    approved: bool | None = None
    says = (message.content or "").strip() and frame.kind != "review" and member.agent.adapter is None
    if last and says and reply.finish != "content_filter":  # the model gets no other chance
        message = Assistant(message.content, ())
        answer = message.content
    elif reply.finish == "length":
        most = reply.usage.output_tokens or "the most"
        problem = Problem(f"Your reply was cut at {most} tokens. Be shorter.", "cut")
        message = Assistant(message.content or "[cut]", ())
    elif reply.finish == "content_filter":
        text = "Error: the provider's content filter stopped the reply"
        return _book(
            Result(status="error", output=text, error="content_filter"), reply.usage, usd, bodies.redact
        )
    elif len(made) > MAX_CALLS:
        text = f"Your reply had {count} calls (limit {MAX_CALLS}). Make fewer at once."
        problem = Problem(text, "too many calls")
        message = Assistant(message.content or "[too many calls]", ())
    elif frame.kind == "review":
        answer, problem, approved = _read_decision(message)
    elif member.agent.adapter is not None:
        answer, problem = _read_structured(
            message, Assistant(reply.message.content, written), member.agent.adapter
        )
    elif not message.calls:
        answer, problem = (message.content, None) if (message.content or "").strip() else (None, EMPTY)
    if not message.calls and not (message.content or "").strip():
        message = Assistant("[empty]", ())  # some providers reject an empty message
    reasoning = reply.message.reasoning
    whole = reply.finish != "length" and len(message.calls) == count and message.content == shown.content
    result = Result(
        status="ok",
        output=encode_assistant(message),
        reasoning=encode_reasoning(reasoning) if reasoning is not None and whole else None,
        calls=tuple((call.id, call.name, call.arguments) for call in written if message.calls),
        answer=answer,
        problem=None if problem is None else problem.text,
        problem_kind="" if problem is None else problem.kind,
        approved=approved,
    )
    return _book(result, reply.usage, usd, bodies.redact)


def _book(result: Result, usage: Usage, usd: Decimal, clean: Callable[[str], str]) -> Result:
    """Returns the result with the usage and the cost of the call."""
    return replace(
        result,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        usd=usd,
        usage_problem=clean(usage.problem) if usage.problem else "",
    )


def _redact_message(content: str | None, calls: tuple[ToolCall, ...], bodies: Bodies) -> Assistant:
    redacted = [ToolCall(call.id, call.name, bodies.redact_json(call.arguments)) for call in calls]
    return Assistant(bodies.redact(content or "") or None, tuple(redacted))


def _make_ids_unique(
    calls: tuple[ToolCall, ...], member: Member, clean: Callable[[str], str]
) -> tuple[ToolCall, ...]:
    """Returns the calls with unique ids: a missing or repeated id gets a number.

    The name of a tool that the agent has is never redacted.
    """
    if not calls:
        return ()
    given = {spec.name for spec in member.specs}
    seen: set[str] = set()
    distinct: list[ToolCall] = []
    for index, call in enumerate(calls):
        number = clean(call.id)[:MAX_NAME_CHARS] or f"call-{index + 1}"
        while number in seen:  # each round makes it longer, so the loop ends
            number = f"{number}-{index + 1}"
        seen.add(number)
        name = call.name if call.name in given else clean(call.name)[:MAX_NAME_CHARS]
        distinct.append(ToolCall(number, name, encode_text(call.arguments)))
    return tuple(distinct)


def _find_last_answer(calls: tuple[ToolCall, ...], frame: Frame) -> tuple[ToolCall, ...]:
    """Returns the calls of a last reply: only the call that answers, if there is one, because no other is made."""
    name = REVIEW_TOOL if frame.kind == "review" else ANSWER_TOOL
    answers = tuple([call for call in calls if call.name == name])
    return answers if len(answers) == 1 else calls


def _find_only_call(message: Assistant, name: str) -> ToolCall | None:
    """Returns the call of that name if it is the message's only call."""
    return message.calls[0] if len(message.calls) == 1 and message.calls[0].name == name else None


def _read_structured(
    message: Assistant, written: Assistant, adapter: TypeAdapter[Any]
) -> tuple[str | None, Problem | None]:
    """Returns (answer as JSON, problem); both are None if the reply makes other calls.

    The text of the model, `written`, is validated. The problem describes `message`, which has no secrets.
    """
    answer, problem = _validate_structured(written, adapter)
    if problem is None or written == message:
        return answer, problem
    return None, _validate_structured(message, adapter)[1] or DOES_NOT_FIT


def _validate_structured(message: Assistant, adapter: TypeAdapter[Any]) -> tuple[str | None, Problem | None]:
    call = _find_only_call(message, ANSWER_TOOL)
    if call is None and message.calls:
        return None, None
    if call is None and not (message.content or "").strip():
        return None, EMPTY
    try:
        if call is None:  # some models answer in plain JSON against their instructions
            value = adapter.validate_json(message.content or "")
        else:
            arguments = parse_json(call.arguments)
            wrapped = adapter.json_schema().get("type") != "object"
            value = adapter.validate_python(_unwrap(arguments) if wrapped else arguments)
    except ValidationError as error:
        return None, _explain_misfit(explain_validation(error), find_validation_kind(error))
    except (ValueError, KeyError, TypeError) as error:
        return None, _explain_misfit(str(error), describe_problem(error).kind)
    return adapter.dump_json(value).decode(), None


def _explain_misfit(what: str, kind: str) -> Problem:
    return Problem(f"Error: the answer does not fit: {what}. Call {ANSWER_TOOL!r} with one that does.", kind)


def _unwrap(arguments: Any) -> Any:
    """Returns the answer in the arguments, for a type that had to be wrapped in an object."""
    if isinstance(arguments, dict) and "value" in arguments:
        return cast("Any", arguments["value"])
    names: object = ", ".join(cast("dict[str, Any]", arguments)) if isinstance(arguments, dict) else arguments
    raise InvalidValue(f"the argument 'value' is missing (got {str(names)[:200] or 'none'})", "value:missing")


def _read_decision(message: Assistant) -> tuple[str | None, Problem | None, bool | None]:
    """Returns (the text for the coordinator, problem, approved)."""
    call = _find_only_call(message, REVIEW_TOOL)
    if call is None and message.calls:
        return None, None, None
    if call is None:
        text = f"Give your decision by calling {REVIEW_TOOL!r}, alone."
        return None, Problem(text, "no decision"), None
    try:
        arguments = parse_json(call.arguments)
        approved = arguments["approved"]
        feedback = arguments.get("feedback") or ""
        if not isinstance(approved, bool) or not isinstance(feedback, str):
            raise ValueError(
                f"'approved' must be true or false and 'feedback' a text (got {call.arguments[:200]})"
            )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        text = f"Error: {REVIEW_TOOL!r}: {error!s} (got {call.arguments[:200]})"
        return None, Problem(text, "decision"), None
    if approved:
        return "The reviewer approved your answer.", None, True
    return f"The reviewer rejected your answer: {feedback or 'no reason was given'}", None, False
