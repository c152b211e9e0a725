"""The guard `limits`: checks a step against what its run may spend. Steps in flight count at their upper bound."""

from __future__ import annotations

from decimal import Decimal

from seawall.core.events import PERFORMED, StepDone
from seawall.core.limits import Limits
from seawall.guards.shared import Defer
from seawall.run.ledger import Overrun, Shortfall, find_shortfall, settle
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import GuardVerdict, Halt, Refuse

LIMITS = "limits"

_ZERO = Decimal(0)


def check_limits(step: Step, state: RunState, limits: Limits) -> list[GuardVerdict] | Defer:
    """Returns what the run's ledger and limits say of a step; `Defer` while steps in flight may still make room."""
    mode = state.modes.get(LIMITS, "enforce")
    if mode == "off":
        return []
    if state.overrun is not None and (limits.tokens is not None or limits.usd is not None):
        return [GuardVerdict(LIMITS, halt_overrun(state.overrun), mode)]
    in_flight = len(state.in_flight)
    if step.kind in PERFORMED and in_flight >= limits.parallel:
        return Defer(f"{in_flight} steps are in flight (limit {limits.parallel})")
    if step.kind in ("handoff", "review") and step.depth > limits.depth:
        reason = f"{step.name!r} would work at depth {step.depth} (limit {limits.depth})"
        return [GuardVerdict(LIMITS, Refuse(reason, f"depth={limits.depth}", step.depth), mode)]
    if step.kind == "model" and limits.usd is not None and step.usd is None:
        reason = f"the price of model {step.name!r} is not known and usd is limited to {limits.usd}"
        return [GuardVerdict(LIMITS, Halt(reason, f"usd={limits.usd}", "unknown price"), mode)]
    short = find_shortfall(state.ledger, limits, step.kind, step.tokens, step.usd or _ZERO)
    if short is None:
        return []
    if in_flight and mode == "enforce":
        # The steps in flight go on to their results, and may free what this step needs.
        return Defer(f"{short.limit_name} are reserved by steps in flight")
    if in_flight and short.waits:
        return []
    limit = f"{short.limit_name}={short.limit}"
    return [GuardVerdict(LIMITS, Halt(describe_shortfall(step, short), limit, short.value), mode)]


def has_room_for_retry(step: Step, failed: StepDone, state: RunState, limits: Limits) -> bool:
    """Returns whether a step that has `failed` fits into the run's limits once more."""
    intent = state.open.get(step.number)
    if intent is None or state.modes.get(LIMITS, "enforce") != "enforce":
        return True
    ledger = settle(state.ledger, intent, failed)
    short = find_shortfall(ledger, limits, step.kind, step.tokens, step.usd or _ZERO)
    return short is None or short.waits


def describe_shortfall(step: Step, short: Shortfall) -> str:
    """Returns why a step does not fit, for people."""
    would = "could reach" if short.limit_name in ("tokens", "usd") else "would be"
    return f"{step.kind} {step.name!r}: {short.limit_name} {would} {short.value} (limit {short.limit})"


def halt_overrun(overrun: Overrun) -> Halt:
    """Returns the verdict on what follows a call that went above its reservation: no bound holds for that model."""
    reason = f"model {overrun.model!r}, step {overrun.step}: {overrun.problem}"
    return Halt(reason, f"reserved_{overrun.what}={overrun.reserved}", overrun.value)
