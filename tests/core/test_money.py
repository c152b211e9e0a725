"""Money: exact, of one currency, written in one way, and never negative, infinite or rounded."""

from __future__ import annotations

import copy
import decimal
import pickle
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from seawall import Misused, Money

CENTS = st.integers(min_value=0, max_value=10**16)


class Purse(BaseModel):
    money: Money
    more: Money | None = None


class OddText(str):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class OddDecimal(Decimal):
    def quantize(self, *_: Any, **__: Any) -> Decimal:
        return Decimal(-5)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("100", "EUR", "100.00 EUR"),
        (100, "EUR", "100.00 EUR"),
        (0.1, "EUR", "0.10 EUR"),
        (Decimal("1E+3"), "EUR", "1000.00 EUR"),
        ("0", "EUR", "0.00 EUR"),
        (-0.0, "EUR", "0.00 EUR"),
        ("1.0", "JPY", "1 JPY"),
        ("1.123", "KWD", "1.123 KWD"),
        ("999999999999999.99", "EUR", "999999999999999.99 EUR"),
        (OddText("5"), OddText("EUR"), "5.00 EUR"),
        (OddDecimal("5"), "EUR", "5.00 EUR"),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(amount: Any, currency: str, text: str) -> None:
    money = Money(amount, currency)

    assert str(money) == text
    assert type(money.amount) is Decimal
    assert type(money.currency) is str


@pytest.mark.parametrize(
    "amount",
    [
        "-1", "-0", "1e3", "1_000", "1,000", "1.000,50", "\u0661\u0662", "\uff11", " 1", "1\n", "", ".5", "5.", "+5",
        "NaN", "Infinity", float("nan"), float("inf"), -0.01, -1, Decimal("sNaN"), Decimal(-1), True, None, [],
        "1.001", 0.1 + 0.2, Decimal("1E-30"), 10**15, pytest.param(10**5000, id="huge"), Decimal("1E+999999"), 1e22, pytest.param("9" * 5000, id="long"),
    ],
)  # fmt: skip
def test_what_is_no_amount_is_refused_and_named(amount: Any) -> None:
    with pytest.raises(Misused, match="amount"):
        Money(amount, "EUR")


@pytest.mark.parametrize("currency", ["eur", "EU", "EURO", "EUR\n", "\uff25UR", "", None, 978])
def test_a_currency_has_three_capital_letters(currency: Any) -> None:
    with pytest.raises(Misused, match="currency"):
        Money("1", currency)


def test_amounts_of_two_currencies_are_not_compared_or_added() -> None:
    euro, dollar = Money("1", "EUR"), Money("1", "USD")

    assert euro != dollar
    for use in (lambda: euro < dollar, lambda: euro + dollar, lambda: euro - dollar, lambda: euro >= dollar):
        with pytest.raises(Misused, match="two currencies"):
            use()


def test_money_is_not_compared_with_a_number() -> None:
    with pytest.raises(TypeError, match="is not"):
        _ = Money("1", "EUR") < 2  # pyright: ignore[reportOperatorIssue] -- what a program may write all the same


def test_the_programs_own_decimal_context_rounds_nothing() -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        assert str(Money("12345.67", "EUR") + Money("0.01", "EUR")) == "12345.68 EUR"
        assert Money("12345.67", "EUR") > Money("12345.66", "EUR")


@given(CENTS, CENTS)
def test_sums_are_exact_and_order_is_that_of_cents(one: int, two: int) -> None:
    a, b = Money(Decimal(one).scaleb(-2), "EUR"), Money(Decimal(two).scaleb(-2), "EUR")

    assert (a + b).amount == Decimal(one + two).scaleb(-2)
    assert (a < b, a == b, a > b) == (one < two, one == two, one > two)
    assert (hash(a) == hash(b)) or one != two


@given(CENTS, st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
def test_money_is_the_same_after_each_way_of_writing_it(units: int, currency: str) -> None:
    decimals = {"EUR": 2, "JPY": 0, "KWD": 3, "CLF": 4}[currency]
    money = Money(Decimal(units % 10**15).scaleb(-decimals), currency)
    purse = Purse(money=money)

    assert msgspec.json.decode(msgspec.json.encode(money), type=Money) == money
    assert pickle.loads(pickle.dumps(money)) == money  # noqa: S301 -- it was written in this line
    assert copy.deepcopy(money) == money
    assert Purse.model_validate_json(purse.model_dump_json()).money == money
    assert purse.model_dump(mode="json")["money"] == {
        "amount": f"{money.amount:f}", "currency": currency
    }  # fmt: skip


@pytest.mark.parametrize("amount", ['"-5"', '"NaN"', '"5.001"', "NaN", "true", "null"])
def test_a_decoder_checks_what_it_reads(amount: str) -> None:
    with pytest.raises((Misused, msgspec.MsgspecError)):
        msgspec.json.decode(f'{{"amount":{amount},"currency":"EUR"}}', type=Money)


@pytest.mark.parametrize(
    "given_value",
    ["12.50 EUR", 12.5, {"amount": "1"}, {"amount": "1", "currency": "EUR", "x": 1}, {"amount": "-1", "currency": "EUR"}],
)  # fmt: skip
def test_a_model_is_told_how_money_is_written(given_value: Any) -> None:
    with pytest.raises(ValidationError, match=r"money|amount"):
        Purse.model_validate({"money": given_value})


def test_the_schema_is_one_that_strict_providers_take() -> None:
    schema = Purse.model_json_schema()["properties"]["money"]

    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == set(schema["properties"]) == {"amount", "currency"}
