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
        """Returns the amount that takes this one back, to the last decimal."""
        return Spend(
            usd=self.usd.copy_negate(),  # a minus sign would round to the context's digits
            tokens=-self.tokens,
            model_calls=-self.model_calls,
            tool_calls=-self.tool_calls,
        )


NOTHING = Spend()


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to the accounts of a tenant and a day; amounts below zero take back.

    One booking settles a step: it takes back the reservation and adds what the step cost as spent.
    """

    day: str
    """`YYYY-MM-DD`, UTC. A reservation is taken back on the day on which it was made."""
    reserved: Spend = NOTHING
    spent: Spend = NOTHING
    prepaid: Spend = NOTHING
    """What is taken over of what this process has reserved for the run (`AccountStore.reserve`): steps that are
    recorded with this booking hold it from now on. `reserved` says what it changes in the accounts."""


class Cap(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be spent and reserved in one account. None: no limit."""

    scope: Literal["tenant", "tenant_day", "day"]
    """The tenant over all days, the tenant on the day, or all tenants on the day."""
    tenant: str = ""
    """The tenant's name; empty for the scope `day` (and for the tenant that has no name)."""
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
    """What would be spent and reserved, this reservation included."""
    waits: bool
    """True if it would fit once all reservations of now were taken back: steps in flight may cost less than
    their bound. A step of a process that died counts until its run is resumed, so that may never happen."""


class AccountStore(Protocol):
    """The accounts of tenants and days."""

    async def reserve(
        self, tenant: str, day: str, need: Spend, caps: Sequence[Cap], run: str = ""
    ) -> OverCap | None:
        """Reserves `need` for a tenant and a day if it fits under every cap, in one step across all processes.

        Returns None when it is reserved. For a `run` it stays so until an append of this process takes it over
        (`Booking.prepaid`), or it is given back: by this process, or by another one once this process is dead or its
        lease has run out. An append that comes after that raises `Fenced`. Without a run it stays until a `Booking`
        takes it back. Otherwise nothing changes, and the answer names a cap that `need` does not fit under,
        preferably one where waiting does not help. A cap is only checked for what `need` asks for. Raises `Misused`
        for a cap of another tenant, a `need` below zero, and numbers that `book` does not accept.
        """
        ...

    async def give_back(self, run: str, day: str | None = None, part: Spend | None = None) -> None:
        """Gives back what this process has reserved for a run and no append took over: all, or `part` of it on a day.

        What was given back before stays so: of `part` no more is given back than there is.
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

        What a dead process had reserved and no step took over counts as given back. Pruning and erasing leave accounts as they are.
        """
        ...
