"""Caps that one process gave hold for every process on its journal."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from guards.metered import FREE
from seawall import Agent, Budget, Caps, Refused, Seawall, Team
from seawall.core.errors import JournalFull
from seawall.journal.sqlite import SqliteJournal
from seawall.testing import ScriptedModel, say

ONE = Budget(tenant=Caps(model_calls=1))


def team(**model: Any) -> Team:
    return Team(Agent("a", model=ScriptedModel(lambda _: say("Hi."), **model)))


async def ended(sea: Seawall, tenant: str = "acme") -> str:
    async with asyncio.timeout(60):
        outcome = await (await sea.start(team(price=FREE), "go", tenant=tenant)).outcome()
    return outcome.status if outcome.stopped_by is None else str(outcome.stopped_by.limit)


def test_a_process_without_a_budget_keeps_to_the_caps_that_are_recorded(tmp_path: Path) -> None:
    async def main() -> None:
        async with Seawall(tmp_path / "desk.db", budget=ONE) as sea:
            assert await ended(sea) == "completed"
        async with Seawall(tmp_path / "desk.db") as sea:
            assert await ended(sea) == "tenant_model_calls=1"
            assert await ended(sea, "bolt") == "completed"

    asyncio.run(main())


def test_caps_that_are_given_later_hold_in_a_process_that_was_there_before(tmp_path: Path) -> None:
    async def main() -> None:
        async with Seawall(tmp_path / "desk.db") as before, Seawall(tmp_path / "desk.db", budget=Budget()):
            assert await ended(before) == "completed"
            async with Seawall(tmp_path / "desk.db", budget=ONE), asyncio.timeout(60):
                while (found := await ended(before)) == "completed":
                    pass
            assert found == "tenant_model_calls=1"

    asyncio.run(main())


def test_the_caps_that_were_given_last_count_also_where_others_were_given_before(tmp_path: Path) -> None:
    async def main() -> None:
        two = Budget(tenant=Caps(model_calls=2))
        async with Seawall(tmp_path / "desk.db", budget=ONE) as before:
            async with Seawall(tmp_path / "desk.db", budget=two) as sea:
                assert [await ended(sea) for _ in range(2)] == ["completed"] * 2
            await before.pauses()  # reads what is set
            assert await ended(before) == "tenant_model_calls=2"

    asyncio.run(main())


def test_an_empty_budget_takes_all_caps_back(tmp_path: Path) -> None:
    async def main() -> None:
        for budget, last in ((ONE, "tenant_model_calls=1"), (Budget(), "completed"), (None, "completed")):
            async with Seawall(tmp_path / "desk.db", budget=budget) as sea:
                assert [await ended(sea) for _ in range(2)][-1] == last

    asyncio.run(main())


def test_an_unknown_price_is_refused_under_a_cap_that_another_process_gave(tmp_path: Path) -> None:
    async def main() -> None:
        async with Seawall(tmp_path / "desk.db", budget=Budget(day=Caps(usd=Decimal(1)))):
            pass
        async with Seawall(tmp_path / "desk.db") as sea:
            with pytest.raises(Refused, match=r"usd is limited to 1, and the .*prices={'scripted': Price"):
                await sea.start(team(), "go")

    asyncio.run(main())


def test_caps_that_could_not_be_written_down_hold_in_their_own_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise JournalFull("the disk is full")

    async def main() -> None:
        monkeypatch.setattr(SqliteJournal, "change", full)
        async with Seawall(budget=ONE) as sea:
            assert [await ended(sea) for _ in range(2)] == ["completed", "tenant_model_calls=1"]

    asyncio.run(main())


def test_what_a_tenants_own_caps_say_nothing_of_is_capped_as_for_all() -> None:
    budget = Budget(
        tenant_day=Caps(usd=Decimal(1), tool_calls=9), tenants_day={"acme": Caps(usd=Decimal(50), tokens=7)}
    )

    [acme] = budget.list_caps("acme")
    [bolt] = budget.list_caps("bolt")

    assert (acme.usd, acme.tokens, acme.tool_calls) == (Decimal(50), 7, 9)
    assert (bolt.usd, bolt.tokens, bolt.tool_calls) == (Decimal(1), None, 9)
