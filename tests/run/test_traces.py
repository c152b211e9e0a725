"""Values are found again in later inputs, whatever stands around them and however long the text is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.run.traces import (
    MAX_INDEXED_CHARS,
    MAX_LITERAL_CHARS,
    MAX_LITERALS_A_RESULT,
    MAX_PROSE_CHARS,
    find_traces,
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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("VIPs get double.", '{"value": "note: vips  get\\nDOUBLE refunds"}'),
        ("vips get double", "**VIPs** get _double_"),
        ("paid 12.50 EUR", '{"amount": 12.5}'),
        ("ask Ann@Example.com", "ann@example.com"),
        ("first line\nA-1042", '["first line\\nA-1042"]'),
        ("所有贵宾客户都获得双倍退款", "他说:贵宾客户都获得双倍退款。"),
        ("Les clients fidèles sont remboursés", "clients fide\u0300les sont"),
        ('{"HAT-7001": {"seats": 3}}', "HAT-7001"),
    ],
)
def test_what_was_written_in_another_way_is_found_again(one: str, other: str) -> None:
    a, b = find_traces(one), find_traces(other)
    assert a.literals & b.literals or a.shingles & b.shingles


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"order_id": "A-1", "reason_code": "x"}', '{"order_id": "B-2", "reason_code": "y"}'),
        ("please let me know about that", "please let me know about this"),
        ("it is in the same place", "they are in the same shop"),
        ('{"status": "open", "country": "France"}', '{"status": "open", "country": "France"}'),
    ],
)
def test_field_names_and_phrases_that_stand_everywhere_are_no_values(one: str, other: str) -> None:
    a, b = find_traces(one), find_traces(other)
    assert not (a.literals & b.literals or a.shingles & b.shingles)


def test_a_text_that_is_too_long_to_be_gone_through_says_so() -> None:
    assert find_traces("some words " * 100).whole
    assert not find_traces("x" * (MAX_INDEXED_CHARS + 1)).whole
    assert not find_traces("word " * MAX_PROSE_CHARS).whole
    assert not find_traces(" ".join(f"id_{number}" for number in range(10_000))).whole
