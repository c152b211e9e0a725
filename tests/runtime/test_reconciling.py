"""What a person found out about an effect of unknown fate, and who may say it."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from runtime.proposing import begin, leave_unknown, opened, propose
from seawall import Misused, Principal, Refused
from seawall.core.events import RunEnded
from seawall.journal.protocol import Summary
from seawall.testing import ManualClock

WHO = {name: Principal(name) for name in ("ann", "user:7", "USER:7")} | {"bot": Principal("bot", agent=True)}


@pytest.mark.parametrize(
    ("committed", "receipt"), [("rc-9", "rc-9"), ({"id": 9}, '{"id":9}'), (b"rc", "rc"), (0, "0")]
)
def test_a_receipt_may_be_any_value_that_a_tool_returns(committed: object, receipt: str) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opened(clock, authenticate=WHO.get) as sea:
            effect = await leave_unknown(sea.journal, clock=clock)
            await sea.reconcile(effect.id, committed=committed, credential="ann", reason="statement")
            (found,) = await sea.effects(run="r-1")
            assert (found.state, found.receipt, found.settled_by) == ("committed", receipt, "ann")
            assert (found.reason, found.requester) == ("statement", "user:7")
            (item,) = await sea.journal.inbox("r-1")
            assert (item.command.kind, item.command.approved) == ("settled", True)

    asyncio.run(main())


def test_one_thing_is_said_and_it_is_said_how_it_is_known() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opened(clock) as sea:
            effect = await leave_unknown(sea.journal, clock=clock)
            with pytest.raises(Misused, match="and not both"):
                await sea.reconcile(effect.id, by="ann")
            with pytest.raises(Misused, match="and not both"):
                await sea.reconcile(effect.id, committed="x", failed="y", by="ann")
            with pytest.raises(Misused, match="failed is empty"):
                await sea.reconcile(effect.id, failed=" ", by="ann")
            with pytest.raises(Misused, match="no effect's id"):
                await sea.reconcile("e-none", failed="no", by="ann")
            with pytest.raises(Misused, match="does not ask what became of an effect"):
                await sea.reconcile("r-1", step=7, failed="no", by="ann")
            with pytest.raises(Misused, match="who decides"):
                await sea.reconcile(effect.id, failed="no")
            assert [each.state for each in await sea.effects(status="unknown")] == ["unknown"]

    asyncio.run(main())


def test_neither_an_agent_nor_the_requester_of_what_others_approve_says_what_became_of_it() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opened(clock, authenticate=WHO.get) as sea:
            proposal = await propose(sea.journal, "r-0", clock=clock)
            effect = await leave_unknown(sea.journal, clock=clock)
            with pytest.raises(Refused, match="agents decide nothing"):
                await sea.reconcile(effect.id, failed="no", credential="bot")
            with pytest.raises(Refused, match="agents decide nothing"):
                await sea.allow_again(effect.id, credential="bot")
            approved = replace(await sea.journal.effect(effect.id), proposal=proposal.id)
            for requester in ("user:7", "USER:7"):
                decider = await sea._decisions.identify(requester)
                with pytest.raises(Refused, match="somebody else has to say"):
                    await sea._decisions._check_settler(approved, decider)
            await sea.reconcile(effect.id, failed="no", credential="user:7")  # nobody else had to approve it

    asyncio.run(main())


def test_an_effect_of_a_run_that_has_ended_is_settled_all_the_same() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opened(clock) as sea:
            effect = await leave_unknown(sea.journal, clock=clock)
            lease = await sea.journal.take("r-1")
            ended = RunEnded(at=clock.wall_s(), status="cancelled")
            await sea.journal.append(lease, 3, [ended], {}, summary=Summary(status="cancelled"))
            await sea.reconcile(effect.id, committed="rc-9", by="ann")
            (found,) = await sea.effects(status="committed")
            assert (found.id, found.receipt) == (effect.id, "rc-9")
            assert await sea.journal.inbox("r-1") == []

    asyncio.run(main())


def test_what_was_never_attempted_has_no_fate() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opened(clock) as sea:
            await begin(sea.journal, "r-1", clock=clock)
            assert await sea.effects() == []

    asyncio.run(main())
