"""What a model costs, from `genai-prices`: an extra that comes with a list of prices. Nothing is fetched.

A `Price` has one rate for input and one for output, and it bounds what is spent from above. So where the list has
several for a model, the highest that may apply is taken, for reservations and for what is booked alike:

- of tiers by length of the context the dearest;
- of prices that change, today's, those that are announced, and those of any time of the day;
- of service tiers the standard one, and all of them for an agent that has a `…service_tier` among its settings;
- cached input at the price of input that is not, and for an agent with `…cache…` among its settings at that of
  writing to the cache, which Anthropic charges up to twice as much for.

What is charged by the call and not by the token, such as web searches, is not in it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from seawall.models.protocol import Price
from seawall.models.providers import PROVIDERS

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_MTOK = 1_000
"""So many million tokens are priced: beyond the start of every tier."""


def installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("genai_prices") is not None


def listed(
    model: str, *, at: float, base_url: str | None = None, settings: Mapping[str, Any] | None = None
) -> Price | None:
    """An upper bound of what `provider:name` costs at wall second `at`; None if the list has no such model.

    A server behind a `base_url` is known if it is a provider's own. `settings` are the agent's. The first look
    into the list loads it, which takes about half a second.
    """
    provider, _, name = model.partition(":")
    if not name or provider not in PROVIDERS or not installed():
        return None
    found = _found(name, PROVIDERS[provider].listed, base_url)
    if found is None:
        return None
    settings = settings or {}
    any_tier = any(key.endswith("service_tier") for key in settings)
    writes = any("cache" in key for key in settings)
    now = datetime.fromtimestamp(at, tz=UTC)
    rates = [_rate(price, writes) for price in _in_force(found, now, any_tier)]
    if None in rates:
        return None
    most = Price(
        max(rate.input_usd_per_mtok for rate in rates if rate is not None),
        max(rate.output_usd_per_mtok for rate in rates if rate is not None),
    )
    return most if most.input_usd_per_mtok or most.output_usd_per_mtok else None  # no price is not a free one


def _found(name: str, provider: str, base_url: str | None) -> ModelInfo | None:
    from genai_prices import Usage, calc_price  # noqa: PLC0415 -- an extra, and half a second

    usage = Usage(input_tokens=1)
    try:
        if base_url is not None:
            return calc_price(usage, name, provider_api_url=base_url).model
        return calc_price(usage, name, provider_id=provider).model
    except LookupError:
        return None


def _in_force(model: ModelInfo, now: datetime, any_tier: bool) -> Iterator[ModelPrice]:
    """The prices that a call from now on may be charged at. In the list the later one takes precedence."""
    from genai_prices.types import ModelPrice, StartDateConstraint  # noqa: PLC0415 -- as above

    contexts = [None, *(variant.when for variant in model.price_variants or () if any_tier)]
    for context in contexts:
        yield model.get_prices(now, context)
    if isinstance(model.prices, ModelPrice):
        return
    for each in reversed(model.prices):
        yield each.prices
        if each.constraint is None or (
            isinstance(each.constraint, StartDateConstraint) and each.constraint.active(now)
        ):
            return


def _rate(price: ModelPrice, writes: bool) -> Price | None:
    """The highest rates of one price; None if it has more than rates."""
    from genai_prices import Usage  # noqa: PLC0415 -- as above

    tokens = _MTOK * 1_000_000
    usages = [Usage(input_tokens=tokens, output_tokens=tokens)]
    if writes:
        usages.append(Usage(input_tokens=tokens, cache_write_tokens=tokens, output_tokens=tokens))
        usages.append(
            Usage(
                input_tokens=tokens,
                cache_write_tokens=tokens,
                cache_write_1h_tokens=tokens,
                output_tokens=tokens,
            )
        )
    sums = [price.calc_price(usage) for usage in usages]
    if any(each["total_price"] != each["input_price"] + each["output_price"] for each in sums):
        return None
    return Price(
        max(each["input_price"] for each in sums) / _MTOK, max(each["output_price"] for each in sums) / _MTOK
    )
