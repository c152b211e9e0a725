"""A process drives a bounded number of runs, lets a bounded number wait, and refuses the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from guards.verdicts import Says
from seawall import (
    Admission,
    Agent,
    Broken,
    Hold,
    Limits,
    Outcome,
    Refused,
    Run,
    Seawall,
    Team,
    Tool,
    Waiting,
)
from seawall.core.canonical import Ref
from seawall.core.events import RunStarted
from seawall.journal.protocol import Lease
from seawall.journal.sqlite import SqliteJournal
from seawall.models.protocol import ModelRequest, ToolResult
from seawall.runtime.recovery import find_resumable
from seawall.testing import ManualClock, ScriptedModel, call
from team.play import World


class Mill:
    """Calls that take one second each, or until an event is set. Counts how many are under way at once."""

    def __init__(self, until: ManualClock | asyncio.Event) -> None:
        self._until = until
        self.now = 0
        self.most = 0
        self.order: list[str] = []

    def team(self, **options: Any) -> Team:
        async def grind(what: str) -> str:
            """Grind."""
            self.now += 1
            self.most = max(self.most, self.now)
            self.order.append(what)
            try:
                await (self._until.wait() if isinstance(self._until, asyncio.Event) else self._until.sleep(1))
            finally:
                self.now -= 1
            return what

        def script(request: ModelRequest) -> Any:
            if isinstance(request.messages[-1], ToolResult):
                return "Done."
            return call("grind", what=request.messages[-1].content)

        return Team(Agent("miller", model=ScriptedModel(script), tools=[Tool(grind)]), **options)


async def over(clock: ManualClock, *runs: Run) -> list[Outcome]:
    return [await clock.until(run.outcome()) for run in runs]


async def started(sea: Seawall, team: Team, *requests: str, **options: Any) -> list[Run]:
    return [await sea.start(team, request, **options) for request in requests]


def test_only_in_flight_runs_are_driven_at_once_and_the_others_in_their_turn() -> None:
    async def main() -> None:
        clock = ManualClock()
        mill = Mill(clock)
        async with Seawall(clock=clock, admission=Admission(in_flight=3)) as sea:
            runs = await started(sea, mill.team(), *"abcdefgh")
            outcomes = await over(clock, *runs)
        assert [outcome.status for outcome in outcomes] == ["completed"] * 8
        assert (mill.most, mill.order) == (3, list("abcdefgh"))
        assert clock.monotonic_s() == pytest.approx(3, abs=0.5)

    asyncio.run(main())


def test_a_run_beyond_the_line_is_refused_with_a_retry_time_and_not_recorded() -> None:
    async def main() -> None:
        clock = ManualClock()
        mill = Mill(clock)
        admission = Admission(in_flight=2, waiting=3, retry_after_s=9)
        async with Seawall(clock=clock, admission=admission) as sea:
            team = mill.team()
            runs = await started(sea, team, *"abcde")
            with pytest.raises(
                Refused, match=r"2 runs are in flight \(limit 2\), and 3 more wait \(limit 3\)"
            ) as refused:
                await sea.start(team, "f")
            assert (refused.value.guard, refused.value.limit) == ("admission", "waiting=3")
            assert (refused.value.value, refused.value.retry_after_s) == (4, 9)
            assert len(await sea.journal.runs()) == 5
            await over(clock, runs[0], runs[1])
            runs.append(await sea.start(team, "g"))
            await over(clock, *runs)
        assert mill.order == list("abcdeg")

    asyncio.run(main())


def test_a_tenant_with_a_hundred_runs_holds_up_no_other() -> None:
    async def main() -> None:
        clock = ManualClock()
        mill = Mill(clock)
        async with Seawall(clock=clock, admission=Admission(in_flight=2)) as sea:
            team = mill.team()
            many = await started(sea, team, *(f"a-{number}" for number in range(100)), tenant="acme")
            [one] = await started(sea, team, "b", tenant="bolt")
            await over(clock, one)
            assert mill.order.index("b") <= 4
            await over(clock, *many)
        assert len(mill.order) == 101

    asyncio.run(main())


def test_waiting_in_line_is_not_active_time() -> None:
    async def main() -> None:
        clock = ManualClock()
        mill = Mill(clock)
        async with Seawall(clock=clock, admission=Admission(in_flight=1)) as sea:
            team = mill.team(limits=Limits(active_s=1.5))
            outcomes = await over(clock, *await started(sea, team, *"abcde"))
        assert [outcome.status for outcome in outcomes] == ["completed"] * 5
        assert max(outcome.active_s for outcome in outcomes) < 1.5

    asyncio.run(main())


def test_a_run_that_is_cancelled_in_line_does_nothing_and_leaves_its_turn_to_the_next() -> None:
    async def main() -> None:
        clock = ManualClock()
        mill = Mill(clock)
        async with Seawall(clock=clock, admission=Admission(in_flight=1, waiting=2)) as sea:
            team = mill.team()
            first, second, third = await started(sea, team, *"abc")
            await second.cancel(by="user:7")
            [outcome] = await over(clock, second)
            assert outcome.status == "cancelled"
            assert mill.now == 1  # the first run is still under way
            fourth = await sea.start(team, "d")  # the line has room again
            await over(clock, first, third, fourth)
        assert mill.order == ["a", "c", "d"]

    asyncio.run(main())


def test_the_same_request_id_is_the_same_run_in_line_and_when_the_line_is_full() -> None:
    async def main() -> None:
        clock = ManualClock()
        mill = Mill(clock)
        async with Seawall(clock=clock, admission=Admission(in_flight=1, waiting=1)) as sea:
            team = mill.team()
            # one driven, one waits
            ids = {key: (await sea.start(team, key, request_id=key)).id for key in "ab"}
            for key in "ab":
                assert (await sea.start(team, key, request_id=key)).id == ids[key]
            with pytest.raises(Refused, match="1 runs are in flight"):
                await sea.start(team, "c", request_id="c")
            for key in "ab":
                await over(clock, await sea.attach(ids[key]))
            again = await sea.start(team, "b", request_id="b")
            assert again.id == ids["b"]
            # and the lookups have taken no slot
            assert (await over(clock, await sea.start(team, "d")))[0].status == "completed"
        assert mill.order == ["a", "b", "d"]

    asyncio.run(main())


def test_a_request_that_comes_twice_at_once_takes_one_slot() -> None:
    async def main() -> None:
        clock = ManualClock()
        mill = Mill(clock)
        async with Seawall(clock=clock, admission=Admission(in_flight=2, waiting=0)) as sea:
            team = mill.team()
            one, other = await asyncio.gather(*(sea.start(team, "a", request_id="a") for _ in range(2)))
            assert one.id == other.id
            await over(clock, one, await sea.start(team, "b"))
        assert mill.order == ["a", "b"]

    asyncio.run(main())


def test_a_caller_that_is_cancelled_while_its_run_is_put_in_line_finds_it_there_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        clock = ManualClock()
        mill = Mill(clock)
        journal = SqliteJournal.open(":memory:", clock=clock)
        async with Seawall(journal, clock=clock, admission=Admission(in_flight=1)) as sea:
            team = mill.team()
            first = await sea.start(team, "a")
            held, create, asked = asyncio.Event(), journal.create, asyncio.Event()

            async def slow(
                begun: RunStarted, events: Any, bodies: Mapping[Ref, bytes], **options: Any
            ) -> Lease:
                asked.set()
                await held.wait()
                return await create(begun, events, bodies, **options)

            monkeypatch.setattr(journal, "create", slow)
            starting = asyncio.ensure_future(sea.start(team, "b", request_id="b"))
            await asked.wait()
            starting.cancel()
            await asyncio.wait([starting])
            held.set()
            await clock.settle()
            again = await sea.start(team, "b", request_id="b")
            assert [outcome.status for outcome in await over(clock, first, again)] == ["completed"] * 2
        assert mill.order == ["a", "b"]

    asyncio.run(main())


# ---- sessions


def test_a_run_behind_another_of_its_session_holds_no_slot_and_counts_as_waiting() -> None:
    async def main() -> None:
        clock = ManualClock()
        mill = Mill(clock)
        async with Seawall(clock=clock, admission=Admission(in_flight=2, waiting=2)) as sea:
            team = mill.team()
            talk = await started(sea, team, "s-1", "s-2", "s-3", session="s")
            # although a slot is free, which it may not have
            with pytest.raises(Refused, match="2 more wait"):
                await sea.start(team, "s-4", session="s")
            alone = await sea.start(team, "alone")
            await clock.advance(0.5)
            assert mill.order == ["s-1", "alone"]
            await over(clock, *talk, alone)
        assert [each for each in mill.order if each != "alone"] == ["s-1", "s-2", "s-3"]

    asyncio.run(main())


def test_runs_with_and_without_a_session_share_the_slots_and_keep_their_order() -> None:
    async def main() -> None:
        clock = ManualClock()
        mill = Mill(clock)
        async with Seawall(clock=clock, admission=Admission(in_flight=2)) as sea:
            team = mill.team()
            runs: list[Run] = []
            for number in range(12):
                session = ["s", "t", None][number % 3]
                runs.append(await sea.start(team, f"{session}-{number}", session=session))
            outcomes = await over(clock, *runs)
        assert [outcome.status for outcome in outcomes] == ["completed"] * 12
        assert mill.most == 2
        for session in "st":
            mine = [each for each in mill.order if each.startswith(session)]
            assert mine == sorted(mine, key=lambda each: int(each[2:]))

    asyncio.run(main())


# ---- waiting for a person, and going on


def held_payer(world: World) -> Team:
    def script(request: ModelRequest) -> Any:
        last = request.messages[-1]
        return "Paid." if isinstance(last, ToolResult) else call("pay", what=last.content)

    return Team(Agent("payer", model=ScriptedModel(script), tools=[world.writes()]))


async def parked(sea: Seawall, team: Team, request: str = "1") -> tuple[Run, int]:
    run = await sea.start(team, request)
    rest = await run.rest()
    assert isinstance(rest, Waiting)
    return run, rest.step


def test_a_run_that_waits_for_a_person_frees_its_slot_and_goes_on_before_new_ones() -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        mill = Mill(clock)
        guards = [Says(Hold("ask"), of="tool", name="ask")]
        async with Seawall(clock=clock, guards=guards, admission=Admission(in_flight=1)) as sea:
            payer, step = await parked(sea, held_payer(world))
            team = mill.team()
            busy, new = [await sea.start(team, each, modes={"ask": "off"}) for each in ("busy", "new")]
            await sea.decide(payer.id, step, approve=True, by="user:7")
            await clock.advance(0.5)
            assert (world.calls, mill.order) == ([], ["busy"])
            await over(clock, busy)
            await clock.settle()
            assert world.calls == ["1"]  # before the new run, which came earlier
            outcomes = await over(clock, payer, new)
            assert [outcome.status for outcome in outcomes] == ["completed"] * 2
        assert mill.order == ["busy", "new"]

    asyncio.run(main())


def test_a_decided_run_that_waits_for_a_slot_is_cancelled_at_once() -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        mill = Mill(clock)
        guards = [Says(Hold("ask"), of="tool", name="ask")]
        async with Seawall(clock=clock, guards=guards, admission=Admission(in_flight=1)) as sea:
            payer, step = await parked(sea, held_payer(world))
            busy = await sea.start(mill.team(), "busy", modes={"ask": "off"})
            await sea.decide(payer.id, step, approve=True, by="user:7")
            await clock.settle()
            await payer.cancel()
            [outcome] = await over(clock, payer)
            assert (outcome.status, mill.now) == ("cancelled", 1)
            await over(clock, busy)
        assert world.calls == []

    asyncio.run(main())


def test_a_run_that_could_not_be_taken_up_in_its_turn_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        mill = Mill(clock)
        journal = SqliteJournal.open(":memory:", clock=clock)
        guards = [Says(Hold("ask"), of="tool", name="ask")]
        async with Seawall(journal, clock=clock, guards=guards, admission=Admission(in_flight=1)) as sea:
            payer, step = await parked(sea, held_payer(world))
            busy = await sea.start(mill.team(), "busy", modes={"ask": "off"})
            await sea.decide(payer.id, step, approve=True, by="user:7")
            take, failures = journal.take, ["the disk is away"]

            async def away(run: str, *, force: bool = False) -> Lease:
                if failures:
                    raise Broken(failures.pop())
                return await take(run, force=force)

            monkeypatch.setattr(journal, "take", away)
            await over(clock, busy)
            assert (await over(clock, payer))[0].status == "completed"
            # and the failure has freed the slot
            assert (await over(clock, await sea.start(mill.team(), "next", modes={"ask": "off"})))[0].answer
        assert "the disk is away" in caplog.text

    asyncio.run(main())


def test_resume_waits_for_a_slot_and_leaves_the_line_when_it_is_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        team = Mill(gate).team()
        async with Seawall(tmp_path / "desk.db") as sea:
            old = [run.id for run in await started(sea, team, "old-1", "old-2")]
        async with (
            asyncio.timeout(60),
            Seawall(tmp_path / "desk.db", admission=Admission(in_flight=1)) as sea,
        ):
            busy = await sea.start(team, "busy")
            resuming = [asyncio.ensure_future(sea.resume(run, team)) for run in old]
            while not all(sea.supervisor.admission.get_turn(run) for run in old):
                await asyncio.sleep(0)
            resuming[0].cancel()
            await asyncio.wait([resuming[0]])
            with pytest.raises(Refused, match="is running in this process"):
                await sea.resume(old[1], team)
            gate.set()
            assert (await busy.outcome()).status == "completed"
            assert (await (await resuming[1]).outcome()).status == "completed"
            row = await sea.journal.row(old[0])
            assert (row.state, row.epoch) == ("interrupted", 1)  # waiting in line does not count as a try

    asyncio.run(main())


def test_resume_names_the_owner_of_a_run_at_once_however_full_the_process_is(tmp_path: Path) -> None:
    async def main() -> None:
        team = Mill(asyncio.Event()).team()
        journal, one = tmp_path / "desk.db", Admission(in_flight=1)
        async with Seawall(journal, admission=one) as here, Seawall(journal, admission=one) as there:
            run = await here.start(team, "a")
            await there.start(team, "b")
            with pytest.raises(Refused) as refused:
                await there.resume(run.id, team)
            assert refused.value.guard == "lease"

    asyncio.run(main())


# ---- closing


def test_closing_releases_the_runs_in_line_and_they_go_on_in_another_process(tmp_path: Path) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        mill = Mill(gate)
        team = mill.team()
        async with Seawall(tmp_path / "desk.db", admission=Admission(in_flight=1)) as sea:
            runs = await started(sea, team, "a", "b")
            runs.append(await sea.start(team, "c", session="s"))
        gate.set()
        async with asyncio.timeout(60), Seawall(tmp_path / "desk.db") as sea:
            found = await find_resumable(sea.journal)
            assert [row.run for row in found.resumable] == [run.id for run in runs]
            assert found.set_aside == []
            for run in runs:
                again = await sea.resume(run.id, team)
                assert (await again.outcome()).status == "completed"
        assert mill.order == ["a", "a", "b", "c"]  # the first was under way when it was given up

    asyncio.run(main())


def test_closing_does_not_wait_for_the_runs_in_line(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        mill = Mill(clock)
        guards = [Says(Hold("ask"), of="tool", name="ask")]
        sea = await Seawall(clock=clock, guards=guards, admission=Admission(in_flight=1)).open()
        payer, step = await parked(sea, held_payer(world))
        _, in_line = [await sea.start(mill.team(), each, modes={"ask": "off"}) for each in ("a", "b")]
        waiting = asyncio.ensure_future(in_line.outcome())
        await sea.decide(payer.id, step, approve=True, by="user:7")
        await clock.settle()
        await sea.close()
        with pytest.raises(Broken):
            await waiting
        assert caplog.text == ""
        assert repr(sea.supervisor.admission) == "<AdmissionQueue 0/1 in flight, 0/1024 waiting>"

    asyncio.run(main())
