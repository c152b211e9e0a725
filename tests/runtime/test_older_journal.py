"""A journal of an earlier version, with a parked approval and a keyed effect in flight, goes on and pays once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest

from journal.edits import write_mark
from seawall import ALLOW, Agent, Guard, Hold, Seawall, Team, Tool, ToolContext, tool
from seawall.run.step import Step
from seawall.testing import ScriptedModel, say

SCHEMA_6 = (Path(__file__).parents[1] / "journal" / "data" / "schema-6.sql").read_text(encoding="utf-8")


class Held(Guard):
    """The guard of the parked run."""

    name = "held"

    def before(self, step: Step, run: Any, memory: Any) -> Any:
        return Hold("a person looks at payouts") if step.name == "payout" else ALLOW


def make_tools(paid: list[tuple[str, str]]) -> tuple[Tool, Tool]:
    """Returns the tools as the earlier version knew them."""

    @tool(effect=True, idempotent=True)
    async def refund(ctx: ToolContext, order_id: str) -> str:
        """Pays money back."""
        paid.append((order_id, ctx.key))
        return "paid back"

    @tool(effect=True)
    async def payout(ctx: ToolContext, order_id: str, note: str = "none") -> str:
        """Pays money out."""
        paid.append((order_id, ctx.key))
        return "paid out"

    return refund, payout


def make_team(name: str, made: Tool) -> Team:
    return Team(name, Agent("cashier", model=ScriptedModel([say("Done.")]), tools=[made]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    database = apsw.Connection(str(path))
    database.execute(SCHEMA_6)
    database.close()
    write_mark(str(path))
    return path


def test_a_keyed_effect_in_flight_is_made_again_under_its_old_key(path: Path) -> None:
    async def main() -> None:
        paid: list[tuple[str, str]] = []
        refund, _ = make_tools(paid)
        async with Seawall(path) as sea:
            run = await sea.journal.run_of_request("", "in flight")
            assert run is not None
            outcome = await (await sea.resume(run, make_team("refunds", refund), force=True)).outcome()
            (effect,) = await sea.effects()
            checked = await sea.journal.verify()
        assert outcome.status == "completed"
        assert paid == [("1042", f"{run}:1:call_2_1")]
        assert (effect.state, effect.key, checked.bad) == ("committed", paid[0][1], None)

    asyncio.run(main())


@pytest.mark.parametrize("approve", [True, False])
def test_a_parked_approval_is_decided_and_paid_once_under_its_old_key(path: Path, approve: bool) -> None:
    async def main() -> None:
        paid: list[tuple[str, str]] = []
        _, payout = make_tools(paid)
        async with Seawall(path, guards=[Held()], teams=[make_team("payouts", payout)]) as sea:
            run = await sea.journal.run_of_request("", "parked")
            assert run is not None
            (step,) = (await sea.state(run)).approvals
            await sea.decide(run, step.step, approve=approve, by="ann")
            async with asyncio.timeout(30):
                outcome = await (await sea.attach(run)).outcome()
            checked = await sea.journal.verify()
        assert (outcome.status, checked.bad) == ("completed", None)
        assert paid == ([("1042", f"{run}:1:call_2_1")] if approve else [])

    asyncio.run(main())
