"""Which values are big, and that the pieces of their JSON are what would be written at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from seawall.core.big_values import BIG_CHARS, encode_in_pieces, is_big
from seawall.core.canonical import to_canonical_bytes

ROW = {"b": "é\n", "a": [1, None, 0.5], "c": {"z": True, "y": "x" * 20}}
BIG: dict[str, Any] = {
    "a list": [ROW] * 9_000,
    "numbers": list(range(90_000)),
    "one row of many": [[ROW] * 9_000],
    "a record": {"name": "x", "data": {"rows": [ROW] * 9_000, "none": []}, "é": {}},
    "many names": {f"{n:x}": ROW for n in range(9_000)},
    "a long text in a list": ["x" * 900_000, "y"],
}


def encode(value: object) -> str:
    return to_canonical_bytes(value).decode()


@pytest.mark.parametrize("value", BIG.values(), ids=BIG.keys())
def test_pieces_are_what_would_be_written_at_once(value: Any) -> None:
    assert is_big(value)
    assert encode_in_pieces(value, encode) == encode(value)


@pytest.mark.parametrize("name", [name for name in BIG if "text" not in name])
def test_no_piece_is_big(name: str) -> None:
    pieces: list[str] = []

    def encode_piece(value: object) -> str:
        pieces.append(encode(value))
        return pieces[-1]

    encode_in_pieces(BIG[name], encode_piece)
    assert max(map(len, pieces)) <= 2 * BIG_CHARS


@dataclass
class Order:
    rows: list[str]


@pytest.mark.parametrize(
    "value",
    ["x" * 300_000, b"x" * 300_000, Order(["x" * 100] * 9_000), {"a": (ROW,) * 9_000}, set(range(90_000))],
)
def test_a_value_of_any_kind_may_be_big(value: object) -> None:
    assert is_big(value)


@pytest.mark.parametrize(
    "value", [None, 1, "x" * 200_000, b"", [], {}, [ROW] * 50, Order(["x"]), Order, object()]
)
def test_what_is_encoded_in_some_milliseconds_is_not_big(value: object) -> None:
    assert not is_big(value)


def test_a_value_that_holds_itself_is_looked_at_up_to_a_depth() -> None:
    value: list[Any] = []
    value.extend([value] * 3)
    assert not is_big(value)
