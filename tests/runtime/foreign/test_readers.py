"""What reads a journal reads a foreign run, whatever its tools, agents and messages are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from runtime.foreign.scripted_loop import USAGE
from seawall import Engine
from seawall.cli.app import app
from seawall.runtime.foreign.results import ModelResult
from seawall.runtime.foreign.session import Session

STEERS = "\x1b[31mred\x1b[0m\u202ea\nb"


def ask_oddly(session: Session) -> None:
    """Asks a model and calls a tool, both with names that steer a terminal, and messages in no form at all."""
    call = ("c1", STEERS, '{"k": "\\u001b[31m"')
    messages: list[Any] = [{"role": STEERS, "content": [STEERS]}, "text", 7, None, [1, {"a": None}]]
    for _ in range(2):
        asked = session.model(STEERS, STEERS, messages, tools=[{"name": STEERS}])
        session.step_sync(asked, lambda turn: (ModelResult(STEERS, [call], usage=USAGE), None))
        messages.append(STEERS)
    session.step_sync(session.tool(STEERS, STEERS, {STEERS: 1}), lambda turn: (STEERS, None))
    frame = session.open_frame_sync(session.handoff(STEERS, STEERS, STEERS))
    session.close_frame_sync(frame, STEERS, failed=True)
    session.end_sync(STEERS)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    journal = tmp_path / "desk.db"
    with Engine(journal, effects=["*"]) as engine:
        ask_oddly(engine.begin(STEERS, loop="own", agent=STEERS))
    return journal


@pytest.mark.parametrize("command", ["show", "show --full", "why", "context", "runs", "effects", "verify"])
@pytest.mark.parametrize("color", [None, "1"])
def test_no_name_steers_the_terminal(journal: Path, command: str, color: str | None) -> None:
    environment = {"COLUMNS": "80", "NO_COLOR": None if color else "1", "SEAWALL_JOURNAL": str(journal)}
    done = CliRunner().invoke(app, command.split(), env=environment, catch_exceptions=False)

    assert done.exit_code == 0, done.output
    assert "\x1b[31mred" not in done.stdout
    assert "\u202e" not in done.stdout
