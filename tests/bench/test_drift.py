"""The drift program: a session of fifty turns, in which what is right changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from drifts.world import TURNS, World

import warm_python

ROOT = Path(__file__).parents[2]


def test_every_answer_follows_the_current_request_and_the_current_fact() -> None:
    command = [str(ROOT / "bench" / "drift.py"), "--sessions", "2", "--arms", "plain,seawall"]
    done = warm_python.run(command, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert "holds: at least 99% of the answers are right" in done.stdout
    plain, ours = (line.split() for line in done.stdout.splitlines() if line.startswith(("plain", "seawall")))
    assert ours[1] == "100.0%"
    assert float(plain[1].rstrip("%")) < 60, "a transcript alone does not follow"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_session_has_changes_contradictions_old_requests_and_failing_tools(seed: int) -> None:
    turns = World(seed).play()

    assert len(turns) == TURNS
    assert [turn.request for turn in turns] == [turn.request for turn in World(seed).play()]
    assert {turn.kind for turn in turns if turn.expected} >= {"ask", "elsewhere", "look"}
    assert any(turn.breaks for turn in turns)
    assert any(turn.told for turn in turns)
