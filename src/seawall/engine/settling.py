"""Step 7 of the gate: a result as it is recorded."""

from __future__ import annotations

from msgspec.structs import replace

from seawall.core.canonical import Ref, canonical
from seawall.core.events import Call, StepDone, StepStatus
from seawall.run.bodies import Bodies
from seawall.run.step import Result, Step

WITHHELD = "[this reply was withheld]"
"""Stands for a reply that a guard refused; some providers take no empty message."""


def record_result(
    step: Step, result: Result, bodies: Bodies, *, at: float, left_s: float, retry: bool = False
) -> StepDone:
    """Returns the event that ends a step. `retry`: the same call may be tried again."""
    return StepDone(
        at=at,
        step=step.number,
        status=result.status,
        output=bodies.put(result.output),
        fingerprint=result.fingerprint,
        loose_fingerprint=result.loose_fingerprint,
        error=result.error,
        retry=retry,
        retry_after_s=result.retry_after_s,
        calls=tuple(Call(number, name, bodies.put(text)) for number, name, text in result.calls),
        answer=None if result.answer is None else bodies.put(result.answer),
        problem=None if result.problem is None else bodies.put(result.problem),
        approved=result.approved,
        output_bytes=len(result.output),
        input_tokens=result.input_tokens,
        output_tokens=result.output_tokens,
        usd=result.usd,
        uncharged=result.uncharged,
        duration_s=round(result.duration_s, 6),
        left_s=round(left_s, 6),
    )


def replace_result(step: Step, done: StepDone, text: str, bodies: Bodies) -> StepDone:
    """Returns the result with a guard's text in its place. What was spent stays spent."""
    if step.kind == "model":
        return replace(
            done,
            output=encode_assistant(text, bodies),
            calls=(),
            answer=bodies.put(text),
            problem=None,
        )
    return replace(done, output=bodies.put(text), status=_keep_effect(step, done, "ok"))


def refuse_result(step: Step, done: StepDone, reason: str, bodies: Bodies) -> StepDone:
    """Returns the result as a guard refused it: the agent gets the reason. What was spent stays spent."""
    if step.kind == "model":
        return replace(
            done,
            status="ok",
            output=encode_assistant(WITHHELD, bodies),
            calls=(),
            answer=None,
            problem=bodies.put(reason),
        )
    return replace(done, output=bodies.put(reason), status=_keep_effect(step, done, "refused"))


def _keep_effect(step: Step, done: StepDone, status: StepStatus) -> StepStatus:
    """An effect stays what it came to, whatever is said of it."""
    return done.status if step.effect else status


def encode_assistant(text: str, bodies: Bodies) -> Ref:
    """Returns the body of an assistant's message with this text."""
    return bodies.put(canonical({"content": bodies.redact(text), "role": "assistant"}).decode())
