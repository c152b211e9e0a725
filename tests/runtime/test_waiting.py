"""Waiting for a run: the wait ends with the run, or when no process drives it, and costs nothing until then."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from guards.verdicts import Says
from seawall import ALLOW, Agent, Broken, Hold, Misused, Run, Seawall, Team, Tool, Waiting
from seawall.core.errors import JournalFull
from seawall.journal.protocol import Command, InboxItem, Lease, RunRow
from seawall.journal.sqlite import SqliteJournal
from seawall.testing import ManualClock, ScriptedModel, call, calls, hang, say
from team.play import World


def clerk(*script: Any, world: World | None = None) -> Team:
    tools = [] if world is None else [world.reads(), world.writes()]
    return Team(Agent("clerk", model=ScriptedModel(list(script)), tools=tools))


class OnPay(Says):
    """Gives its verdict on the tool `pay` only."""

    def before(self, step: Any, run: Any, memory: Any) -> Any:
        return super().before(step, run, memory) if step.name == "pay" else ALLOW


async def followed(run: Run) -> list[Any]:
    return [event async for event in run.events()]


WAITS: dict[str, Callable[[Run], Awaitable[Any]]] = {
    "outcome": lambda run: run.outcome(),
    "rest": lambda run: run.rest(),
    "events": followed,
}


@pytest.mark.parametrize("how", WAITS)
def test_a_run_whose_owner_was_killed_is_reported_as_interrupted(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        clock = ManualClock()
        journal = SqliteJournal.open(":memory:", clock=clock)
        row, lives = journal.row, True

        async def elsewhere(run: str) -> RunRow:
            state = "running" if lives else "interrupted"
            return msgspec.structs.replace(await row(run), owner="host:1:1", state=state)

        async with Seawall(journal, clock=clock) as here:
            run = await here.start(clerk(hang()), "go")
            monkeypatch.setattr(journal, "watch", lambda callback: lambda: None)  # no write is seen there
            there = await Seawall(journal, clock=clock).open()
            monkeypatch.setattr(journal, "row", elsewhere)
            waiting = asyncio.ensure_future(WAITS[how](await there.attach(run.id)))
            await clock.advance(60)
            assert not waiting.done()
            lives = False
            with pytest.raises(Broken, match=f"run {run.id} is interrupted"):
                await clock.until(waiting)

    asyncio.run(main())


@pytest.mark.parametrize("how", WAITS)
def test_a_run_that_dies_in_line_is_reported_as_interrupted(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        clock = ManualClock()
        journal = SqliteJournal.open(":memory:", clock=clock)
        async with Seawall(journal, clock=clock) as sea:
            first = await sea.start(clerk(hang()), "go", session="s")
            behind = await sea.start(clerk("Never."), "go", session="s")
            waiting = asyncio.ensure_future(WAITS[how](behind))
            await clock.settle()

            async def broken(*_: object, **__: object) -> None:
                raise RuntimeError("a defect")

            monkeypatch.setattr(journal, "session_tail", broken)
            await first.cancel()
            with pytest.raises(Broken, match=f"run {behind.id} is interrupted"):
                await clock.until(waiting)

    asyncio.run(main())


@pytest.mark.parametrize("how", WAITS)
def test_an_interrupted_run_keeps_no_caller_waiting(how: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with Seawall(tmp_path / "desk.db") as sea:
            run = await sea.start(clerk(hang()), "go")
        async with Seawall(tmp_path / "desk.db") as sea, asyncio.timeout(60):
            with pytest.raises(Broken, match=f"run {run.id} is interrupted"):
                await WAITS[how](await sea.attach(run.id))

    asyncio.run(main())


def test_events_end_when_there_will_be_no_more() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with Seawall(clock=clock) as sea:
            run = await sea.start(clerk("Done."), "go")
            seen = await clock.until(followed(run))
            again = await sea.attach(run.id)
            assert [event async for event in again.events(after=len(seen) - 1)] == []
            await sea.journal.prune(before=clock.wall_s() + 10)
            with pytest.raises(Misused, match="its events were pruned"):
                await clock.until(followed(again))

    asyncio.run(main())


def test_closing_fails_the_callers_that_wait_for_a_person() -> None:
    async def main() -> None:
        async with Seawall(guards=[Says(Hold("ask"))]) as sea:
            run = await sea.start(clerk(call("pay", what="1"), world=World()), "go")
            assert isinstance(await run.rest(), Waiting)
            waiting = asyncio.ensure_future(run.outcome())
            await asyncio.sleep(0)
        async with asyncio.timeout(60):
            with pytest.raises(Broken, match="this Seawall was closed"):
                await waiting

    asyncio.run(main())


def test_a_caller_that_waits_for_a_person_reads_nothing_while_other_runs_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        journal = SqliteJournal.open(":memory:", clock=clock)
        reads: list[str] = []
        async with Seawall(journal, clock=clock, guards=[Says(Hold("ask"), times=99)]) as sea:
            parked = [
                await sea.start(clerk(call("pay", what="1"), "Paid.", world=world), "go") for _ in range(5)
            ]
            waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(run.outcome()) for run in parked]
            waiting += [asyncio.ensure_future(followed(run)) for run in parked]
            await clock.advance(1)
            for name in ("events", "row", "inbox"):
                read = getattr(journal, name)

                def counted(run: str, _read: Any = read, **options: Any) -> Any:
                    reads.append(run)
                    return _read(run, **options)

                monkeypatch.setattr(journal, name, counted)
            for _ in range(5):
                busy = await sea.start(
                    clerk(call("look", what="x"), "Done.", world=world), "go", modes={"says": "off"}
                )
                await busy.outcome()
                await clock.advance(1)
            assert [run for run in reads if run in {each.id for each in parked}] == []
            for run in parked:
                rest = await run.rest()
                assert isinstance(rest, Waiting)
                await sea.decide(run.id, rest.step, approve=True, by="u")
            await clock.until(asyncio.gather(*waiting))

    asyncio.run(main())


def test_a_resume_that_is_cancelled_leaves_the_run_it_started_its_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with Seawall(tmp_path / "desk.db") as sea:
            run = await sea.start(clerk(hang()), "go")
        async with Seawall(tmp_path / "desk.db") as sea, asyncio.timeout(60):
            inbox, asked, held = sea.journal.inbox, 0, asyncio.Event()
            driven = asyncio.Event()

            async def slow(run: str, *, after: int = -1) -> list[InboxItem]:
                nonlocal asked
                asked += 1
                if asked == 2:  # the read after the driver was started
                    driven.set()
                    await held.wait()
                return await inbox(run, after=after)

            monkeypatch.setattr(sea.journal, "inbox", slow)
            resuming = asyncio.ensure_future(sea.resume(run.id, clerk(hang())))
            await driven.wait()
            resuming.cancel()
            await asyncio.wait([resuming])
            row = await sea.journal.row(run.id)
            assert (row.state, row.owner) == ("running", sea.journal.owner)
            held.set()

    asyncio.run(main())


def test_an_old_driver_takes_nothing_from_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        journal = SqliteJournal.open(":memory:", clock=clock)
        release = asyncio.Event()

        async def stubborn() -> str:
            """Stubborn."""
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            return "late"

        model = ScriptedModel([calls(call("stubborn"), call("pay", what="1")), hang()])
        tools = [Tool(stubborn, timeout_s=1), world.writes()]
        async with Seawall(journal, clock=clock, guards=[OnPay(Hold("ask"))]) as sea:
            run = await sea.start(Team(Agent("clerk", model=model, tools=tools)), "go")
            rest = await clock.until(run.rest())
            assert isinstance(rest, Waiting)
            await sea.decide(run.id, rest.step, approve=True, by="u")
            await clock.settle()

            async def broken() -> None:
                raise JournalFull("the disk is full")

            with monkeypatch.context() as patched:
                patched.setattr(journal, "wait_for_room", broken)
                release.set()
                await clock.settle()
            await run.cancel()
            outcome = await clock.until((await sea.attach(run.id)).outcome())
            assert outcome.status == "cancelled"
            epochs = (await journal.row(run.id)).epoch
        assert epochs == 2  # it was cancelled by its driver, and not taken up once more

    asyncio.run(main())


def test_each_of_two_that_close_at_once_returns_when_it_is_closed(tmp_path: Path) -> None:
    async def main() -> None:
        sea = await Seawall(tmp_path / "journal.db").open()
        for closers in (1, 2, 3):
            first, *others = [asyncio.ensure_future(sea.close()) for _ in range(closers)]
            await (others[-1] if others else first)
            await sea.open()  # `Misused` if it was still being closed
            await asyncio.gather(first, *others)
        await sea.close()

    asyncio.run(main())


def test_a_seawall_that_its_own_tool_closes_is_closed_when_its_block_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with Seawall(tmp_path / "journal.db") as sea:
            stop = Tool(sea.close, name="stop", description="Closes it.", schema={"type": "object"})
            run = await sea.start(Agent("clerk", model=ScriptedModel([call("stop")]), tools=[stop]), "go")
            with pytest.raises(Broken, match="was closed"):
                await run.outcome()
        async with sea:
            run = await sea.resume(run.id, Agent("clerk", model=ScriptedModel([say("Done.")])))
            assert (await run.outcome()).status == "completed"

    asyncio.run(main())


def test_closing_on_a_full_disk_closes_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async def full(lease: Lease) -> None:
            raise JournalFull("the disk is full")

        sea = await Seawall(tmp_path / "desk.db").open()
        runs = [await sea.start(clerk(hang()), "go") for _ in range(2)]
        monkeypatch.setattr(sea.journal, "release", full)
        await sea.close()
        async with sea, asyncio.timeout(60):  # open again
            for run in runs:
                resumed = await sea.resume(run.id, clerk("Done."))
                assert (await resumed.outcome()).answer == "Done."

    asyncio.run(main())


def test_the_team_of_a_run_that_ended_in_another_process_is_freed(tmp_path: Path) -> None:
    async def main() -> None:
        team = clerk(call("pay", what="1"), world=World())
        gone = weakref.ref(team)
        clock = ManualClock()  # stands still, so that no command of another process is read here
        async with Seawall(tmp_path / "desk.db", clock=clock, guards=[Says(Hold("ask"))]) as here:
            run = await here.start(team, "go")
            await run.rest()
            async with Seawall(tmp_path / "desk.db") as there:
                other = await there.resume(run.id, clerk(hang()))
                await there.cancel(run.id, Command(kind="cancel"))
                await other.outcome()
            assert (await (await here.attach(run.id)).outcome()).status == "cancelled"
            del run, team
            await clock.advance(1_000)  # removes its cancelled timers from the clock
            gc.collect()
            assert gone() is None

    asyncio.run(main())


def test_an_effect_that_finishes_while_its_process_closes_is_recorded_as_committed(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        begun, paid = asyncio.Event(), 0

        async def pay() -> str:
            """Pay; once begun, it goes on to its end."""
            nonlocal paid
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                paid += 1
            return "receipt 1"

        def payers(*script: Any) -> Team:
            return Team(Agent("payer", model=ScriptedModel(list(script)), tools=[Tool(pay, effect=True)]))

        async with Seawall(tmp_path / "desk.db") as sea:
            run = await sea.start(payers(call("pay")), "go")
            await begun.wait()
        async with Seawall(tmp_path / "desk.db") as sea, asyncio.timeout(60):
            outcome = await (await sea.resume(run.id, payers("Paid."))).outcome()
        assert outcome.answer == "Paid."
        assert [each.state for each in outcome.effects] == ["committed"]
        assert paid == 1

    asyncio.run(main())
