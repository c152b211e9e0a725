"""`Planner`: the options of the planner, which keeps a team's runs within their time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from seawall.core.errors import Misused

PRIOR_KINDS = ("agent", "model", "tool")


@dataclass(frozen=True, kw_only=True)
class Planner:
    """How the planner keeps a team's runs within their `active_s`.

    Raises `Misused` for an option out of range or of another type.
    """

    quantile: float = 0.8
    """The quantile of the measured durations, between 0 and 1, that the planner reserves for the mandatory rest. In
    `bench/deadline.py` 0.7 and 0.8 keep most of the answers' quality, and 0.95 ends work early that would have been
    finished. If the rest takes longer, the fallback or the recorded results answer."""
    chance: float = 0.5
    """A step begins if this share of the earlier ones fitted into the time left before the mandatory rest. The
    planner ends the step when the mandatory rest has to begin, so a try makes no answer late and costs only its
    spending: an even chance is enough. An effect is not ended early; it needs `quantile`."""
    margin_s: float = 0.05
    """Seconds that are reserved for the runtime itself, to record an answer before the deadline. The default is far more
    than a commit and a round of the event loop take, and too short for a user to notice."""
    priors: Mapping[str, float] = field(default_factory=dict[str, float])
    """Expected seconds until twenty durations were measured: `agent:NAME` is a whole hand-off or review,
    `model:AGENT` one reply of that agent, `tool:NAME` one call. An action that is neither declared nor measured
    counts as zero seconds: nothing is pruned for lack of knowledge."""

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
