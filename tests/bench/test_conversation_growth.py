"""A conversation behind an adapter: each turn adds to the journal what is new, and not what was said before it."""

from __future__ import annotations

import pytest
from conversation_growth import MOST_BYTES, measure


@pytest.mark.parametrize("system", ["langchain", "seawall"])
def test_a_turn_adds_as_much_as_an_earlier_one(system: str) -> None:
    cell = measure(system, "durable", 100)
    assert 0 < cell.late_bytes < MOST_BYTES * cell.early_bytes
    assert cell.early_ms > 0
