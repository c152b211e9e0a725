"""Checks the usage that a model or its provider reports, before anything is booked.

A report comes from outside: a server may count wrong, and a user's own model class may return anything. A report that
can't be true is not booked; the call is then booked at its upper bound, which was reserved.
"""

from __future__ import annotations

import functools
import operator
from decimal import Decimal
from typing import SupportsIndex, cast

from seawall.core.errors import name_error
from seawall.models.protocol import MAX_USD_DECIMALS, Price, Usage

MAX_TOKENS = 100_000_000
"""The most tokens of one call that a report may count: ten times the longest context of any model."""
MAX_USD = Decimal(10**15)
"""The highest cost of one call in US dollars: as much as accounts hold."""
MAX_SHOWN_CHARS = 80
"""How many characters of an invalid value a message shows."""

_NO_USD = Decimal(0)
_COUNTS = ("input_tokens", "output_tokens")
_CACHED = ("cache_read_tokens", "cache_write_tokens")


def check_usage(usage: object, price: Price | None) -> tuple[Usage, Decimal]:
    """Returns the reported usage and its cost. A usage that can't be true is returned as one with a `problem`.

    Raises `TypeError` for a value that is not a `Usage`, because the model class made a wrong reply.
    """
    if type(usage) is Usage and (price is None or type(price) is Price) and _is_plain(usage):
        usd, problem = (_NO_USD, "") if price is None else _ask_price(price, usage)
        return (usage, usd) if usd is not None else (Usage(problem=problem), _NO_USD)
    if not all(hasattr(usage, name) for name in _COUNTS):
        raise TypeError(f"the usage of the reply is {_show(usage)}, not a Usage")
    try:
        given: list[object] = [getattr(usage, name) for name in _COUNTS]
        given += [getattr(usage, name, 0) for name in _CACHED]  # a user's own class need not count them
        numbers = [read_count(each) for each in given]
        problems = [
            find_count_problem(*each) for each in zip((*_COUNTS, *_CACHED), given, numbers, strict=True)
        ]
        problems += [_find_cached_problem(*[each or 0 for each in numbers])] if not any(problems) else []
        problem = str(getattr(usage, "problem", "")) or "; ".join(filter(None, problems))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- a usage of a user's own class may raise anything
        return Usage(problem=f"the usage can't be read: {name_error(error)}"), _NO_USD
    if problem:
        return Usage(problem=problem), _NO_USD
    of_input, of_output, read, written = (each or 0 for each in numbers)
    counted = Usage(of_input, of_output, cache_read_tokens=read, cache_write_tokens=written)
    if price is None:
        return counted, _NO_USD
    usd, problem = _ask_price(price, counted)
    return (counted, usd) if usd is not None else (Usage(problem=problem), _NO_USD)


def _is_plain(usage: Usage) -> bool:
    """Returns whether a usage clearly has no problem. This fast check is enough for most usages."""
    numbers = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
    if usage.problem:
        return False
    for number in numbers:
        if type(number) is not int or not 0 <= number <= MAX_TOKENS:
            return False
    return usage.cache_read_tokens + usage.cache_write_tokens <= usage.input_tokens


def compute_usd(price: Price | None, usage: Usage) -> Decimal | None:
    """Returns the cost of `usage`; None if the price is not known, or gives no amount that can be booked."""
    return None if price is None else _ask_price(price, usage)[0]


def compute_bound_usd(price: Price | None, input_tokens: int, output_tokens: int) -> Decimal | None:
    """Returns the most that a call with these tokens may cost, with any part of its input cached; None as `compute_usd`."""
    if price is None:
        return None
    if type(price) is Price:  # a user's own class may compute it differently
        return compute_usd(_make_bound_price(price), Usage(input_tokens, output_tokens))
    usages = (
        Usage(input_tokens, output_tokens),
        Usage(input_tokens, output_tokens, cache_read_tokens=input_tokens),
        Usage(input_tokens, output_tokens, cache_write_tokens=input_tokens),
    )
    costs = [compute_usd(price, usage) for usage in usages]
    return None if None in costs else max(cost for cost in costs if cost is not None)


@functools.lru_cache(maxsize=1024)  # an application has a handful of prices
def _make_bound_price(price: Price) -> Price:
    """Returns a price whose only rate of input is the highest that may apply."""
    rates = (price.input_usd_per_mtok, price.cache_read_usd_per_mtok, price.cache_write_usd_per_mtok)
    return Price(max(rate for rate in rates if rate is not None), price.output_usd_per_mtok)


def _find_cached_problem(of_input: int, of_output: int, read: int, written: int) -> str:
    """Returns why the numbers of cached tokens can't be true; "" if they can."""
    del of_output
    if read + written <= of_input:
        return ""
    return f"{read + written} input tokens are reported as cached, of {of_input}"


def _ask_price(price: Price, usage: Usage) -> tuple[Decimal | None, str]:
    """Returns the cost, or None and what is wrong with it. The price may be of a user's own class."""
    if type(price) is Price:  # its rates were checked, so accounts hold all decimals
        usd = price.usd(usage)
        if usd <= MAX_USD:
            return usd, ""
    try:
        usd = cast("object", price.usd(usage))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- a price of a user's own class may raise anything
        return None, f"its cost can't be computed: {name_error(error)}"
    if (
        type(usd) is Decimal
        and usd.is_finite()
        and 0 <= usd <= MAX_USD
        and int(usd.as_tuple().exponent) >= -MAX_USD_DECIMALS
    ):
        return usd, ""
    return None, f"its cost is {_show(usd)}, which is not an amount of dollars"


def read_count(value: object) -> int | None:
    """Returns a whole number as a plain `int`, also if it is of a subclass of `int`; None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(cast("SupportsIndex", value))
    except TypeError:
        return None


def find_count_problem(name: str, given: object, count: int | None) -> str:
    """Returns why a number of tokens can't be true; "" if it can."""
    if count is None:
        return f"{name} is {_show(given)}, which is not a whole number"
    if count < 0:
        return f"{name} is below zero ({_show(count)})"
    if count > MAX_TOKENS:
        return f"{name} is {_show(count)}, more than any model can take ({MAX_TOKENS:,})"
    return ""


def _show(value: object) -> str:
    try:
        text = str.__str__(repr(value))
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 -- the object's own repr may raise anything, and so may a number that is too long
        text = f"a {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…"
