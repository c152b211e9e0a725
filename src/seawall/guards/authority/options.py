"""`Authority`: which agent of a team may call which tool and up to which amount, hand work to which agent, and decide
on whose answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from seawall.core.errors import Misused
from seawall.core.money import Money


@dataclass(frozen=True, kw_only=True)
class May:
    """The part of its team's wiring that one agent may use. For a field that is left out, the wiring holds."""

    call: Sequence[str] | None = None
    """The tools that it may call, by name. Memory has its own rules (`Memory`). None: each tool that it has."""
    hand_to: Sequence[str] | None = None
    """The agents and teams that it may hand work to, by name. None: each one that it may ask."""
    decide: Sequence[str] | None = None
    """The agents whose answers it may decide on as a reviewer, by name. None: the agents that it reviews by the team's
    wiring."""
    up_to: Mapping[str, Money | Sequence[Money]] = field(default_factory=dict[str, Money])
    """By tool: the greatest amount that it may cause in one call, one `Money` for each currency; the tool's effect
    declares its `amount`. A call in another currency, or without an amount, counts as above it. A tool that is not
    named has no such limit: its own `Effect` says when a person must approve."""

    def __post_init__(self) -> None:
        """Checks the types. Raises `Misused`."""
        for what in ("call", "hand_to", "decide"):
            names = cast("object", getattr(self, what))
            if names is None:
                continue
            if isinstance(names, str) or not isinstance(names, Sequence):
                raise Misused(f"May: {what} is {names!r}; it must be a list of names")
            given = tuple(cast("Sequence[object]", names))
            if wrong := [name for name in given if not isinstance(name, str) or not name]:
                raise Misused(f"May: {what} has {wrong[0]!r}, which is not a name")
            object.__setattr__(self, what, given)
        if not isinstance(cast("object", self.up_to), Mapping):
            raise Misused(f"May: up_to is {self.up_to!r}; it must be {{'tool': Money(…)}}")
        amounts = {name: _list_amounts(name, given) for name, given in self.up_to.items()}
        object.__setattr__(self, "up_to", amounts)


@dataclass(frozen=True, kw_only=True)
class Authority:
    """The authority matrix of a team: `Team(authority=Authority(agents={"clerk": May(…)}))`."""

    agents: Mapping[str, May]
    """The permissions of each agent, by name. An agent that is not named may do everything that the team's wiring gives
    it."""
    above: Literal["refuse", "ask"] = "refuse"
    """Whether a call above its amount is refused, or a person is asked as for `Effect(approve=…)`. Refused by default:
    an amount in this matrix is what the agent may not exceed, and `Effect` says what a person must approve."""

    def __post_init__(self) -> None:
        """Checks the types. Raises `Misused`."""
        if not isinstance(cast("object", self.agents), Mapping):
            raise Misused(f"Authority: agents is {self.agents!r}; it must be {{'agent': May(…)}}")
        for name, may in self.agents.items():
            if not isinstance(cast("object", may), May):
                raise Misused(f"Authority: agents[{name!r}] is {may!r}; it must be May(…)")
        if self.above not in ("refuse", "ask"):
            raise Misused(f"Authority: above is {self.above!r}; it is 'refuse' or 'ask'")
        object.__setattr__(self, "agents", dict(self.agents))


def _list_amounts(tool: object, given: object) -> tuple[Money, ...]:
    amounts = tuple(cast("Sequence[object]", given)) if isinstance(given, list | tuple) else (given,)
    if not isinstance(tool, str) or not amounts or not all(isinstance(each, Money) for each in amounts):
        raise Misused(f"May: up_to[{tool!r}] is {given!r}; it must be Money(…), or one for each currency")
    money = cast("tuple[Money, ...]", amounts)
    currencies = [each.currency for each in money]
    if twice := [each for each in currencies if currencies.count(each) > 1]:
        raise Misused(f"May: up_to[{tool!r}] has two amounts in {twice[0]}")
    return money
