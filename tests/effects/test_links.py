"""Links: whoever holds one may decide once, as one person, on one proposal as it was; any other text is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall import Misused, Refused
from seawall.effects.links import MAX_TOKEN_CHARS, Link, LinkSigner, digest_of_token, make_nonce

KEY = b"a key of at least 16 bytes"
LINK = Link("p-1", "ab" * 32, "alice", ("finance",), False, 1_000.0, 2_000.0, "0011223344556677")
SIGNER = LinkSigner(KEY)
TOKEN = SIGNER.make(LINK)


def is_refused(token: str, now: float = 1_500.0) -> bool:
    try:
        SIGNER.read(token, now)
    except Refused:
        return True
    return False


def test_a_link_says_what_it_was_made_for() -> None:
    assert SIGNER.read(TOKEN, 1_500.0) == LINK


def test_every_single_changed_bit_of_a_token_is_refused() -> None:
    data = TOKEN.encode()
    changed = [
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for at in range(len(data))
        for bit in range(8)
    ]

    assert len(changed) > 1_500
    assert all(is_refused(each.decode("latin-1")) for each in changed)
    assert all(is_refused(each.decode("utf-8", "surrogateescape")) for each in changed)


@pytest.mark.parametrize(
    "token",
    [
        *("", ".", "swl_.", "swl_", TOKEN[:-1], TOKEN[1:], f"{TOKEN} ", f" {TOKEN}", TOKEN + TOKEN),
        *(TOKEN.upper(), TOKEN.replace(".", ".."), TOKEN.partition(".")[0], "\0" + TOKEN),
        "x" * (MAX_TOKEN_CHARS + 1),
    ],
)
def test_a_text_that_is_no_token_is_refused(token: str) -> None:
    assert is_refused(token)


@pytest.mark.parametrize("token", [None, 7, TOKEN.encode()])
def test_what_is_no_text_is_refused(token: object) -> None:
    assert is_refused(token)  # pyright: ignore[reportArgumentType] -- a web page may hand over anything


def test_a_link_of_another_key_is_refused() -> None:
    assert is_refused(LinkSigner(b"another key of 16 bytes").make(LINK))


def test_a_signature_of_something_else_is_none() -> None:
    body, _, mac = SIGNER.make(msgspec.structs.replace(LINK, principal="mallory")).rpartition(".")

    assert is_refused(f"{TOKEN.rpartition('.')[0]}.{mac}")
    assert is_refused(f"{body}.{TOKEN.rpartition('.')[2]}")


@pytest.mark.parametrize(
    ("now", "word"), [(2_000.0, "expired"), (9e9, "expired"), (900.0, "clock"), (0.0, "clock")]
)
def test_a_link_holds_between_two_times_only(now: float, word: str) -> None:
    with pytest.raises(Refused, match=word) as refused:
        SIGNER.read(TOKEN, now)

    assert (refused.value.guard, refused.value.value) == ("approval", now)
    assert refused.value.limit in (1_000.0, 2_000.0)


def test_clocks_of_two_machines_may_be_apart_a_little() -> None:
    assert SIGNER.read(TOKEN, 990.0) == LINK


def test_nothing_of_the_key_is_in_a_token_or_in_the_signer() -> None:
    assert KEY.decode() not in TOKEN
    assert repr(SIGNER) == "<LinkSigner>"


@pytest.mark.parametrize("key", [b"", b"short", "a text of more than 16", None])
def test_a_key_that_can_be_guessed_is_refused(key: bytes) -> None:
    with pytest.raises(Misused, match="at least 16 random bytes"):
        LinkSigner(key)


def test_a_link_that_fits_no_url_is_not_made() -> None:
    with pytest.raises(Misused, match="too long"):
        SIGNER.make(msgspec.structs.replace(LINK, roles=("r" * 4_000,)))


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.lists(st.text("ab,\"'"), max_size=3)
)
def test_any_name_and_roles_come_back_as_they_were(name: str, roles: list[str]) -> None:
    link = msgspec.structs.replace(LINK, principal=name, roles=tuple(roles), nonce=make_nonce())

    assert SIGNER.read(SIGNER.make(link), 1_500.0) == link


@given(st.text(max_size=200))
def test_no_other_text_is_a_token(text: str) -> None:
    assert is_refused(text)


def test_two_links_for_the_same_are_used_one_by_one() -> None:
    other = SIGNER.make(msgspec.structs.replace(LINK, nonce=make_nonce()))

    assert digest_of_token(TOKEN) != digest_of_token(other)
    assert len(digest_of_token(TOKEN)) == 32
