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
