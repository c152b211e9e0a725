"""What the command line says of runs with memory."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from memory.play import agent_of, in_loop, keep, play, recall, remember
from memory.test_merging import overtake
from seawall import Memory, Seawall
from seawall.cli.app import app
from seawall.models.scripted import say
from seawall.testing import ManualClock


async def command(path: Path, *words: str) -> str:
    """Returns what a command prints, which has an event loop of its own."""
    done = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--journal", str(path)])
    assert done.exit_code == 0, done.output
    return done.output


@in_loop
async def test_steps_of_memory_are_shown_with_what_they_were_called_with_and_what_they_returned(
    tmp_path: Path,
) -> None:
    path = tmp_path / "j.db"
    async with Seawall(path, clock=ManualClock(), environment={}) as sea:
        await keep(sea, rule="single")
        script = (recall(key="rule"), remember("a", "1"), say("ok"))
        outcome = await play(sea, agent_of(*script, memory=Memory(write=("tenant",))))
    shown = await command(path, "show", outcome.run)
    assert 'recall(key="rule")' in shown and 'remember(key="a", value="1")' in shown
    assert '= {"entries":[{"key":"rule"' in shown
    assert "what it wrote is merged" in " ".join(shown.split())
    document: Any = json.loads(await command(path, "show", outcome.run, "--json"))
    assert document["memory"] == "merged"
    assert [each["kind"] for each in document["steps"]] == ["model", "memory", "model", "memory", "model"]
    assert "memory recall of clerk" in await command(path, "why", outcome.run)


@in_loop
async def test_a_conflict_is_shown_with_where_to_look(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    async with Seawall(path, clock=ManualClock(), environment={}) as sea:
        outer, _ = await overtake(sea, (remember("price", "3"),), (remember("price", "2"),))
    shown = " ".join((await command(path, "show", outer.run)).split())
    assert "both values are kept" in shown and "memory conflicts" in shown
