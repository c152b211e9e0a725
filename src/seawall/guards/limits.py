"""The guard `limits`: checks a step against what its run may spend. Steps in flight count at their upper bound.

A step that does not fit brings the run, or the part of it that the limit is for, to its end (`engine/closing.py`).
What the last replies take is kept for them from the start, so that there is an answer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from seawall.core.events import PERFORMED, StepDone
from seawall.core.limits import Limits
from seawall.guards.shared import Defer
from seawall.run.ledger import (
    LEAST_REPLY_TOKENS,
    NO_REST,
    Ledger,
    Overrun,
    Rest,
    Shortfall,
    find_shortfall,
    settle,
)
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import Advise, GuardVerdict, Halt, Refuse

LIMITS = "limits"

_ZERO = Decimal(0)
_ADVISED = ("tool_calls", "model_calls", "handoffs", "tokens", "usd")
"""Limits, and what of the ledger counts toward each, of which an agent is told what is left."""


class Fits(msgspec.Struct, frozen=True):
    """A step that fits, with the longest reply that there is room for, and what its agent is told beside."""

    step: Step
    verdicts: list[GuardVerdict]


class Short(NamedTuple):
    """A step that does not fit: which limit it would go above, and what that limit is for."""

    name: str
    limit: str
    """For example `tool_calls=40`."""
    value: str
    reason: str
    frame: int = 0
    """The frame that answers with what there is."""
    part: str = ""
    """What the limit is for, for people: `team 'archive'`, `agent 'clerk'`; "": the run."""
    label: str = ""
    """The name of that team or agent."""
    closes: bool = True
    """Whether there may be room for a last reply."""
    limits: Limits | None = None
    """All limits of that part; None: those of the run."""


Limited = Fits | Short | Defer | list[GuardVerdict]
"""What limits say of a step. Verdicts: they stop the run or refuse the step or, in mode `observe`, would have."""


def check_limits(step: Step, state: RunState, limits: Limits, rest: Rest = NO_REST) -> Limited:
    """Returns what the run's ledger and limits say of a step; `Defer` while steps in flight may still make room."""
    mode = state.modes.get(LIMITS, "enforce")
    if mode == "off":
        return Fits(step, [])
    if state.overrun is not None and (limits.tokens is not None or limits.usd is not None):
        return [GuardVerdict(LIMITS, halt_overrun(state.overrun), mode)]
    in_flight = 0
    for intended in state.open.values():
        performed = intended.perform and intended.kind in PERFORMED
        in_flight += performed and intended.step not in step.enclosing
    if step.kind in PERFORMED and in_flight >= limits.parallel:
        return Defer(f"{in_flight} steps are in flight (limit {limits.parallel})")
    if step.kind in ("handoff", "review") and step.depth > limits.depth:
        reason = f"{step.name!r} would work at depth {step.depth} (limit {limits.depth})"
        return Short("depth", f"depth={limits.depth}", str(step.depth), reason)
    if step.kind == "model" and limits.usd is not None and step.usd is None:
        reason = f"the price of model {step.name!r} is not known and usd is limited to {limits.usd}"
        return [GuardVerdict(LIMITS, Halt(reason, f"usd={limits.usd}", "unknown price"), mode)]
    enforced = mode == "enforce"
    fitted = fit(step, state.ledger, limits, rest, in_flight=bool(in_flight), enforced=enforced)
    if isinstance(fitted, Step):
        return Fits(fitted, list(advise(fitted, state, state.ledger, limits)) if enforced else [])
    if in_flight and enforced:
        # The steps in flight go on to their results, and may free what this step needs.
        return Defer(f"{fitted.limit_name} are reserved by steps in flight")
    if in_flight and fitted.waits:
        return Fits(step, [])
    limit = f"{fitted.limit_name}={fitted.limit}"
    return Short(fitted.limit_name, limit, str(fitted.value), describe_shortfall(step, fitted))


def fit(
    step: Step, ledger: Ledger, limits: Limits, rest: Rest, *, in_flight: bool, enforced: bool
) -> Step | Shortfall:
    """Returns a step as it fits, or why it does not. A reply is made shorter only if nothing in flight can make room."""
    if not enforced:
        rest = NO_REST
    short = _find_shortfall(step, ledger, limits, rest)
    if short is None or not enforced or in_flight or step.kind != "model":
        return step if short is None else short
    fitted = _shorten_reply(step, ledger, limits, rest)
    return fitted if _find_shortfall(fitted, ledger, limits, rest) is None else short


def _find_shortfall(step: Step, ledger: Ledger, limits: Limits, rest: Rest) -> Shortfall | None:
    if rest.grows:
        again = step.reply_tokens
        rest = replace(rest, tokens=rest.tokens + again, usd=rest.usd + again * rest.input_token_usd)
    return find_shortfall(ledger, limits, step.kind, step.tokens, step.usd or _ZERO, rest)


def _shorten_reply(step: Step, ledger: Ledger, limits: Limits, rest: Rest) -> Step:
    """Returns a model step with the longest reply that there is room for, down to `LEAST_REPLY_TOKENS`."""
    most = step.reply_tokens
    if limits.tokens is not None:
        left = limits.tokens - ledger.tokens - rest.tokens - (step.tokens - step.reply_tokens)
        most = min(most, left // (2 if rest.grows else 1))
    token_usd = step.reply_token_usd + rest.input_token_usd
    if limits.usd is not None and token_usd:
        own = (step.usd or _ZERO) - step.reply_tokens * step.reply_token_usd
        most = min(most, int((limits.usd - ledger.usd - rest.usd - own) / token_usd))
    if not min(LEAST_REPLY_TOKENS, step.reply_tokens) <= most < step.reply_tokens:
        return step
    fewer = step.reply_tokens - most
    usd = None if step.usd is None else step.usd - fewer * step.reply_token_usd
    return replace(step, reply_tokens=most, tokens=step.tokens - fewer, usd=usd)


@functools.lru_cache(maxsize=1024)  # a program has a handful of limits
def _list_warnings(limits: Limits) -> list[tuple[str, int | Decimal, Decimal]]:
    """Returns the limits that are set, each with the value from which on an agent is told what is left of it."""
    found = [(name, getattr(limits, name)) for name in _ADVISED]
    warn_at = Decimal(str(limits.warn_at))
    return [(name, limit, warn_at * limit) for name, limit in found if limit is not None]


def advise(
    step: Step, state: RunState, ledger: Ledger, limits: Limits, part: str = ""
) -> Iterator[GuardVerdict]:
    """Yields advice for an agent, before its next model call, on each limit of which little is left; once for each."""
    if step.kind != "model" or step.last:
        return
    frame = state.frames[step.frame]
    for name, limit, warning in _list_warnings(limits):
        value: int | Decimal = getattr(ledger, name)
        if not warning <= value < limit:
            continue
        named = f"{part}: {name}={limit}" if part else f"{name}={limit}"
        if (LIMITS, named) in frame.advised:
            continue
        reason = f"{value} of {name} are spent (limit {limit})"
        whose = part or "this run"
        note = (
            f"[Not from the user: of the {name} that {whose} may use, {limit - value} of {limit} are left. Do what "
            "matters most, and answer before they are used up.]"
        )
        yield GuardVerdict(LIMITS, Advise(reason, note, named, str(value)), "enforce")


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
    kept = f", with {short.kept} kept for the last reply" if short.kept else ""
    return f"{step.kind} {step.name!r}: {short.limit_name} {would} {short.value}{kept} (limit {short.limit})"


def stop_short(short: Short) -> Halt | Refuse:
    """Returns the verdict on a step that does not fit, where nothing takes its place."""
    verdict = Refuse if short.name == "depth" or short.part else Halt
    return verdict(short.reason, short.limit, short.value)


def halt_overrun(overrun: Overrun) -> Halt:
    """Returns the verdict on what follows a call that went above its reservation: no bound holds for that model."""
    reason = f"model {overrun.model!r}, step {overrun.step}: {overrun.problem}"
    return Halt(reason, f"reserved_{overrun.what}={overrun.reserved}", overrun.value)
