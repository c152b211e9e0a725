"""A tool that nobody has declared and whose name says that it writes: whoever runs the application is told once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seawall import Limits, Refused
from seawall.cli import app
from seawall.core.events import Judged
from seawall.effects.guard import EFFECTS
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.session import Session


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def engine(journal: Path) -> Iterator[Engine]:
    with Engine(journal, effects=["refund"], reads=["send_*"]) as engine:
        yield engine


def call(session: Session, name: str, **arguments: object) -> str:
    done = session.step_sync(session.tool("clerk", name, arguments), lambda turn: (f"{name} done", None))
    return done.settled.told


def find_advice(engine: Engine, run: str) -> list[tuple[int, str, str | None]]:
    events = engine.call(lambda sea: sea.journal.events(run))
    return [
        (event.step, event.mode, event.note)
        for event in events
        if isinstance(event, Judged) and event.guard == EFFECTS
    ]


def read_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "seawall"]


def test_the_operator_is_told_once_per_tool_and_the_agent_never(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[str] = []
    for number in range(2):
        with engine.begin(f"Tidy up {number}", loop="own") as session:
            told = [call(session, "delete_file", path=f"{number}/{each}") for each in range(3)]
            told.append(call(session, "update_order", order=number))
            runs.append(session.end_sync("Done.").run)
            assert told == ["delete_file done"] * 3 + ["update_order done"]

    assert [message.split("'")[1] for message in read_warnings(caplog)] == ["delete_file", "update_order"]
    assert "add it to effects=[…], or to reads=[…] if it only reads" in read_warnings(caplog)[0]
    assert find_advice(engine, runs[0]) == [(1, "observe", None), (4, "observe", None)]
    assert find_advice(engine, runs[1]) == []


@pytest.mark.parametrize("name", ["refund", "send_receipt", "find_order", "settle"])
def test_nothing_is_said_of_what_is_declared_or_does_not_seem_to_write(
    name: str, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with engine.begin("Look", loop="own") as session:
        call(session, name, order=7)
        run = session.end_sync("Done.").run

    assert read_warnings(caplog) == []
    assert find_advice(engine, run) == []


def test_calls_asked_for_at_once_are_advised_on_once(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask_all() -> str:
        async with engine.begin("Tidy up", loop="own") as session:

            async def one(number: int) -> None:
                asked = session.tool("clerk", "delete_file", {"path": number}, call_id=f"c{number}")

                async def perform(turn: object) -> tuple[str, None]:
                    return "done", None

                await session.step(asked, perform)

            await asyncio.gather(*(one(number) for number in range(8)))
            return (await session.end("Done.")).run

    run = asyncio.run(ask_all())

    assert len(read_warnings(caplog)) == 1
    assert len(find_advice(engine, run)) == 1


def test_a_tool_that_is_not_made_is_advised_on_when_it_is(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with engine.begin("Tidy up", loop="own", limits=Limits(tool_calls=1)) as session:
        call(session, "find_file", path="a")
        with pytest.raises(Refused):
            call(session, "delete_file", path="a")
    assert read_warnings(caplog) == []

    with engine.begin("Tidy up again", loop="own") as session:
        call(session, "delete_file", path="a")
        session.end_sync("Done.")
    assert len(read_warnings(caplog)) == 1


def test_each_engine_tells_its_own_operator(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for name in ("one.db", "two.db"):
            with Engine(tmp_path / name) as engine, engine.begin("Tidy up", loop="own") as session:
                call(session, "delete_file", path="a")
                session.end_sync("Done.")

    assert len(read_warnings(caplog)) == 2


def test_the_advice_stands_below_its_step_in_the_tree(
    engine: Engine, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with engine.begin("Tidy up", loop="own") as session:
        call(session, "delete_file", path="a")
        run = session.end_sync("Done.").run
    engine.close()

    shown = CliRunner().invoke(app, ["show", run, "--journal", str(journal)]).stdout

    assert "effects advises (observed, let pass): tool 'delete_file' counts as a read" in shown
