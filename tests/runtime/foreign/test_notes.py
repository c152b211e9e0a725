"""What guards advise is worded once for all frameworks, as nobody would take it for the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.runtime.foreign.results import word_note

ADAPTERS = Path(__file__).parents[3] / "src" / "seawall" / "adapters"


@pytest.mark.parametrize(
    ("note", "worded"),
    [
        ("2 of 10 calls are left.", "[Not from the user: 2 of 10 calls are left.]"),
        ("[find_order brought nothing new.]", "[Not from the user: find_order brought nothing new.]"),
        ("[Not from the user: 2 of 10 calls are left.]", "[Not from the user: 2 of 10 calls are left.]"),
    ],
)
def test_a_note_says_once_that_it_is_not_from_the_user(note: str, worded: str) -> None:
    assert word_note(note) == worded
    assert word_note(word_note(note)) == worded


def test_no_adapter_words_a_note_by_itself() -> None:
    own = [path.name for path in ADAPTERS.rglob("*.py") if "Not from the user" in path.read_text()]

    assert own == [], "they call word_note"
