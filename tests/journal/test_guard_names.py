"""Two guards were renamed; journals keep the old names, and what an older version recorded means the same today."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

import apsw
import pytest

from journal.edits import write_mark
from seawall import Agent, Guard, Limits, Seawall, Team, tool
from seawall.core.events import Judged, RunEnded, RunStarted
from seawall.journal import guard_names
from seawall.journal.protocol import RunFilter, Setting, SettingKind
from seawall.testing import ScriptedModel, call

SCHEMA_2 = (Path(__file__).parent / "data" / "schema-2.sql").read_text(encoding="utf-8")
T = TypeVar("T")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file with the old names: a run that `Limits` halted, one that `Budget` halted, and two live settings."""
    path = str(tmp_path / "journal.db")
    database = apsw.Connection(path)
    database.execute(SCHEMA_2)
    database.close()
    write_mark(path)
    return path


async def halted_by(sea: Seawall) -> dict[str, list[str]]:
    """Returns, by the guard's name in the run's row, its names in the outcome, in the verdict and in `RunEnded`."""
    found: dict[str, list[str]] = {}
    for row in await sea.journal.runs(RunFilter(status="halted")):
        assert row.summary is not None
        outcome = await (await sea.attach(row.run)).outcome()
        events = await sea.journal.events(row.run)
        judged = [event.guard for event in events if isinstance(event, Judged) and event.verdict == "halt"]
        ended = [event.stopped_by for event in events if isinstance(event, RunEnded)]
        assert outcome.stopped_by is not None
        assert ended[0] is not None
        found[row.summary.stopped_by or ""] = [outcome.stopped_by.guard, *judged, ended[0].guard]
    return found


def test_runs_that_limits_and_budget_halted_have_todays_names_of_guards(path: str) -> None:
    async def scenario() -> None:
        async with Seawall(path) as sea:
            assert await halted_by(sea) == {"limits": ["limits"] * 3, "budget": ["budget"] * 3}
            assert (await sea.journal.verify()).ok

    asyncio.run(scenario())


def test_a_setting_with_an_old_name_still_sets_the_guard_that_it_was_made_for(path: str) -> None:
    async def scenario() -> None:
        async with Seawall(path) as sea:
            settings = await sea.journal.settings()
        modes = {name: setting.value for (kind, name), setting in settings.items() if kind == "guard"}
        assert modes == {"limits": "observe", "budget": "off"}

    asyncio.run(scenario())


def test_what_is_recorded_today_reads_back_and_older_versions_understand_it(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "journal.db")

    @tool
    def look() -> str:
        """Look."""
        return "a field"

    class Own(Guard):
        name = "accounts"

    async def scenario() -> None:
        team = Team(
            Agent("clerk", model=ScriptedModel([call("look")] * 3, by="position"), tools=[look]),
            limits=Limits(tool_calls=1, at_limit="halt"),
            guards=[Own()],
        )
        async with Seawall(path) as sea:
            await sea.set_guard("limits", "enforce", by="ops")
            run = await sea.start(team, "Go.")
            outcome = await run.outcome()
            assert outcome.stopped_by is not None
            assert outcome.stopped_by.guard == "limits"
            started = (await sea.journal.events(run.id))[0]
            assert isinstance(started, RunStarted)
            assert {"limits", "budget", "accounts"} <= started.guards.keys()
            assert (await sea.journal.verify()).ok

    asyncio.run(scenario())
    raw = b"".join(bytes(row[0]) for row in apsw.Connection(path).execute("SELECT data FROM entries"))
    assert b'"guard":"budget"' in raw
    assert b'"stopped_by":"budget"' in raw
    assert b'"name":"budget"' in raw
    assert b'"guard":"limits"' not in raw


@pytest.mark.parametrize("kind", ["guard", "pause", "endpoint"])
def test_only_settings_of_guards_are_renamed(kind: SettingKind) -> None:
    value = {"guard": "off", "pause": "on", "endpoint": "auto"}[kind]
    setting = Setting(kind=kind, name="limits", value=value, by="ops", at=0.0)

    recorded = guard_names.to_recorded_name(setting)

    assert recorded.name == ("budget" if kind == "guard" else "limits")
    assert guard_names.from_recorded_name(recorded) == setting
