"""Money: an amount of one currency, exact, and written in one way only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any, Self, cast

from pydantic_core import core_schema

from seawall.core.errors import Misused

MAX_UNITS = Decimal(10) ** 15
"""Amounts are below this, as in the accounts of a journal: sums of them stay exact."""

_DECIMALS = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"),
        0,
    ),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
"""Decimals of the currencies whose number of decimals is not two: ISO 4217, "minor unit"."""
_exact = Context(prec=40, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""A decimal context that is exact for all amounts, independent of the program's own context."""
_amount = re.compile(r"[0-9]{1,16}(\.[0-9]{1,6})?", re.ASCII)
_currency = re.compile(r"[A-Z]{3}", re.ASCII)


@dataclass(frozen=True, init=False)
class Money:
    """An amount of money: zero or more, with the decimals that its currency has.

    `Money("100", "EUR")` and `Money("100.00", "EUR")` are equal. An amount is text, `Decimal` or `int`; a `float` is
    taken as the shortest text that means it. As JSON it is `{"amount": "100.00", "currency": "EUR"}`. Amounts of
    two currencies can't be compared or added.

    Raises `Misused` for an amount that is negative, not a number, too big, or has more decimals than the currency.
    """

    amount: Decimal
    currency: str

    def __init__(self, amount: Decimal | str | float, currency: str) -> None:
        object.__setattr__(self, "currency", _check_currency(currency))
        object.__setattr__(self, "amount", _read_amount(amount, self.currency))

    def __post_init__(self) -> None:
        """Checks the amount and the currency, and brings the amount into its one form."""
        _check_currency(self.currency)
        object.__setattr__(self, "amount", _read_amount(self.amount, self.currency))

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"

    def __add__(self, other: Money) -> Money:
        return Money(_exact.add(self.amount, self._get_amount(other)), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(_exact.subtract(self.amount, self._get_amount(other)), self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.amount < self._get_amount(other)

    def __le__(self, other: Money) -> bool:
        return self.amount <= self._get_amount(other)

    def __gt__(self, other: Money) -> bool:
        return self.amount > self._get_amount(other)

    def __ge__(self, other: Money) -> bool:
        return self.amount >= self._get_amount(other)

    def _get_amount(self, other: object) -> Decimal:
        if not isinstance(other, Money):
            raise TypeError(f"{self} is money, and {_show(other)} is not")
        if other.currency != self.currency:
            raise Misused(f"{self} and {other} are of two currencies")
        return other.amount

    @classmethod
    def read(cls, value: object) -> Self:
        """Returns the money of a value as JSON gives it. Raises `ValueError`, which tells a model what is wrong."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f'money is written {{"amount": "12.50", "currency": "EUR"}}, not {value!r:.100}')
        given = cast("Mapping[str, object]", value)
        if set(given) != {"amount", "currency"}:
            raise ValueError(f"money has an amount and a currency, and nothing else (got {given!r:.100})")
        try:
            return cls(cast("str", given["amount"]), cast("str", given["currency"]))
        except Misused as error:
            raise ValueError(str(error)) from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> core_schema.CoreSchema:
        """Returns how pydantic validates and writes it."""
        return core_schema.no_info_plain_validator_function(
            cls.read,
            serialization=core_schema.plain_serializer_function_ser_schema(_to_json),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, Any]:
        """Returns the JSON schema that a model is shown."""
        return {
            "type": "object",
            "description": "An amount of money, zero or more.",
            "properties": {
                "amount": {
                    "type": "string",
                    "pattern": r"^[0-9]+(\.[0-9]+)?$",
                    "description": 'For example "12.50".',
                },
                "currency": {
                    "type": "string",
                    "pattern": "^[A-Z]{3}$",
                    "description": 'ISO 4217, for example "EUR".',
                },
            },
            "required": ["amount", "currency"],
            "additionalProperties": False,
        }


def _to_json(money: Money) -> dict[str, str]:
    return {"amount": format(money.amount, "f"), "currency": money.currency}


def _check_currency(currency: object) -> str:
    if not isinstance(currency, str) or _currency.fullmatch(currency) is None:
        raise Misused(f"a currency has three capital letters, as in ISO 4217, not {_show(currency)}")
    return str.__str__(currency)


def _read_amount(amount: object, currency: str) -> Decimal:
    number = _read_number(amount)
    if not number.is_finite() or (number.is_signed() and number != 0):
        raise Misused(f"the amount {_show(amount)} is not a number of zero or more")
    if number >= MAX_UNITS:
        raise Misused(f"the amount {_show(amount)} is not below {MAX_UNITS:,}")
    decimals = _DECIMALS.get(currency, 2)
    unit = Decimal(1).scaleb(-decimals, _exact)
    exact = number.quantize(unit, context=_exact) if number else Decimal(0).scaleb(-decimals, _exact)
    if exact != number:
        raise Misused(f"the amount {_show(amount)} has more than the {decimals} decimals of {currency}")
    return exact


def _read_number(amount: object) -> Decimal:
    """Returns the number of an amount. An instance of a subclass counts with its value; its own methods are not
    called.
    """
    match amount:
        case bool():
            pass
        case str():
            if _amount.fullmatch(amount) is None:
                if _amount.fullmatch(amount.removeprefix("-")) is not None:
                    raise Misused(f"the amount {_show(amount)} is below zero")
                raise Misused(f'the amount {_show(amount)} is not written as in "12.50"')
            return Decimal(str.__str__(amount))
        case float():
            return Decimal(float.__repr__(amount))
        case int() | Decimal():
            return Decimal(amount)
        case _:
            pass
    raise Misused(f"an amount is text, Decimal or int, not {_show(amount)}")


def _show(value: object) -> str:
    try:
        return f"{value!r:.50}"
    except ValueError:  # an int of thousands of digits has no text
        return f"of {type(value).__name__}"
