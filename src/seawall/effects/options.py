"""What a tool declares of the effect that it has: what makes it the same one, who signs it off, and its sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from seawall.core.errors import Misused
from seawall.core.money import Money

Scope = Literal["run", "session", "principal", "tenant", "everyone"]
Over = Literal["call", "run", "tenant", "day"]

EXPIRES_S = 172_800.0
"""Seconds for which a proposal stands: two days, so that one made on a Friday evening is still there on Sunday."""


@dataclass(frozen=True, kw_only=True)
class Approve:
    """When somebody else must approve an effect, and who that is. `above` and `always` make one.

    Raises `Misused` for values that make no sense.
    """

    limit: Money | None = None
    """Asked about if the amount is above this. None: always."""
    over: Over = "call"
    """What is compared with `limit`: this call, or the sum of the tool's effects in this run, of the tenant, or of the
    tenant on this day (UTC). Sums include what is proposed and what is under way."""
    roles: tuple[str, ...] = ()
    """One of these a person must have who decides. Empty: anybody but the requester."""
    people: int = 1
    """How many different people must approve."""
    expires_s: float = EXPIRES_S
    """Seconds after which the proposal is void."""
    remind_s: float | None = None
    """Seconds after which `notify` is called again, once."""
    escalate_s: float | None = None
    """Seconds after which people with the roles `escalate_to` may decide as well."""
    escalate_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks the values."""
        if isinstance(self.roles, str) or isinstance(self.escalate_to, str):
            raise Misused(f"approve: roles is {self.roles!r}; it must be a tuple of names")
        if type(self.people) is not int or self.people < 1:
            raise Misused(f"approve: people is {self.people!r}; it must be a whole number of at least 1")
        if self.over not in get_args(Over):
            raise Misused(f"approve: over is {self.over!r}; it is one of {', '.join(get_args(Over))}")
        for what in ("expires_s", "remind_s", "escalate_s"):
            value = getattr(self, what)
            if value is not None and not (isinstance(value, int | float) and 0 < value < float("inf")):
                raise Misused(f"approve: {what} is {value!r}; it must be a number of seconds above zero")
        if (self.escalate_s is None) != (not self.escalate_to):
            raise Misused("approve: escalate_s and escalate_to go together")


def above(
    limit: Money,
    *,
    over: Over = "call",
    roles: Sequence[str] = (),
    people: int = 1,
    expires_s: float = EXPIRES_S,
    remind_s: float | None = None,
    escalate_s: float | None = None,
    escalate_to: Sequence[str] = (),
) -> Approve:
    """Returns the rule that somebody else approves amounts above `limit`. See `Approve` for the options."""
    return Approve(
        limit=limit,
        over=over,
        roles=tuple(roles),
        people=people,
        expires_s=expires_s,
        remind_s=remind_s,
        escalate_s=escalate_s,
        escalate_to=tuple(escalate_to),
    )


def always(
    *,
    roles: Sequence[str] = (),
    people: int = 1,
    expires_s: float = EXPIRES_S,
    remind_s: float | None = None,
    escalate_s: float | None = None,
    escalate_to: Sequence[str] = (),
) -> Approve:
    """Returns the rule that somebody else approves each of these effects. See `Approve` for the options."""
    return Approve(
        roles=tuple(roles),
        people=people,
        expires_s=expires_s,
        remind_s=remind_s,
        escalate_s=escalate_s,
        escalate_to=tuple(escalate_to),
    )


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a tool declares of the effect that it has: `@tool(effect=Effect(...))`."""

    unique_by: tuple[str, ...] = ()
    """The parameters that make it the same effect. Empty: each call is an effect of its own."""
    scope: Scope = "tenant"
    """Within what it is the same effect."""
    amount: str | None = None
    """The parameter that is the amount: `Money`, or a number together with `currency`."""
    currency: str | None = None
    key_ttl_s: float | None = None
    """Seconds for which the other side remembers `ToolContext.key`. None: it does not honour keys."""
    approve: Approve | tuple[Approve, ...] = ()
    """When somebody else must approve. Of several rules that apply the one with the highest limit counts."""
    confirm: bool = False
    """The acting user must confirm each call."""
    per_run: Money | None = None
    """Asked about once the sum of this run is above it."""
    per_day: Money | None = None
    """Asked about once the sum of the tenant's day (UTC) is above it."""
    preview: Callable[..., Any] | None = None
    """A function that changes nothing and says what would happen; it takes the tool's parameters."""
    reconcile: Callable[..., Any] | None = None
    """A function that takes the key and asks the other side. It returns the receipt, or None if that can't be known, and
    raises `NotDone` if the effect did not happen and will not."""
    version: str = ""
    """The same as `version` of `@tool`, which it replaces if it is given."""
    detached: bool = False
    """The run does not wait for the decision: it goes on with "asked for", and the receipt reaches the next run of the
    session."""
    undo: Any = None
    """The tool that undoes it, an effect itself. Its parameters are filled by name from the effect's arguments, and
    `receipt` with its receipt."""
    rules: tuple[Approve, ...] = field(init=False, repr=False, compare=False, default=())
    """All rules on amounts: `approve`, `per_run` and `per_day`."""

    def __post_init__(self) -> None:
        """Checks the values, and collects the rules."""
        if isinstance(self.unique_by, str):
            raise Misused(f"effect: unique_by is {self.unique_by!r}; it must be a tuple of parameters")
        if self.scope not in get_args(Scope):
            raise Misused(f"effect: scope is {self.scope!r}; it is one of {', '.join(get_args(Scope))}")
        given = self.approve if isinstance(self.approve, tuple) else (self.approve,)
        plain = next(iter(given), Approve())
        rules = list(given)
        sums: tuple[tuple[Money | None, Over], ...] = ((self.per_run, "run"), (self.per_day, "day"))
        for limit, over in sums:
            if limit is not None:
                options = {name: getattr(plain, name) for name in _OPTIONS}
                rules.append(Approve(limit=limit, over=over, **options))
        if self.amount is None and any(rule.limit is not None for rule in rules):
            raise Misused("effect: a limit needs an amount: name the parameter with amount=…")
        if self.key_ttl_s is not None and not self.key_ttl_s > 0:
            raise Misused(
                f"effect: key_ttl_s is {self.key_ttl_s!r}; it must be a number of seconds above zero"
            )
        if self.scope != "tenant" and not self.unique_by:
            raise Misused("effect: scope goes with unique_by")
        object.__setattr__(self, "rules", tuple(rules))


_OPTIONS = ("roles", "people", "expires_s", "remind_s", "escalate_s", "escalate_to")
