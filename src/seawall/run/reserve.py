"""Step 3 of the gate: a step's share of what its run may spend, and of what runs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from seawall.core.events import Limits, Paused
from seawall.run.ledger import shortfall
from seawall.run.shared import PAUSE, Later, Shared
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import Allow, Finding, Halt, Refuse

BUDGET = "budget"
WAIT: Any = object()
"""Stands for a verdict: a step in flight may free what this one needs."""

_ZERO = Decimal(0)


def reserve(step: Step, state: RunState, limits: Limits) -> list[Finding]:
    """What the run's own ledger says of a step, with what is in flight at its upper bound."""
    mode = state.modes.get(BUDGET, "enforce")
    if mode == "off":
        return []
    flying = len(state.in_flight)
    if step.kind in ("model", "tool") and flying >= limits.parallel:
        return [Finding(BUDGET, WAIT, "enforce")]
    if step.kind in ("handoff", "review") and step.depth > limits.depth:
        reason = f"{step.name!r} would work at depth {step.depth} (limit {limits.depth})"
        return [Finding(BUDGET, Refuse(reason, f"depth={limits.depth}", step.depth), mode)]
    if step.kind == "model" and limits.usd is not None and step.usd is None:
        reason = f"the price of model {step.name!r} is not known and usd is limited to {limits.usd}"
        return [Finding(BUDGET, Halt(reason, f"usd={limits.usd}", "unknown price"), mode)]
    short = shortfall(state.ledger, limits, step.kind, step.tokens, step.usd or _ZERO)
    if short is None:
        return []
    if flying and mode == "enforce":
        # What is in flight goes on to its result, and may free what this step needs.
        return [Finding(BUDGET, WAIT, mode)]
    if flying and short.waits:
        return []
    would = "could reach" if short.limit_name in ("tokens", "usd") else "would be"
    reason = f"{step.kind} {step.name!r}: {short.limit_name} {would} {short.value} (limit {short.limit})"
    return [Finding(BUDGET, Halt(reason, f"{short.limit_name}={short.limit}", short.value), mode)]


def ask(
    shared: Sequence[Shared], step: Step, state: RunState, left_s: float, again: Callable[[], None]
) -> list[Finding] | Later:
    """What those say that runs share, in their order, up to the first that does not let the step pass."""
    findings: list[Finding] = []
    for each in shared:
        mode = state.modes.get(each.name, "enforce")
        if mode == "off":
            continue
        said = each.ask(step, state, left_s, again)
        if isinstance(said, Later):
            if mode == "enforce":
                return said
        elif not isinstance(said, Allow):
            findings.append(Finding(each.name, said, mode))
            if mode == "enforce" and isinstance(said, Halt | Refuse):
                break
    return findings


def held(shared: Sequence[Shared], step: Step, state: RunState, again: Callable[[], None]) -> bool:
    """Whether a brake holds a step."""
    brakes = [
        each for each in shared if each.name == PAUSE and state.modes.get(PAUSE, "enforce") == "enforce"
    ]
    return any(isinstance(each.ask(step, state, state.left_s, again), Later) for each in brakes)


def parked(laters: Sequence[Later], now: float, left_s: float, redact: Callable[[str], str]) -> list[Paused]:
    """The brakes that are all that proposals wait for; none if there is anything else to wait for."""
    pauses = {later.pause.what: later.pause for later in laters if later.pause is not None}
    if any(later.pause is None for later in laters):
        return []
    return [
        Paused(at=now, what=each.what, by=each.by, why=redact(each.why), until=each.until, left_s=left_s)
        for each in pauses.values()
    ]
