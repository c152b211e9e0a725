"""Accounts: what tenants and days have spent and reserved, over all processes."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, Protocol

import msgspec


class Spend(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What steps cost. Sums are exact: money has up to 48 decimals and is never rounded."""

    usd: Decimal = Decimal(0)
    tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0

    def __neg__(self) -> Spend:
        """Returns the negative of this amount, exact to the last decimal."""
        return Spend(
            usd=self.usd.copy_negate(),  # a minus sign would round to the context's digits
            tokens=-self.tokens,
            model_calls=-self.model_calls,
            tool_calls=-self.tool_calls,
        )


NOTHING = Spend()


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """Amounts that are added to the accounts of a tenant and a day; negative amounts take back.

    One booking settles a step: it takes back the reservation and adds what the step cost as spent.
    """

    day: str
    """`YYYY-MM-DD`, UTC. A reservation is taken back on the day on which it was made."""
    reserved: Spend = NOTHING
    spent: Spend = NOTHING
    prepaid: Spend = NOTHING
    """The part of this process's reservation for the run (`AccountStore.reserve`) that now belongs to the steps
    recorded with this booking. `reserved` says how the accounts change."""


class Cap(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be spent and reserved in one account. None: no limit."""

    scope: Literal["tenant", "tenant_day", "day"]
    """The tenant over all days, the tenant on the day, or all tenants on the day."""
    tenant: str = ""
    """The tenant's name; "" for the scope `day`, and for the tenant without a name."""
    usd: Decimal | None = None
    tokens: int | None = None
    model_calls: int | None = None
    tool_calls: int | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant has spent and reserved on a day."""

    tenant: str
    """`*` stands for all tenants together."""
    day: str
    """`YYYY-MM-DD`, UTC; `*` stands for all days together."""
    spent: Spend = NOTHING
    reserved: Spend = NOTHING


class OverCap(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a reservation that does not fit under `cap`; nothing was reserved."""

    cap: Cap
    what: Literal["usd", "tokens", "model_calls", "tool_calls"]
    limit: Decimal | int
    value: Decimal | int
    """The spent plus reserved amount, this reservation included."""
    waits: bool
    """Whether the reservation would fit if all current reservations were taken back: steps in flight may cost less than
    their bound. A step of a dead process counts until its run is resumed, so the reservation may never fit."""


class AccountStore(Protocol):
    """The accounts of tenants and days."""

    async def reserve(
        self, tenant: str, day: str, need: Spend, caps: Sequence[Cap], run: str = ""
    ) -> OverCap | None:
        """Reserves `need` for a tenant and a day if it fits under every cap, in one step across all processes.

        Returns None when it is reserved. With a `run`, the reservation stays until an append of this process takes it
        over (`Booking.prepaid`), or until it is given back: by this process, or by another one once this process is
        dead or its lease has run out. A later append raises `Fenced`. Without a run it stays until a `Booking` takes it
        back. If it does not fit, nothing changes, and the answer names a cap that is exceeded, preferably one where
        waiting does not help. A cap is only checked for the kinds of cost that `need` has. Raises `Misused` for a cap
        of another tenant, a `need` below zero, and numbers that `book` does not accept.
        """
        ...

    async def give_back(self, run: str, day: str | None = None, part: Spend | None = None) -> None:
        """Gives back the reservation of this process for a run that no append has taken over: all of it, or `part` of
        it on a day. It never gives back more than is still reserved.
        """
        ...

    async def book(self, tenant: str, booked: Sequence[Booking]) -> None:
        """Adds to the accounts of a tenant: the day, all its days, and the day of all tenants.

        Raises `Misused` for a `day` that is not a date, for a tenant `*`, and for what an account can't hold:
        money of more than 48 decimals or 10^15 dollars, other numbers beyond 63 bits. Then nothing is booked.
        """
        ...

    async def accounts(self, *, tenant: str | None = None, day: str | None = None) -> list[Account]:
        """Returns the accounts by tenant and day; only those of one tenant or one day (`*`: of all together).

        A dead process's reservation that no step took over counts as given back. Pruning and erasing leave accounts as
        they are.
        """
        ...
