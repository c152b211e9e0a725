"""Accounts are what the ledgers of a tenant's runs come to, whatever becomes of a run."""

from __future__ import annotations

import asyncio
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from guards.scripted_guard import ScriptedGuard
from seawall import Agent, Limits, Price, Seawall, Team, Tool
from seawall.core.canonical import Ref
from seawall.core.errors import Fenced
from seawall.core.events import StepDone, StepIntended
from seawall.journal.protocol import Account, Spend
from seawall.models.protocol import Usage
from seawall.models.scripted import calls
from seawall.run.ledger import Ledger, reserve, settle
from seawall.run.spend_delta import SpendDelta, day_of, need_of
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.testing import ManualClock, ScriptedModel, call, fail, hang, say
from team.play import World

PRICE = Price(1, 2)


def cashier(world: World, *script: Any, **options: Any) -> Team:
    model = ScriptedModel(list(script), price=PRICE)
    return Team(Agent("cashier", model=model, tools=[world.writes(), world.reads()]), **options)


async def account(sea: Seawall, tenant: str = "acme", day: str = "*") -> Account:
    (found,) = await sea.journal.accounts(tenant=tenant, day=day)
    return found


@pytest.mark.parametrize("ending", ["answer", "failure", "halt", "cancel"])
def test_an_account_says_what_the_outcomes_say(ending: str) -> None:
    async def main() -> None:
        world = World()
        script = [calls(call("look", what="a"), call("pay", what="b")), say("Done.", usage=Usage(100, 10))]
        last: dict[str, Any] = {"failure": fail("rejected", "401"), "cancel": hang()}
        if ending in last:
            script[1] = last[ending]
        limits = Limits(model_calls=1, at_limit="halt") if ending == "halt" else Limits()
        async with Seawall() as sea:
            run = await sea.start(cashier(world, *script, limits=limits), "go", tenant="acme")
            if ending == "cancel":
                async with asyncio.timeout(60):
                    while len(world.calls) < 2:
                        await asyncio.sleep(0)
                await run.cancel(by="ops")
            outcome = await run.outcome()
            found = await account(sea)
        assert found.spent == Spend(
            usd=outcome.usd,
            tokens=outcome.tokens,
            model_calls=outcome.model_calls,
            tool_calls=outcome.tool_calls,
        )
        assert found.reserved == Spend()
        assert found.spent.tool_calls == 2
        assert found.spent.tokens > 0

    asyncio.run(main())


def test_what_is_in_flight_is_reserved_and_a_crash_leaves_it_so_until_it_is_settled(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "desk.db"
        async with Seawall(path) as sea:
            run = await sea.start(cashier(World(), hang()), "go", tenant="acme")
            in_flight = await account(sea)
        async with Seawall(path) as sea:
            left = await account(sea)
            again = await sea.resume(run.id, cashier(World(), say("Done.", usage=Usage(100, 10))))
            outcome = await again.outcome()
            after = await account(sea)
        assert in_flight.reserved.tokens > 0
        assert in_flight.reserved.usd > 0
        assert left == in_flight
        assert after.reserved == Spend()
        assert after.spent.usd == outcome.usd == left.reserved.usd + PRICE.usd(Usage(100, 10))
        assert after.spent.model_calls == 2

    asyncio.run(main())


def test_a_step_is_settled_on_the_day_on_which_it_was_reserved() -> None:
    async def main() -> None:
        clock = ManualClock(wall_s=86_400.0 - 1)
        async with Seawall(clock=clock) as sea:
            waits = [hang()]
            run = await sea.start(cashier(World(), *waits), "go", tenant="acme")
            await clock.advance(5)
            await run.cancel(by="ops")
            await clock.until(run.outcome())
            days = {each.day: each for each in await sea.journal.accounts(tenant="acme")}
        assert set(days) == {"1970-01-01", "*"}
        assert days["1970-01-01"].spent.model_calls == 1
        assert days["1970-01-01"].reserved == Spend()

    asyncio.run(main())


class Prepays(ScriptedGuard):
    """Marks every step as reserved before, on a day of its own."""

    def acquire(self, step: Step, run: RunState, left_s: float) -> Step:
        return msgspec.structs.replace(super().acquire(step, run, left_s), prepaid="2020-02-02")


def test_what_was_reserved_before_and_is_given_back_can_not_be_spent() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            sea.supervisor.shared = (Prepays(),)
            team = cashier(World(), call("look", what="a"), say("Done."))
            with pytest.raises(Fenced, match="what was reserved for its next steps was given back"):
                await sea.start(team, "go", tenant="acme")
            assert await sea.journal.runs() == []
            assert await sea.journal.accounts() == []

    asyncio.run(main())


def test_odd_prices_leave_nothing_reserved() -> None:
    third, seventh = Decimal(1) / 3, Decimal(1) / 7
    steps = [
        StepIntended(
            at=0.0,
            step=number,
            kind="model",
            name="m",
            agent="a",
            frame=0,
            input=Ref("0" * 64),
            tokens=1,
            usd=usd,
            prepaid=prepaid,
        )
        for number, (usd, prepaid) in enumerate(
            [(third, ""), (seventh * 1000, ""), (third / 10**9, "1970-01-01"), (seventh, "1970-01-01")]
        )
    ]
    delta, ledger, reserved, prepaid = SpendDelta(), Ledger(), Decimal(0), Decimal(0)
    exact = Context(prec=80)

    def book() -> None:
        nonlocal reserved, prepaid
        for booking in delta.take_bookings():
            reserved = exact.add(reserved, booking.reserved.usd)
            prepaid = exact.add(prepaid, booking.prepaid.usd)

    for step in steps:
        after = reserve(ledger, step)
        delta.add(step, ledger, after, intended=True)
        ledger = after
    book()
    assert reserved == exact.add(third, seventh * 1000)
    assert prepaid == exact.add(third / 10**9, seventh)
    for step in steps[::-1]:
        done = StepDone(at=1.0, step=step.step, status="ok", input_tokens=1, usd=third)
        after = settle(ledger, step, done)
        delta.add(step, ledger, after, intended=False)
        ledger = after
        book()
    assert (ledger.reserved_usd, reserved) == (0, prepaid.copy_negate())


def test_a_fork_books_what_it_spends_itself() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            script = [call("look", what="a"), say("Done.", usage=Usage(100, 10))]
            team = cashier(World(), *script)
            run = await sea.start(team, "go", tenant="acme")
            await run.outcome()
            before = await account(sea)
            fork = await sea.fork(run.id, cashier(World(), say("Other.", usage=Usage(7, 1))), at=2)
            await fork.outcome()
            after = await account(sea)
        assert after.spent.model_calls == before.spent.model_calls + 1
        assert after.spent.usd - before.spent.usd == PRICE.usd(Usage(7, 1))

    asyncio.run(main())


def test_a_fork_settles_nothing_that_the_run_had_in_flight_where_it_is_forked() -> None:
    async def main() -> None:
        looked = asyncio.Event()
        clerk = Agent(
            "clerk", role="Asks.", model=ScriptedModel([hang(), say("!", usage=Usage(9, 1))], price=PRICE)
        )
        both = calls(call("ask_clerk", task="x"), call("wait"))

        async def wait() -> str:
            await looked.wait()
            return "waited"

        boss = ScriptedModel([both, say("Done.", usage=Usage(7, 1))], price=PRICE, by="position")
        team = Team("desk", Agent("boss", model=boss, tools=[Tool(wait)]), specialists=[clerk])
        async with Seawall() as sea, asyncio.timeout(60):
            run = await sea.start(team, "go", tenant="acme")
            while sum(isinstance(each, StepIntended) for each in await sea.journal.events(run.id)) < 4:
                await asyncio.sleep(0)
            looked.set()
            while not any(
                isinstance(each, StepDone) and each.step == 3 for each in await sea.journal.events(run.id)
            ):
                await asyncio.sleep(0)
            await run.cancel(by="ops")
            await run.outcome()
            before = await account(sea)
            fork = await sea.fork(run.id, team, at=3)
            assert (await fork.outcome()).status == "completed"
            after = await account(sea)
        assert before.reserved == after.reserved == Spend()
        assert after.spent.usd - before.spent.usd == PRICE.usd(Usage(9, 1)) + PRICE.usd(Usage(7, 1))

    asyncio.run(main())


def test_a_day_is_told_in_utc() -> None:
    assert day_of(0.0) == "1970-01-01"
    assert day_of(86_399.999) == "1970-01-01"
    assert day_of(86_400.0) == "1970-01-02"
    assert need_of("handoff", 5, Decimal(1)) == Spend()
