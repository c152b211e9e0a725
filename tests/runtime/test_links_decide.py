"""Links: a person decides from a mail, a chat or a page of the embedding program, once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from runtime.proposing import opened, propose
from seawall import Misused, Principal, Refused, Seawall
from seawall.effects.credentials import make_principal
from seawall.journal.protocol import Proposal
from seawall.testing import ManualClock

KEY = b"a key of at least 16 bytes"
ANN, BOB = Principal("ann", ("finance",)), Principal("bob", ("finance",))
Work = Callable[[Seawall, Proposal, ManualClock], Awaitable[None]]


def linked(work: Work, **fields: Any) -> None:
    """Runs `work` on a Seawall whose journal has one proposal, and which makes links."""

    async def main() -> None:
        clock = ManualClock()
        async with opened(clock, link_key=KEY) as sea:
            await work(sea, await propose(sea.journal, clock=clock, **fields), clock)

    asyncio.run(main())


def test_a_link_shows_what_it_is_about_and_decides_once() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        token = await sea.make_link(proposal.id, ANN, hash=proposal.hash)
        assert (await sea.read_link(token)).arguments_text == (await sea.approval(proposal.id)).arguments_text
        first = await sea.decide_by_link(token, approve=True, reason="from the chat")
        assert (first.state, [vote.principal for vote in first.votes]) == ("open", ["ann"])
        with pytest.raises(Refused, match="used already"):
            await sea.decide_by_link(token, approve=True)
        second = await sea.decide_by_link(await sea.make_link(proposal.id, BOB), approve=True)
        assert second.state == "approved"

    linked(work, roles=("finance",), people=2)


def test_a02_a_link_that_is_followed_again_is_refused_and_recorded() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        token = await sea.make_link(proposal.id, ANN)
        await sea.decide_by_link(token, approve=False, reason="no")
        for approve in (True, False):
            with pytest.raises(Refused) as refused:
                await sea.decide_by_link(token, approve=approve)
            assert refused.value.guard == "approval"
        recorded = await sea.journal.decisions(proposal.id)
        assert [each.what for each in recorded] == ["reject", "refuse", "refuse"]
        assert all(each.link and token not in repr(each) for each in recorded)

    linked(work)


def test_a_link_is_for_what_was_shown_and_for_a_time() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        with pytest.raises(Refused, match="has changed meanwhile"):
            await sea.make_link(proposal.id, ANN, hash="0" * 64)
        token = await sea.make_link(proposal.id, ANN, expires_s=60.0)
        for seconds in (60.0, -300.0):  # after its end, and by a clock that was set back
            clock.jump_wall(seconds)
            with pytest.raises(Refused):
                await sea.decide_by_link(token, approve=True)
            with pytest.raises(Refused):
                await sea.read_link(token)

    linked(work)


def test_no_link_is_made_for_an_agent_for_nobody_or_without_a_key() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        with pytest.raises(Refused, match="agents decide nothing"):
            await sea.make_link(proposal.id, Principal("bot", agent=True))
        with pytest.raises(Misused, match="there is no principal 'ann'"):
            await sea.make_link(proposal.id, "ann")
        for seconds in (0.0, -1.0, float("inf"), float("nan")):
            with pytest.raises(Misused, match="expires_s"):
                await sea.make_link(proposal.id, ANN, expires_s=seconds)
        async with opened(clock, sea.journal) as other:
            with pytest.raises(Misused, match="link_key"):
                await other.make_link(proposal.id, ANN)

    linked(work)


@pytest.mark.parametrize(
    ("who", "fields", "message"),
    [
        (Principal("user:7", ("finance",)), {}, "has requested it"),
        (ANN, {"asks": "confirm"}, "is confirmed by user:7, not by ann"),
        (Principal("user:7"), {"asks": "confirm", "requester": ""}, "the run names no user"),
        (Principal("dan", ("sales",)), {"roles": ("legal",)}, "is decided by legal; dan has sales"),
    ],
)
def test_no_link_is_made_for_somebody_who_may_not_decide(
    who: Principal, fields: dict[str, Any], message: str
) -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        with pytest.raises(Refused, match=message):
            await sea.make_link(proposal.id, who)

    linked(work, **fields)


def test_a_link_is_made_for_those_who_may_decide_by_its_end_and_once_for_each_person() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        escalated = await propose(
            sea.journal,
            "r-2",
            clock=clock,
            roles=("legal",),
            escalate_at=clock.wall_s() + 100.0,
            escalate_to=("finance",),
        )
        with pytest.raises(Refused, match="is decided by legal"):
            await sea.make_link(escalated.id, ANN, expires_s=99.0)
        token = await sea.make_link(escalated.id, ANN, expires_s=200.0)
        with pytest.raises(Refused, match="is decided by legal"):
            await sea.decide_by_link(token, approve=True)
        await sea.decide_by_link(await sea.make_link(proposal.id, ANN), approve=True)
        with pytest.raises(Refused, match="ann has voted already"):
            await sea.make_link(proposal.id, ANN)

    linked(work, people=2)


def test_a_link_of_a_recorded_principal_has_the_roles_of_today_and_ends_with_the_principal() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        record, _ = make_principal("ann", ["finance"], agent=False, now=clock.wall_s())
        await sea.journal.put_principal(record)
        token = await sea.make_link(proposal.id, "ann")
        record = replace(record, roles=())
        await sea.journal.put_principal(record)
        with pytest.raises(Refused, match="finance"):
            await sea.make_link(proposal.id, "ann")
        with pytest.raises(Refused, match="finance"):
            await sea.decide_by_link(token, approve=True)
        await sea.journal.put_principal(replace(record, removed_at=clock.wall_s()))
        with pytest.raises(Refused, match="removed"):
            await sea.decide_by_link(token, approve=True)
        await clock.advance(1.0)
        again, _ = make_principal("ann", ["finance"], agent=False, now=clock.wall_s())
        await sea.journal.put_principal(again)
        with pytest.raises(Refused, match="removed"):  # it was made for the one before
            await sea.decide_by_link(token, approve=True)
        token = await sea.make_link(proposal.id, "ann")
        assert (await sea.decide_by_link(token, approve=True)).state == "approved"

    linked(work, roles=("finance",))


def test_a_link_key_may_be_in_a_file(tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        path = tmp_path / "link.key"
        path.write_bytes(KEY + b"\n")
        async with opened(clock, link_key=KEY) as sea, opened(clock, sea.journal, link_key=path) as other:
            proposal = await propose(sea.journal, clock=clock)
            token = await sea.make_link(proposal.id, ANN)
            assert (await other.read_link(token)).id == proposal.id

    asyncio.run(main())
