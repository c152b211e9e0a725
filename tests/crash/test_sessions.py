"""A session's runs stay serial across crashes, and a run that no process drives can be ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from crash.in_process import PATIENCE_S, Door, sea_on, shop
from seawall import Broken, Refused, Run, Waiting
from seawall.journal.protocol import Command


async def interrupted(path: Path, *, effect: bool = False, session: str | None = "s-1") -> str:
    """Makes a run whose process ends during its tool call."""
    door = Door()
    async with sea_on(path) as sea:
        run = await sea.start(shop(door, effect=effect), "Ship order 1042.", session=session)
        await asyncio.wait_for(door.reached.wait(), PATIENCE_S)
    return run.id


def open_door() -> Door:
    door = Door()
    door.open.set()
    return door


def test_a_session_waits_for_its_interrupted_run(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "journal.db"
        first = await interrupted(path)
        async with sea_on(path) as sea:
            with pytest.raises(Refused, match=f"seawall resume {first}"):
                await sea.start(shop(open_door()), "And order 1043.", session="s-1")
            run = await sea.resume(first, shop(open_door()))
            following = await sea.start(shop(open_door()), "And order 1043.", session="s-1")
            assert (await run.outcome()).status == "completed"
            assert (await following.outcome()).status == "completed"
            assert (await sea.state(following.id)).history is not None

    asyncio.run(scenario())


@pytest.mark.parametrize("effect", [False, True], ids=["read", "effect"])
def test_an_interrupted_run_is_ended_by_the_process_that_cancels_it(tmp_path: Path, effect: bool) -> None:
    async def scenario() -> None:
        path = tmp_path / "journal.db"
        first = await interrupted(path, effect=effect)
        async with sea_on(path) as sea:
            run = await sea.attach(first)
            with pytest.raises(Broken, match="is interrupted"):
                await run.outcome()
            await run.cancel(by="person:1", reason="not needed any more")
            outcome = await run.outcome()
            assert outcome.status == "cancelled"
            assert outcome.stopped_by is not None
            assert outcome.stopped_by.reason == "not needed any more"
            assert [change.state for change in outcome.effects] == (["unknown"] if effect else [])
            following = await sea.start(shop(open_door()), "And order 1043.", session="s-1")
            assert (await following.outcome()).status == "completed"

    asyncio.run(scenario())


@pytest.mark.parametrize("here", [True, False], ids=["here", "elsewhere"])
def test_a_run_that_waits_for_a_person_is_ended_by_the_process_that_cancels_it(
    tmp_path: Path, here: bool
) -> None:
    async def scenario() -> None:
        path = tmp_path / "journal.db"
        first = await interrupted(path, effect=True)
        async with sea_on(path) as one, sea_on(path) as other:
            run = await one.resume(first, shop(open_door(), effect=True))
            assert isinstance(await run.rest(), Waiting)
            canceller = run if here else await other.attach(first)
            await canceller.cancel(by="person:1")
            outcome = await asyncio.wait_for(run.outcome(), PATIENCE_S)
            assert outcome.status == "cancelled"
            assert [change.state for change in outcome.effects] == ["unknown"]

    asyncio.run(scenario())


def test_a_cancellation_that_its_owner_did_not_live_to_read_holds_at_the_resume(tmp_path: Path) -> None:
    async def scenario() -> None:
        path, door, calls = tmp_path / "journal.db", Door(), list[str]()
        async with sea_on(path) as sea:
            run = await sea.start(shop(door), "Ship order 1042.")
            await door.reached.wait()
            # The command lies in the inbox, and this process ends before it looks there.
            await sea.journal.send(run.id, Command(kind="cancel", by="person:1"))
        async with sea_on(path) as sea:
            outcome = await (await sea.resume(run.id, shop(open_door(), counted=calls))).outcome()
            assert outcome.status == "cancelled"
            assert calls == [], "nothing is made for a run that was cancelled"

    asyncio.run(scenario())


def test_a_message_in_line_stays_there_when_the_run_before_it_is_interrupted(tmp_path: Path) -> None:
    async def scenario() -> None:
        path, door = tmp_path / "journal.db", Door()
        async with sea_on(path) as other:
            async with sea_on(path) as one:
                first = await one.start(shop(door), "Ship order 1042.", session="s-1")
                await door.reached.wait()
                second = await other.start(shop(open_door()), "And order 1043.", session="s-1")
            assert (await (await other.resume(first.id, shop(open_door()))).outcome()).status == "completed"
            outcome = await asyncio.wait_for(second.outcome(), PATIENCE_S)
            assert outcome.status == "completed"
            ended = (await other.state(first.id)).ended
            assert ended is not None
            assert (await other.state(second.id)).history == ended.transcript, "it goes on from the first"

    asyncio.run(scenario())


def test_a_run_that_was_in_line_when_its_process_died_has_the_conversation_before_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        path, door = tmp_path / "journal.db", Door()
        async with sea_on(path) as sea:
            first = await sea.start(shop(door), "Ship order 1042.", session="s-1")
            await door.reached.wait()
            second = await sea.start(shop(open_door()), "And order 1043.", session="s-1")
        async with sea_on(path) as sea:
            with pytest.raises(Refused, match=first.id):
                await sea.resume(second.id, shop(open_door()))
            await (await sea.resume(first.id, shop(open_door()))).outcome()
            assert (await (await sea.resume(second.id, shop(open_door()))).outcome()).status == "completed"
            ended = (await sea.state(first.id)).ended
            assert ended is not None
            assert (await sea.state(second.id)).history == ended.transcript

    asyncio.run(scenario())


def test_a_run_in_line_whose_process_died_can_be_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        path, door = tmp_path / "journal.db", Door()
        async with sea_on(path) as sea:
            await sea.start(shop(door), "Ship order 1042.", session="s-1")
            await door.reached.wait()
            second = await sea.start(shop(open_door()), "And order 1043.", session="s-1")
        async with sea_on(path) as sea:
            run: Run = await sea.attach(second.id)
            await run.cancel()
            assert (await run.outcome()).status == "cancelled"

    asyncio.run(scenario())
