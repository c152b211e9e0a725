"""Secrets of every shape are found in every form, and texts that look like one are left as they are."""

from __future__ import annotations

import json
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redact import drawn, texts

from seawall.core.redact import MARK, Redactor, StreamRedactor
from seawall.core.secret_names import is_secret_value
from seawall.core.secret_shapes import SHAPES

SEEDS = range(2)
REDACTOR = Redactor()


def told(pieces: list[str]) -> str:
    stream = StreamRedactor(REDACTOR)
    return "".join(map(stream.feed, pieces)) + stream.end()


def cut(text: str, rng: random.Random) -> list[str]:
    cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(12)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_secret_is_found_as_text_as_bytes_and_in_pieces(seed: int) -> None:
    rng = random.Random(seed)
    for each in drawn.secrets(rng, 1):
        shown = REDACTOR.text(each.text)
        assert each.secret not in shown, each
        assert shown != each.text, each
        assert each.secret.encode() not in REDACTOR.data(each.text.encode()), each
        assert told(cut(each.text, rng)) == shown, each


@pytest.mark.parametrize("kind", texts.KINDS)
def test_a_text_without_a_secret_stays_as_it_is(kind: str) -> None:
    rng = random.Random(kind)
    for _ in range(60):
        text = texts.written(rng, kind)
        assert REDACTOR.text(text) == text
        assert REDACTOR.data(text.encode()) == text.encode()
        assert told(cut(text, rng)) == text


def test_large_texts_in_base64url_stay_as_they_are() -> None:
    rng = random.Random(1)
    for _ in range(40):
        text = texts.large(rng)
        assert REDACTOR.text(text) == text


@pytest.mark.parametrize("text", texts.PLACEHOLDERS)
def test_what_stands_for_a_secret_is_none(text: str) -> None:
    assert REDACTOR.text(text) == text
    assert REDACTOR.text(f"a: 1\n{text}\nb: 2") == f"a: 1\n{text}\nb: 2"


def test_each_shape_names_its_source_and_letters_that_every_example_holds() -> None:
    rng = random.Random(1)
    for shape in SHAPES:
        assert shape.source
        example = drawn.from_pattern(shape.sample or shape.pattern, rng)
        assert any(letters in example for letters in shape.holds), shape
        assert max(shape.offsets) == 0 or not re.match(re.escape(shape.holds[0]), example)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_middle_of_a_word_is_no_secret(shape: drawn.Any) -> None:
    rng = random.Random(1)
    if shape.name == "Telegram":  # a number stands before it, of any length
        return
    example = drawn.from_pattern(shape.sample or shape.pattern, rng)
    assert REDACTOR.text(f"x{example}" + "y" * 9_000) == f"x{example}" + "y" * 9_000


@given(data=st.data())
def test_what_is_told_in_pieces_of_any_secrets_is_what_is_told_at_once(data: st.DataObject) -> None:
    rng = random.Random(data.draw(st.integers(0, 10**6)))
    secrets = list(drawn.named(rng, 1)) + list(drawn.others(rng, 1))[:200]
    chosen = [rng.choice(secrets).text for _ in range(data.draw(st.integers(1, 4)))]
    gap = data.draw(st.sampled_from([" ", "\n", "", ", ", "é", "\\n", '"', "password", ": "]))
    text = gap.join(chosen)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert told(pieces) == REDACTOR.text(text)


NAMED_PARTS = (
    *(
        "password",
        "api_key",
        "token",
        "secret",
        " key",
        "Authorization",
        "Cookie",
        "Bearer",
        "Basic",
        "://u",
        "login ",
    ),
    *(
        ":",
        "=",
        " ",
        "\n",
        "\\n",
        '"',
        "'",
        '\\"',
        ",",
        "is ",
        "value",
        ">",
        "</",
        "|",
        "--",
        "&",
        "@h",
        "str",
        "x=",
    ),
    *(
        "hunter2",
        "abc123def456",
        "letmein",
        "a",
        "5",
        "4111 1111 1111 1111",
        "é",
        "AKIA" + "ABCD1234EFGH5678",
        "A" * 40,
    ),
    *(
        "-----END PRIVATE KEY-----",
        "Private-MAC: 0a",
        "...",
    ),
)


@given(data=st.data())
def test_parts_of_secrets_in_any_order_are_told_in_pieces_as_at_once(data: st.DataObject) -> None:
    text = "".join(data.draw(st.lists(st.sampled_from(NAMED_PARTS), max_size=16)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert told(pieces) == REDACTOR.text(text)


SLOW = [
    *(
        "token=",
        "token=***",
        "token=my-",
        "password=a(",
        "cookie: a=***",
        "cookie: a=",
        "password: ",
        'password="',
    ),
    *("AKIA1234567890123456 ", "://", "://a:", "://a:b@", "4111 ", "4111", "5", "Authorization: ", "basic "),
    *(
        "name: password,\nvalue: ",
        "token: str = ",
        "password is ",
        "<token>",
        "PuTTY-User-Key-File-2:",
        "x_" * 7,
    ),
    *("eyJAAAAAAAAAA.eyJAAAA.", "sig=", "key", "api_key='", 'token = \\"', "--token ", "a" * 14 + "-", "%20"),
]


@pytest.mark.parametrize("slow", SLOW)
def test_names_that_are_made_to_be_slow_are_gone_through_once(slow: str) -> None:
    text = slow * (50_000 // len(slow))
    assert REDACTOR.text(text).encode() == REDACTOR.data(text.encode())


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('{"auths": {"r.example.org": {"auth": "%s"}}}', "YWxpY2U6VHIwdWI0ZG9y"),
        ("//r.example.org/:_auth=%s\n", "YWxpY2U6VHIwdWI0ZG9y"),
        ("CREATE USER desk IDENTIFIED BY '%s'", "Tr0ub4dor"),
        ("production:\n  secret_key_base: %s\n", "0a1b2c3d" * 16),
    ],
)
def test_a_secret_in_a_file_of_a_program_is_found(text: str, secret: str) -> None:
    assert REDACTOR.text(text % secret) == text % MARK
    assert told(list(text % secret)) == text % MARK


@pytest.mark.parametrize("text", ["auth: required", "author: Jane Doe", "identified by 'the serial number'"])
def test_words_like_such_a_name_hide_nothing(text: str) -> None:
    assert REDACTOR.text(text) == text


PUMPED = (
    "a",
    "A",
    "x",
    "0",
    "_",
    "-",
    ".",
    "/",
    "'",
    "é",
    "a-",
    "a_",
    "a/",
    "a.",
    "/.",
    "a1",
    "v1.",
    "aB",
    "$",
)


@pytest.mark.parametrize("begin", ["", "the", "your-", "my_", "example", "$", "/", "%", "a", "A", "1"])
@pytest.mark.parametrize("end", ["!!", "1!", "_", "\x01", "(", "é1"])
def test_a_value_that_is_made_to_be_slow_is_judged_once(begin: str, end: str) -> None:
    for pump in PUMPED:
        value = begin + pump * (240 // len(pump)) + end
        for name in ("password", "token", "api_key", "Authorization"):
            assert is_secret_value(name, value) in (True, False)
            assert REDACTOR.text(f'{name}="{value}"').startswith(name)
        assert REDACTOR.text(f"Bearer {value}").startswith(("Bearer", MARK))
        assert REDACTOR.text(f"https://user:{value}@example.org").startswith("https://user")


def test_json_with_a_secret_stays_json() -> None:
    value = {
        "password": 12345678,
        "card": 4111111111111111,
        "n": {"api_key": "abc123def456", "id": 4111111111111111},
    }
    shown = json.loads(REDACTOR.json(json.dumps(value)))
    assert shown == {"password": MARK, "card": MARK, "n": {"api_key": MARK, "id": 4111111111111111}}
    escaped = '{"p\\u0061ssword": "h\\u0075nter2", "a": "b"}'
    assert json.loads(REDACTOR.json(escaped)) == {"password": MARK, "a": "b"}


def test_no_secret_hides_behind_an_escaped_character() -> None:
    rng = random.Random(7)
    for each in drawn.secrets(rng, 1):
        for text in (f'he said "{each.text}"', f"first\n\t{each.text}\n", f"C:\\new\\{each.text}"):
            value = {"arguments": text, "total_tokens": 60}

            shown = json.loads(REDACTOR.json(json.dumps(value, ensure_ascii=False)))

            assert shown["arguments"] != text or REDACTOR.text(text) == text, text


def test_json_without_a_secret_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seawall.core.redact._decode", None)
    call = {"arguments": json.dumps({"order": "A-1042", "note": 'she said "no"\n'}), "total_tokens": 660}

    text = json.dumps(call)

    assert REDACTOR.json(text) is text


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("password", "hunter2", True),
        ("dbPassword", "letmein", True),
        ("api_key", "abc123def456", True),
        ("Cookie", "sid=abc123", True),
        ("nextPageToken", "CAUQAA1234567890", False),
        ("primary_key", "abc123def456", False),
        ("password", "string", False),
        ("passwordless", "hunter2", False),
        ("auth", "YWxpY2U6VHIwdWI0ZG9y", True),
        ("auth", "basic", False),
        ("secret_key_base", "0a1b2c3d" * 16, True),
    ],
)
def test_a_value_is_a_secret_by_its_key(name: str, value: str, secret: bool) -> None:
    assert is_secret_value(name, value) is secret


def test_a_name_in_a_stream_holds_back_little() -> None:
    stream = StreamRedactor(REDACTOR)
    assert stream.feed("The token expired, and the password ") == "The token expired, and the "
    assert stream.feed("was reset. ") == "password was reset. "
    assert stream.feed("Then password=") == "Then "
    assert stream.feed("hunter2 ") == ""
    assert stream.feed("came, ") == f"password={MARK} came, "
