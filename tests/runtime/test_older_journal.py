"""A journal of an earlier version, with a parked approval and a keyed effect in flight, goes on and pays once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from journal.edits import write_mark
from runtime.proposing import propose
from seawall import ALLOW, Agent, Guard, Hold, Misused, Seawall, Team, Tool, ToolContext, tool
from seawall.cli import app
from seawall.core.clock import SystemClock
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
            async with asyncio.timeout(60):
                outcome = await (await sea.attach(run)).outcome()
            checked = await sea.journal.verify()
        assert (outcome.status, checked.bad) == ("completed", None)
        assert paid == ([("1042", f"{run}:1:call_2_1")] if approve else [])

    asyncio.run(main())


def test_a_parked_approval_is_listed_until_it_is_decided(path: Path) -> None:
    async def main() -> None:
        async with Seawall(path, guards=[Held()]) as sea:
            run = await sea.journal.run_of_request("", "parked")
            assert run is not None
            (asked,) = await sea.approvals()
            assert (asked.id, asked.run, asked.hash) == (f"{run} {asked.step}", run, "")
            assert (asked.tool, asked.arguments, asked.state) == ("payout", {"order_id": "1042"}, "open")
            assert [(each.guard, each.reason) for each in asked.reasons] == [
                ("held", "a person looks at payouts")
            ]
            assert await sea.approvals(tenant="another") == await sea.approvals(run="r-none") == []
            assert await sea.approvals(state="approved") == await sea.approvals(after=asked.id) == []
            with pytest.raises(Misused, match=f"decide on its step {asked.step}"):
                await sea.approve(asked.id, hash=asked.hash, by="ann")

            await sea.decide(run, asked.step, approve=True, by="ann")
            assert await sea.approvals() == await sea.approvals(after=asked.id) == []

    asyncio.run(main())


def test_new_proposals_are_listed_after_what_the_earlier_version_asked(path: Path) -> None:
    async def main() -> None:
        async with Seawall(path) as sea:
            (older,) = await sea.approvals()
            proposals = [await propose(sea.journal, f"r-{n}", clock=SystemClock()) for n in range(3)]
            ids = [older.id, *(each.id for each in proposals)]
            assert [each.id for each in await sea.approvals()] == ids
            assert [each.id for each in await sea.approvals(limit=1)] == ids[:1]
            assert [each.id for each in await sea.approvals(after=older.id, limit=2)] == ids[1:3]
            assert [each.id for each in await sea.approvals(after=ids[1])] == ids[2:]
            assert [row.run for row in await sea.journal.older_waits()] == [older.run]

    asyncio.run(main())


def test_the_command_line_lists_it_and_says_how_it_is_decided(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*words: str) -> str:
        with pytest.raises(SystemExit):
            main(words)
        return "".join(capsys.readouterr())

    def main(words: tuple[str, ...]) -> None:
        app([*words, "--journal", str(path)])

    listed = call("approvals")
    run, step = listed.splitlines()[1].split()[:2]
    assert 'payout(order_id="1042")' in listed
    assert "seawall approve RUN STEP" in listed
    assert [each["id"] for each in json.loads(call("approvals", "--json"))["approvals"]] == [f"{run} {step}"]

    assert "approved" in call("approve", run, step, "--by", "ann")
    assert "nobody is asked" in call("approvals")
