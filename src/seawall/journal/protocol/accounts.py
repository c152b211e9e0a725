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
    their bound. A reservation whose process died stays until its run is resumed, so that may never happen."""


class AccountStore(Protocol):
    """The accounts of tenants and days."""

    async def reserve(self, tenant: str, day: str, need: Spend, caps: Sequence[Cap]) -> OverCap | None:
        """Reserves `need` for a tenant and a day if it fits under every cap, in one step across all processes.

        Returns None when it is reserved; it stays so until a `Booking` takes it back. The reservation of a
        process that died stays and counts until the process that resumes the run takes it back: money that
        may be gone never counts as unspent. Otherwise nothing changes, and the answer names a cap that
        `need` does not fit under, preferably one where waiting does not help. A cap is only checked for what
        `need` asks for. Raises `Misused` for a cap of another tenant, a `need` below zero, and numbers that
        `book` does not accept.
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

        Pruning and erasing leave accounts as they are.
        """
        ...
