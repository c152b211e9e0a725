"""The options with which a tool declares its effect: its identity, who must approve it, and limits on sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from seawall.core.errors import Misused
from seawall.core.money import Money
from seawall.run.approve import EXPIRES_S, Approve, Over, Scope, check_money, check_names, check_seconds


def _list_names(what: str, names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):  # its letters are not names
        raise Misused(f"approve: {what} is {names!r}; it must be a tuple of names")
    return tuple(names)


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
    """Returns the rule that another person must approve amounts above `limit`. See `Approve` for the options."""
    return Approve(
        limit=limit,
        over=over,
        roles=_list_names("roles", roles),
        people=people,
        expires_s=expires_s,
        remind_s=remind_s,
        escalate_s=escalate_s,
        escalate_to=_list_names("escalate_to", escalate_to),
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
    """Returns the rule that another person must approve each call. See `Approve` for the options."""
    return Approve(
        roles=_list_names("roles", roles),
        people=people,
        expires_s=expires_s,
        remind_s=remind_s,
        escalate_s=escalate_s,
        escalate_to=_list_names("escalate_to", escalate_to),
    )


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A tool's declaration of its effect: `@tool(effect=Effect(...))`."""

    unique_by: tuple[str, ...] = ()
    """The parameters that identify the effect: calls with equal values are the same effect. Empty: each call is a new
    effect."""
    scope: Scope = "tenant"
    """The scope within which calls with equal values are the same effect."""
    amount: str | None = None
    """The parameter that holds the amount: `Money`, or a number together with `currency`."""
    currency: str | None = None
    """The currency of an amount that is a number (ISO 4217). None: the amount is `Money`, which has its own."""
    key_ttl_s: float | None = None
    """Seconds for which the external system remembers `ToolContext.key`. None: it does not honour keys."""
    approve: Approve | tuple[Approve, ...] = ()
    """When another person must approve. Of several rules that apply, the one with the highest limit counts."""
    confirm: bool = False
    """The acting user must confirm each call."""
    per_run: Money | None = None
    """A person is asked once the sum of this run is above this amount."""
    per_day: Money | None = None
    """A person is asked once the sum of the tenant's day (UTC) is above this amount."""
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
        self._check_values()
        given = self.approve if isinstance(self.approve, tuple) else (self.approve,)
        for rule in cast("tuple[object, ...]", given):
            if not isinstance(rule, Approve):
                raise Misused(
                    f"effect: approve is {rule!r}; it must be above(…) or always(…), or a tuple of them"
                )
        plain = next(iter(given), Approve())
        rules = list(given)
        sums: tuple[tuple[Money | None, Over], ...] = ((self.per_run, "run"), (self.per_day, "day"))
        for limit, over in sums:
            if limit is not None:
                options = {name: getattr(plain, name) for name in _OPTIONS}
                rules.append(Approve(limit=limit, over=over, **options))
        for limit in [rule.limit for rule in rules if rule.limit is not None]:
            if self.amount is None:
                raise Misused("effect: a limit needs an amount: name the parameter with amount=…")
            if self.currency not in (None, limit.currency):
                raise Misused(f"effect: the limit {limit} is never compared with amounts in {self.currency}")
        object.__setattr__(self, "rules", tuple(rules))

    def _check_values(self) -> None:
        check_names("effect: unique_by", self.unique_by)
        if len(set(self.unique_by)) != len(self.unique_by):
            raise Misused(f"effect: unique_by is {self.unique_by!r}; it names a parameter twice")
        if self.scope not in get_args(Scope):
            raise Misused(f"effect: scope is {self.scope!r}; it is one of {', '.join(get_args(Scope))}")
        if self.scope != "tenant" and not self.unique_by:
            raise Misused("effect: scope goes with unique_by")
        for what in ("amount", "currency", "version"):
            text = getattr(self, what)
            if not isinstance(text, str | None) or (text == "" and what != "version"):
                raise Misused(f"effect: {what} is {text!r}; it must be text")
        if self.currency is not None:
            if self.amount is None:
                raise Misused("effect: currency goes with amount")
            Money(0, self.currency)
        for what in ("confirm", "detached"):
            if not isinstance(getattr(self, what), bool):
                raise Misused(f"effect: {what} is {getattr(self, what)!r}; it must be True or False")
        for what in ("per_run", "per_day"):
            check_money(f"effect: {what}", getattr(self, what))
        check_seconds("effect: key_ttl_s", self.key_ttl_s)


_OPTIONS = ("roles", "people", "expires_s", "remind_s", "escalate_s", "escalate_to")
