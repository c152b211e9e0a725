"""Secrets are replaced on the way in, also where they come in pieces."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.core.redact import MARK, MAX_HELD_CHARS, Redactor, StreamRedactor

SECRETS = [
    "sk-" + "a1B2" * 8,
    "AKIA" + "ABCD1234EFGH5678",
    "ghp_" + "x" * 36,
    "xoxb-" + "1234567890-abc",
    "Bearer " + "abcdefghij.klmnopqrst",
    "-----BEGIN PRIVATE KEY-----\nMIIE\nvQIB\n-----END PRIVATE KEY-----",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMDQyIn0.c2lnbmF0dXJlIGhlcmU",
]


def told(pieces: list[str], redactor: Redactor | None = None) -> str:
    """All that is told of a text that comes in `pieces`."""
    stream = StreamRedactor(redactor or Redactor())
    return "".join(stream.feed(piece) for piece in pieces) + stream.end()


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


@pytest.mark.parametrize("before", [r"\n", r"\t", r"\u003d", r"\\n", "%3D", "=", "_", "'", "é", ""])
def test_a_key_is_replaced_behind_an_escape_too(before: str) -> None:
    assert Redactor().text(before + SECRETS[0]) == before + MARK
    assert Redactor().data((before + SECRETS[0]).encode()) == (before + MARK).encode()


def test_the_three_parts_of_a_token_are_replaced_behind_what_is_none() -> None:
    begun = "eyJhbGciOiJIUzI1NiJ9."
    token = SECRETS[-1]
    redactor = Redactor()
    assert redactor.text(f"{begun} session_{token}") == f"{begun} session_{MARK}"
    assert redactor.text(f"{begun}{token}") == MARK
    assert redactor.text(rf"\n{token}") == rf"\n{MARK}"


def test_secrets_that_overlap_are_replaced_as_one() -> None:
    key = "sk-" + "a1B2" * 4
    block = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"
    assert Redactor().text(f"{key}{block}.") == f"{MARK}."


SLOW = [
    "eyJ",
    "eyJAAAAAAAAAA.",
    "eyJAAAAAAAAAA.eyJAAAAAAAAAA.x ",
    "sk-",
    "ask-",
    "Ask-a1",
    "Ask-a1-",
    "-",
    "-----BEGIN ",
    "-----BEGIN A",
    "-----BEGIN PRIVATE KEY PRIVATE KEY ",
    "bearer ",
    "Bearer xxxxxxxxxxxxxxxxxxx ",
    "AKIA",
    "ghp_",
    "xoxb-",
    "sk_live_",
    "correct horse ",
    "a",
    "_",
]


@pytest.mark.parametrize("slow", SLOW)
def test_what_is_made_to_be_slow_is_gone_through_once(slow: str) -> None:
    """A quarter of a megabyte: with a search that begins anew at each place this test would take minutes."""
    redactor = Redactor(["correct horse battery"])
    text = slow * (250_000 // len(slow))
    assert redactor.text(text).encode() == redactor.data(text.encode())


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
    assert told(pieces) == f"here it comes: {MARK} and that was it, really"


HARMLESS = st.text(st.characters(exclude_characters="=:>@-_"), max_size=20)
"""Hypothesis draws words of this program too; without these signs no name of a secret is followed by a value."""


@given(st.lists(HARMLESS, max_size=10))
def test_text_without_secrets_comes_through_whole(pieces: list[str]) -> None:
    assert told(pieces) == "".join(pieces)


PARTS = (
    *(
        "sk-",
        "a1B2" * 4,
        "AKIA",
        "ABCD1234EFGH5678",
        "xoxb-",
        "Bearer ",
        "bear",
        "er ",
        "eyJ" + "a" * 12,
        ".eyJ",
    ),
    *(
        "-----BEGIN ",
        "RSA ",
        "PRIVATE KEY-----",
        "-----END ",
        "-----",
        " ",
        "\n",
        "\\n",
        "%3D",
        "你好",
        "task-",
    ),
    *(
        "correct ",
        "horse ",
        "battery",
        "密码是 ",
        "一二三四五六七",
        "é",
        "-----BEGIN PRIVATE KEY-----\n",
        "KEY-",
    ),
)


@given(data=st.data())
def test_what_is_told_in_pieces_is_what_is_told_at_once(data: st.DataObject) -> None:
    text = "".join(data.draw(st.lists(st.sampled_from(PARTS), max_size=14)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    redactor = Redactor(["correct horse battery", "密码是 一二三四五六七"])
    assert told(pieces, redactor) == redactor.text(text)


def test_text_without_spaces_is_told_as_it_comes() -> None:
    stream = StreamRedactor(Redactor())
    assert [stream.feed(piece) for piece in ("订单一", "零四二", "丢失了", "。")] == [
        "订单一",
        "零四二",
        "丢失了",
        "。",
    ]


def test_only_a_word_that_may_become_a_secret_is_held_back() -> None:
    stream = StreamRedactor(Redactor(["open sesame 1"]))
    assert stream.feed("It was lo") == "It was "
    assert stream.feed("st; send Bearer ") == "lost; send "
    assert stream.feed("of news, and open ses") == "Bearer of news, and "
    assert stream.feed("ame") == ""
    assert stream.feed(" two.") == "open sesame "
    assert stream.end() == "two."


def test_a_word_without_an_end_is_told_and_no_key_in_it() -> None:
    key = "sk-" + "a1B2" * 8
    word = "/" * MAX_HELD_CHARS * 3
    pieces = [word, key[:9], key[9:], word, ".", key, word, "xx end"]
    assert told(pieces) == f"{word}{MARK}{word}.{MARK}{word}xx end"


def test_of_a_private_key_without_an_end_nothing_is_told_or_kept() -> None:
    stream = StreamRedactor(Redactor())
    assert stream.feed("a -----BEGIN PRIVATE KEY-----\n") == f"a {MARK}"
    assert "".join(stream.feed("MIIE vQIB\n") for _ in range(10_000)) == ""
    assert stream.feed("-----END PRIVATE") == ""
    assert stream.feed(" KEY----- b") == " "
    assert stream.end() == "b"


class Counting(Redactor):
    """Counts the characters that it looks at."""

    looked = 0

    def places(self, text: str) -> list[tuple[int, int]]:
        self.looked += len(text)
        return super().places(text)


@pytest.mark.parametrize(
    "piece", ["word ", "x", "丢失了", "Bearer ", "-----BEGIN ", "sk-", "eyJ", "open ", "a-"]
)
def test_a_long_text_in_pieces_is_looked_at_in_proportion(piece: str) -> None:
    redactor = Counting(["open sesame 1"])
    pieces = [piece] * 20_000
    told(pieces, redactor)
    assert redactor.looked <= 4 * len(piece) * len(pieces) + 3 * MAX_HELD_CHARS


SHAPES = [
    r"sk-[A-Za-z0-9]{16,40}",
    r"A(KI|SI)A[A-Z0-9]{16}",
    r"gh[pousr]_[A-Za-z0-9]{30,40}",
    r"github_pat_[A-Za-z0-9_]{30,40}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,20}",
    r"AIza[A-Za-z0-9_-]{30,40}",
    r"glpat-[A-Za-z0-9_-]{16,20}",
    r"[rs]k_(live|test)_[A-Za-z0-9]{16,20}",
    r"[Bb][Ee][Aa][Rr][Ee][Rr] [A-Za-z0-9._~+/-]{20,30}=*",
    r"eyJ[A-Za-z0-9_-]{10,20}\.eyJ[A-Za-z0-9_-]{10,20}\.[A-Za-z0-9_-]{10,20}",
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[a-zA-Z0-9\n]{0,40}",
]


@given(st.data(), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_is_passed_over_because_its_text_was_not_searched(
    data: st.DataObject, before: str, behind: str
) -> None:
    secret = data.draw(st.one_of([st.from_regex(shape, fullmatch=True) for shape in SHAPES]))
    text = f"{before}{secret}{behind}"
    redactor = Redactor()
    if redactor.places(text):
        assert redactor.text(text) != text


@given(st.text(min_size=8, max_size=12).filter(lambda value: value != MARK), st.text(max_size=20))
def test_no_known_value_is_passed_over_however_short_its_text_is(value: str, before: str) -> None:
    assert Redactor([value]).text(f"{before}{value}") != f"{before}{value}"


def test_a_long_text_is_searched_in_pieces_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(7)
    secrets = [
        "sk-abcdefghij0123456789",
        "desk-" + "aB3-" * 30 + "x" * 20,
        "Bearer " + "t" * 3_000,
        "eyJ" + "a" * 2_500,
        "eyJ" + "a" * 2_000 + ".eyJ" + "b" * 2_000 + ".c" * 10 + "d" * 20,
        "-----BEGIN RSA PRIVATE KEY-----" + "k\n" * 4_000 + "-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----never ended",
        "ghp_" + "g" * 36,
        "value of mine",
        "v" * 5_000,
    ]
    redactor = Redactor(["value of mine", "v" * 5_000])
    for _ in range(30):
        parts = [rng.choice(secrets[: rng.randint(1, 10)]) for _ in range(6)]
        words = ["".join(rng.choices("ab -_.\n", k=rng.randint(0, 3_000))) for _ in range(7)]
        text = "".join(word + part for word, part in zip(words, [*parts, ""], strict=True))
        for size in (64, 2_048, 3_001):
            monkeypatch.setattr("seawall.core.redact._PIECE_CHARS", size)
            pieces = redactor.text(text), redactor.data(text.encode())
            monkeypatch.setattr("seawall.core.redact._PIECE_CHARS", 1 << 30)
            assert pieces == (redactor.text(text), redactor.data(text.encode()))
