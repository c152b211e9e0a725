"""Values are found again in later inputs, whatever stands around them and however long the text is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.text(alphabet="ab0_@.:/+#$€£- é\n", max_size=40))
def test_a_literal_is_a_marked_word_without_what_it_begins_and_ends_with(text: str) -> None:
    words = [
        word.lstrip("@.:/+-").rstrip("@.:/+#$€£-") for word in re.split(r"[^0-9@_A-Za-z.:/+#$€£-]", text)
    ]
    marked = [word for word in words if len(word) >= 3 and re.search("[0-9@_]", word)]
    assert literals(text) == {word.lstrip("@.:/+#$€£-") for word in marked}


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
