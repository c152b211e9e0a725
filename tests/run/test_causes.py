"""Values are found again in later inputs, whatever stands around them and however long the text is."""

from __future__ import annotations

import pytest

from seawall.core.events import Cause
from seawall.run.causes import (
    MAX_INDEXED_CHARS,
    MAX_LITERAL_CHARS,
    MAX_LITERALS_A_RESULT,
    Causes,
    literals,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("order 1042, paid 12.50 EUR.", {"1042", "12.50"}),
        ("(paid: $12.50), 150€; #A-17!", {"12.50", "150", "A-17"}),
        ("ask ann@example.com -- by 2031-03-04.", {"ann@example.com", "2031-03-04"}),
        ("order_id: see https://shop.example/o/7?", {"order_id", "https://shop.example/o/7"}),
        ("only words, and 42 is short", set()),
        ("$12 has a sign to know it by", {"12"}),
        ("### ... --- ://", set()),
    ],
)
def test_a_literal_is_what_could_hardly_be_there_by_chance(text: str, found: set[str]) -> None:
    assert literals(text) == found


@pytest.mark.parametrize("slow", ["#", "#.", "a.", "€", "1-", "-", "_", "1 ", "$1"])
def test_what_is_made_to_be_slow_is_gone_through_once(slow: str) -> None:
    """A megabyte: with a search that begins anew at each place this test would not end."""
    assert literals(slow * (1_000_000 // len(slow))) == set()


def test_what_is_indexed_is_bounded() -> None:
    assert len(literals(" ".join(f"id_{number}" for number in range(10_000)))) == MAX_LITERALS_A_RESULT
    assert literals("x1" * MAX_LITERAL_CHARS) == set()
    assert literals(" " * MAX_INDEXED_CHARS + "1042") == set()


def test_a_value_is_sourced_from_the_step_that_showed_it_first() -> None:
    causes = Causes()
    causes.learn(0, "refund order 1042")
    causes.learn(3, "1042 paid 12.50 EUR")
    causes.learn(5, "12.50 again")
    assert causes.of('{"order":"1042","amount":"12.50"}', exposed=(3, 5)) == (
        Cause(0, "value"),
        Cause(3, "value"),
        Cause(5, "exposure"),
    )
