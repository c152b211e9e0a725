"""A worker looks again and again, and goes on when one run, or one look, fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from journal.story import INTENT, bodies, started
from seawall import Agent, Seawall, Team
from seawall.core.errors import JournalFailed, JournalFull
from seawall.core.events import RunTaken
from seawall.journal.protocol import Journal
from seawall.runtime.recovery import SetAside
from seawall.runtime.worker import LOOK_S, RETRY_S, SWEEP_S, Worker
from seawall.testing import ManualClock, ScriptedModel


@dataclass
class Told:
    """A listener that keeps what it is told."""

    taken: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def note_taken(self, run: str, events: int) -> None:
        self.taken.append(run)

    def note_set_aside(self, aside: SetAside) -> None:
        self.aside.append(aside.row.run)

    def note_problem(self, run: str, problem: str) -> None:
        self.problems.append(problem)


@dataclass
class Scene:
    """A worker at work on a journal in memory."""

    sea: Seawall
    clock: ManualClock
    told: Told
    worker: Worker
    task: asyncio.Task[None]

    async def interrupt(self, run: str, *, agent: str = "desk", tries: int = 1) -> None:
        """Leaves a run that was taken so many times and has no step."""
        journal = self.sea.journal
        lease = await journal.create(started(run, agent=agent), [_taken(1)], bodies(INTENT))
        for epoch in range(2, tries + 1):
            await journal.release(lease)
            lease = await journal.take(run)
            await journal.append(lease, epoch, [_taken(epoch)], {})
        await journal.release(lease)

    async def until(self, seen: Callable[[], object]) -> None:
        """Lets the worker look until something is so."""
        for _ in range(1_000):
            if seen():
                return
            await self.clock.advance(LOOK_S)
        raise AssertionError(f"it did not come: {self.told}")


def _taken(epoch: int) -> RunTaken:
    return RunTaken(at=1.0, owner="gone", epoch=epoch, left_s=60.0)


@asynccontextmanager
async def at_work(script: Any = (), **options: Any) -> AsyncIterator[Scene]:
    clock, told = ManualClock(), Told()
    team = Team("desk", Agent("desk", model=ScriptedModel(script)))
    async with Seawall(clock=clock) as sea:
        worker = Worker(sea.supervisor, clock, told, [team], **options)
        task = asyncio.create_task(worker.run())
        await clock.settle()
        yield Scene(sea, clock, told, worker, task)
        task.cancel()
        await asyncio.wait([task])


def test_a_run_is_taken_up_at_the_look_after_its_process_has_gone() -> None:
    async def main() -> None:
        async with at_work(["Here."]) as scene:
            await scene.interrupt("r-1")
            await scene.until(lambda: scene.told.taken)
            assert (await scene.clock.until((await scene.sea.attach("r-1")).outcome())).answer == "Here."

    asyncio.run(main())


def test_a_run_that_cannot_be_taken_up_is_said_once_tried_again_and_holds_up_no_other() -> None:
    async def main() -> None:
        async with at_work(["Here."]) as scene:
            await scene.interrupt("r-1", agent="somebody")
            await scene.interrupt("r-2")
            await scene.until(lambda: scene.told.taken)
            assert scene.told.taken == ["r-2"]
            assert len(scene.told.problems) == 1
            assert "agent 'somebody', which leads it, is not in team 'desk'" in scene.told.problems[0]
            await scene.clock.advance(RETRY_S + LOOK_S)
            assert len(scene.told.problems) == 1
            assert not scene.task.done()

    asyncio.run(main())


def test_a_run_that_ends_its_workers_is_set_aside_and_said_once() -> None:
    async def main() -> None:
        async with at_work() as scene:
            await scene.interrupt("r-1", tries=3)
            await scene.until(lambda: scene.told.aside)
            await scene.clock.advance(3 * LOOK_S)
            assert (scene.told.taken, scene.told.aside) == ([], ["r-1"])

    asyncio.run(main())


def test_the_sweep_is_called_again_and_again_and_may_fail() -> None:
    async def main() -> None:
        swept: list[Journal] = []

        async def sweep(journal: Journal) -> None:
            swept.append(journal)
            raise JournalFull("no room")

        async with at_work(sweep=sweep) as scene:
            before_s = scene.clock.monotonic_s()
            await scene.until(lambda: len(swept) == 3)
            assert scene.clock.monotonic_s() - before_s >= SWEEP_S
            assert swept == [scene.sea.journal] * 3
            assert not scene.task.done()

    asyncio.run(main())


def test_runs_are_taken_up_while_a_sweep_waits_for_the_other_side() -> None:
    async def main() -> None:
        swept: list[Journal] = []

        async def sweep(journal: Journal) -> None:
            swept.append(journal)
            await asyncio.get_running_loop().create_future()

        async with at_work(["Here."], sweep=sweep) as scene:
            await scene.until(lambda: swept)
            await scene.interrupt("r-1")
            await scene.until(lambda: scene.told.taken)
            await scene.clock.advance(2 * SWEEP_S)
            assert len(swept) == 1
            assert scene.worker.is_busy

    asyncio.run(main())


@pytest.mark.parametrize("error", [JournalFull, JournalFailed])
def test_a_look_that_fails_is_repeated_unless_the_journal_is_lost(
    error: Callable[[str], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with at_work(["Here."]) as scene:
            await scene.interrupt("r-1")
            runs, failures = scene.sea.journal.runs, [error("broken")]

            async def fail_once(*args: Any, **options: Any) -> Any:
                if failures:
                    raise failures.pop()
                return await runs(*args, **options)

            monkeypatch.setattr(scene.sea.journal, "runs", fail_once)
            await scene.until(lambda: scene.told.taken or scene.task.done())
            if error is JournalFailed:
                assert isinstance(scene.task.exception(), JournalFailed)
            else:
                assert not scene.task.done()

    asyncio.run(main())
