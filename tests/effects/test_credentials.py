"""Principals and their keys: of a key only its hash is kept, and the redactor takes it for a secret."""

from __future__ import annotations

import msgspec
import pytest

from seawall import Misused
from seawall.core.redact import MARK, Redactor
from seawall.effects.credentials import KEY_PREFIX, Principal, find_by_key, hash_key, make_principal
from seawall.effects.links import Link, LinkSigner

ANN, ANNS_KEY = make_principal("ann", ["finance"], agent=False, now=5.0)
BOB, BOBS_KEY = make_principal("bob", [], agent=True, now=6.0)


def test_a_key_finds_its_principal_and_no_other() -> None:
    assert find_by_key([ANN, BOB], ANNS_KEY) is ANN
    assert find_by_key([ANN, BOB], BOBS_KEY) is BOB
    assert find_by_key([BOB], ANNS_KEY) is None


@pytest.mark.parametrize(
    "key",
    ["", "ann", KEY_PREFIX, ANNS_KEY[:-1], f"{ANNS_KEY} ", f"{ANNS_KEY}x" * 99, ANN.key_hash, "é\ud800"],
    ids=["nothing", "a name", "the prefix", "cut", "a space", "repeated", "the hash", "no UTF-8"],
)
def test_what_is_almost_a_key_finds_nobody(key: str) -> None:
    assert find_by_key([ANN, BOB], key) is None


def test_the_key_of_a_removed_principal_finds_nobody() -> None:
    assert find_by_key([msgspec.structs.replace(ANN, removed_at=9.0)], ANNS_KEY) is None


def test_a_record_holds_the_hash_of_its_key_alone() -> None:
    assert ANN.key_hash == hash_key(ANNS_KEY)
    assert ANNS_KEY.removeprefix(KEY_PREFIX) not in msgspec.json.encode(ANN).decode()
    assert (ANN.roles, ANN.agent, ANN.created_at) == (("finance",), False, 5.0)


def test_keys_are_long_and_never_the_same() -> None:
    keys = {make_principal("ann", [], agent=False, now=0.0)[1] for _ in range(50)}

    assert len(keys) == 50
    assert {len(key) for key in keys} == {len(KEY_PREFIX) + 43}  # 32 bytes


@pytest.mark.parametrize(
    "where", ["{}", "key={}", '{{"key": "{}"}}', "https://x.org/?t={}&u=1", "({})", "{}\n"]
)
def test_keys_and_links_are_secrets_to_the_redactor(where: str) -> None:
    link = Link("p-1", "ab" * 32, "ann", (), False, 0.0, 1.0, "00")
    for secret in (ANNS_KEY, LinkSigner(b"0123456789abcdef").make(link)):
        shown = Redactor().text(where.format(secret))

        assert MARK in shown
        assert secret[-20:] not in shown


@pytest.mark.parametrize("name", [" ann", "ann ", "ann\n", "a\u200bnn", "\uff41nn", "ann\u202e", "", " "])
def test_a_name_that_only_looks_like_another_is_refused(name: str) -> None:
    with pytest.raises(Misused):
        make_principal(name, [], agent=False, now=0.0)


def test_a_role_that_only_looks_like_another_is_refused() -> None:
    with pytest.raises(Misused, match="not written plainly"):
        make_principal("ann", ["finance "], agent=False, now=0.0)


@pytest.mark.parametrize(
    ("name", "roles", "agent"),
    [
        ("", (), False),
        (7, (), False),
        ("ann", "finance", False),
        ("ann", (7,), False),
        ("ann", 7, False),
        ("ann", (" ",), False),
        ("ann", (), "no"),
        ("\ud800", (), False),
    ],
)
def test_a_principal_that_makes_no_sense_is_refused(name: str, roles: tuple[str, ...], agent: bool) -> None:
    with pytest.raises(Misused):
        Principal(name, roles, agent)


def test_roles_may_come_in_any_collection() -> None:
    assert Principal("ann", ["finance"]).roles == ("finance",)  # pyright: ignore[reportArgumentType] -- as JSON has it
