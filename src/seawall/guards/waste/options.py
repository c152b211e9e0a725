"""Options of the guard `waste`, with the reason and the measurement of each default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, cast

from seawall.core.errors import Misused


@dataclass(frozen=True, kw_only=True)
class WasteOptions:
    """When the guard advises a team that work is done twice. Figures are from `python bench/arguing.py`, see its
    page.
    """

    rewrites: int = 2
    """Rewrites of one text before the guard advises. One rewrite is normal after an edit or a review; by default a team
    makes one review and one more after a correction. Of 384 recorded conversations the guard advises in 4 with the
    value 2, and in 11 with 1, one of them among the 84 that went well."""
    share: float = 0.25
    """The share of the run's tokens (0 to 1) spent on rewrites of one text from which on the agent that asks for them
    is advised. Of the 84 recorded conversations that went well the guard advises in none with a quarter, and in one
    with a fifth."""
    bound: float = 0.4
    """The share (0 to 1) from which on the agents that have rewritten the text are asked for no further version, if a
    version has passed a check: that version is used. Without one the agent is told so. It is far enough above `share`
    for the advice to be followed first. One of the 384 recorded conversations reaches it, and there an agent read
    one page four times."""
    give_known: bool = False
    """Whether a read that another agent has made is answered with that result, and not made. This applies only to tools
    that declare `fresh_s`, within that time, and if nothing was written since. Off, because a tool may answer two
    agents differently."""

    def __post_init__(self) -> None:
        """Raises `Misused` for values that are out of bounds or of another type."""
        rewrites, give_known = cast("object", self.rewrites), cast("object", self.give_known)
        if isinstance(rewrites, bool) or not isinstance(rewrites, int) or rewrites < 1:
            raise Misused(f"WasteGuard: rewrites is {rewrites!r}; it must be a whole number, one or more")
        for name in ("share", "bound"):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
                raise Misused(f"WasteGuard: {name} is {value!r}; it must be a share above 0, up to 1")
        if self.bound < self.share:
            raise Misused(f"WasteGuard: bound is {self.bound:g}; it must be at least share, {self.share:g}")
        if not isinstance(give_known, bool):
            raise Misused(f"WasteGuard: give_known is {give_known!r}; it must be True or False")


class WasteKeywords(TypedDict, total=False):
    """The fields of `WasteOptions`, as keywords."""

    rewrites: int
    share: float
    bound: float
    give_known: bool
