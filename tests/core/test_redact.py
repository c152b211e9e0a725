"""Secrets are replaced on the way in, also where they come in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.core.redact import MARK, Redactor, StreamRedactor

SECRETS = [
    "sk-" + "a1B2" * 8,
    "AKIA" + "ABCD1234EFGH5678",
    "ghp_" + "x" * 36,
    "xoxb-" + "1234567890-abc",
    "Bearer " + "abcdefghij.klmnopqrst",
    "-----BEGIN PRIVATE KEY-----\nMIIE\nvQIB\n-----END PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_known_shape_is_replaced_wherever_it_stands(secret: str) -> None:
    redactor = Redactor()
    assert redactor.text(f"the key is {secret} indeed") == f"the key is {MARK} indeed"
    assert redactor.data(f'{{"k":"{secret}"}}'.encode()) == f'{{"k":"{MARK}"}}'.encode()


@pytest.mark.parametrize(
    "word",
    [
        "task-words-beside-calls",
        "desk-customer-000000017",
        "Risk-Assessment-2031-final",
        "task-0123456789abcdef0123",
    ],
)
def test_a_word_that_ends_like_a_key_begins_is_no_secret(word: str) -> None:
    assert Redactor().text(f"see {word}, and {word}") == f"see {word}, and {word}"
    assert Redactor().data(word.encode()) == word.encode()


@pytest.mark.parametrize("before", [r"\n", r"\t", r"\u003d", r"\\n", "%3D", "=", "_", "'", "é", "", "xx"])
def test_a_key_is_replaced_behind_an_escape_too(before: str) -> None:
    assert Redactor().text(before + SECRETS[0]) == before + MARK
    assert Redactor().data((before + SECRETS[0]).encode()) == (before + MARK).encode()


def test_a_named_value_is_replaced_whatever_its_shape() -> None:
    redactor = Redactor.from_environment({"DESK_API_KEY": "plain words", "DESK_REGION": "north-west"})
    assert redactor.text("it said plain words in north-west") == f"it said {MARK} in north-west"


def test_a_short_value_would_redact_ordinary_words_and_does_not() -> None:
    assert Redactor(["abc"]).text("abc abc") == "abc abc"


@pytest.mark.parametrize("secret", SECRETS)
@given(data=st.data())
def test_a_secret_split_over_pieces_is_never_told(secret: str, data: st.DataObject) -> None:
    text = f"here it comes: {secret} and that was it, really"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    stream = StreamRedactor(Redactor())
    told = "".join(stream.feed(piece) for piece in pieces) + stream.end()
    assert told == f"here it comes: {MARK} and that was it, really"


@given(st.lists(st.text(max_size=20), max_size=10))
def test_text_without_secrets_comes_through_whole(pieces: list[str]) -> None:
    stream = StreamRedactor(Redactor())
    assert "".join(stream.feed(piece) for piece in pieces) + stream.end() == "".join(pieces)
