"""From the question to the payment: a declared effect is proposed, people decide, and exactly that is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.proposing import opened
from seawall import Agent, Approval, Misused, Outcome, Principal, Refused, Run, Seawall, Team, Waiting, tool
from seawall.core.money import Money
from seawall.effects import Effect, above, always
from seawall.models.protocol import ToolResult
from seawall.testing import ManualClock, ScriptedModel, call, calls, say

WHO = {
    "ann": Principal("ann", ("finance",)),
    "bob": Principal("bob", ("finance",)),
    "user:7": Principal("user:7"),
}


class Bank:
    """What was paid."""

    def __init__(self) -> None:
        self.paid: list[str] = []

    def make_team(self, *amounts: str, effect: Effect | None = None) -> Team:
        """Returns a team whose agent refunds these amounts at once."""

        @tool(effect=effect or Effect(amount="amount", approve=always(roles=("finance",))))
        async def refund(order_id: str, amount: Money) -> str:
            """Pay back."""
            self.paid.append(f"{order_id} {amount}")
            return f"receipt of {order_id}"

        money = [{"amount": amount, "currency": "EUR"} for amount in amounts]
        reply = calls(*(call("refund", order_id=str(at), amount=each) for at, each in enumerate(money)))
        self.model = ScriptedModel([reply, say("Done.")], by="position")
        return Team("desk", Agent("clerk", model=self.model, tools=[refund]))

    def told(self) -> list[str]:
        """Returns the results that the agent was shown last."""
        return [each.content for each in self.model.requests[-1].messages if isinstance(each, ToolResult)]


def asked(
    work: Callable[[Seawall, Run, list[Approval]], Awaitable[None]],
    bank: Bank,
    team: Team,
    path: Any = ":memory:",
) -> None:
    """Runs `work` once the team's run waits for people."""

    async def main() -> None:
        async with opened(ManualClock(), path, authenticate=WHO.get) as sea:
            run = await sea.start(team, "Refund.", principal="user:7", tenant="acme")
            assert isinstance(await run.rest(), Waiting)
            assert bank.paid == []
            await work(sea, run, await sea.approvals(role="finance"))

    asyncio.run(main())


def test_what_was_shown_and_approved_is_done_and_the_run_goes_on_by_itself() -> None:
    bank = Bank()

    async def work(sea: Seawall, run: Run, approvals: list[Approval]) -> None:
        (approval,) = approvals
        assert approval.arguments == {"order_id": "0", "amount": {"amount": "250.00", "currency": "EUR"}}
        assert (str(approval.amount), approval.requester, approval.tenant) == ("250.00 EUR", "user:7", "acme")
        with pytest.raises(Refused):
            await sea.approve(approval.id, hash=approval.hash, credential="user:7")
        await sea.approve(approval.id, hash=approval.hash, credential="ann")
        assert (await run.outcome()).status == "completed"
        assert bank.paid == ["0 250.00 EUR"]
        assert (await sea.approval(approval.id)).state == "used"
        assert [each.state for each in await sea.effects(run=run.id)] == ["committed"]

    asked(work, bank, bank.make_team("250"))


def test_effects_of_one_reply_are_decided_one_by_one() -> None:
    bank = Bank()

    async def work(sea: Seawall, run: Run, approvals: list[Approval]) -> None:
        assert len(approvals) == 3
        by_order = {str((each.arguments or {})["order_id"]): each for each in approvals}
        await sea.approve(by_order["2"].id, hash=by_order["2"].hash, credential="ann")
        await sea.reject(by_order["1"].id, hash=by_order["1"].hash, credential="ann", reason="not this one")
        await sea.approve(by_order["0"].id, hash=by_order["0"].hash, credential="bob")
        assert (await run.outcome()).status == "completed"
        assert sorted(bank.paid) == ["0 10.00 EUR", "2 30.00 EUR"]
        assert "not this one" in bank.told()[1]

    asked(work, bank, bank.make_team("10", "20", "30"))


def test_a_rejection_with_stop_ends_the_run() -> None:
    bank = Bank()

    async def work(sea: Seawall, run: Run, approvals: list[Approval]) -> None:
        (approval,) = approvals
        await sea.reject(approval.id, hash=approval.hash, credential="ann", reason="never", stop=True)
        outcome = await run.outcome()
        assert isinstance(outcome, Outcome)
        assert outcome.status != "completed"
        assert bank.paid == []

    asked(work, bank, bank.make_team("250"))


def test_an_edit_is_what_is_done_and_the_agent_is_told_so() -> None:
    bank = Bank()

    async def work(sea: Seawall, run: Run, approvals: list[Approval]) -> None:
        (approval,) = approvals
        edit = {"order_id": "0", "amount": {"amount": "99.5", "currency": "EUR"}}
        decided = await sea.approve(approval.id, hash=approval.hash, credential="ann", edit=edit)
        assert (decided.state, decided.edited_by, str(decided.amount)) == ("approved", "ann", "99.50 EUR")
        assert decided.original == approval.arguments_text
        assert decided.hash != approval.hash
        await run.outcome()
        assert bank.paid == ["0 99.50 EUR"]
        assert '"99.50"' in bank.told()[0]

    asked(work, bank, bank.make_team("250"))


def test_an_edit_that_is_changed_while_it_is_decided_on_is_done_as_it_was_given() -> None:
    bank = Bank()

    async def work(sea: Seawall, run: Run, approvals: list[Approval]) -> None:
        (approval,) = approvals
        amount = {"amount": "99.5", "currency": "EUR"}
        edit: dict[str, Any] = {"order_id": "0", "amount": amount}
        deciding = asyncio.ensure_future(
            sea.approve(approval.id, hash=approval.hash, credential="ann", edit=edit)
        )
        await asyncio.sleep(0)
        amount["amount"] = "200"
        assert str((await deciding).amount) == "99.50 EUR"
        await run.outcome()
        assert bank.paid == ["0 99.50 EUR"]

    asked(work, bank, bank.make_team("250"))


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        ({"order_id": "0", "amount": object()}, Misused, "edit is a dict that has no JSON form"),
        (
            {"order_id": "0", "amount": {"amount": "250.01", "currency": "EUR"}},
            Refused,
            "an edit may not make it",
        ),
        ({"order_id": "0", "amount": {"amount": "1", "currency": "USD"}}, Refused, "an edit may not make it"),
        ({"order_id": "0"}, Misused, "does not take this edit"),
        ({"order_id": "0", "amount": "much"}, Misused, "does not take this edit"),
        ("not JSON", Misused, "does not take this edit"),
        (" \n", Misused, "the edit is empty; write all arguments as a JSON object"),
        (
            {"order_id": "sk-ant-" + "a1" * 20, "amount": {"amount": "1", "currency": "EUR"}},
            Misused,
            "a secret",
        ),
    ],
)
def test_an_edit_that_was_not_asked_about_or_is_not_taken_decides_nothing(
    edit: Any, error: type[Exception], message: str
) -> None:
    bank = Bank()

    async def work(sea: Seawall, run: Run, approvals: list[Approval]) -> None:
        (approval,) = approvals
        with pytest.raises(error, match=message):
            await sea.approve(approval.id, hash=approval.hash, credential="ann", edit=edit)
        assert (await sea.approval(approval.id)).votes == ()
        assert bank.paid == []

    asked(work, bank, bank.make_team("250"))


def test_an_edit_begins_the_votes_anew() -> None:
    bank = Bank()

    async def work(sea: Seawall, run: Run, approvals: list[Approval]) -> None:
        (first,) = approvals
        await sea.approve(first.id, hash=first.hash, credential="bob")
        edit = {"order_id": "0", "amount": {"amount": "5", "currency": "EUR"}}
        edited = await sea.approve(first.id, hash=first.hash, credential="ann", edit=edit)
        assert (edited.state, [vote.principal for vote in edited.votes]) == ("open", ["ann"])
        with pytest.raises(Refused, match="look at it again"):
            await sea.approve(first.id, hash=first.hash, credential="bob")
        await sea.approve(first.id, hash=edited.hash, credential="bob")
        await run.outcome()
        assert bank.paid == ["0 5.00 EUR"]

    effect = Effect(amount="amount", approve=above(Money("100", "EUR"), roles=("finance",), people=2))
    asked(work, bank, bank.make_team("250", effect=effect))


def test_a_process_without_the_team_checks_no_edit_and_one_with_it_does(tmp_path: Path) -> None:
    bank = Bank()
    team = bank.make_team("250")

    async def work(sea: Seawall, run: Run, approvals: list[Approval]) -> None:
        (approval,) = approvals
        edit = '{"order_id": "0", "amount": {"amount": "7", "currency": "EUR"}}'
        async with opened(ManualClock(), tmp_path / "j.db", authenticate=WHO.get) as other:
            with pytest.raises(Misused, match="this process does not have team 'desk'"):
                await other.approve(approval.id, hash=approval.hash, credential="ann", edit=edit)
            await other.approve(approval.id, hash=approval.hash, credential="ann", edit=edit, team=team)
        await sea.supervisor.inbox.deliver(run.id)  # no time passes here, so it does not look by itself
        assert (await run.outcome()).status == "completed"
        assert bank.paid == ["0 7.00 EUR"]

    asked(work, bank, team, tmp_path / "j.db")


def test_an_amount_below_the_threshold_asks_nobody() -> None:
    bank = Bank()
    effect = Effect(amount="amount", approve=above(Money("100", "EUR"), roles=("finance",)))

    async def main() -> None:
        async with opened(ManualClock(), authenticate=WHO.get) as sea:
            outcome = await (await sea.start(bank.make_team("99", effect=effect), "Refund.")).outcome()
            assert outcome.status == "completed"
            assert await sea.approvals(state=None) == []

    asyncio.run(main())
    assert bank.paid == ["0 99.00 EUR"]
