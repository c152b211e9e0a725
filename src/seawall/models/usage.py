"""Checks the usage that a model or its provider reports, before anything is booked.

A report comes from outside: a server may count wrong, and a model class of the user's own may return anything. What
can't be is not booked; the call then counts at its upper bound, which was reserved.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from seawall.models.protocol import Price, Usage

MAX_TOKENS = 100_000_000
"""Tokens of one call that a report may count: ten times the longest context of any model."""
MAX_SHOWN_CHARS = 80
"""Characters of a value that is not a count, in the text about it."""

_NO_USD = Decimal(0)
_COUNTS = ("input_tokens", "output_tokens")


def check_usage(usage: object, price: Price | None) -> tuple[Usage, Decimal]:
    """Returns the reported usage and its cost. What can't be true is no count at all, and a usage with its `problem`.

    Raises `TypeError` for what is no usage: it is part of a reply that a model class made wrongly.
    """
    if not all(hasattr(usage, name) for name in _COUNTS):
        raise TypeError(f"the usage of the reply is {_show(usage)}, not a Usage")
    try:
        problem = str(getattr(usage, "problem", ""))
        numbers: list[Any] = [getattr(usage, name) for name in _COUNTS]
        problem = problem or "; ".join(filter(None, map(_find_problem, _COUNTS, numbers)))
        if problem:
            return Usage(problem=problem), _NO_USD
        counted = Usage(int(numbers[0]), int(numbers[1]))
        usd = cast("object", _NO_USD if price is None else price.usd(counted))
    except Exception as error:  # noqa: BLE001 -- a usage or a price of the user's own class may raise anything
        return Usage(problem=f"the usage can't be read: {type(error).__name__}"), _NO_USD
    if not isinstance(usd, Decimal) or not usd.is_finite() or usd < 0:
        return Usage(problem=f"its cost is {_show(usd)}, which is not an amount of dollars"), _NO_USD
    return counted, usd


def _find_problem(name: str, value: object) -> str:
    """Returns why a number of tokens can't be true; "" if it can."""
    if isinstance(value, bool) or not isinstance(value, int):
        return f"{name} is {_show(value)}, which is not a whole number"
    if value < 0:
        return f"{name} is below zero ({_show(value)})"
    if value > MAX_TOKENS:
        return f"{name} is {_show(value)}, more than any model can take ({MAX_TOKENS:,})"
    return ""


def _show(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 -- it is only shown, and an object or a number too long may refuse that
        text = f"a {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…"
