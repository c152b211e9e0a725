"""The demo's scenes of many runs: what they claim is looked up once more in the files of their worlds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from seawall.cli.commands.demo import demo
from seawall.cli.demo import many_run_scenes as scenes

Play = Callable[[str], tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture
def play(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Play:
    """Plays one scene into `tmp_path`, which has to hold what it claims, and gives both takes."""

    def play(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        demo(scene=[name], directory=tmp_path, pace_ms=0.0, json=True)
        [scene] = json.loads(capsys.readouterr().out)["scenes"]
        return scene["observe"], scene["enforce"]

    return play


def rows(directory: Path, scene: str, mode: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(directory / f"world-{scene}-{mode}.db")) as world:
        return world.execute(statement).fetchall()


def test_a_storm_is_waited_out_by_all_but_a_few_calls(play: Play, tmp_path: Path) -> None:
    observe, enforce = play("storm")

    down = "SELECT count(*) FROM replies WHERE trouble = 'provider_down'"
    [(in_vain,)], [(spared,)] = (rows(tmp_path, "storm", mode, down) for mode in ("enforce", "observe"))
    assert in_vain * 2 < spared
    assert enforce["figures"]["closed"] == 1
    assert enforce["ends"]["completed, reviewed"] > 2 * observe["ends"]["completed, reviewed"]


def test_a_tenants_bill_stays_under_its_cap_and_the_other_one_is_unharmed(play: Play, tmp_path: Path) -> None:
    observe, enforce = play("tenant")

    bills: dict[str, Decimal] = {}
    for payer, usd in rows(tmp_path, "tenant", "enforce", "SELECT payer, usd FROM bills"):
        bills[payer] = bills.get(payer, Decimal(0)) + Decimal(usd)
    assert bills["acme"] <= scenes.CAP_USD < Decimal(observe["billed"]["acme"])
    assert bills["bolt"] == Decimal(observe["billed"]["bolt"])
    assert set(enforce["ends"]) == {"completed, reviewed", "halted by budget"}


def test_the_accounts_of_the_tenants_are_among_what_it_suggests_to_look_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo(scene=["tenant"], directory=tmp_path, pace_ms=0.0, json=True)

    commands = json.loads(capsys.readouterr().out)["next"]
    assert "seawall budget --journal desk.db" in commands


def test_nothing_is_paid_while_refunds_are_paused_and_everything_once_it_is_lifted(
    play: Play, tmp_path: Path
) -> None:
    observe, enforce = play("pause")

    held = "SELECT count(*) FROM calls WHERE tool = 'refund' AND trouble = 'held'"
    paid = "SELECT count(*), count(DISTINCT order_id) FROM payments"
    assert rows(tmp_path, "pause", "enforce", held) == [(0,)]
    assert rows(tmp_path, "pause", "observe", held) == [(scenes.ABOUT_TO_PAY,)]
    assert enforce["figures"]["parked"] == scenes.ABOUT_TO_PAY
    for mode in ("observe", "enforce"):
        assert rows(tmp_path, "pause", mode, paid) == [(scenes.PAYING_RUNS, scenes.PAYING_RUNS)]
    assert observe["ends"] == enforce["ends"] == {"completed, reviewed": scenes.PAYING_RUNS}


def test_a_crowd_is_served_in_turn_and_no_faster_than_the_world_can_bear(play: Play, tmp_path: Path) -> None:
    observe, enforce = play("crowd")

    busiest = "SELECT max(inside) FROM calls"
    assert rows(tmp_path, "crowd", "enforce", busiest) <= [(scenes.CAPACITY,)]
    assert rows(tmp_path, "crowd", "observe", busiest) > [(scenes.CAPACITY,)]
    assert enforce["ends"] == {"completed, reviewed": scenes.CROWD + scenes.LATE}
    assert enforce["figures"]["shed"] > 0
    assert observe["figures"]["shed"] == 0
