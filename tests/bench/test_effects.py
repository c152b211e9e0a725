"""The program that measures effects, at the smallest sizes: what it finds, and that it names what does not hold."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from effect import bars, costs
from effect.bars import Measured, Place, Sizes
from effect.report import table

TINY = Sizes(processes=2, runs_each=3, races=4, waits=1, open_proposals=100, steps=5, rounds=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("place"), TINY)
    yield made
    made.close()


def test_a_storm_over_one_order_is_one_payment_row(place: Place) -> None:
    measured = bars.storm(place)

    assert measured.broken == []
    assert (measured.what["runs"], measured.what["forks"], measured.what["payment_rows"]) == (6, 6, 1)


def test_each_race_has_one_winner_and_a_loser_who_is_told(place: Place) -> None:
    measured = bars.races(place)

    assert measured.broken == []
    assert (measured.what["one_success_each"], measured.what["losers_told"]) == (4, 4)


def test_of_five_effects_those_are_paid_that_were_approved(place: Place) -> None:
    assert bars.five_effects(place).what["payment_rows"] == [1, 0, 1, 0, 1]


def test_a_worker_pays_what_was_approved_elsewhere(place: Place) -> None:
    assert bars.starter_dead(place).what["payment_rows"] == 2


def test_a_flood_is_counted_and_pays_nothing(place: Place) -> None:
    what = bars.flood(place).what

    assert (what["open"], what["page"], what["payment_rows_after_expiry"]) == (100, 100, 0)


def test_writes_are_counted_by_kind(tmp_path: Path) -> None:
    _, commits, read = asyncio.run(costs.measure_run(tmp_path, "read", 5, seed=1))

    assert read == {"create": 1, "append": 11}
    assert commits >= 12  # it opens by itself, too


@pytest.mark.parametrize("kind", costs.KINDS)
def test_every_kind_of_call_is_made(tmp_path: Path, kind: str) -> None:
    seconds, _, writes = asyncio.run(costs.measure_run(tmp_path, kind, 3, seed=1))

    assert seconds > 0
    assert writes["append"] >= 7


def test_what_does_not_hold_is_named() -> None:
    measured = Measured(bar="1: one order", what={"payment_rows": 2, "writes": {"append": 3}})
    measured.check(True, "never told")
    measured.check(False, "2 payment rows (bar 1)")

    assert table([measured]).splitlines() == ["1: one order: 2 payment rows (bar 1)", "    payment rows: 2"]
