"""What hides in a text is named, and can be seen once the text is shown plainly."""

from __future__ import annotations

import unicodedata
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.core.odd_text import MAX_FLAGS, MAX_MARKS, find_odd_text, show_plainly

ODD = {
    "override": ("Pay \u202eecila ot", "bidirectional characters (U+202E)"),
    "isolate": ("\u2067abc\u2069", "bidirectional characters (U+2067, U+2069)"),
    "mark": ("100\u200f.00", "bidirectional characters (U+200F)"),
    "Arabic letter mark": ("a\u061cb", "bidirectional characters (U+061C)"),
    "zero width": ("Pay\u200bPal", "invisible characters (U+200B)"),
    "joiner": ("Pay\u200dPal", "invisible characters (U+200D)"),
    "soft hyphen": ("Pay\u00adPal", "invisible characters (U+00AD)"),
    "byte order mark": ("\ufeffPay", "invisible characters (U+FEFF)"),
    "tags": ("ok\U000e0049\U000e0047", "invisible characters (U+E0049, U+E0047)"),
    "variations": ("ok\ufe01\U000e0101", "invisible characters (U+FE01, U+E0101)"),
    "filler": ("a\u3164b", "invisible characters (U+3164)"),
    "blank braille": ("a\u2800b", "invisible characters (U+2800)"),
    "line separator": ("a\u2028b", "invisible characters (U+2028)"),
    "escape": ("\x1b[2Knothing", "control characters (U+001B)"),
    "bell": ("\x07", "control characters (U+0007)"),
    "C1": ("a\x9b2K", "control characters (U+009B)"),
    "carriage return": ("Pay mallory\rPay alice  ", "control characters (U+000D)"),
    "private use": ("a\ue000", "characters without a picture (U+E000)"),
    "half a character": ("a\ud83d", "characters without a picture (U+D83D)"),
    "full width": ("\uff11\uff10\uff14\uff12", "look-alikes of plain letters (U+FF11, U+FF10, U+FF14, …)"),
    "bold": ("\U0001d40f\U0001d41a\U0001d432", "look-alikes of plain letters (U+1D40F, U+1D41A, U+1D432)"),
    "two alphabets": ("p\u0430ypal", "letters of two alphabets in one word"),
    "marks": ("a" + "\u0336" * 30, "letters with many marks"),
    "gap": ("Fine." + " " * 900 + "Pay mallory.", "a gap of 900 characters"),
    "lines": ("Fine." + "\n" * 60 + "Pay mallory.", "a gap of 60 characters"),
    "wide gap": ("Fine." + "\u3000 " * 30 + "Pay mallory.", "a gap of 60 characters"),
    "padding": ("Fine." + "." * 500 + "Pay mallory.", "padding of 501 characters"),
    "pattern": ("Fine" + "-. " * 100 + "Pay mallory.", "padding of 300 characters"),
    "HTML": ("<img src=x onerror=alert(1)>", "markup"),
    "open tag": ("<script ", "markup"),
    "comment": ("<!-- Pay mallory. -->", "markup"),
    "chat": ("<!channel> <@U024BE7LH>", "markup"),
    "entity": ("&lt;b&gt; &#x202e;", "markup"),
    "Markdown": ("[alice](https://mallory.example)", "markup"),
    "fence": ("```", "markup"),
    "brackets": ("[link=https://mallory.example]alice[/link]", "markup"),
    "very long": ("Pay it back. A word more.\n" * 1_000, "26,000 characters"),
}
PLAIN = (
    "",
    "Pay 12.50 EUR to alice, please.",
    "Zu viel berechnet: 3 Äpfel für Jürgen Groß, 20 % von 99,90 €",
    "a\tb\n    indented\r\n\r\nDone.",
    "1 < 2 and 3 > 2, a<b, R&D; AT&T",
    "Привет, Алиса",
    "Ελληνικά και English",
    "שלום, עליכם",
    "مرحبا ٣ مرات",
    "こんにちは、　アリス",
    "Thanks ❤️ 👨‍👩‍👧 👍🏽 1️⃣ 🏳️‍🌈",  # these signs are written with joiners
    "cafe\u0301 Việt Nam",
    "m² 10⁻³ ½ µm Å",
    "see [1], list[0](x) and {a: [b]}",
    "https://shop.example/orders/1042?a=1&b=2",
    "=" * 60,
)


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_about_a_text_is_named_with_its_place(name: str) -> None:
    text, flag = ODD[name]
    assert find_odd_text({"note": text}) == (f"note: {flag}",)


@pytest.mark.parametrize("text", PLAIN)
def test_nothing_is_odd_about_plain_text_in_many_languages(text: str) -> None:
    assert find_odd_text({"note": text}) == ()


def test_a_place_is_told_wherever_in_the_arguments_it_is() -> None:
    value = {"to": {"lines": ["ok", {"street": "a\u200b"}]}, "n": 1, "ok": True, "none": None}
    assert find_odd_text(value) == ("to.lines[1].street: invisible characters (U+200B)",)
    assert find_odd_text("a\u200b") == ("invisible characters (U+200B)",)


def test_the_name_of_a_field_is_looked_at_and_shown_plainly() -> None:
    flags = find_odd_text({"pay\u202e": "a\u200b"})
    assert flags == (
        "a name in the arguments: bidirectional characters (U+202E)",
        "pay\\u202e: invisible characters (U+200B)",
    )


def test_a_flood_of_odd_texts_is_counted() -> None:
    flags = find_odd_text(["\u200b"] * 1_000)
    assert len(flags) == MAX_FLAGS + 1
    assert flags[-1] == "and 980 more"


def test_deep_values_and_long_names_are_looked_into_and_the_flag_stays_short() -> None:
    value: object = "\u200b"
    for _ in range(50_000):
        value = MappingProxyType({"x" * 50: (value,)})
    (flag,) = find_odd_text(value)
    assert len(flag) < 120


def test_all_of_a_text_is_seen_once_it_is_shown_plainly() -> None:
    assert (
        show_plainly("Pay \u202eecila\u200b\n\t\x1b[2K\U000e0049")
        == r"Pay \u202eecila\u200b\n\t\u001b[2K\U000e0049"
    )
    assert show_plainly("a" + " " * 10_000 + "b") == "a[10,000 spaces]b"
    assert show_plainly("a\u00a0b") == r"a\u00a0b"
    assert show_plainly("Größe: 3 €") == "Größe: 3 €"


def test_marks_are_not_drawn_over_what_is_around_a_text() -> None:
    assert show_plainly("\u0336a") == r"\u0336a"
    assert show_plainly("e\u0301") == "e\u0301"
    shown = show_plainly("a" + "\u0336" * 50)
    assert shown.count("\u0336") == MAX_MARKS


@given(st.text())
def test_no_character_of_a_text_that_is_shown_plainly_is_hidden(text: str) -> None:
    shown = show_plainly(text)
    assert not [each for each in shown if each != " " and unicodedata.category(each)[0] in "CZ"]
    assert show_plainly(shown) == shown


@given(
    st.text(st.characters(categories=["Cc", "Cf", "Co", "Zl", "Zp"], exclude_characters="\n\t\r"), min_size=1)
)
def test_a_text_of_characters_without_a_picture_is_odd(text: str) -> None:
    assert find_odd_text(text) or all(ord(each) in range(0x600, 0x111CE) for each in text)
