"""What a result or a task says, however it is made."""

from __future__ import annotations

import pytest

from seawall.run.fingerprint import compare_gists, make_gist, normalise
from seawall.run.noise import mask_volatile

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

    mask_volatile(text)
    assert make_gist(text) == make_gist(text + " ")
    assert normalise(text) == normalise(text + " ")
