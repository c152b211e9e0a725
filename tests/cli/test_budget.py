"""`seawall budget`."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from cli.desks import Desks
from seawall import Budget, Caps
from seawall.cli.render.budget_table import format_spending
from seawall.cli.spending import list_spending, list_tenants
from seawall.journal.protocol import Account, Spend

TEN = datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp()
DAY = "2026-03-01"


def usd(text: str) -> Spend:
    return Spend(usd=Decimal(text), tokens=1_000)


def booked(tenant: str, today: str, in_all: str, reserved: str = "0") -> list[Account]:
    reserve = Spend(usd=Decimal(reserved))
    return [
        Account(tenant=tenant, day=DAY, spent=usd(today), reserved=reserve),
        Account(tenant=tenant, day="*", spent=usd(in_all), reserved=reserve),
    ]


ACCOUNTS = [
    *booked("acme", "5", "20", "1"),
    *booked("bolt", "10", "10"),
    Account(tenant="*", day=DAY, spent=usd("15")),
]


def test_what_is_left_and_when_it_runs_out_at_the_rate_of_today() -> None:
    budget = Budget(
        tenant=Caps(usd=Decimal(31)),
        tenant_day=Caps(usd=Decimal(10), tokens=5_000),
        day=Caps(usd=Decimal(90)),
    )

    found = list_spending(ACCOUNTS, ["acme"], budget, TEN, everybody=True)

    told = [(each.scope, each.what, each.left, each.per_hour, each.runs_out_s) for each in found]
    assert told == [
        ("tenant_day", "usd", 4, Decimal("0.5"), 8 * 3600),
        ("tenant_day", "tokens", 4_000, 100, None),  # not today
        ("tenant", "usd", 10, Decimal("0.5"), 20 * 3600),
        ("day", "usd", 75, Decimal("1.5"), None),
    ]


def test_less_than_one_an_hour_is_not_shown_as_none() -> None:
    account = Account(tenant="acme", day=DAY, spent=Spend(tool_calls=3))
    budget = Budget(tenant_day=Caps(tool_calls=6))

    [calls] = [
        each
        for each in list_spending([account], ["acme"], budget, TEN, everybody=False)
        if each.what == "tool_calls"
    ]

    assert format_spending(calls)[5:] == ("3", "<1", "in 10 h")


def test_without_a_cap_nothing_is_left_nor_runs_out() -> None:
    [today, in_all] = list_spending(ACCOUNTS, ["bolt"], Budget(), TEN, everybody=False)

    assert (today.spent, today.cap, today.left, today.runs_out_s) == (10, None, None, None)
    assert format_spending(today) == ("bolt today", "usd", "$10.00", "-", "no cap", "", "$1.0000", "")
    assert format_spending(in_all)[0] == "bolt in all"


def test_a_time_beyond_a_year_is_not_told_in_days() -> None:
    budget = Budget(tenant=Caps(usd=Decimal(1_000_000)))
    [_, in_all] = list_spending(ACCOUNTS, ["acme"], budget, TEN, everybody=False)

    assert format_spending(in_all)[-1] == "in more than a year"


def test_an_account_in_which_a_call_no_longer_fits_says_of_how_much() -> None:
    budget = Budget(tenant_day=Caps(usd=Decimal("6.25")))  # of which 0.25 are left
    for need, told in (("0.5", "now, for a call of up to $0.5000"), ("0.2", "in 30 min")):
        short = {("tenant_day", "acme", "usd"): Decimal(need)}
        [today, _] = list_spending(ACCOUNTS, ["acme"], budget, TEN, everybody=False, short=short)
        assert format_spending(today)[-1] == told


def test_what_is_used_up_runs_out_now() -> None:
    [today, _] = list_spending(
        ACCOUNTS, ["bolt"], Budget(tenants_day={"bolt": Caps(usd=Decimal(10))}), TEN, everybody=False
    )

    assert format_spending(today)[4:] == ("$10.00", "0", "$1.0000", "now")


@pytest.mark.parametrize(("passed_s", "rate"), [(59, None), (60, Decimal(300))])
def test_a_day_that_has_just_begun_has_no_rate(passed_s: int, rate: Decimal | None) -> None:
    [today, _] = list_spending(ACCOUNTS, ["acme"], Budget(), TEN - 36_000 + passed_s, everybody=False)

    assert today.per_hour == rate


def test_tenants_that_spent_most_today_come_first() -> None:
    idle = Account(tenant="idle", day="*", spent=usd("100"))

    capped = Budget(tenants_day={"new": Caps(tokens=5)})

    assert list_tenants([idle, *ACCOUNTS], DAY, capped) == ["bolt", "acme", "idle", "new"]


# ---- the command

CAPPED = """
async def main():
    budget = Budget(tenant_day=Caps(usd=Decimal("1.00"), model_calls=9), day=Caps(usd=Decimal("2.00")))
    async with Seawall("seawall.db", budget=budget) as sea:
        for tenant in ("acme", "bolt", ""):
            await (await sea.start(desk, "Where is 1042?", tenant=tenant)).outcome()

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.fixture
def spent(desks: Desks) -> Desks:
    """A journal in which three tenants have spent something, under caps."""
    desks.write(CAPPED, "capped")
    done = desks.python("capped.py")
    assert done.exit_code == 0, done.err
    return desks


def test_it_shows_each_tenant_and_everybody(spent: Desks) -> None:
    lines = [line.split() for line in spent("budget").out.splitlines()]

    assert lines[0][:5] == ["ACCOUNT", "OF", "SPENT", "RESERVED", "CAP"]
    told = [" ".join(line[:4]) for line in lines[1:]]
    assert [each.rpartition(" ")[0] for each in told] == [
        *("no tenant today", "no tenant today", "no tenant in"),
        *("acme today usd", "acme today model", "acme in all"),
        *("bolt today usd", "bolt today model", "bolt in all"),
        "all tenants today",
    ]


def test_it_tells_one_tenant_as_json(spent: Desks) -> None:
    document = spent("budget", "--tenant", "acme", "--json").document

    assert document["cut"] is False
    usd_today, calls_today, in_all = document["accounts"]
    assert (usd_today["scope"], usd_today["tenant"], usd_today["cap"]) == ("tenant_day", "acme", "1.00")
    assert Decimal(usd_today["left"]) == 1 - Decimal(usd_today["spent"])
    assert (calls_today["what"], calls_today["spent"], calls_today["left"]) == ("model_calls", 2, 7)
    assert (in_all["scope"], in_all["cap"], in_all["left"]) == ("tenant", None, None)


def test_a_tenant_that_has_spent_nothing_is_told_what_it_may(spent: Desks) -> None:
    done = spent("budget", "--tenant", "new", "--json")
    usd_today, calls_today, in_all = done.document["accounts"]
    assert "tenant 'new' has no account in seawall.db yet" in done.err

    assert (usd_today["tenant"], usd_today["spent"], usd_today["left"]) == ("new", "0", "1.00")
    assert (calls_today["left"], in_all["cap"]) == (9, None)


def test_it_says_so_where_tenants_are_left_out(spent: Desks) -> None:
    done = spent("budget", "--limit", "1")

    assert done.err.strip() == "1 of 3 tenants: --limit 3 shows all"
    assert spent("budget", "--limit", "1", "--json").document["cut"] is True


def test_a_journal_in_which_nothing_was_spent_says_so(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Where is 1042?", "--tenant", "acme")

    assert desks("budget", "--tenant", "bolt").err.strip() == "tenant 'bolt' has no account in seawall.db"
    assert "no cap" in desks("budget").out


def test_a_run_of_the_command_line_keeps_to_the_caps_that_a_program_gave(spent: Desks) -> None:
    # of nine model calls two are made already, and a run makes two
    made = [spent("run", spent.app("desk"), "Where is 1042?", "--tenant", "acme", "--json") for _ in range(4)]

    assert made[-1].document["stopped_by"]["limit"] == "tenant_day_model_calls=9"


EXHAUSTED = """
async def main():
    async with Seawall("seawall.db", budget=Budget(tenant_day=Caps(usd=Decimal("0.0001")))) as sea:
        print((await (await sea.start(desk, "Where is 1042?", tenant="acme")).outcome()).stopped_by.reason)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_tenant_whose_next_call_does_not_fit_is_not_shown_as_healthy(desks: Desks) -> None:
    desks.write(EXHAUSTED, "exhausted")
    said = desks.python("exhausted.py").out
    assert "a lower max_output_tokens reserves less; the day ends at 00:00 UTC, in " in said

    told = desks("budget", "--tenant", "acme").out.splitlines()[1]
    document = desks("budget", "--tenant", "acme", "--json").document["accounts"][0]

    assert "now, for a call of up to $" in told
    assert Decimal(document["too_much"]) > Decimal(document["left"]) > 0
