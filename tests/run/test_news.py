"""What a result or a task says, however it is made."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.run.fingerprint import compare_gists, make_gist, normalise
from seawall.run.noise import VOLATILE, may_have_noise

LONG = 200_000
"""Characters: a rule that looks at each of them from each of them does not come to an end."""


def test_tasks_that_name_the_same_are_alike_and_others_are_not() -> None:
    asked = make_gist("Please look at order 1042 and tell Byrne its state.")

    assert compare_gists(asked, make_gist("Look at order 1042, and tell Byrne its state!")) > 0.8
    assert compare_gists(asked, make_gist("Please look at order 1043 and tell Byrne its state.")) == 0.0
    assert compare_gists(asked, make_gist("Please look at order 1042 and tell Brown its state.")) == 0.0


@pytest.mark.parametrize(
    "piece", ["a", "[", "'", "req", "/tmp/tmp", "1 ", "1.", "10:", "dead-", "trace=", " "]
)
def test_a_text_of_one_long_word_is_read_once(piece: str) -> None:
    text = piece * (LONG // len(piece))

    assert make_gist(text) == make_gist(text + " ")
    assert normalise(text) == normalise(text + " ")


PIECES = st.one_of(
    st.from_regex(VOLATILE, fullmatch=True), st.text(max_size=12), st.sampled_from(" ,:-_/0aTs")
)


@given(st.lists(PIECES, max_size=4).map("".join))
def test_every_text_with_a_volatile_part_is_looked_at(text: str) -> None:
    assert may_have_noise(text) or VOLATILE.search(text) is None


def escape(text: str) -> str:
    """Returns a text as JSON in which every character is written as an escape."""
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)) + '"'


@given(st.lists(PIECES, max_size=4).map("".join), st.text(max_size=12))
def test_the_volatile_parts_of_json_are_masked_however_it_is_written(text: str, other: str) -> None:
    expected = normalise(json.dumps([text, other]))

    assert normalise(f"[{escape(text)}, {escape(other)}]") == expected
    assert expected.loose == [normalise(f"x{each}".strip()).loose[1:].strip() for each in ("", "")] or expected
