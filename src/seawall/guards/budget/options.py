"""Options of the guard `budget`: caps on the spending of a tenant, in total and per day, and of all tenants together
per day.

`Limits` bound one run. These caps hold across runs: all processes on a journal share its accounts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Literal, cast

from seawall.core.errors import Misused
from seawall.journal.protocol import Cap

CapScope = Literal["tenant", "tenant_day", "day"]
CAPPED = ("usd", "tokens", "model_calls", "tool_calls")
"""The fields of `Caps`."""


@dataclass(frozen=True, kw_only=True, init=False)
class Caps:
    """How much may be spent in one account. Amounts that are reserved for calls in flight count as spent."""

    usd: Decimal | None = None
    """US dollars, given as a `Decimal`, as text (`"2.50"`) or as a whole number. Every model needs a known price. None:
    no cap, which is the default of each field, because only a business knows what it can bear."""
    tokens: int | None = None
    """Input and output tokens."""
    model_calls: int | None = None
    """Model calls, failed attempts included."""
    tool_calls: int | None = None
    """Tool calls that are performed."""

    def __init__(
        self,
        *,
        usd: Decimal | str | int | None = None,
        tokens: int | None = None,
        model_calls: int | None = None,
        tool_calls: int | None = None,
    ) -> None:
        """Raises `Misused` for a cap that is not an amount."""
        # Written by hand, because the parameter `usd` takes more types than the field has.
        object.__setattr__(self, "usd", usd)
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "model_calls", model_calls)
        object.__setattr__(self, "tool_calls", tool_calls)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Checks the caps and turns the dollars into a decimal; called after decoding, too."""
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
        """Whether any field is capped."""
        return not (self.usd is self.tokens is self.model_calls is self.tool_calls is None)

    def build_cap(self, scope: CapScope, tenant: str) -> Cap:
        """Returns these caps in the journal's form."""
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
    """Caps across runs. A call is made only if it fits under every cap that applies to it. The caps are recorded in the
    journal when the `Seawall` that has them opens. They then apply in every process on that journal, even if that
    process has no caps or others: the newest caps count. `Budget()` removes all caps.
    """

    tenant: Caps = Caps()
    """What one tenant may spend in total, without an end date. Nothing is capped by default, here and in the other
    fields."""
    tenant_day: Caps = Caps()
    """What one tenant may spend in a day. Days are those of UTC, so that they are the same for all processes."""
    day: Caps = Caps()
    """What all tenants together may spend in a day. It bounds the damage of unexpected failures."""
    tenants: Mapping[str, Caps] = field(default_factory=dict[str, Caps])
    """Caps of single tenants, by name. For a field that is None, the cap in `tenant` applies; to lift a cap for one
    tenant, give a number that is never reached."""
    tenants_day: Mapping[str, Caps] = field(default_factory=dict[str, Caps])
    """Caps of single tenants in a day, by name. For a field that is None, the cap in `tenant_day` applies."""

    def __post_init__(self) -> None:
        """Raises `Misused` if a value is not `Caps`."""
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

    def list_caps(self, tenant: str) -> Iterator[Cap]:
        """Yields the caps that apply to this tenant's calls."""
        scopes: tuple[tuple[Caps, CapScope, str], ...] = (
            (_merge_caps(self.tenants.get(tenant), self.tenant), "tenant", tenant),
            (_merge_caps(self.tenants_day.get(tenant), self.tenant_day), "tenant_day", tenant),
            (self.day, "day", ""),
        )
        for caps, scope, name in scopes:
            if caps.any:
                yield caps.build_cap(scope, name)


def _merge_caps(own: Caps | None, general: Caps) -> Caps:
    """Returns a tenant's own caps, with the general ones in the fields that are None."""
    if own is None:
        return general
    given = {name: value for name in CAPPED if (value := getattr(own, name)) is not None}
    return replace(general, **given)


def _check_caps(where: str, given: object) -> None:
    """Raises `Misused` if `given` is not `Caps`."""
    if not isinstance(given, Caps):
        raise Misused(f"Budget: {where} is {given!r}; it must be Caps(…)")
