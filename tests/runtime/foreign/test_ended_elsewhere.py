"""A run that waits here for a person, or for the end of a pause, may be ended by another process: its askers are told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from seawall import Effect, Engine, Seawall, always
from seawall.runtime.foreign.asks import Halted
from seawall.runtime.foreign.session import Session

EFFECTS = {"refund": Effect(approve=always())}


async def read_state(sea: Seawall, run: str) -> str:
    return (await sea.journal.row(run)).state


async def cancel(sea: Seawall, run: str) -> None:
    await (await sea.attach(run)).cancel()


def perform(session: Session, tool: str) -> Any:
    return session.step_sync(session.tool("clerk", tool, {"order": 7}), lambda turn: ("done", None))


@pytest.mark.parametrize("paused", [False, True])
def test_a_run_that_is_cancelled_elsewhere_leaves_nobody_waiting(tmp_path: Path, paused: bool) -> None:
    tool = "look" if paused else "refund"
    with (
        Engine(tmp_path / "desk.db", effects=EFFECTS) as engine,
        Engine(tmp_path / "desk.db", effects=EFFECTS) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        session = engine.begin("Refund", loop="own", waits=True)
        perform(session, "read")
        assert session.run is not None
        run = session.run
        if paused:
            engine.call(lambda sea: sea.pause("tool:look", by="dana"))
        waiting = pool.submit(perform, session, tool)
        while engine.call(lambda sea: read_state(sea, run)) != "waiting":
            pass
        other.call(lambda sea: cancel(sea, run))
        with pytest.raises(Halted, match="cancelled"):
            waiting.result(60)
        assert session.end_sync("done").status == "cancelled"
