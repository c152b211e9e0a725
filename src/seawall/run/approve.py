"""The options with which a tool declares when a person must approve its effect, and who may. The gate follows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from seawall.core.errors import Misused
from seawall.core.money import Money

Scope = Literal["run", "session", "principal", "tenant", "everyone"]
"""The scope within which two calls with the same values are the same effect."""
Over = Literal["call", "run", "tenant", "day"]
"""The amount that is compared with a limit."""

EXPIRES_S = 172_800.0
"""Seconds until a proposal expires: two days, so that a proposal of Friday evening is still open on Sunday."""


@dataclass(frozen=True, kw_only=True)
class Approve:
    """When a person must approve an effect, and who may do so. `above` and `always` make one.

    Raises `Misused` for values that make no sense.
    """

    limit: Money | None = None
    """A person is asked if the amount is above this limit. None: a person is always asked."""
    over: Over = "call"
    """What is compared with `limit`: this call, or the sum of the tool's effects in this run, of the tenant, or of the
    tenant on this day (UTC). Sums include effects that are proposed or under way."""
    roles: tuple[str, ...] = ()
    """Roles of which the person who decides must have one. Empty: anybody except the requester may decide."""
    people: int = 1
    """The number of different people who must approve."""
    expires_s: float = EXPIRES_S
    """Seconds after which the proposal is void."""
    remind_s: float | None = None
    """Seconds after which `notify` is called again, once."""
    escalate_s: float | None = None
    """Seconds after which people with the roles `escalate_to` may decide as well."""
    escalate_to: tuple[str, ...] = ()
    """The roles that may decide after `escalate_s` seconds, in addition to `roles`."""

    def __post_init__(self) -> None:
        """Checks the values."""
        check_money("approve: limit", self.limit)
        for what in ("roles", "escalate_to"):
            check_names(f"approve: {what}", getattr(self, what))
        if type(self.people) is not int or self.people < 1:
            raise Misused(f"approve: people is {self.people!r}; it must be a whole number of at least 1")
        if self.over not in get_args(Over):
            raise Misused(f"approve: over is {self.over!r}; it is one of {', '.join(get_args(Over))}")
        if self.limit is None and self.over != "call":
            raise Misused(f"approve: over={self.over!r} needs a limit to compare the sum with")
        for what in ("expires_s", "remind_s", "escalate_s"):
            check_seconds(f"approve: {what}", getattr(self, what), required=what == "expires_s")
        if (self.escalate_s is None) != (not self.escalate_to):
            raise Misused("approve: escalate_s and escalate_to go together")


def check_names(what: str, names: object) -> None:
    """Raises `Misused` for a value that is not a tuple of names."""
    if not isinstance(names, tuple) or not all(
        isinstance(each, str) and each for each in cast("tuple[object, ...]", names)
    ):
        raise Misused(f"{what} is {names!r}; it must be a tuple of names")


def check_money(what: str, limit: object) -> None:
    """Raises `Misused` for a limit that is not `Money`."""
    if limit is not None and not isinstance(limit, Money):
        raise Misused(f'{what} is {limit!r}; it must be Money, as in Money("100", "EUR")')


def check_seconds(what: str, value: object, *, required: bool = False) -> None:
    """Raises `Misused` for a value that is not a number of seconds above zero."""
    if value is None and not required:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise Misused(f"{what} is {value!r}; it must be a number of seconds above zero")
