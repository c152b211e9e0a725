"""Caps of tenants and days, over all runs and processes: counted by the world, not by the accounts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from guards.metered import FREE, Metered, wide
from seawall import (
    Agent,
    Broken,
    Budget,
    Caps,
    Limits,
    Misused,
    Outcome,
    Price,
    Refused,
    Run,
    Seawall,
    Team,
    Tool,
    Waiting,
)
from seawall.core.clock import SystemClock
from seawall.core.errors import JournalFull
from seawall.core.events import Judged, StepIntended
from seawall.guards.budget.guard import POLL_S, WAIT_MAX_S
from seawall.guards.budget.recorded_caps import read_caps
from seawall.journal.protocol import Account, Booking, Cap, OverCap, Spend
from seawall.journal.sqlite import SqliteJournal
from seawall.models.protocol import ModelRequest, Usage
from seawall.models.scripted import calls
from seawall.run.spend_delta import day_of
from seawall.testing import ManualClock, ScriptedModel, call, hang, say
from team.play import World

NOTHING = Spend()


async def over(run: Run) -> Outcome:
    async with asyncio.timeout(60):
        return await run.outcome()


async def account(sea: Seawall, tenant: str = "acme", day: str = "*") -> Account:
    found = await sea.journal.accounts(tenant=tenant, day=day)
    return found[0] if found else Account(tenant=tenant, day=day)


def usd(text: str) -> Caps:
    return Caps(usd=Decimal(text))


def stopped(outcome: Outcome) -> tuple[str, str]:
    assert outcome.stopped_by is not None, outcome
    return outcome.stopped_by.guard, (outcome.stopped_by.limit or "")


# ---- fan-out


@pytest.mark.parametrize("cap", ["0.002", "0.01", "0.05"])
def test_money_of_a_tenant_is_never_above_with_sixty_four_calls_at_once_in_two_processes(
    cap: str, tmp_path: Path
) -> None:
    async def main() -> None:
        model, budget = Metered(), Budget(tenant=usd(cap))
        async with (
            Seawall(tmp_path / "desk.db", budget=budget) as here,
            Seawall(tmp_path / "desk.db", budget=budget) as there,
        ):
            runs = [await sea.start(wide(32, model), "go", tenant="acme") for sea in (here, there)]
            outcomes = [await over(run) for run in runs]
            books = await account(here)
        assert model.usd <= Decimal(cap)
        assert model.usd <= books.spent.usd <= Decimal(cap)
        assert books.reserved == NOTHING
        for outcome in outcomes:
            if outcome.status != "completed":
                assert stopped(outcome) == ("budget", f"tenant_usd={cap}")
        assert any(outcome.status == "halted" for outcome in outcomes) == (cap != "0.05")

    asyncio.run(main())


def test_calls_wait_for_what_is_reserved_and_all_are_made_where_there_is_room_for_what_they_take() -> None:
    async def main() -> None:
        model = Metered(said=10)
        async with Seawall(budget=Budget(tenant_day=usd("0.03"))) as sea:
            run = await sea.start(wide(64, model), "go", tenant="acme")
            outcome = await over(run)
            reserved = [
                event.usd for event in await sea.journal.events(run.id) if isinstance(event, StepIntended)
            ]
            books = await account(sea)
        assert outcome.status == "completed", outcome
        assert model.calls == 64
        assert sum(reserved) > Decimal("0.03") > books.spent.usd > 0
        assert books.reserved == NOTHING

    asyncio.run(main())


@pytest.mark.parametrize("cap", [1, 5, 63])
@pytest.mark.parametrize("name", ["model_calls", "tool_calls"])
def test_calls_are_exact_under_fan_out(name: str, cap: int) -> None:
    async def main() -> None:
        world, model = World(), Metered()
        many = calls(*[call("look", what=str(i)) for i in range(64)])
        looking = Team(Agent("clerk", model=ScriptedModel([many, say(".")]), tools=[world.reads()]))
        looking = Team("looking", looking.coordinator, limits=Limits(tool_calls=100))
        team = looking if name == "tool_calls" else wide(64, model, boss=None)
        capped = Caps(model_calls=cap) if name == "model_calls" else Caps(tool_calls=cap)
        clock = SystemClock()
        async with Seawall(clock=clock, budget=Budget(day=capped)) as sea:
            outcome = await over(await sea.start(team, "go", tenant="acme"))
            books = await account(sea, tenant="*", day=day_of(clock.wall_s()))
        assert stopped(outcome) == ("budget", f"day_{name}={cap}")
        assert outcome.stopped_by and outcome.stopped_by.value == str(cap + 1)
        made = len(world.calls) if name == "tool_calls" else books.spent.model_calls
        assert made == getattr(outcome, name) <= cap
        assert books.reserved == NOTHING

    asyncio.run(main())


def test_calls_in_flight_go_on_to_their_results_before_a_cap_halts_their_run() -> None:
    async def main() -> None:
        begun, returned, let_go = 0, 0, asyncio.Event()

        async def look(what: str) -> str:
            nonlocal begun, returned
            begun += 1
            await let_go.wait()
            returned += 1
            return f"{what} is there"

        many = calls(*[call("look", what=str(i)) for i in range(30)])
        clerk = Agent("clerk", model=ScriptedModel([many, say(".")]), tools=[Tool(look)])
        async with Seawall(budget=Budget(tenant_day=Caps(tool_calls=12))) as sea:
            run = await sea.start(Team(clerk), "go", tenant="acme")
            async with asyncio.timeout(60):
                while begun < 12 or [each.state for each in list_reservations(sea)] != ["short"] * 18:
                    await asyncio.sleep(0)
            let_go.set()
            outcome = await over(run)
            books = await account(sea)
        assert stopped(outcome) == ("budget", "tenant_day_tool_calls=12")
        assert begun == returned == outcome.tool_calls == 12
        assert books.reserved == NOTHING

    asyncio.run(main())


def list_reservations(sea: Seawall) -> list[Any]:
    """Returns what calls have asked to reserve and have not begun with."""
    return [each for mine in sea._budget._reservations.values() for each in mine.values()]


# ---- whose, and when


def spender(cost: str = "1") -> Team:
    """A run of one call that costs so much: it says what was reserved for it, to the token."""
    model = ScriptedModel(
        lambda request: say("Done.", usage=Usage(0, 10)), price=Price(0, Decimal(cost) * 100_000), name="m"
    )
    return Team(Agent("a", model=model, max_output_tokens=10))


async def spent(sea: Seawall, tenant: str, team: Team | None = None) -> str:
    outcome = await over(await sea.start(team or spender(), "go", tenant=tenant))
    return outcome.status if outcome.stopped_by is None else stopped(outcome)[1]


def test_each_tenant_has_its_own_account_and_the_day_is_everybodys() -> None:
    async def main() -> None:
        async with Seawall(budget=Budget(tenant=usd("2"), day=usd("3"))) as sea:
            assert [await spent(sea, "acme") for _ in range(3)] == ["completed", "completed", "tenant_usd=2"]
            assert [await spent(sea, "bolt") for _ in range(2)] == ["completed", "day_usd=3"]
            assert await spent(sea, "") == "day_usd=3"

    asyncio.run(main())


def test_a_tenant_may_have_caps_of_its_own() -> None:
    async def main() -> None:
        budget = Budget(
            tenant=usd("1"), tenants={"acme": usd("3")}, tenant_day=usd("1"), tenants_day={"acme": usd("99")}
        )
        async with Seawall(budget=budget) as sea:
            assert [await spent(sea, "acme") for _ in range(4)] == ["completed"] * 3 + ["tenant_usd=3"]
            assert [await spent(sea, "bolt") for _ in range(2)] == ["completed", "tenant_usd=1"]

    asyncio.run(main())


def test_a_new_day_is_a_new_account() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with Seawall(clock=clock, budget=Budget(tenant_day=usd("1"))) as sea:
            assert await spent(sea, "acme") == "completed"
            assert await spent(sea, "acme") == "tenant_day_usd=1"
            await clock.advance(86_400)
            assert await spent(sea, "acme") == "completed"
            days = [each.day for each in await sea.journal.accounts(tenant="acme") if each.day != "*"]
            assert days == ["2026-01-01", "2026-01-02"]

    asyncio.run(main())


def test_what_nothing_is_capped_for_reserves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        journal = SqliteJournal.open(":memory:", clock=ManualClock())

        async def no(*_: object) -> None:
            raise AssertionError("it was asked")

        monkeypatch.setattr(journal, "reserve", no)
        async with Seawall(journal, budget=Budget(tenant=Caps(tool_calls=1))) as sea:
            assert await spent(sea, "acme") == "completed"

    asyncio.run(main())


def test_an_unknown_price_is_refused_where_money_is_capped() -> None:
    async def main() -> None:
        unpriced = Team(Agent("a", model=ScriptedModel(["Hi."], name="mystery")))
        budget = Budget(tenants={"acme": usd("1")})
        async with Seawall(budget=budget) as sea:
            with pytest.raises(Refused, match="price for agent 'a' of model 'mystery' is not known: give it"):
                await sea.start(unpriced, "go", tenant="acme")
            assert await spent(sea, "bolt", unpriced) == "completed"

    asyncio.run(main())


# ---- giving back


def test_what_a_parked_or_cancelled_run_had_reserved_is_given_back() -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        model = ScriptedModel([call("pay", what="1"), say("Paid.")], price=FREE, by="position")
        team = Team(Agent("clerk", model=model, tools=[world.writes()]))
        async with Seawall(clock=clock, budget=Budget(tenant=Caps(tool_calls=5))) as sea:
            await sea.pause("tool:pay", by="ops")
            run = await sea.start(team, "go", tenant="acme")
            assert isinstance(await clock.until(run.rest()), Waiting)
            assert (await account(sea)).reserved == NOTHING
            await sea.unpause("tool:pay", by="ops")
            assert (await clock.until(run.outcome())).status == "completed"
            books = await account(sea)
        assert (books.spent.tool_calls, books.reserved, world.calls) == (1, NOTHING, ["1"])

    asyncio.run(main())


def test_a_reservation_that_comes_after_its_run_was_cancelled_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        journal = SqliteJournal.open(":memory:", clock=ManualClock())
        held, asked, reserve = asyncio.Event(), asyncio.Event(), journal.reserve

        async def slow(
            tenant: str, day: str, need: Spend, caps: Sequence[Cap], run: str = ""
        ) -> OverCap | None:
            asked.set()
            await held.wait()
            return await reserve(tenant, day, need, caps, run)

        monkeypatch.setattr(journal, "reserve", slow)
        async with Seawall(journal, budget=Budget(tenant=usd("2"))) as sea:
            run = await sea.start(spender(), "go", tenant="acme")
            await asked.wait()
            await run.cancel()
            assert (await over(run)).status == "cancelled"
            held.set()
            while not sea.supervisor.budget.idle:
                await asyncio.sleep(0)
            assert await account(sea) == Account(tenant="acme", day="*")
            assert repr(sea.supervisor.budget) == "<BudgetGuard 0 to be made, 0 waiting, 0 in flight>"

    asyncio.run(main())


@pytest.mark.parametrize("failures", [0, 1])
def test_what_was_reserved_for_a_call_that_could_not_be_recorded_is_given_back(
    monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    async def main() -> None:
        journal = SqliteJournal.open(":memory:", clock=ManualClock())
        append, give_back = journal.append, journal.give_back
        left = {"append": 1, "give_back": failures}

        async def fail() -> None:
            raise JournalFull("the disk is full; nothing was written")

        def append_or_fail(
            lease: Any, first_seq: int, events: Sequence[Any], *rest: Any, **options: Any
        ) -> Any:
            if left["append"] and any(isinstance(event, StepIntended) for event in events):
                left["append"] -= 1
                return fail()
            return append(lease, first_seq, events, *rest, **options)

        def give_back_or_fail(*arguments: Any) -> Any:
            if left["give_back"]:
                left["give_back"] -= 1
                return fail()
            return give_back(*arguments)

        monkeypatch.setattr(journal, "append", append_or_fail)
        monkeypatch.setattr(journal, "give_back", give_back_or_fail)
        async with Seawall(journal, budget=Budget(tenant=usd("3"))) as sea:
            with pytest.raises(JournalFull):
                await over(await sea.start(spender(), "go", tenant="acme"))
            while not sea.supervisor.budget.idle:
                await asyncio.sleep(0)
            assert (await account(sea)).reserved.model_calls == failures
            assert (await over(await sea.start(spender(), "go", tenant="acme"))).status == "completed"
            while not sea.supervisor.budget.idle:
                await asyncio.sleep(0)
            books = await account(sea)
            assert (books.spent.usd, books.reserved) == (1, NOTHING)

    asyncio.run(main())


DIES_BEFORE_THE_INTENT = """
import asyncio, os
from decimal import Decimal
from seawall import *
from seawall.core.clock import SystemClock
from seawall.journal.sqlite import SqliteJournal
from seawall.testing import *

async def main():
    journal = SqliteJournal.open("desk.db", clock=SystemClock())
    reserve = journal.reserve

    async def die_after_it(*arguments):
        await reserve(*arguments)
        os._exit(0)

    journal.reserve = die_after_it
    agent = Agent("a", model=ScriptedModel([say("hello")], price=Price(0, 100_000)), max_output_tokens=10)
    async with Seawall(journal, budget=Budget(tenant=Caps(usd=Decimal("1.5")))) as sea:
        await (await sea.start(Team(agent), "go", tenant="acme")).outcome()

asyncio.run(main())
"""


def test_a_process_that_dies_between_its_reservation_and_its_intent_takes_nothing_from_anybody(
    tmp_path: Path,
) -> None:
    subprocess.run([sys.executable, "-c", DIES_BEFORE_THE_INTENT], cwd=tmp_path, check=True)

    async def main() -> None:
        async with Seawall(tmp_path / "desk.db", budget=Budget(tenant=usd("1.5"))) as sea:
            assert await account(sea) == Account(tenant="acme", day="*")
            outcome = await over(await sea.start(spender(), "go", tenant="acme"))
            assert outcome.status == "completed"  # at once: there is room for one
            books = await account(sea)
            assert (books.spent.usd, books.reserved.usd) == (1, 0)
            assert (await sea.journal.verify()).ok

    asyncio.run(main())


def test_closing_gives_back_what_was_not_used_and_keeps_what_was_in_flight(tmp_path: Path) -> None:
    async def main() -> None:
        free = Price(0, 100_000)
        hanging = Team(Agent("a", model=ScriptedModel([hang()], price=free), max_output_tokens=10))
        budget = Budget(tenant=usd("3"))
        async with Seawall(tmp_path / "desk.db", budget=budget) as sea:
            run = await sea.start(hanging, "go", tenant="acme")
            while not any(isinstance(each, StepIntended) for each in await sea.journal.events(run.id)):
                await asyncio.sleep(0)
        async with Seawall(tmp_path / "desk.db", budget=budget) as sea:
            books = await account(sea)
            assert books.spent.usd + books.reserved.usd == 1  # it may have been spent
            again = await sea.resume(run.id, spender())
            assert (await over(again)).status == "completed"
            books = await account(sea)
            assert (books.spent.usd, books.reserved.usd) == (2, 0)  # what was lost counts

    asyncio.run(main())


KILLED = """
import asyncio, os, sys
from decimal import Decimal
from seawall import *
from seawall.testing import *

async def main():
    asks = calls(*[call(f"ask_c{i}", task=f"find {i}") for i in range(5)])
    boss = Agent("boss", model=ScriptedModel([asks], price=Price(0, 0)))
    model = ScriptedModel(lambda request: hang(), price=Price(0, 100_000))
    clerks = [Agent(f"c{i}", model=model, max_output_tokens=10) for i in range(5)]
    async with Seawall("desk.db", budget=Budget(tenant=Caps(usd=Decimal("3.5")))) as sea:
        run = await sea.start(Team("desk", boss, specialists=clerks), "go", tenant="acme")
        while model.request_count < 3:
            await asyncio.sleep(0)
        print(run.id, flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


def test_a_process_that_is_killed_loses_at_most_what_it_had_reserved_and_that_counts(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        run_id = child.stdout.readline().strip()
        child.kill()
    assert run_id.startswith("r-")

    async def main() -> None:
        async with Seawall(tmp_path / "desk.db", budget=Budget(tenant=usd("3.5"))) as sea:
            books = await account(sea)
            assert books.spent.usd + books.reserved.usd == 3
            await (await sea.attach(run_id)).cancel()
            books = await account(sea)
            assert (books.spent.usd, books.reserved.usd) == (3, 0)
            assert await spent(sea, "acme") == "tenant_usd=3.5"

    asyncio.run(main())


# ---- waiting


def test_what_another_process_has_reserved_is_waited_for_and_not_for_ever() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with Seawall(clock=clock, budget=Budget(tenant=usd("1"))) as sea:
            day = day_of(clock.wall_s())
            half = Spend(usd=Decimal("0.25"))
            for _ in range(2):  # of a process that died
                await sea.journal.book("acme", [Booking(day=day, reserved=half)])
            first = await sea.start(spender(), "go", tenant="acme")
            await clock.advance(WAIT_MAX_S - POLL_S)
            assert (await sea.journal.row(first.id)).state == "running"
            outcome = await clock.until(first.outcome())
            assert stopped(outcome) == ("budget", "tenant_usd=1")
            assert clock.monotonic_s() == pytest.approx(WAIT_MAX_S, abs=2 * POLL_S)

            second = await sea.start(spender(), "go", tenant="acme")  # nothing has moved for so long
            assert stopped(await clock.until(second.outcome())) == ("budget", "tenant_usd=1")
            assert clock.monotonic_s() == pytest.approx(WAIT_MAX_S, abs=4 * POLL_S)

            await sea.journal.book("acme", [Booking(day=day, reserved=-half)])
            third = await sea.start(spender(), "go", tenant="acme")
            await clock.advance(1)
            await sea.journal.book("acme", [Booking(day=day, reserved=-half)])
            assert (await clock.until(third.outcome())).status == "completed"

    asyncio.run(main())


def test_what_is_in_flight_here_is_waited_for_as_long_as_it_takes() -> None:
    async def main() -> None:
        clock = ManualClock()

        async def work() -> str:
            """Work."""
            await clock.sleep(100)
            return "done"

        def script(request: ModelRequest) -> Any:
            return call("work") if len(request.messages) == 2 else say("Done.")

        agent = Agent("a", model=ScriptedModel(script), tools=[Tool(work)])
        budget = Budget(tenant=Caps(tool_calls=1))
        async with Seawall(clock=clock, budget=budget) as sea:
            first = await sea.start(Team(agent), "go", tenant="acme")
            await clock.advance(1)
            second = await sea.start(Team(agent, limits=Limits(active_s=500)), "go", tenant="acme")
            outcome = await clock.until(second.outcome())
            assert stopped(outcome) == ("budget", "tenant_tool_calls=1")
            assert (await clock.until(first.outcome())).status == "completed"

    asyncio.run(main())


def test_a_journal_that_can_not_reserve_halts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        journal = SqliteJournal.open(":memory:", clock=ManualClock())

        async def broken(*_: object) -> None:
            raise Broken("the disk is away")

        monkeypatch.setattr(journal, "reserve", broken)
        async with Seawall(journal, budget=Budget(tenant=usd("2"))) as sea:
            outcome = await over(await sea.start(spender(), "go", tenant="acme"))
        assert outcome.status == "halted"
        assert outcome.stopped_by and "the disk is away" in outcome.stopped_by.reason

    asyncio.run(main())


# ---- modes


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_a_cap_that_is_not_enforced_lets_every_call_pass_and_books_it(mode: Any) -> None:
    async def main() -> None:
        script = [call("look", what="x"), say("Done.")] * 2
        model = ScriptedModel(script, price=Price(0, 100_000), usage=Usage(0, 10))
        team = Team(Agent("a", model=model, tools=[World().reads()], max_output_tokens=10))
        async with Seawall(budget=Budget(tenant=usd("1")), modes={"budget": mode}) as sea:
            runs = [await sea.start(team, "go", tenant="acme")]
            assert (await over(runs[0])).status == "completed"
            runs.append(await sea.start(team, "go", tenant="acme"))
            assert (await over(runs[1])).status == "completed"
            books = await account(sea)
            judged = [
                (each.guard, each.verdict, each.mode)
                for each in await sea.journal.events(runs[1].id)
                if isinstance(each, Judged)
            ]
        assert (books.spent.usd, books.reserved.usd) == (4, 0)
        assert judged == ([("budget", "halt", "observe")] if mode == "observe" else [])

    asyncio.run(main())


# ---- options


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"usd": "much"}, "usd is 'much'"),
        ({"usd": Decimal(-1)}, "usd is Decimal"),
        ({"usd": Decimal("NaN")}, "usd is Decimal"),
        ({"tokens": -1}, "tokens is -1"),
        ({"tokens": 1.5}, "tokens is 1.5"),
        ({"model_calls": True}, "model_calls is True"),
    ],
)
def test_a_cap_that_is_no_amount_is_misuse(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(Misused, match=named):
        Caps(**wrong)


def test_money_may_be_given_as_text_and_is_kept_as_a_decimal() -> None:
    assert Caps(usd="2.50") == Caps(usd=Decimal("2.50"))
    assert Caps(usd="2.50").any
    assert not Caps().any


@pytest.mark.parametrize("given", [Decimal("2.5"), "2.5", 2.5, "2"])
def test_money_is_a_decimal_whatever_it_was_given_as_and_read_from(given: Any) -> None:
    caps = Caps(usd=given)
    read = msgspec.json.decode(msgspec.json.encode(caps), type=Caps)

    assert isinstance(caps.usd, Decimal) and caps.usd == Decimal(str(given))
    assert (read, isinstance(read.usd, Decimal)) == (caps, True)
    assert msgspec.json.decode(b'{"usd":5}', type=Caps) == Caps(usd=5)


def test_a_recorded_cap_that_is_no_amount_is_not_read() -> None:
    with pytest.raises(Misused, match="usd is Decimal"):
        msgspec.json.decode(b'{"usd":"-1"}', type=Caps)


# ---- for `seawall budget`


def test_the_caps_that_were_given_last_are_told_however_many_tenants_have_their_own(tmp_path: Path) -> None:
    async def main() -> None:
        own = {f"tenant-{number}": usd("1") for number in range(1_500)}
        many = Budget(day=usd("9"), tenants=own, tenants_day={"tenant-7": Caps(tokens=5)})
        few = Budget(tenants={"tenant-7": usd("2")})
        for budget in (many, few):
            async with Seawall(tmp_path / "desk.db", budget=budget) as sea:
                assert await read_caps(sea.journal) == budget

    asyncio.run(main())


def test_a_journal_that_takes_no_caps_down_is_read_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise JournalFull("the disk is full")

    async def main() -> None:
        monkeypatch.setattr(SqliteJournal, "change", full)
        async with Seawall(budget=Budget(day=usd("1"))) as sea:
            assert await sea.journal.runs() == []

    asyncio.run(main())
    assert "could not be recorded for other processes: the disk is full" in caplog.text
