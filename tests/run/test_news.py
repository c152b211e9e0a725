"""What a result or a task says, however it is made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.run.fingerprint import VOLATILE, compare_gists, make_gist, mask_volatile, normalise

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
def test_every_volatile_part_is_masked_whatever_stands_around_it(text: str) -> None:
    assert mask_volatile(text) == VOLATILE.sub("…", text)
