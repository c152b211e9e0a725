"""Identities: equal values have one, other values have another, and look-alikes have none."""

from __future__ import annotations

import datetime
import enum
import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from seawall import Money
from seawall.effects.identity import OddValue, compute_identity, write_plainly, write_value

KEY = b"k" * 32
NUMBERS = st.one_of(
    st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False, places=4)
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="ascii", categories=["L", "N"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


class Color(enum.Enum):
    RED = "red"


class Order(BaseModel):
    number: int | str
    shop: str = "main"


def write(value: object) -> str:
    return write_value("order", value)


@pytest.mark.parametrize(
    "same",
    [
        (1042, 1042.0, Decimal("1042.00"), "1042", Decimal("1.042E+3")),
        (0, -0.0, Decimal("0.000"), "0"),
        (Color.RED, "red"),
        (Money("5", "EUR"), Money("5.00", "EUR")),
        (uuid.UUID(int=5), str(uuid.UUID(int=5))),
        (
            datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC),
            datetime.datetime(2026, 1, 1, 14, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        ),
        ({3, 1, 2}, frozenset([2, 3, 1])),
        ({"a": 1, "b": 2}, {"b": "2", "a": 1.0}),
        (Order(number=7), Order(number="7", shop="main"), {"number": 7, "shop": "main"}),
        ([1, "2"], (1.0, 2)),
    ],
)
def test_equal_values_are_one_identity_whatever_their_type(same: tuple[object, ...]) -> None:
    assert len({write(each) for each in same}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (None, "null"), (1, [1]), (["a", "b"], ["ab"]), (["a,b"], ["a", "b"]), ("A", "a"), ("1042", "01042"), ([1, 2], [2, 1]),
        (Money("5", "EUR"), Money("5", "USD")), (SecretStr("one"), SecretStr("two")), (1, 1.5), (datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)),
        (10**30, 10**30 + 1), ({"a": 1}, {"a": 1, "b": None}), (True, 1), ("", None),
    ],
)  # fmt: skip
def test_other_values_are_another_identity(one: object, other: object) -> None:
    assert write(one) != write(other)


@pytest.mark.parametrize(
    "text",
    [
        "1042 ", " 1042", "1042\n", "\uff11\uff10\uff14\uff12", "\u0661\u0660\u0664\u0662", "10\u200b42", "10\u202e42", "10\u00ad42", "10\u00a042",
        "10\t42", "1042\u3164", "1042\ufe0f", "e\u0301", "\ufb01ne", "10\x0042", "1042\U000e0041", "\u2060", "10\u034f42",
    ],
)  # fmt: skip
def test_a_text_that_only_looks_like_another_is_refused_and_the_plain_one_is_told(text: str) -> None:
    with pytest.raises(OddValue, match="order"):
        write(text)
    with pytest.raises(OddValue, match="order"):
        write({"in": [text]})
    assert write(write_plainly(text)) == json.dumps(write_plainly(text), ensure_ascii=False)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("sNaN"), 10**500, object()]
)
def test_what_cant_be_compared_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"order|serialize"):
        write(value)


def test_two_keys_that_are_the_same_are_refused() -> None:
    with pytest.raises(OddValue, match="two of its keys"):
        write({1: "a", "1": "b"})


@given(st.text())
def test_what_is_told_to_write_is_taken(text: str) -> None:
    plain = write_plainly(text)

    assert write_plainly(plain) == plain


@given(NUMBERS, NUMBERS)
def test_numbers_are_one_identity_if_and_only_if_they_are_equal(one: Any, other: Any) -> None:
    exact = [Decimal(repr(each)) if isinstance(each, float) else Decimal(each) for each in (one, other)]

    assert (write(one) == write(other)) == (exact[0] == exact[1])


@given(st.lists(JSON, min_size=1, max_size=3), st.lists(JSON, min_size=1, max_size=3))
def test_lists_of_values_are_one_identity_if_and_only_if_each_is(one: list[Any], other: list[Any]) -> None:
    def identify(values: list[Any]) -> str:
        return compute_identity(KEY, "refund", "tenant", "acme", [write(each) for each in values])

    def simplify(value: Any) -> Any:
        match value:
            case bool() | int():
                return str(value).lower()
            case list():
                return [simplify(each) for each in value]
            case dict():
                return {key: simplify(each) for key, each in value.items()}
            case _:
                return value

    same = [simplify(each) for each in one] == [simplify(each) for each in other]
    assert (identify(one) == identify(other)) == same


def test_no_joining_of_parts_makes_another_identity_the_same() -> None:
    parts = [
        ("refund", "tenant", "a", ["b"]),
        ("refund", "tenant", "", ["a", "b"]),
        ("refund", "tenanta", "", ["b"]),
        ("refundtenant", "", "a", ["b"]),
        ("refund", "tenant", "a", ['b","c']),
        ("refund", "tenant", "a", ["b", "c"]),
    ]

    assert len({compute_identity(KEY, *each) for each in parts}) == len(parts)


def test_an_identity_says_nothing_without_its_key() -> None:
    one, other = (compute_identity(key, "refund", "tenant", "a", ["b"]) for key in (b"a" * 32, b"b" * 32))

    assert one != other
    assert len(one) == 32
