"""Which values are big, and that the pieces of their JSON are what would be written at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from seawall.core import big_values
from seawall.core.big_values import (
    BIG_CHARS,
    CleanTexts,
    TextCache,
    decode_in_pieces,
    encode_in_pieces,
    is_big,
)
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


def test_a_value_that_holds_itself_is_written_as_far_as_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    # each level is looked through until it is known to be big
    monkeypatch.setattr(big_values, "BIG_CHARS", 2_000)
    value: list[Any] = []
    value.extend([value] * 3)
    assert is_big(value)
    with pytest.raises(RecursionError):
        encode_in_pieces(value, encode)


@pytest.mark.parametrize("at", [1, 7, 63])
def test_a_value_is_big_wherever_its_big_part_is(at: int) -> None:
    parts: list[Any] = ["x"] * 64
    parts[at] = {"deep": [[("x" * 300_000,)]]}
    assert is_big(parts)
    assert is_big({str(n): part for n, part in enumerate(parts)})


ODD_TEXTS = [
    "[{}]",
    '{{"a":{}}}',
    '{{"a":[1,2.5,-0,-0.0,1e300,"é\\n\\u00e9",null,true],"rows":{},"a":3}}',
    " [ {} , [ ] , {{ }} ] ",
]
WRONG_TEXTS = [
    "[{}", "[{},]", "[{},,1]", "[{}}}", '{{"a":{},}}', '{{"a" {}}}', "{{1:{}}}", "[{}] x", "[NaN,{}]", "[1e999,{}]",
    '["\\ud800",{}]', '["\x01",{}]', "[01,{}]", "[{}[]]", '{{"a":{}"b":1}}', "",
]  # fmt: skip
ROWS_TEXT = encode([ROW] * 6_000)


@pytest.mark.parametrize("rows", [ROWS_TEXT, f'"{"x" * 300_000}"', f"[{','.join(map(str, range(90_000)))}]"])
@pytest.mark.parametrize("shape", [*ODD_TEXTS, *WRONG_TEXTS])
def test_a_long_text_is_read_in_pieces_with_the_same_result(shape: str, rows: str) -> None:
    text = shape.format(rows) if shape else rows[:-1]
    assert _try(decode_in_pieces, text) == _try(lambda text: msgspec.json.decode(text.encode()), text)


def test_numbers_that_decoders_read_differently_are_read_as_ever() -> None:
    text = f"[{ROWS_TEXT},18446744073709551616,1234567890123456789012,-9223372036854775809]"
    assert decode_in_pieces(text) == msgspec.json.decode(text)


def test_no_long_text_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msgspec.json, "decode", None)
    assert decode_in_pieces(f'{{"a":{{"b":[[{ROWS_TEXT}]]}}}}') == {"a": {"b": [[[ROW] * 6_000]]}}


def _try(decode: Callable[[str], Any], text: str) -> Any:
    try:
        return decode(text)
    except Exception as error:  # noqa: BLE001 -- whatever it raises is compared
        return type(error), str(error)


def test_what_was_computed_of_a_long_text_is_not_computed_again() -> None:
    cache, calls = TextCache(), list[str]()

    def measure(text: str) -> int:
        calls.append(text[:1])
        return len(text)

    for text in ("a" * 20_000, "a" * 20_000, "b", "b"):
        assert cache.compute(measure, text) == len(text)
    assert calls == ["a", "b", "b"]


def test_the_oldest_is_forgotten_when_the_texts_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seawall.core.big_values.KEPT_CHARS", 50_000)
    cache = TextCache()
    for letter in "abc":
        cache.compute(len, letter * 20_000)
    assert repr(cache) == "<TextCache 2 values, 40,000 characters>"
    assert cache.compute(str.upper, "c" * 90_000) == "C" * 90_000
    assert repr(cache) == "<TextCache 1 values, 90,000 characters>"


def test_texts_without_secrets_are_searched_once_and_the_oldest_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(big_values, "CLEAN_CHARS", 1_000)
    clean = CleanTexts()
    texts = [f"{number}{'x' * 300}" for number in range(3)]
    for text in (*texts, texts[-1]):
        clean.add(text)
    assert [text in clean for text in texts] == [False, True, True]

    clean.add("x" * 20_000)
    assert "x" * 20_000 not in clean
    assert texts[2] in clean
