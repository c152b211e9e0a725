"""The texts about a step that waits for an endpoint or is refused. The text for an agent stays word for word the same
while one opening of the breaker lasts. Numbers that count down would look like new information, and a loop of an agent
that calls an unavailable endpoint again and again would never be found.
"""

from __future__ import annotations

import math

from seawall.guards.endpoints.breaker import Block, Breaker
from seawall.guards.endpoints.record import Phase
from seawall.journal.protocol import Setting
from seawall.run.step import Step
from seawall.run.verdict import Refuse

_INSTEAD = "Use what you have, do something else first, or answer and say what is missing."


def write_refusal(
    step: Step,
    breaker: Breaker,
    block: Block | None,
    setting: Setting | None,
    left_s: float,
    *,
    needs_turn: bool = False,
) -> Refuse:
    """Returns why this step is not made. Without a `block`, no slot became free in time or, if it `needs_turn`, its
    earlier tries failed and no other call was answered.
    """
    phase, options = breaker.phase, breaker.options
    limit: str | None = None
    value: str | None = None
    match None if block is None else block.reason:
        case "isolated":
            why = _describe_isolation(setting)
            limit, value = "isolated", None if setting is None else setting.by
        case "spend_limit":
            why = "its provider says that the money is used up, and only a person can change that"
            limit, value = "spend_limit", "spend_limit"
        case "retry_after":
            seconds = breaker.retry_after_s
            why = f"it asked to be left alone for {_round_up(seconds)} s (Retry-After)"
            limit, value = f"retry_after_s={seconds:g}", None
        case "open" | "probing" | "due":
            why = _describe_opening(phase)
            ratio = "slow_ratio" if phase.cause == "slow" else "failed_ratio"
            if phase.cause != "person":
                limit, value = f"{ratio}={getattr(options, ratio):g}", f"{phase.bad}/{phase.calls}"
        case None if needs_turn:
            why = "its last calls failed, and none was answered since"
        case None:
            why = f"all its {options.at_once} slots are taken"
            limit, value = f"at_once={options.at_once}", str(breaker.in_flight)
    text = f"{step.kind} {step.name!r} is not called now: endpoint {breaker.name}: {why}."
    if step.kind == "model":
        left = f" The run has {max(0.0, left_s):.1f} s left, too few to wait."
        if block is not None and block.reason == "isolated":
            left = " No run can wait for that: it lasts until a person lifts it."
            if setting is not None and setting.until is not None:
                left = " That lasts for longer than the run has time left, unless a person lifts it."
        return Refuse(text + left, limit, value)
    return Refuse(f"{text} {_INSTEAD}", limit, value)


def describe_wait(breaker: Breaker, block: Block | None, *, needs_turn: bool = False) -> str:
    """Returns a text for people that says what a step waits for. `needs_turn`: its calls have failed, and no other was
    answered since.
    """
    if block is None and needs_turn:
        return f"waits for its turn at {breaker.name}, where its last call failed"
    match None if block is None else block.reason:
        case None:
            return f"waits for one of {breaker.options.at_once} slots at {breaker.name}"
        case "retry_after":
            return f"{breaker.name} asked to be left alone"
        case "isolated":
            return f"{breaker.name} is isolated by a person"
        case "open" | "probing" | "due" | "spend_limit":
            state = breaker.phase.state.replace("_", " ")
            return f"{breaker.name} is {state}: {_describe_opening(breaker.phase)}"


def _describe_opening(phase: Phase) -> str:
    again = "it is being tried again"
    if phase.open_s:
        again = f"it is tried again within {_round_up(phase.open_s)} s"
    match phase.cause:
        case "person":
            return f"{phase.by} opened its breaker, and {again}"
        case "slow":
            return f"{phase.bad} of its last {phase.calls} calls failed or were slow, and {again}"
        case "spend_limit":
            return f"its money is used up, and {again}"
        case _:
            return f"{phase.bad} of its last {phase.calls} calls failed, and {again}"


def _describe_isolation(setting: Setting | None) -> str:
    if setting is None:
        return "a person isolated it"
    return f"{setting.by} isolated it{f' ({setting.why})' if setting.why else ''}"


def _round_up(seconds: float) -> int:
    return max(1, math.ceil(seconds))
