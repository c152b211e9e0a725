"""`notify` is told of each proposal at least once: when it is new, reminded of, handed to others, or expired."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from runtime.proposing import opened, propose
from seawall import Notification, Principal, Seawall
from seawall.journal.protocol import Proposal, ProposalFilter
from seawall.testing import ManualClock

Told = asyncio.Queue[Notification]


async def pass_until(clock: ManualClock, is_done: Callable[[], bool]) -> None:
    """Lets a little time pass again and again, in which threads do their work, until something is so."""
    while not is_done():
        await clock.advance(0.01)
        for _ in range(100):
            await asyncio.sleep(0)


async def listen(clock: ManualClock, told: Told) -> tuple[str, str]:
    """Returns of what `notify` is told next: its kind, and the run."""
    await pass_until(clock, lambda: not told.empty())
    notification = told.get_nowait()
    return notification.kind, notification.approval.run


async def read(sea: Seawall, proposal: Proposal) -> Proposal:
    return await sea.journal.proposal(proposal.id)


async def await_marks(clock: ManualClock, sea: Seawall, proposal: Proposal, *kinds: str) -> Proposal:
    """Returns the proposal once the journal has noted that these were told."""
    found = await read(sea, proposal)
    while set(found.notified) != set(kinds):
        await clock.advance(0.01)
        found = await read(sea, proposal)
    return found


def test_a_new_proposal_is_told_once_with_what_it_asks() -> None:
    async def main() -> None:
        clock, told = ManualClock(), Told()
        async with opened(clock, notify=told.put_nowait) as sea:
            proposal = await propose(sea.journal, clock=clock)
            await pass_until(clock, lambda: not told.empty())
            notification = told.get_nowait()
            assert (notification.kind, notification.approval.id) == ("new", proposal.id)
            assert notification.approval.arguments == {
                "amount": {"amount": "250.00", "currency": "EUR"},
                "order_id": "1042",
            }
            await await_marks(clock, sea, proposal, "new")
            await propose(sea.journal, "r-2", clock=clock)
            assert await listen(clock, told) == ("new", "r-2")
            assert told.empty()

    asyncio.run(main())


def test_a_proposal_is_told_of_when_it_is_reminded_of_handed_to_others_and_expired() -> None:
    async def main() -> None:
        clock, told = ManualClock(), Told()
        async with opened(clock, notify=told.put_nowait) as sea:
            now = clock.wall_s()
            proposal = await propose(
                sea.journal,
                clock=clock,
                roles=("finance",),
                remind_at=now + 200.0,
                escalate_at=now + 400.0,
                escalate_to=("board",),
            )
            assert await listen(clock, told) == ("new", "r-1")
            await await_marks(clock, sea, proposal, "new")
            await clock.advance(200.0)
            assert await listen(clock, told) == ("reminded", "r-1")
            await await_marks(clock, sea, proposal, "new", "reminded")
            assert not (await read(sea, proposal)).escalated
            await clock.advance(200.0)
            assert await listen(clock, told) == ("escalated", "r-1")
            await await_marks(clock, sea, proposal, "new", "reminded", "escalated")
            assert [each.id for each in await sea.approvals(role="board")] == [proposal.id]
            await clock.advance(600.0)
            assert await listen(clock, told) == ("expired", "r-1")
            found = await await_marks(clock, sea, proposal, "new", "reminded", "escalated", "expired")
            assert found.state == "expired"
            (item,) = await sea.journal.inbox("r-1")
            assert (item.command.kind, item.command.approved) == ("decide", False)
            assert told.empty()

    asyncio.run(main())


def test_what_is_told_is_durable_before(tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        seen: Told = asyncio.Queue()
        states: list[tuple[str, str, tuple[str, ...]]] = []

        async with opened(clock, tmp_path / "j.db") as other:

            async def look(notification: Notification) -> None:
                found = await other.journal.proposal(notification.approval.id)
                states.append((notification.kind, found.state, found.notified))
                seen.put_nowait(notification)

            async with opened(clock, tmp_path / "j.db", notify=look) as sea:
                proposal = await propose(sea.journal, clock=clock)
                assert await listen(clock, seen) == ("new", "r-1")
                await await_marks(clock, sea, proposal, "new")
                await clock.advance(1_000.0)
                assert await listen(clock, seen) == ("expired", "r-1")
        assert states == [("new", "open", ()), ("expired", "expired", ("new",))]

    asyncio.run(main())


def test_without_notify_proposals_are_handed_to_others_and_expire_all_the_same() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opened(clock) as sea:
            later = clock.wall_s() + 400.0
            proposal = await propose(
                sea.journal, clock=clock, roles=("finance",), escalate_at=later, escalate_to=("board",)
            )
            for run in map("r-{}".format, range(2, 300)):  # of which nobody will ever be told
                await propose(sea.journal, run, clock=clock, expires_at=None)
            await clock.advance(400.0)
            while not (await read(sea, proposal)).escalated:
                await clock.advance(0.01)
            await clock.advance(600.0)
            while (await read(sea, proposal)).state != "expired":
                await clock.advance(0.01)
            assert (await read(sea, proposal)).notified == ()
            (item,) = await sea.journal.inbox("r-1")
            assert item.command.approved is False

    asyncio.run(main())


def test_a_notify_that_raises_is_tried_again_later_and_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        clock, told = ManualClock(), Told()
        tries: list[float] = []

        def notify(notification: Notification) -> None:
            if notification.approval.run == "r-1" and len(tries) < 4:
                tries.append(clock.monotonic_s())
                raise ConnectionError("the chat is down: correct-horse")
            told.put_nowait(notification)

        async def call(notification: Notification) -> None:
            notify(notification)

        async with opened(clock, notify=call, secrets=["correct-horse"]) as sea:
            proposal = await propose(sea.journal, clock=clock)
            await propose(sea.journal, "r-2", clock=clock)
            assert await listen(clock, told) == ("new", "r-2")
            assert await listen(clock, told) == ("new", "r-1")
            await await_marks(clock, sea, proposal, "new")
        waits = [later - earlier for earlier, later in pairwise(tries)]
        assert all(wait >= least for wait, least in zip(waits, (1.0, 2.0, 4.0), strict=True))

    asyncio.run(main())
    assert "nobody could be told of proposal" in caplog.text
    assert "correct-horse" not in caplog.text


def test_a_notify_that_blocks_holds_up_neither_the_loop_nor_the_others() -> None:
    async def main() -> None:
        clock, told = ManualClock(), Told()
        begun, go_on = threading.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def notify(notification: Notification) -> None:
            if notification.approval.run == "r-1":
                begun.set()
                go_on.wait()
            loop.call_soon_threadsafe(told.put_nowait, notification)

        async with opened(clock, notify=notify) as sea:
            await propose(sea.journal, clock=clock)
            await pass_until(clock, begun.is_set)
            await propose(sea.journal, "r-2", clock=clock)
            assert await listen(clock, told) == ("new", "r-2")
            go_on.set()
            assert await listen(clock, told) == ("new", "r-1")

    asyncio.run(main())


def test_what_was_not_told_to_its_end_is_told_by_the_next_process(tmp_path: Path) -> None:
    async def main() -> None:
        clock, told = ManualClock(), Told()
        begun = asyncio.Event()

        async def never(notification: Notification) -> None:
            begun.set()
            await asyncio.get_running_loop().create_future()

        async with opened(clock, tmp_path / "j.db", notify=never) as sea:
            proposal = await propose(sea.journal, clock=clock)
            await pass_until(clock, begun.is_set)
            assert (await read(sea, proposal)).notified == ()
        async with opened(clock, tmp_path / "j.db", notify=told.put_nowait) as sea:
            assert await listen(clock, told) == ("new", "r-1")

    asyncio.run(main())


def test_a_process_that_was_away_tells_what_happened_meanwhile(tmp_path: Path) -> None:
    async def main() -> None:
        clock, told = ManualClock(), Told()
        async with opened(clock, tmp_path / "j.db") as sea:
            await propose(sea.journal, clock=clock)
        await clock.advance(2_000.0)
        async with opened(clock, tmp_path / "j.db") as other:  # marks it, and has nobody to tell
            while (await other.approvals()) != []:
                await clock.advance(0.01)
        async with opened(clock, tmp_path / "j.db", notify=told.put_nowait) as sea:
            assert await listen(clock, told) == ("expired", "r-1")

    asyncio.run(main())


def test_what_was_decided_meanwhile_is_not_told(tmp_path: Path) -> None:
    async def main() -> None:
        clock, told = ManualClock(), Told()
        who: Any = partial(Principal, roles=())
        async with opened(clock, tmp_path / "j.db", authenticate=who) as sea:
            proposal = await propose(sea.journal, clock=clock)
            await sea.approve(proposal.id, hash=proposal.hash, credential="ann")
        async with opened(clock, tmp_path / "j.db", notify=told.put_nowait) as sea:
            await propose(sea.journal, "r-2", clock=clock)
            assert await listen(clock, told) == ("new", "r-2")
            assert told.empty()

    asyncio.run(main())


def test_a_journal_without_open_proposals_needs_no_timer() -> None:
    async def main() -> None:
        clock, told = ManualClock(), Told()
        async with opened(clock, notify=told.put_nowait) as sea:
            assert await sea.journal.proposals(ProposalFilter()) == []
            for _ in range(3):
                await clock.advance(10.0)
            assert clock.next_in_s is None

    asyncio.run(main())
