"""`Planner`: options of the planner that keeps a team's runs within their time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from seawall.core.errors import Misused

PRIOR_KINDS = ("agent", "model", "tool")


@dataclass(frozen=True, kw_only=True)
class Planner:
    """How a team's runs are kept within their `active_s`.

    Raises `Misused` for an option out of range or of another type.
    """

    quantile: float = 0.8
    """Of the times seen: the mandatory rest is given what this share of them took; between 0 and 1. In
    `bench/deadline.py` 0.7 and 0.8 keep the most of the answers' quality, and 0.95 cuts work short that would
    have been done; what the rest itself takes longer is caught by the fallback and by the record."""
    chance: float = 0.5
    """A step begins if this share of those before it was done in what is left but for the mandatory rest. It is
    cut where that begins, so a try costs no lateness, only what was spent on it: as likely as not is enough.
    An effect is not cut; it needs `quantile`."""
    margin_s: float = 0.05
    """Seconds kept for the runtime itself, to record an answer before the deadline. Far above what a commit and
    a turn of the event loop take, and no user sees it."""
    priors: Mapping[str, float] = field(default_factory=dict[str, float])
    """Seconds to reckon with until twenty durations were seen: `agent:NAME` a whole hand-off or review,
    `model:AGENT` one reply of that agent, `tool:NAME` one call. What is neither declared nor seen is taken to
    take no time: nothing is pruned for want of knowledge."""

    def __post_init__(self) -> None:
        for name, number in (
            ("quantile", self.quantile),
            ("chance", self.chance),
            ("margin_s", self.margin_s),
        ):
            if isinstance(number, bool) or not isinstance(cast("object", number), int | float):
                raise Misused(f"Planner: {name} is {number!r}; it must be a number")
        if not 0 < self.quantile < 1:
            raise Misused(f"Planner: quantile is {self.quantile}; it must be between 0 and 1")
        if not 0 < self.chance <= self.quantile:
            raise Misused(
                f"Planner: chance is {self.chance}; it must be above 0, up to quantile {self.quantile}"
            )
        if not 0 <= self.margin_s < math.inf:
            raise Misused(f"Planner: margin_s is {self.margin_s}; it must be zero or more, and finite")
        if not isinstance(cast("object", self.priors), Mapping):
            raise Misused(f"Planner: priors is {self.priors!r}; it must map names to seconds")
        for name, seconds in self.priors.items():
            kind, _, of = str(name).partition(":")
            if kind not in PRIOR_KINDS or not of:
                raise Misused(
                    f"Planner: prior {name!r} is not of the form agent:NAME, model:AGENT or tool:NAME"
                )
            number = isinstance(cast("object", seconds), int | float) and not isinstance(seconds, bool)
            if not number or not 0 <= seconds < math.inf:
                raise Misused(f"Planner: prior {name!r} is {seconds!r}; it must be seconds, zero or more")
