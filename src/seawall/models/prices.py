"""Prices and windows of models from `genai-prices`, an extra that brings a list of prices. Nothing is fetched.

A `Price` has rates for input, output, and input that the provider reads from its cache or writes to it. The price is
an upper bound of the cost. If the list has several rates for one of these, the highest that may apply counts, for
reservations and for what is booked:

- of tiers by length of the context, the most expensive one;
- of prices that change over time, today's, the announced ones, and those of every time of the day;
- of service tiers, the standard one, or all of them if the agent has a `…service_tier` among its settings;
- of writes to the cache, the one for the longest time in the cache, which at Anthropic is twice that of other input. Only
  an agent that has `…cache…` among its settings writes to a cache; that is then reserved for all of its input.

Charges by call and not by token, such as for web searches, are not included.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from seawall.models.protocol import Price
from seawall.models.providers import PROVIDERS

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_MTOK = 1_000
"""Millions of tokens from which a rate is computed: more than the lower bound of any tier."""


def is_installed() -> bool:
    """Returns whether the extra `prices` is installed."""
    return importlib.util.find_spec("genai_prices") is not None


def find_price(
    model: str, *, at: float, base_url: str | None = None, settings: Mapping[str, Any] | None = None
) -> Price | None:
    """Returns an upper bound of the price of `provider:name` at wall second `at`; None if the list does not have it.

    A `base_url` must be a provider's own, or the list has no price for it. `settings` are the agent's. The first call
    loads the list, which takes about half a second.
    """
    provider, _, name = model.partition(":")
    if not name or provider not in PROVIDERS or not is_installed():
        return None
    found = _find_model(name, PROVIDERS[provider].listed, base_url)
    if found is None:
        return None
    settings = settings or {}
    any_tier = any(key.endswith("service_tier") for key in settings)
    writes = any("cache" in key for key in settings)
    now = datetime.fromtimestamp(at, tz=UTC)
    rates = [_compute_rate(price, writes) for price in _list_prices(found, now, any_tier)]
    if None in rates:
        return None
    known = [rate for rate in rates if rate is not None]
    most = Price(
        most_input := max(rate.input_usd_per_mtok for rate in known),
        max(rate.output_usd_per_mtok for rate in known),
        _find_highest([rate.cache_read_usd_per_mtok for rate in known], most_input),
        _find_highest([rate.cache_write_usd_per_mtok for rate in known], most_input),
    )
    return (
        most if most.input_usd_per_mtok or most.output_usd_per_mtok else None
    )  # a missing price does not mean that the model is free


def find_window(model: str, base_url: str | None = None) -> int | None:
    """Returns the tokens of a context of `provider:name`, reply included; None if the list does not have the model.

    See `find_price` for `base_url`.
    """
    provider, _, name = model.partition(":")
    if not name or provider not in PROVIDERS or not is_installed():
        return None
    found = _find_model(name, PROVIDERS[provider].listed, base_url)
    return None if found is None else found.context_window


def _find_model(name: str, provider: str, base_url: str | None) -> ModelInfo | None:
    from genai_prices import Usage, calc_price  # noqa: PLC0415 -- an extra, and half a second

    usage = Usage(input_tokens=1)
    try:
        if base_url is not None:
            return calc_price(usage, name, provider_api_url=base_url).model
        return calc_price(usage, name, provider_id=provider).model
    except LookupError:
        return None


def _list_prices(model: ModelInfo, now: datetime, any_tier: bool) -> Iterator[ModelPrice]:
    """Yields the prices that may be charged for a call from now on. In the list, a later entry takes precedence."""
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


def _find_highest(rates: list[Decimal | None], other: Decimal) -> Decimal | None:
    """Returns the highest rate of cached input; None if it equals the rate of `other` input."""
    highest = max((rate for rate in rates if rate is not None), default=None)
    return None if highest == other else highest


def _compute_rate(price: ModelPrice, writes: bool) -> Price | None:
    """Returns the highest rates of a price; None if it also charges for something other than tokens."""
    from genai_prices import Usage  # noqa: PLC0415 -- as above

    tokens = _MTOK * 1_000_000
    plain = Usage(input_tokens=tokens, output_tokens=tokens)
    read = Usage(input_tokens=tokens, cache_read_tokens=tokens, output_tokens=tokens)
    written = [
        Usage(input_tokens=tokens, cache_write_tokens=tokens, output_tokens=tokens),
        Usage(
            input_tokens=tokens,
            cache_write_tokens=tokens,
            cache_write_1h_tokens=tokens,
            output_tokens=tokens,
        ),
    ]
    usages = [plain, read, *(written if writes else ())]
    sums = [price.calc_price(usage) for usage in usages]
    if any(each["total_price"] != each["input_price"] + each["output_price"] for each in sums):
        return None
    rates = [each["input_price"] / _MTOK for each in sums]
    return Price(
        rates[0], max(each["output_price"] for each in sums) / _MTOK, rates[1], max(rates[2:], default=None)
    )
