"""What every journal does with accounts: what tenants and days have spent and reserved."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from journal.story import INTENT, Open, begin, bodies, done, ended, opened, started, step
from seawall.core.errors import Fenced, Misused, SeawallBug
from seawall.journal.protocol import (
    Account,
    Booking,
    Cap,
    Journal,
    Lease,
    OverCap,
    Spend,
    Summary,
)
from seawall.testing import ManualClock

DAY = "2026-01-01"
NEXT = "2026-01-02"
CALL = Spend(usd=Decimal("0.10"), tokens=1_000, model_calls=1)
COST = Spend(usd=Decimal("0.0375"), tokens=375, model_calls=1)


def usd(text: str) -> Spend:
    return Spend(usd=Decimal(text))


async def of(journal: Journal, tenant: str, day: str = DAY) -> tuple[Spend, Spend]:
    """Returns what an account has spent and reserved."""
    found = await journal.accounts(tenant=tenant, day=day)
    assert len(found) <= 1
    return (found[0].spent, found[0].reserved) if found else (Spend(), Spend())


class BookingContract:
    """Bookings, in one handle."""

    def test_a_booking_is_in_the_tenant_s_accounts_and_in_the_day_s(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                assert await journal.accounts() == []
                await journal.book("acme", [Booking(day=DAY, spent=COST)])
                await journal.book("acme", [Booking(day=NEXT, spent=COST, reserved=CALL)])
                await journal.book("", [Booking(day=DAY, reserved=CALL)])

                twice = Spend(usd=Decimal("0.075"), tokens=750, model_calls=2)
                assert await journal.accounts() == [
                    Account(tenant="", day="*", reserved=CALL),
                    Account(tenant="", day=DAY, reserved=CALL),
                    Account(tenant="*", day=DAY, spent=COST, reserved=CALL),
                    Account(tenant="*", day=NEXT, spent=COST, reserved=CALL),
                    Account(tenant="acme", day="*", spent=twice, reserved=CALL),
                    Account(tenant="acme", day=DAY, spent=COST),
                    Account(tenant="acme", day=NEXT, spent=COST, reserved=CALL),
                ]
                assert await journal.accounts(tenant="never") == []
                assert [each.day for each in await journal.accounts(tenant="*")] == [DAY, NEXT]
                assert [each.tenant for each in await journal.accounts(day="*")] == ["", "acme"]

        asyncio.run(scenario())

    def test_a_settled_reservation_leaves_exactly_what_was_spent(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                odd = Spend(usd=Decimal(1) / 7 / 1_000_000, tokens=(1 << 62) + 1, tool_calls=1)
                for _ in range(3):
                    assert await journal.reserve("acme", DAY, odd, []) is None
                    await journal.book("acme", [Booking(day=DAY, reserved=-odd, spent=COST)])

                spent = Spend(usd=Decimal("0.1125"), tokens=1_125, model_calls=3)
                for tenant, day in (("acme", DAY), ("acme", "*"), ("*", DAY)):
                    assert await of(journal, tenant, day) == (spent, Spend())

        asyncio.run(scenario())

    def test_money_is_added_without_rounding(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                small, big = usd("1E-48"), usd("999999999999999")
                await asyncio.gather(*(journal.book("acme", [Booking(day=DAY, spent=small)]) for _ in "ab"))
                await journal.book("acme", [Booking(day=DAY, spent=big)])
                spent, _ = await of(journal, "acme")
                assert str(spent.usd) == "999999999999999." + "0" * 47 + "2"
                await journal.book("acme", [Booking(day=DAY, spent=-big)])
                assert await of(journal, "acme") == (usd("2E-48"), Spend())

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("booking", "words"),
        [
            (Booking(day=DAY, spent=usd("1E-49")), "49 decimals; an account holds 48"),
            (Booking(day=DAY, spent=usd("1000000000000001")), "up to 1000000000000000 usd"),
            (Booking(day=DAY, spent=usd("NaN")), "finite Decimal"),
            (Booking(day=DAY, spent=usd("-Infinity")), "finite Decimal"),
            (Booking(day=DAY, reserved=Spend(tokens=1 << 63)), "9223372036854775807 tokens"),
            (Booking(day=DAY, reserved=Spend(tool_calls=-(1 << 63))), "tool_calls, not -9223372036854775808"),
            (Booking(day="2026-02-30", spent=COST), "'2026-02-30'; it must be a day as YYYY-MM-DD"),
            (Booking(day="*", spent=COST), "must be a day"),
            (Booking(day="20260101", spent=COST), "must be a day"),
        ],
    )
    def test_what_no_account_can_hold_is_refused(
        self, open_journal: Open, booking: Booking, words: str
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                good = Booking(day=DAY, spent=COST)
                with pytest.raises(Misused, match=words):
                    await journal.book("acme", [good, booking])
                with pytest.raises(Misused, match=words):
                    await journal.append(lease, 1, [done(1, b"x")], {}, booked=[good, booking])
                with pytest.raises(Misused, match=words):
                    await journal.create(started("r-2"), [], {}, booked=[good, booking])
                assert await journal.accounts() == []
                await step(journal, lease, 1, b"x")
                assert [row.run for row in await journal.runs()] == ["r-1"]

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("full", "more"),
        [
            (Spend(tokens=(1 << 63) - 1), Spend(tokens=1)),
            (usd("1000000000000000"), usd("1E-48")),
        ],
    )
    def test_a_sum_that_no_account_can_hold_is_refused_as_a_whole(
        self, open_journal: Open, full: Spend, more: Spend
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await journal.book("acme", [Booking(day=DAY, spent=full)])
                harmless, failed = await asyncio.gather(
                    journal.book("other", [Booking(day=NEXT, spent=COST)]),
                    journal.book("acme", [Booking(day=NEXT, reserved=COST), Booking(day=DAY, spent=more)]),
                    return_exceptions=True,
                )
                assert harmless is None
                assert isinstance(failed, Misused)
                assert "an account holds up to" in str(failed)
                assert await of(journal, "acme") == (full, Spend())
                assert await of(journal, "acme", "*") == (full, Spend())
                assert await of(journal, "*", NEXT) == (COST, Spend())

        asyncio.run(scenario())

    def test_no_tenant_can_be_called_like_all_of_them(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                for refused in (
                    begin(journal, "r-1", tenant="*"),
                    journal.book("*", [Booking(day=DAY, spent=COST)]),
                    journal.reserve("*", DAY, COST, []),
                ):
                    with pytest.raises(Misused, match=r"no tenant can be called '\*'"):
                        await refused
                assert await journal.accounts() == []
                assert await journal.runs() == []

        asyncio.run(scenario())

    def test_a_run_s_bookings_are_recorded_with_its_events_or_not_at_all(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                spent = [Booking(day=DAY, spent=COST)]
                lease = await journal.create(started("r-1"), [], bodies(INTENT), booked=spent)
                await journal.append(lease, 1, [done(1, b"x")], bodies(b"x"), booked=spent)
                await journal.append(lease, 2, [], {}, booked=spent)
                assert (await of(journal, "acme"))[0].model_calls == 3
                old = Lease("r-1", "acme", lease.owner, 0)
                with pytest.raises(Fenced):
                    await journal.append(old, 2, [done(2, b"y")], {}, booked=spent)
                gap = journal.append(lease, 7, [done(2, b"y")], {}, booked=spent)
                after = journal.append(lease, 2, [done(2, b"y")], {}, booked=spent)
                for refused in (gap, after):
                    with pytest.raises(SeawallBug):
                        await refused
                with pytest.raises(Misused):
                    await journal.create(started("r-1"), [], {}, booked=spent)

                assert (await of(journal, "acme"))[0].model_calls == 3
                again = await journal.take("r-1")
                await journal.append(
                    again, 2, [ended()], {}, summary=Summary(status="completed"), booked=spent
                )
                assert (await of(journal, "acme"))[0].model_calls == 4
                assert (await journal.verify()).ok

        asyncio.run(scenario())

    def test_a_request_that_is_known_already_books_nothing(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                for run in ("r-1", "r-2"):
                    first = started(run, request_id="q")
                    await journal.create(first, [], {}, booked=[Booking(day=DAY, spent=COST)])
                assert await of(journal, "acme") == (COST, Spend())

        asyncio.run(scenario())

    def test_erasing_and_pruning_leave_accounts_alone_and_the_journal_verifies(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                summary = Summary(status="completed")
                spent = [Booking(day=DAY, spent=COST)]
                await journal.append(lease, 1, [ended()], {}, summary=summary, booked=spent)
                assert await journal.reserve("acme", NEXT, CALL, []) is None
                before = await journal.accounts()
                assert (await journal.verify()).ok
                await journal.erase("acme")
                await clock.advance(1)
                pruned = await journal.prune(before=clock.wall_s())

                assert pruned.runs == 1
                assert await journal.accounts() == before
                assert (await journal.verify()).ok

        asyncio.run(scenario())


class ReserveContract:
    """Reservations under caps, in one handle."""

    @pytest.mark.parametrize(
        ("cap", "fits"),
        [
            (Cap(scope="tenant", tenant="acme", usd=Decimal("0.30")), 1),
            (Cap(scope="tenant_day", tenant="acme", usd=Decimal("0.30")), 2),
            (Cap(scope="day", usd=Decimal("0.30")), 1),
            (Cap(scope="day", tokens=3_999), 1),
            (Cap(scope="tenant_day", tenant="acme", model_calls=3), 2),
            (Cap(scope="tenant", tenant="acme"), 3),
            (Cap(scope="tenant", tenant="acme", tool_calls=0), 3),
        ],
    )
    def test_what_is_reserved_never_passes_a_cap(self, open_journal: Open, cap: Cap, fits: int) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await journal.book("acme", [Booking(day=NEXT, reserved=CALL)])
                await journal.book("other", [Booking(day=DAY, spent=CALL)])
                await journal.book("acme", [Booking(day=DAY, spent=CALL)])
                answers = await asyncio.gather(*(journal.reserve("acme", DAY, CALL, [cap]) for _ in range(3)))
                assert [answer is None for answer in answers] == [number < fits for number in range(3)]
                _, reserved = await of(journal, "acme")
                assert reserved.model_calls == fits

        asyncio.run(scenario())

    def test_an_answer_names_the_cap_and_whether_waiting_may_help(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                day = Cap(scope="day", usd=Decimal("0.25"))
                mine = Cap(scope="tenant", tenant="acme", model_calls=2)
                assert await journal.reserve("acme", DAY, CALL, [day, mine]) is None
                assert await journal.reserve("acme", DAY, CALL, [day, mine]) is None
                assert await journal.reserve("acme", DAY, CALL, [day, mine]) == OverCap(
                    cap=day, what="usd", limit=Decimal("0.25"), value=Decimal("0.30"), waits=True
                )
                await journal.book("acme", [Booking(day=DAY, reserved=-CALL, spent=COST)])
                await journal.book("acme", [Booking(day=DAY, reserved=-CALL, spent=COST)])
                assert await journal.reserve("acme", DAY, CALL, [day]) is None
                assert await journal.reserve("acme", DAY, CALL, [day, mine]) == OverCap(
                    cap=mine, what="model_calls", limit=2, value=4, waits=False
                )

        asyncio.run(scenario())

    def test_what_does_not_fit_leaves_no_trace(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                cap = Cap(scope="tenant", tenant="acme", usd=Decimal("0.09"))
                answer = await journal.reserve("acme", DAY, CALL, [cap])
                assert (answer is not None, await journal.accounts()) == (True, [])
                assert await journal.reserve("acme", DAY, Spend(), [cap]) is None
                assert await journal.accounts() == []

        asyncio.run(scenario())

    def test_a_step_that_needs_none_of_what_is_used_up_fits(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await journal.book("acme", [Booking(day=DAY, spent=CALL)])
                cap = Cap(scope="day", usd=Decimal("0.05"), tokens=10, tool_calls=1)
                assert await journal.reserve("acme", DAY, Spend(tool_calls=1), [cap]) is None
                assert await journal.reserve("acme", DAY, Spend(tool_calls=1), [cap]) is not None

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("need", "cap", "words"),
        [
            (Spend(tokens=-1), Cap(scope="day"), "below zero"),
            (usd("-1E-9"), Cap(scope="day"), "below zero"),
            (usd("1E-49"), Cap(scope="day"), "49 decimals"),
            (CALL, Cap(scope="tenant", tenant="other"), "tenant 'other' does not apply to tenant 'acme'"),
            (CALL, Cap(scope="tenant_day"), "tenant '' does not apply to tenant 'acme'"),
            (CALL, Cap(scope="day", usd=Decimal("NaN")), "finite Decimal"),
        ],
    )
    def test_a_reservation_that_makes_no_sense_is_refused(
        self, open_journal: Open, need: Spend, cap: Cap, words: str
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                with pytest.raises(Misused, match=words):
                    await journal.reserve("acme", DAY, need, [cap])
                with pytest.raises(Misused, match="must be a day"):
                    await journal.reserve("acme", "today", CALL, [])
                assert await journal.accounts() == []

        asyncio.run(scenario())


TAKEN_OVER = Booking(day=DAY, reserved=Spend(model_calls=-1), spent=Spend(model_calls=1), prepaid=CALL)
"""What the intent of a call books for which `CALL` was reserved: the call is spent, its bound stays reserved."""
IN_FLIGHT = Spend(usd=CALL.usd, tokens=CALL.tokens)


class HoldingContract:
    """What is reserved for a run, in one handle."""

    def test_what_is_reserved_for_a_run_is_taken_over_by_its_append(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                assert await journal.reserve("acme", DAY, CALL, [], "r-1") is None
                lease = await journal.create(started("r-1"), [], bodies(INTENT), booked=[TAKEN_OVER])
                assert await of(journal, "acme") == (Spend(model_calls=1), IN_FLIGHT)
                assert await journal.reserve("acme", DAY, CALL, [], "r-1") is None
                await journal.append(lease, 1, [], {}, booked=[TAKEN_OVER])
                await journal.give_back("r-1")
                twice = Spend(usd=CALL.usd * 2, tokens=CALL.tokens * 2)
                assert await of(journal, "acme") == (Spend(model_calls=2), twice)
                assert (await journal.verify()).ok

        asyncio.run(scenario())

    def test_what_is_reserved_for_a_run_is_given_back_in_parts_or_as_a_whole_and_once(
        self, open_journal: Open
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                for day in (DAY, DAY, NEXT):
                    assert await journal.reserve("acme", day, CALL, [], "r-1") is None
                assert await journal.reserve("acme", DAY, COST, [], "r-2") is None
                await journal.give_back("r-1", NEXT, COST)
                await journal.give_back("r-1", DAY, CALL)
                left = Spend(usd=CALL.usd - COST.usd, tokens=625)
                assert await of(journal, "acme", NEXT) == (Spend(), left)
                both = Spend(usd=CALL.usd + COST.usd, tokens=1_375, model_calls=2)
                assert await of(journal, "acme", DAY) == (Spend(), both)
                for _ in range(2):
                    await journal.give_back("r-1", DAY, Spend(usd=Decimal(1), tokens=9_999, model_calls=5))
                    assert await of(journal, "acme", DAY) == (Spend(), COST)
                for _ in range(2):
                    await journal.give_back("r-1")
                    assert await of(journal, "acme", NEXT) == (Spend(), Spend())
                await journal.give_back("r-2")
                await journal.give_back("r-3")
                for tenant in ("acme", "*"):
                    assert {each.reserved for each in await journal.accounts(tenant=tenant)} == {Spend()}
                assert (await journal.verify()).ok

        asyncio.run(scenario())

    def test_an_append_whose_reservation_was_given_back_is_fenced_and_those_behind_it(
        self, open_journal: Open
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                assert await journal.reserve("acme", DAY, COST, [], "r-1") is None
                first = journal.append(lease, 1, [done(1, b"x")], bodies(b"x"), booked=[TAKEN_OVER])
                after = journal.append(lease, 2, [done(2, b"y")], bodies(b"y"))
                for refused in (first, after):
                    with pytest.raises(
                        Fenced, match="run r-1: what was reserved for its next steps was given back"
                    ):
                        await refused
                with pytest.raises(Fenced):
                    await journal.create(started("r-2"), [], bodies(INTENT), booked=[TAKEN_OVER])
                assert await of(journal, "acme") == (Spend(), COST)
                assert [row.events for row in await journal.runs()] == [1]
                await step(journal, await journal.take("r-1"), 1, b"x")

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("again", "words"),
        [
            (("other", DAY, CALL), "run r-1 has reserved for another tenant"),
            (("acme", DAY, Spend(tokens=(1 << 63) - 1)), "an account holds up to"),
        ],
    )
    def test_a_reservation_that_is_refused_changes_nothing(
        self, open_journal: Open, again: tuple[str, str, Spend], words: str
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                assert await journal.reserve("acme", DAY, CALL, [], "r-1") is None
                with pytest.raises(Misused, match=words):
                    await journal.reserve(*again, [], "r-1")
                assert await of(journal, "acme") == (Spend(), CALL)
                with pytest.raises(Misused, match="below zero"):
                    await journal.give_back("r-1", DAY, -CALL)
                assert (await journal.verify()).ok

        asyncio.run(scenario())


class AccountsContract(BookingContract, ReserveContract, HoldingContract):
    """Everything about accounts, in one handle."""


class SharedAccountsContract:
    """Accounts, in several handles on one journal."""

    def test_of_two_handles_that_race_for_the_last_cent_one_gets_it(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as one, opened(open_journal) as two:
                cent = usd("0.01")
                for round_ in range(1, 11):
                    cap = Cap(scope="tenant_day", tenant="acme", usd=cent.usd * round_)
                    answers = await asyncio.gather(
                        *(each.reserve("acme", DAY, cent, [cap]) for each in (one, two))
                    )
                    assert sorted(answer is None for answer in answers) == [False, True]
                    assert await of(one, "acme") == (Spend(), Spend(usd=cent.usd * round_))
                assert await one.accounts() == await two.accounts()

        asyncio.run(scenario())

    def test_bookings_of_two_handles_add_up_and_outlive_them(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as one, opened(open_journal) as two:
                heard = asyncio.Event()
                one.watch(heard.set)
                await asyncio.gather(
                    *(each.book("acme", [Booking(day=DAY, spent=COST)]) for each in (one, two) * 20)
                )
                heard.clear()
                assert await two.reserve("acme", DAY, CALL, []) is None
                while await of(one, "acme") != (
                    Spend(usd=COST.usd * 40, tokens=15_000, model_calls=40),
                    CALL,
                ):
                    await asyncio.wait_for(heard.wait(), 60)
                    heard.clear()
            async with opened(open_journal) as journal:  # what nobody settled stays reserved
                assert (await of(journal, "acme"))[1] == CALL
                cap = Cap(scope="tenant", tenant="acme", model_calls=41)
                over = await journal.reserve("acme", NEXT, CALL, [cap])
                assert over is not None
                assert over.waits

        asyncio.run(scenario())

    def test_what_a_handle_has_reserved_for_its_runs_ends_with_it(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as one:
                async with opened(open_journal) as two:
                    assert await one.reserve("acme", DAY, CALL, [], "r-1") is None
                    assert await two.reserve("acme", DAY, CALL, [], "r-1") is None
                    assert await two.reserve("acme", NEXT, CALL, [], "r-2") is None
                    await one.give_back("r-2")  # what is another's it can't give back
                    assert (await of(one, "acme", "*"))[1].model_calls == 3
                assert await of(one, "acme", "*") == (Spend(), CALL)
                await one.give_back("r-1")
                assert await of(one, "acme", "*") == (Spend(), Spend())
                assert (await one.verify()).ok

        asyncio.run(scenario())

    def test_a_run_that_is_taken_takes_nothing_of_its_former_owner_s_reservations(
        self, open_journal: Open
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as one, opened(open_journal) as two:
                lease = await begin(one, "r-1")
                for run in ("r-1", "r-2"):
                    assert await one.reserve("acme", DAY, CALL, [], run) is None
                taken = await two.take("r-1", force=True)
                assert await of(two, "acme") == (Spend(), CALL)  # that of r-2: `one` is alive
                assert await two.reserve("acme", DAY, CALL, [], "r-1") is None
                await one.give_back("r-1")
                with pytest.raises(Fenced):
                    await one.append(lease, 1, [], {}, booked=[TAKEN_OVER])
                await two.append(taken, 1, [], {}, booked=[TAKEN_OVER])
                left = Spend(usd=CALL.usd * 2, tokens=CALL.tokens * 2, model_calls=1)
                assert await of(two, "acme") == (Spend(model_calls=1), left)

        asyncio.run(scenario())
