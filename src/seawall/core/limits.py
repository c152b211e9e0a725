"""The limits of one run tree."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Literal, cast, get_args

import msgspec

from seawall.core.errors import Misused

AtLimit = Literal["answer", "halt"]

MAX_LIMIT = 10**15
"""Greatest value of any limit: far above what a run can spend, and small enough for a record in JSON and for a
timer."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one run tree may spend. Every limit is above zero; None means not limited."""

    active_s: float = 120.0
    """Active seconds from start to outcome; time spent waiting for a person does not count."""
    tool_calls: int = 40
    """Tool calls that are performed. 40: the longest of 84 good recorded airline conversations made 13."""
    model_calls: int = 60
    """Model calls, failed attempts included. 60: one for each tool call, and half as many again for hand-offs and
    review."""
    depth: int = 4
    """Nested frames: the coordinator's own steps have depth 1, its specialists' steps depth 2."""
    handoffs: int = 32
    """Hand-offs; reviews do not count."""
    parallel: int = 64
    """Steps of one run that are in flight at once; further ones wait."""
    tokens: int | None = None
    """Input and output tokens; reserved at their upper bound before each model call."""
    usd: Decimal | None = None
    """US dollars; needs a known price for every model of the team."""
    at_limit: AtLimit = "answer"
    """What happens once a limit on calls, tokens or money is used up. `answer`: the agent has one last model call without
    tools, which is kept from the start. `halt`: the run is halted without an answer."""
    warn_at: float = 0.8
    """The share of such a limit (above 0, and up to 1) from which on an agent is told what is left, once before its
    next model call; 1: it is not told."""
    count_failed: bool = True
    """Whether a model call that failed and cost nothing counts as one of `model_calls`: its server could not be
    reached, or turned it away before any work. True by default, so that failed calls are bounded by this limit too.
    With False they are bounded only by the agent's retries and by the run's time."""

    def __post_init__(self) -> None:
        """Raises `Misused` naming a limit that is not above zero. `usd` becomes a `Decimal`."""
        if cast("object", self.at_limit) not in get_args(AtLimit):
            raise Misused(f"limits: at_limit is {self.at_limit!r}; it must be 'answer' or 'halt'")
        if not isinstance(cast("object", self.count_failed), bool):
            raise Misused(f"limits: count_failed is {self.count_failed!r}; it must be True or False")
        for name in self.__struct_fields__:
            value: object = getattr(self, name)
            if name not in _CHOICES and not (value is None and name in ("tokens", "usd")):
                _check_number(name, value)
        if self.warn_at > 1:
            raise Misused(f"limits: warn_at is {self.warn_at}; it must be at most 1")
        if isinstance(cast("object", self.usd), float):
            msgspec.structs.force_setattr(self, "usd", Decimal(str(self.usd)))


_CHOICES = ("at_limit", "count_failed")


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Misused(f"limits: {name} is {value!r}; it must be a number")
    finite = isinstance(value, int) or (
        value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
    )
    if not finite or value <= 0:
        raise Misused(f"limits: {name} is {value}; it must be above zero and finite")
    if name not in ("active_s", "usd", "warn_at") and not isinstance(value, int):
        raise Misused(f"limits: {name} is {value}; it must be a whole number")
    if value > MAX_LIMIT:
        raise Misused(f"limits: {name} is {value}; it must be at most {MAX_LIMIT:,}")


def validate_limits(limits: Limits) -> Limits:
    """Returns `limits`. Raises `Misused` for any other type; `Limits` checks its values when it is made."""
    if not isinstance(cast("object", limits), Limits):
        raise Misused(f"limits is {limits!r}; it must be Limits(…)")
    return limits
