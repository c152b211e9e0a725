"""What one run tree may spend."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import cast

import msgspec

from seawall.core.errors import Misused


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one run tree may spend. Every limit is positive; None means not limited."""

    active_s: float = 120.0
    """Active seconds from start to outcome; waiting for a person does not count."""
    tool_calls: int = 40
    """Tool calls that are performed. The longest of 84 good recorded airline conversations made 13."""
    model_calls: int = 60
    """Model calls, failed attempts included: tool calls and half as many again for hand-offs and review."""
    depth: int = 4
    """Frames above a step: the coordinator's own steps have depth 1, its specialists' depth 2."""
    handoffs: int = 32
    """Hand-offs, reviews not included."""
    parallel: int = 64
    """Steps of one run in flight at once; more wait their turn."""
    tokens: int | None = None
    """Input and output tokens; reserved at their upper bound before each model call."""
    usd: Decimal | None = None
    """US dollars; needs a known price for every model of the team."""


def validate_limits(limits: Limits) -> Limits:
    """`limits`, if every one of them is above zero. Raises `Misused` naming the one that is not."""
    if not isinstance(cast("object", limits), Limits):
        raise Misused(f"limits is {limits!r}; it must be Limits(…)")
    for name in limits.__struct_fields__:
        value = getattr(limits, name)
        if value is None and name in ("tokens", "usd"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise Misused(f"limits: {name} is {value!r}; it must be a number")
        if (isinstance(value, Decimal) and not value.is_finite()) or not math.isfinite(value) or value <= 0:
            raise Misused(f"limits: {name} is {value}; it must be above zero and finite")
        if name not in ("active_s", "usd") and not isinstance(value, int):
            raise Misused(f"limits: {name} is {value}; it must be a whole number")
    if isinstance(limits.usd, float):
        return msgspec.structs.replace(limits, usd=Decimal(str(limits.usd)))
    return limits
