"""Values of memory that say the same, and values that only look so."""

from __future__ import annotations

import pytest

from seawall.memory.sameness import make_loose


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the gate is  open", "the gate is open "),
        ("balance 5, checked at 2026-01-31T10:11:12Z", "balance 5, checked at 2026-02-01T00:00:00Z"),
        ("balance 5 as of 2026-01-31", "balance 5 as of 2026-02-01"),
        ("found, took 12 ms", "found, took 0.031 s"),
        ('{"a":1,"request_id":"r-1"}', '{"request_id":"r-2","a":1}'),
        ('[{"a":"x","fetched_at":"10:00:01"}]', '[{"a":"x","fetched_at":"11:00:02"}]'),
    ],
)
def test_when_and_how_something_was_looked_up_makes_no_difference(one: str, other: str) -> None:
    assert make_loose(one) == make_loose(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2026-12-01T10:00:00", "2026-12-08T15:30:00"),
        ("meeting at 2026-12-01T10:00:00", "meeting at 2026-12-08T15:30:00"),
        ("cooldown 30 s", "cooldown 90 s"),
        ("11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"),
        ("due 1796000000", "due 1799000000"),
        ('{"timestamp":"2026-12-01","duration":"1h"}', '{"timestamp":"2027-01-01","duration":"9h"}'),
        ("process 4711 is paid", "process 4712 is paid"),
        ("{broken", "{broken too"),
    ],
)
def test_a_time_a_duration_or_an_id_is_a_fact(one: str, other: str) -> None:
    assert make_loose(one) != make_loose(other)
