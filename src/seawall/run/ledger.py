"""The amounts that a run has reserved and spent: each step is reserved at its upper bound first, then settled.

The ledger is a fold: a step that a crash left without a result counts as spent, at its upper bound.
"""

from __future__ import annotations

from decimal import Context, Decimal

import msgspec
from msgspec.structs import replace

from seawall.core.events import CALLED, StepDone, StepIntended
from seawall.core.limits import Limits

EXACT = Context(prec=64)
"""A decimal context with room for every digit of a reservation, so that exactly zero is left once all of it is given
back."""

_ZERO = Decimal(0)


class Ledger(msgspec.Struct, frozen=True):
    """Calls are counted when they are intended; tokens and dollars are spent or reserved."""

    tool_calls: int = 0
    model_calls: int = 0
    handoffs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    lost_tokens: int = 0
    """Tokens reserved for calls that a crash, a time-out or a failure left without a count. They count as spent."""
    reserved_tokens: int = 0
    usd: Decimal = _ZERO
    reserved_usd: Decimal = _ZERO

    @property
    def tokens(self) -> int:
        """Tokens spent."""
        return self.input_tokens + self.output_tokens + self.lost_tokens


class Overrun(msgspec.Struct, frozen=True):
    """A model call whose reported usage is above the upper bound that was reserved for it."""

    step: int
    agent: str
    model: str
    what: str
    """`tokens` or `usd`."""
    reserved: int | Decimal
    value: int | Decimal

    @property
    def problem(self) -> str:
        """A text that says what is wrong with the report."""
        unit = "tokens" if self.what == "tokens" else "USD"
        return f"{self.value} {unit} are reported, above the {self.reserved} that were reserved"


LEAST_REPLY_TOKENS = 256
"""Tokens of the shortest maximum reply that a limit may enforce: some 200 words. If less is left, the model is not
called, unless its agent's `max_output_tokens` is lower."""


class Rest(msgspec.Struct, frozen=True):
    """The part of a limit that is kept until the end, so that there is an answer: the last replies, at their upper
    bound.
    """

    model_calls: int = 0
    tokens: int = 0
    usd: Decimal = _ZERO
    grows: bool = False
    """Whether the reply of the current step will be sent again with the last call."""
    input_token_usd: Decimal = _ZERO
    """US dollars for one more token of that call's input."""
    must_review: bool = False
    """Whether the answer must be reviewed, because the run has changed something."""


NO_REST = Rest()


class Shortfall(msgspec.Struct, frozen=True):
    """Why a step does not fit. `waits`: it will fit if the steps in flight cost less than was reserved for them."""

    limit_name: str
    limit: int | Decimal
    value: int | Decimal
    waits: bool
    kept: int | Decimal = 0
    """The part of `value` that is kept for the last replies."""


def reserve(ledger: Ledger, step: StepIntended) -> Ledger:
    """Returns the ledger with a new step counted, and its upper bound reserved."""
    match step.kind:
        case "tool" | "memory":
            return replace(ledger, tool_calls=ledger.tool_calls + 1)
        case "model":
            return replace(
                ledger,
                model_calls=ledger.model_calls + 1,
                reserved_tokens=ledger.reserved_tokens + step.tokens,
                reserved_usd=EXACT.add(ledger.reserved_usd, step.usd),
            )
        case "handoff":
            return replace(ledger, handoffs=ledger.handoffs + 1)
        case "review" | "approval":
            return ledger


def withdraw(ledger: Ledger, step: StepIntended) -> Ledger:
    """Returns the ledger without the reservation of a step that was admitted and never performed."""
    match step.kind:
        case "tool" | "memory":
            return replace(ledger, tool_calls=ledger.tool_calls - 1)
        case "model":
            return replace(
                ledger,
                model_calls=ledger.model_calls - 1,
                reserved_tokens=ledger.reserved_tokens - step.tokens,
                reserved_usd=EXACT.subtract(ledger.reserved_usd, step.usd),
            )
        case "handoff" | "review" | "approval":
            return ledger


def settle(ledger: Ledger, step: StepIntended, done: StepDone) -> Ledger:
    """Returns the ledger with a model call's reservation released and its real usage booked. A call without a count is
    booked at its bound, because the provider may have charged it: it was lost, cancelled, timed out or failed on the
    way, or its server reported no usage, or an impossible one. An `uncounted` call does not count as one of the run's
    model calls.
    """
    if done.status == "withdrawn":
        return withdraw(ledger, step)
    if step.kind != "model":
        return ledger
    if done.uncounted:
        ledger = replace(ledger, model_calls=ledger.model_calls - 1)
    if is_at_bound(step, done):
        return _settle_at_bound(ledger, step)
    return replace(
        ledger,
        reserved_tokens=ledger.reserved_tokens - step.tokens,
        reserved_usd=EXACT.subtract(ledger.reserved_usd, step.usd),
        input_tokens=ledger.input_tokens + done.input_tokens,
        output_tokens=ledger.output_tokens + done.output_tokens,
        usd=ledger.usd + done.usd,
    )


def is_at_bound(step: StepIntended, done: StepDone) -> bool:
    """Returns whether a step is a model call without a count, which counts as spent at its upper bound."""
    if step.kind != "model" or not step.perform or done.status == "withdrawn":
        return False
    # Earlier versions recorded negative usage as it was reported.
    impossible = done.input_tokens < 0 or done.output_tokens < 0 or done.usd < 0
    return impossible or (done.input_tokens + done.output_tokens == 0 and not done.uncharged)


def _settle_at_bound(ledger: Ledger, step: StepIntended) -> Ledger:
    return replace(
        ledger,
        reserved_tokens=ledger.reserved_tokens - step.tokens,
        reserved_usd=EXACT.subtract(ledger.reserved_usd, step.usd),
        lost_tokens=ledger.lost_tokens + step.tokens,
        usd=ledger.usd + step.usd,
    )


def find_overrun(step: StepIntended, done: StepDone) -> Overrun | None:
    """Returns the overrun of a model call above its reservation; None if there is none."""
    if step.kind != "model" or not step.perform:
        return None
    counted = done.input_tokens + done.output_tokens
    if counted > step.tokens:
        return Overrun(step.step, step.agent, step.name, "tokens", step.tokens, counted)
    if done.usd > step.usd:
        return Overrun(step.step, step.agent, step.name, "usd", step.usd, done.usd)
    return None


def describe_usage_problem(step: StepIntended, done: StepDone) -> str:
    """Returns the problem with the usage that a model call reported; "" if there is none."""
    overrun = find_overrun(step, done)
    return done.usage_problem if overrun is None else overrun.problem


def find_shortfall(
    ledger: Ledger,
    limits: Limits,
    kind: str,
    tokens: int,
    usd: Decimal,
    rest: Rest = NO_REST,
) -> Shortfall | None:
    """Returns why a step of `kind` with these bounds, and `rest` after it, does not fit into `limits`; None if it
    fits.
    """
    if kind in CALLED:
        return _count("tool_calls", ledger.tool_calls, limits.tool_calls)
    if kind == "handoff":
        return _count("handoffs", ledger.handoffs, limits.handoffs)
    if kind != "model":
        return None
    if short := _count("model_calls", ledger.model_calls, limits.model_calls, rest.model_calls):
        return short
    if limits.tokens is not None:
        need = ledger.tokens + tokens + rest.tokens
        if need + ledger.reserved_tokens > limits.tokens:
            waits = ledger.reserved_tokens > 0 and need <= limits.tokens
            return Shortfall("tokens", limits.tokens, need + ledger.reserved_tokens, waits, rest.tokens)
    if limits.usd is not None:
        cost = ledger.usd + usd + rest.usd
        if cost + ledger.reserved_usd > limits.usd:
            waits = ledger.reserved_usd > 0 and cost <= limits.usd
            return Shortfall("usd", limits.usd, cost + ledger.reserved_usd, waits, rest.usd)
    return None


def _count(name: str, spent: int, limit: int, kept: int = 0) -> Shortfall | None:
    if spent + 1 + kept <= limit:
        return None
    return Shortfall(name, limit, spent + 1 + kept, waits=False, kept=kept)
