"""What a result or a task says, however it is made."""

from __future__ import annotations

import json

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


def escape(text: str) -> str:
    """Returns a text as JSON in which every character is written as an escape."""
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)) + '"'


@given(st.lists(PIECES, max_size=4).map("".join), st.text(max_size=12))
def test_the_volatile_parts_of_json_are_masked_however_it_is_written(text: str, other: str) -> None:
    expected = [" ".join(VOLATILE.sub("…", each).split()) for each in (text, other)]

    for written in (json.dumps([text, other]), f"[{escape(text)}, {escape(other)}]"):
        assert normalise(written) == expected


TASK = "Look at order 17 and tell Byrne its state."
AGAIN = [
    "(attempt 3)",
    "(attempt 3 of 10)",
    "[Try 3/5]",
    "(retry #2)",
    "(take 2)",
    "(2nd try)",
    "(this is the 4th attempt)",
    "(attempt=7)",
    "(attempt two, please)",
    "(once more)",
]
BEFORE = [
    "Attempt 4 of 10:",
    "Retry:",
    "2nd try:",
    "Once more:",
    "For the third time:",
    "Attempt #12 -",
    "Second attempt.",
]
AFTER = ["- attempt 7", ", 3rd attempt", "once again", "for the second time", "\n\nAttempt 3 of 5"]
APART = [
    ("Look at order 1042", "Look at order 1043"),
    ("Try 2 recipes", "Try 3 recipes"),
    ("Retry payment 17", "Retry payment 18"),
    ("Rerun job 17.", "Rerun job 18."),
    ("Summarise chapter (2)", "Summarise chapter (3)"),
    ("Read the log of attempt 3", "Read the log of attempt 4"),
    ("Attempt 3 exercises from page 4", "Attempt 3 exercises from page 5"),
    ("What failed at attempt 3 of run 9?", "What failed at attempt 3 of run 8?"),
    ("Describe the first attempt.", "Describe the second attempt."),
]


@pytest.mark.parametrize(
    "task",
    [*[f"{TASK} {each}" for each in AGAIN], *[f"{each} {TASK}" for each in (*AGAIN, *BEFORE)]]
    + [f"{TASK[:-1]} {each}".replace(" ,", ",") for each in AFTER],
)
def test_how_often_a_task_was_handed_out_before_makes_it_no_other_task(task: str) -> None:
    assert compare_gists(make_gist(TASK), make_gist(task)) == 1.0


@pytest.mark.parametrize(("one", "other"), APART)
def test_a_number_that_is_no_count_of_attempts_makes_it_another_task(one: str, other: str) -> None:
    assert compare_gists(make_gist(one), make_gist(other)) < 0.7


@pytest.mark.parametrize(
    "piece", ["attempt ", "(", "(attempt 3", "for the ", "first ", ". attempt", "(again x"]
)
def test_attempts_are_looked_for_in_little_time(piece: str) -> None:
    text = piece * (100_000 // len(piece))

    assert make_gist(text) == make_gist(text + "  ")
