"""What whole runs waste: the same after a crash, in a replay, and from a record of an earlier version."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from seawall import Agent, Outcome, Seawall, Team, WasteGuard
from seawall.core.events import Event, Judged, StepDone
from seawall.run.fold import fold
from seawall.testing import ScriptedModel, call, hang, say
from team.play import NO_GUARDS

NOTES = (
    "The autumn release brings a faster search, a calmer start page and the report that finance has wanted since "
    "spring. Customers with older contracts keep their prices until the end of the year. Support answers on weekdays, "
    "and the status page tells of every outage within minutes."
)
ROUNDS = 6


def make_team(writer: ScriptedModel, rounds: int = ROUNDS, first: int = 0) -> Team:
    """Returns a team whose lead has a reviewed text written `rounds` times."""
    asked = [call("ask_writer", task=f"Make it better ({n}): {NOTES}") for n in range(first, rounds)]
    decisions = [call("review", approved=True) for _ in range(rounds)]
    desk = Team(
        "writer",
        Agent("writer", model=writer),
        reviewer=Agent("auditor", model=ScriptedModel(decisions)),
    )
    return Team("desk", Agent("lead", model=ScriptedModel([*asked, say("Done.")])), specialists=[desk])


def write_versions(first: int = 0, rounds: int = ROUNDS) -> ScriptedModel:
    return ScriptedModel([say(f"{NOTES} Thank you{'!' * n}") for n in range(first, rounds)])


def list_verdicts(events: list[Event]) -> list[tuple[int, str, str | None]]:
    return [(e.step, e.verdict, e.limit) for e in events if isinstance(e, Judged) and e.guard == "waste"]


def test_a_run_that_is_resumed_knows_the_versions_from_before_the_crash(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def main() -> tuple[Outcome, list[Event]]:
        async with Seawall(path, guards=[WasteGuard()]) as sea:
            model = ScriptedModel([say(NOTES), say(f"{NOTES} Thank you!"), hang()])
            run = await sea.start(make_team(model), "Write the notes.")
            while model.request_count < 3:
                await asyncio.sleep(0)
        async with Seawall(path, guards=[WasteGuard()]) as sea:
            team = make_team(write_versions(first=2), first=3)
            outcome = await (await sea.resume(run.id, team)).outcome()
            return outcome, list(await sea.journal.events(run.id))

    outcome, events = asyncio.run(main())

    texts = [event.version_of for event in events if isinstance(event, StepDone) and event.version_of]
    assert len(texts) >= 3 and len(set(texts)) == 1
    assert "replace" in [verdict for _, verdict, _ in list_verdicts(events)]
    assert outcome.status == "completed"
    assert outcome.wasted == dict(fold(events).waste.wasted)


def test_a_replay_takes_the_same_versions() -> None:
    async def main() -> None:
        async with Seawall(guards=[WasteGuard()]) as sea:
            run = await sea.start(make_team(write_versions()), "Write the notes.")
            await run.outcome()
            assert "replace" in [
                verdict for _, verdict, _ in list_verdicts(list(await sea.journal.events(run.id)))
            ]
            assert (await sea.replay(run.id, make_team(write_versions()))).differences == ()

    asyncio.run(main())


def test_a_record_of_an_earlier_version_tells_of_no_versions_and_folds() -> None:
    async def main() -> list[Event]:
        async with Seawall(modes=NO_GUARDS) as sea:
            run = await sea.start(make_team(write_versions()), "Write the notes.")
            await run.outcome()
            return list(await sea.journal.events(run.id))

    events = asyncio.run(main())
    assert fold(events).waste.wasted["rewrites"].calls == ROUNDS - 1

    earlier: list[Any] = [
        replace(event, version_of=0, rewrites=False) if isinstance(event, StepDone) else event
        for event in events
    ]
    assert fold(earlier).waste.wasted == {} and fold(earlier).ledger == fold(events).ledger
