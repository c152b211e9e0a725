"""Step 7 of the gate: the result of a step, and the end of a run, as they are recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, assert_never

from msgspec.structs import replace

from seawall.core.canonical import Ref, measure_bytes, to_canonical_bytes
from seawall.core.events import Call, Cause, RunEnded, StepDone, StepIntended, StepStatus
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes, Edges
from seawall.run.frame import describe_cut, get_status_when_cut
from seawall.run.state import RunState, may_have_happened
from seawall.run.step import End, Result, Step

MAX_ERROR_CHARS = 2_000
"""Characters of an error's text in the outcome; the whole text is a body."""

WITHHELD = "[this reply was withheld]"
"""The text that replaces a reply that a guard refused; some providers accept no empty message."""


def record_result(
    step: Step, result: Result, bodies: Bodies, *, run: str, at: float, left_s: float, counts: bool = True
) -> StepDone:
    """Returns the event that ends a step of `run`. `counts`: whether a model call that failed and cost nothing counts
    too.
    """
    return StepDone(
        at=at,
        step=step.number,
        status=result.status,
        output=bodies.put(result.output),
        reasoning=None if result.reasoning is None else bodies.put_opaque(run, result.reasoning),
        fingerprint=result.fingerprint,
        loose_fingerprint=result.loose_fingerprint,
        answer_fingerprint=result.answer_fingerprint,
        error=result.error,
        uncounted=not counts and step.kind == "model" and result.status == "error" and result.uncharged,
        retry_after_s=result.retry_after_s,
        calls=tuple(
            [Call(number, name, *bodies.put_arguments(run, text)) for number, name, text in result.calls]
        ),
        answer=None if result.answer is None else bodies.put_json(result.answer),
        problem=None if result.problem is None else bodies.put(result.problem),
        approved=result.approved,
        output_bytes=measure_bytes(result.output),
        input_tokens=result.input_tokens,
        output_tokens=result.output_tokens,
        cache_read_tokens=result.cache_read_tokens,
        cache_write_tokens=result.cache_write_tokens,
        usd=result.usd,
        uncharged=result.uncharged,
        usage_problem=result.usage_problem,
        delivered=result.delivered,
        trace=bodies.put(result.trace) if result.trace else None,
        duration_s=round(result.duration_s, 6),
        left_s=round(left_s, 6),
    )


def build_timeout(step: Step, text: str, endpoint: Literal["cut", "broken"]) -> Result:
    """Returns the result of a step that is given up. The step may be made again if the endpoint was too slow, not if
    the run's time was up, and never if it changes the world.
    """
    return Result(
        status="timeout",
        output=text,
        error="timeout",
        endpoint=endpoint,
        retryable=endpoint == "broken" and not step.effect,
    )


def record_cut(step: StepIntended, state: RunState, bodies: Bodies, at: float, *, made: bool) -> StepDone:
    """Returns the event that ends a step in flight because its run ends. A step that was not begun (`made` is False) is
    withdrawn.
    """
    text = describe_cut(step, state.frames.get(step.frame))
    begun = made or may_have_happened(state, step.frame, step.call)
    return StepDone(
        at=at,
        step=step.step,
        status=get_status_when_cut(step) if begun else "withdrawn",
        output=bodies.put(text) if text else None,
    )


def replace_result(step: Step, done: StepDone, text: str, bodies: Bodies) -> StepDone:
    """Returns the result with a guard's text in its place. What was spent stays spent."""
    if step.kind == "model":
        return replace(
            done,
            output=encode_assistant(text, bodies),
            reasoning=None,
            calls=(),
            answer=bodies.put(text),
            problem=None,
        )
    return replace(done, output=bodies.put(text), reasoning=None, status=_keep_effect(step, done, "ok"))


def refuse_result(step: Step, done: StepDone, reason: str, bodies: Bodies) -> StepDone:
    """Returns the result as a guard refused it: the agent gets the reason. What was spent stays spent."""
    if step.kind == "model":
        return replace(
            done,
            status="ok",
            output=encode_assistant(WITHHELD, bodies),
            reasoning=None,
            calls=(),
            answer=None,
            problem=bodies.put(reason),
        )
    return replace(
        done, output=bodies.put(reason), reasoning=None, status=_keep_effect(step, done, "refused")
    )


def _keep_effect(step: Step, done: StepDone, status: StepStatus) -> StepStatus:
    """Returns the status with which a step is recorded: an effect keeps its own, whatever a guard decides about the
    result.
    """
    return done.status if step.effect else status


def encode_assistant(text: str, bodies: Bodies) -> Ref:
    """Returns the body of an assistant's message with this text."""
    return bodies.put(to_canonical_bytes({"content": bodies.redact(text), "role": "assistant"}).decode())


def build_run_ended(
    end: End,
    state: RunState,
    *,
    edges: Edges,
    transcript: Ref | None,
    handover: Mapping[str, str],
    bodies: Bodies,
    at: float,
    left_s: float,
    delivered: bool,
    memory: Literal["", "merged"] = "",
) -> RunEnded:
    """Returns the end event of a run in `state`, which has no open steps. `delivered`: text of the answer may have been
    passed on before it was checked, if the run is streamed. `memory`: the result of the run's merge if it meets no
    conflict.
    """
    error = end.error if end.error_ref is None else bodies.text(end.error_ref)
    return RunEnded(
        at=at,
        status=end.status,
        answer=end.answer,
        causes=edges.causes,
        sources=edges.sources,
        reviewed=end.reviewed,
        stopped_by=end.stopped_by,
        pruned=state.pruned,
        lacks=state.plan.lacks,
        error=None if error is None else bodies.redact(error)[:MAX_ERROR_CHARS],
        unchecked_delivery=state.delivered if state.started.loop else state.started.stream and delivered,
        transcript=transcript,
        handover=dict(handover),
        memory=memory,
        left_s=left_s,
    )


def trace_answer(end: End, state: RunState, bodies: Bodies, causes: Causes) -> Edges:
    """Returns the edges of the answer: the sources of its values, and the step that wrote it or the results that it is
    made of.
    """
    if end.answer is None:
        return Edges((), ())
    plan, root = state.plan, state.frames.get(0)
    match plan.course:
        case "team":
            return causes.find_edges(bodies.text(end.answer), by=None if root is None else root.last_reply)
        case "fallback":
            made_of = () if plan.fallback_step is None else (plan.fallback_step,)
        case "partial":
            made_of = plan.made_of
        case _:
            assert_never(plan.course)
    found = causes.find_edges(bodies.text(end.answer))
    valued = {cause.step for cause in found.causes if cause.tie == "value"}
    edges = [Cause(step, "value") for step in sorted(valued.union(made_of))]
    edges += [cause for cause in found.causes if cause.tie == "exposure"]
    return Edges(tuple(edges), found.sources)
