"""Budget: what a tenant may spend, in all and in a day, and what all tenants together may in a day.

A run's own limits are `Limits`. These are across runs: all processes on a journal keep one account of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Literal, cast

from seawall.core.errors import Misused
from seawall.journal.protocol import Cap

Scope = Literal["tenant", "tenant_day", "day"]
CAPPED = ("usd", "tokens", "model_calls", "tool_calls")
"""What there can be a cap on."""


@dataclass(frozen=True, kw_only=True)
class Caps:
    """How much may be spent in one account; what is reserved for calls in flight counts."""

    usd: Decimal | None = None
    """US dollars; needs a known price for every model. None: as much as one likes, as for each of these: what a
    business can bear is its own to say."""
    tokens: int | None = None
    """Input and output tokens."""
    model_calls: int | None = None
    """Model calls, failed attempts included."""
    tool_calls: int | None = None
    """Tool calls that are performed."""

    def __post_init__(self) -> None:
        """Make a decimal of the dollars. Raises `Misused` for a cap that is no amount."""
        given: object = self.usd
        if given is not None:
            try:
                usd = Decimal(str(given))
            except InvalidOperation:
                raise Misused(f"Caps: usd is {given!r}; it must be a number") from None
            if not usd.is_finite() or usd < 0:
                raise Misused(f"Caps: usd is {given!r}; it must be zero or more, and finite")
            object.__setattr__(self, "usd", usd)
        for name in ("tokens", "model_calls", "tool_calls"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise Misused(f"Caps: {name} is {value!r}; it must be a whole number, zero or more")

    @property
    def any(self) -> bool:
        """Whether there is a cap on anything."""
        return not (self.usd is self.tokens is self.model_calls is self.tool_calls is None)

    def of(self, scope: Scope, tenant: str) -> Cap:
        """As the journal takes it."""
        return Cap(
            scope=scope,
            tenant=tenant,
            usd=self.usd,
            tokens=self.tokens,
            model_calls=self.model_calls,
            tool_calls=self.tool_calls,
        )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Caps across runs. A call is made only if it fits under each of those that it falls under.

    They are recorded when the `Seawall` that they were given to opens, and hold in every process on its journal:
    those given last count, also where none were given. `Budget()` takes them all back.
    """

    tenant: Caps = Caps()
    """What one tenant may spend in all, for ever. Nothing is capped by default, as for each of these."""
    tenant_day: Caps = Caps()
    """What one tenant may spend in a day. Days are those of UTC: the same for all processes."""
    day: Caps = Caps()
    """What all tenants together may spend in a day: the brake for what nobody thought of."""
    tenants: Mapping[str, Caps] = field(default_factory=dict[str, Caps])
    """Tenants with caps of their own, by name. What is None there is as in `tenant`; to lift a cap for one of
    them give a number that is never reached."""
    tenants_day: Mapping[str, Caps] = field(default_factory=dict[str, Caps])
    """Tenants with caps of their own in a day, by name. What is None there is as in `tenant_day`."""

    def __post_init__(self) -> None:
        """Raise `Misused` for what is no `Caps`."""
        for name in ("tenant", "tenant_day", "day"):
            _check_caps(name, getattr(self, name))
        for name in ("tenants", "tenants_day"):
            own = getattr(self, name)
            if not isinstance(own, Mapping):
                raise Misused(
                    f"Budget: {name} is {own!r}; it must be a dict of Caps(…) by the tenants' names"
                )
            for tenant, caps in cast("Mapping[object, object]", own).items():
                if not isinstance(tenant, str):
                    raise Misused(f"Budget: {name} names a tenant {tenant!r}; it must be text")
                _check_caps(f"{name}[{tenant!r}]", caps)

    def caps(self, tenant: str) -> Iterator[Cap]:
        """The caps that this tenant's calls fall under."""
        scopes: tuple[tuple[Caps, Scope, str], ...] = (
            (_of(self.tenants.get(tenant), self.tenant), "tenant", tenant),
            (_of(self.tenants_day.get(tenant), self.tenant_day), "tenant_day", tenant),
            (self.day, "day", ""),
        )
        for caps, scope, whose in scopes:
            if caps.any:
                yield caps.of(scope, whose)


def _of(own: Caps | None, general: Caps) -> Caps:
    """A tenant's caps: its own, and the general ones for what those say nothing of."""
    if own is None:
        return general
    said = {name: value for name in CAPPED if (value := getattr(own, name)) is not None}
    return replace(general, **said)


def _check_caps(where: str, given: object) -> None:
    if not isinstance(given, Caps):
        raise Misused(f"Budget: {where} is {given!r}; it must be Caps(…)")
