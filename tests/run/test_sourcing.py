"""Which values of an answer nobody has shown, in whatever notation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.run.sourcing import ShownValues


@pytest.mark.parametrize(
    ("shown", "answer"),
    [
        ("total 1250", "It costs $1,250."),
        ('{"total": 1250.50, "id": "A-77"}', "A-77 costs 1,250.5"),
        ("2024-05-20", "on May 20, 2024"),
        ('{"departure": "13:00:00"}', "It leaves at 01:00 PM, which is 13:00."),
        ("09:30", "at 9:30"),
        ("order 1042", '{"order": 1042, "because": "order 1042"}'),
        ("write to ann@example.org", "I wrote to ann@example.org."),
    ],
)
def test_what_was_shown_in_another_notation_is_sourced(shown: str, answer: str) -> None:
    assert ShownValues([shown]).find_unsourced(answer) == []


@pytest.mark.parametrize(
    ("shown", "answer", "unsourced"),
    [
        ("150 and 155", "Together 305.", ["305"]),
        ("order 1042", "Order 1043 of 2031-04-17", ["1043", "2031-04-17"]),
        ("21050", "It costs 105.", ["105"]),
        ("13:00", "at 14:00", ["14:00"]),
        ("", "no value at all", []),
        ("1042", '{"1043": "a", "b": 1044}', ["1044"]),
    ],
)
def test_what_nobody_has_shown_is_unsourced(shown: str, answer: str, unsourced: list[str]) -> None:
    assert ShownValues([shown]).find_unsourced(answer) == unsourced


@given(st.text(max_size=200), st.lists(st.text(max_size=100), max_size=3))
def test_nothing_of_a_text_that_was_shown_is_unsourced(text: str, others: list[str]) -> None:
    assert ShownValues([*others, text]).find_unsourced(text) == []


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_more_that_is_shown_never_makes_more_unsourced(answer: str, one: str, other: str) -> None:
    few = set(ShownValues([one]).find_unsourced(answer))

    assert set(ShownValues([one, other]).find_unsourced(answer)) <= few
