"""What is odd in a text that a person decides on is named, and shown so that all of it can be seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.core.odd_text import MAX_FLAGS, find_odd_text, show_plainly


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("pay \u202e0001", "bidirectional U+202E"),
        ("a\u200bb", "invisible U+200B"),
        ("a\ufe0f", "invisible U+FE0F"),
        ("\u3164", "invisible U+3164"),
        ("\U000e0041", "invisible U+E0041"),
        ("\x1b[2J", "control character U+001B"),
        ("a\rb", "carriage return U+000D"),
        ("a\u00a0b", "unusual white space U+00A0"),
        ("a\u2028b", "control character U+2028"),
        ("rent" + " " * 50 + "and more", "50 characters of white space in a row"),
        ("rent" + "\n" * 50 + "and more", "50 characters of white space in a row"),
        ("." * 60, "'.' 60 times in a row"),
        ("<b>safe</b>", "markup '<b>'"),
        ("[refund](https://x.example)", "markup '[refund](https://x.example)'"),
        ("&nbsp;", "markup '&nbsp;'"),
    ],
)  # fmt: skip
def test_an_oddity_is_named_with_its_place(text: str, flag: str) -> None:
    assert find_odd_text(text) == (flag,)
    assert find_odd_text({"order": {"memos": ["fine", text]}}) == (f"order.memos[1]: {flag}",)


@pytest.mark.parametrize(
    "value",
    ["order 1042", "Zürich, 日本, Ελλάδα, مرحبا", "two\nlines\tand a tab", "1 < 2 and 3 > 2", "a & b", 12.5, None, True, {}, []],
)  # fmt: skip
def test_plain_text_is_not_odd(value: object) -> None:
    assert find_odd_text(value) == ()


def test_names_of_fields_are_looked_at_too() -> None:
    assert find_odd_text({"me\u200bmo": "fine"}) == ("invisible U+200B",)


def test_a_flood_of_oddities_is_cut_and_says_so() -> None:
    flags = find_odd_text([chr(0x200B) + "x"] * 500)

    assert len(flags) == MAX_FLAGS + 1
    assert flags[-1] == "more of the kind"


def test_a_deep_value_is_read_to_its_end() -> None:
    value: object = "\u200b"
    for _ in range(50_000):
        value = [value]

    assert "U+200B" in find_odd_text(value)[0]


def test_what_cant_be_seen_is_escaped_and_gaps_are_counted() -> None:
    assert show_plainly("a\u202eb\nc" + " " * 30 + "d\U000e0041\t") == r"a\u202eb\nc[30 spaces]d\U000e0041\t"


@given(st.text())
def test_all_of_a_shown_text_is_printable(text: str) -> None:
    shown = show_plainly(text)

    assert shown.isprintable()
    assert (
        find_odd_text(shown.replace("<", "").replace("[", "").replace("&", "")[:30]) == () or " " * 7 in shown
    )
