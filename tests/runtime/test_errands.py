"""Errands: an effect that nobody waits for is a run of its own, and its session is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from seawall import (
    ALLOW,
    Agent,
    Effect,
    Guard,
    Hold,
    Misused,
    Money,
    Outcome,
    Refused,
    Run,
    Seawall,
    Team,
    Waiting,
    above,
    tool,
)
from seawall.core.events import RunTaken
from seawall.journal.protocol.effects import Ballot, EffectFilter, Settle, make_proposal_id
from seawall.models.scripted import calls
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import Verdict
from seawall.testing import ScriptedModel, call
from team.play import sent


class Bank:
    """What was paid and taken back."""

    def __init__(self) -> None:
        self.booked: list[str] = []

    def tools(self, **options: Any) -> Any:
        @tool(effect=Effect(approve=above(Money("1", "EUR")), amount="amount"))
        async def take_back(order_id: str, amount: Money, receipt: str) -> str:
            """Take a refund back."""
            self.booked.append(f"-{order_id} ({receipt})")
            return f"taken back {order_id}"

        declared = Effect(unique_by=("order_id",), amount="amount", undo=take_back, **options)

        @tool(effect=declared)
        async def refund(order_id: str, amount: Money) -> str:
            """Pay back."""
            self.booked.append(order_id)
            return f"receipt {order_id}"

        return refund


def pays(order: str, amount: str = "40") -> Any:
    return call("refund", order_id=order, amount={"amount": amount, "currency": "EUR"})


def desk(bank: Bank, script: list[Any], **options: Any) -> tuple[Team, ScriptedModel]:
    model = ScriptedModel(script)
    return Team("desk", Agent("cashier", model=model, tools=[bank.tools(**options)])), model


DETACHED: dict[str, Any] = {"detached": True, "approve": above(Money("10", "EUR"))}


async def over(run: Run) -> Outcome:
    async with asyncio.timeout(60):
        return await run.outcome()


async def parked(run: Run) -> Waiting:
    async with asyncio.timeout(60):
        rest = await run.rest()
    assert isinstance(rest, Waiting), rest
    return rest


async def decide_as(sea: Seawall, waiting: Waiting, who: str = "finance", *, approve: bool = True) -> None:
    proposal = await sea.journal.proposal(make_proposal_id(waiting.run, waiting.step))
    ballot = Ballot(proposal=proposal.id, hash=proposal.hash, approve=approve, principal=who)
    await sea.journal.decide(ballot)
    await sea.supervisor.inbox.deliver(waiting.run)


async def find_errand(sea: Seawall, but: Run) -> Run:
    (row,) = [row for row in await sea.journal.runs() if row.run != but.id]
    assert row.session is None
    return await sea.attach(row.run)


def test_a_detached_effect_lets_its_run_end_and_its_session_is_told_once_it_is_done() -> None:
    async def main() -> None:
        bank = Bank()
        team, model = desk(bank, [pays("1042"), "Asked for.", "Yes.", "Bye."], **DETACHED)
        async with Seawall() as sea:
            run = await sea.start(team, "Refund 1042", session="s", principal="user:7")
            assert (await over(run)).answer == "Asked for."
            assert bank.booked == []
            assert "'refund' is asked for, and not done" in sent(model)[-1]
            errand = await find_errand(sea, run)
            await decide_as(sea, await parked(errand))
            assert (await over(errand)).answer == "receipt 1042"
            assert bank.booked == ["1042"]
            await over(await sea.start(team, "Is it paid?", session="s"))
            told = sent(model)[-2]
            assert told.startswith("[Not from the user: what has happened since in run")
            assert 'was done: "receipt 1042"' in told
            await over(await sea.start(team, "Thanks", session="s"))
            assert len([text for text in sent(model) if "Not from the user" in text]) == 1
            assert await sea.journal.facts("", "s") == []
            assert (await sea.journal.verify()).ok

    asyncio.run(main())


def test_a_detached_effect_that_needs_nobody_is_done_at_once() -> None:
    async def main() -> None:
        bank = Bank()
        team, _ = desk(bank, [pays("1042", "5"), "Paid."], **DETACHED)
        async with Seawall() as sea:
            assert (await over(await sea.start(team, "Refund", session="s"))).answer == "Paid."
            assert bank.booked == ["1042"]
            assert len(await sea.journal.runs()) == 1

    asyncio.run(main())


def test_a_detached_effect_that_is_rejected_ends_its_errand_as_refused_and_is_told() -> None:
    async def main() -> None:
        bank = Bank()
        team, model = desk(bank, [pays("1042"), "Asked for.", "No."], **DETACHED)
        async with Seawall() as sea:
            run = await sea.start(team, "Refund", session="s")
            await over(run)
            errand = await find_errand(sea, run)
            await decide_as(sea, await parked(errand), approve=False)
            outcome = await over(errand)
            assert outcome.status == "refused"
            await over(await sea.start(team, "Is it paid?", session="s"))

        assert bank.booked == []
        assert "was refused by a person" in sent(model)[-2]
        assert "it ended as refused" in sent(model)[-2]

    asyncio.run(main())


def test_two_detached_calls_of_one_reply_are_two_errands_and_the_same_one_again_is_the_same(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        bank = Bank()
        script = [calls(pays("1"), pays("2")), "Asked for."]
        team, _ = desk(bank, script, **DETACHED)
        async with Seawall(tmp_path / "desk.db") as sea:
            run = await sea.start(team, "Refund", session="s")
            await over(run)
            errands = [row.run for row in await sea.journal.runs() if row.run != run.id]
            assert len(errands) == 2
        async with Seawall(tmp_path / "desk.db", teams=[team]) as sea:
            for errand in errands:
                waiting = await parked(await sea.attach(errand))
                await decide_as(sea, waiting)
                assert (await over(await sea.attach(errand))).status == "completed"
        assert sorted(bank.booked) == ["1", "2"]

    asyncio.run(main())


class HoldsTheSecond(Guard):
    """Asks about an effect once its run has gone on for a few steps."""

    name = "second"

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        return Hold("the second one") if step.effect and run.steps >= 2 else ALLOW


@pytest.mark.parametrize(
    ("options", "guards"),
    [
        ({"per_run": Money("60", "EUR"), "approve": above(Money("50", "EUR"), roles=("finance",))}, []),
        ({}, [HoldsTheSecond()]),
    ],
)
def test_what_its_run_had_to_ask_about_an_errand_asks_about_too(
    options: dict[str, Any], guards: list[Guard]
) -> None:
    async def main() -> None:
        bank = Bank()
        team, _ = desk(bank, [calls(pays("1"), pays("2")), "Asked for."], detached=True, **options)
        async with Seawall(guards=guards) as sea:
            run = await sea.start(team, "Refund", session="s")
            await over(run)
            assert bank.booked == ["1"]
            errand = await find_errand(sea, run)
            await parked(errand)
            (asked,) = await sea.approvals()
            told = [each.reason for each in asked.reasons]
            assert told[0] == f"run {run.id} was to ask for it, and has gone on"
            if guards:
                assert told[1:] == ["there, second: the second one"]
            if options:
                assert told[1].startswith(
                    "there, effects: the sum of this run would be 80.00 EUR, above 60.00 EUR (value"
                )
                assert (asked.roles, asked.declared) == (("finance",), True)
        assert bank.booked == ["1"]

    asyncio.run(main())


@pytest.mark.parametrize("scope", ["run", "session", "principal", "tenant"])
@pytest.mark.parametrize("forked_after", ["asking", "paying"])
@pytest.mark.parametrize("session", [None, "s"])
def test_what_a_run_and_its_fork_ask_for_apart_from_themselves_is_paid_once(
    scope: str, forked_after: str, session: str | None
) -> None:
    async def main() -> None:
        bank = Bank()
        script = [pays("1042"), "Asked for.", "Asked for it again.", "Once more."]
        team, _ = desk(bank, script, scope=scope, **DETACHED)
        async with Seawall() as sea:
            run = await sea.start(team, "Refund", session=session, principal="user:7")
            await over(run)
            errand = await find_errand(sea, run)
            waiting = await parked(errand)
            if forked_after == "paying":
                await decide_as(sea, waiting)
                await over(errand)
            fork = await sea.fork(run.id, team, at=1, live_effects=True)
            await over(await sea.fork(fork.id, team, at=1, live_effects=True))
            await over(fork)
            if forked_after == "asking":
                await decide_as(sea, waiting)
            for row in await sea.journal.runs():
                rest = await (await sea.attach(row.run)).rest()
                while isinstance(rest, Waiting) and rest.kind == "hold":
                    await decide_as(sea, rest)
                    rest = await (await sea.attach(row.run)).rest()
                if row.run not in (run.id, fork.id):
                    assert (await over(await sea.attach(row.run))).status == "completed"
            assert bank.booked == ["1042"]
            assert len(await sea.effects(status="committed")) == 1

    asyncio.run(main())


@pytest.mark.parametrize("scope", ["run", "session", "tenant"])
def test_an_errand_and_its_fork_do_one_effect(scope: str) -> None:
    async def main() -> None:
        bank = Bank()
        team, _ = desk(bank, [pays("1042"), "Asked for."], scope=scope, **DETACHED)
        async with Seawall() as sea:
            run = await sea.start(team, "Refund", session="s", principal="user:7")
            await over(run)
            errand = await find_errand(sea, run)
            await decide_as(sea, await parked(errand))
            await over(errand)
            fork = await sea.fork(errand.id, team, at=1, live_effects=True)
            rest = await fork.rest()
            if isinstance(rest, Waiting):
                await decide_as(sea, rest)
            await over(fork)
        assert bank.booked == ["1042"]

    asyncio.run(main())


def test_an_effect_is_undone_by_its_own_tool_once_and_only_if_somebody_else_approves() -> None:
    async def main() -> None:
        bank = Bank()
        team, model = desk(bank, [pays("1042"), "Paid.", "Undone."])
        async with Seawall(teams=[team], authenticate=_principal) as sea:
            run = await sea.start(team, "Refund", session="s")
            await over(run)
            (effect,) = await sea.journal.effects()
            undo = await sea.undo(effect.id, credential="alice")
            waiting = await parked(undo)
            assert bank.booked == ["1042"]
            assert (await sea.undo(effect.id, credential="bob")).id == undo.id
            with pytest.raises(Refused):
                await decide_as(sea, waiting, "alice")
            await decide_as(sea, waiting, "bob")
            assert (await over(undo)).answer == "taken back 1042"
            assert bank.booked == ["1042", "-1042 (receipt 1042)"]
            assert (await sea.undo(effect.id, credential="bob")).id == undo.id
            newest = (await sea.journal.effects(EffectFilter(tool="take_back")))[0]
            assert (newest.undoes, newest.session) == (effect.id, "s")
            await over(await sea.start(team, "And?", session="s"))
            assert 'was done: "taken back 1042"' in sent(model)[-2]
            assert len(bank.booked) == 2

    asyncio.run(main())


def test_a_receipt_that_is_too_long_for_a_context_is_undone_with_the_whole_of_it() -> None:
    async def main() -> None:
        bank, order = Bank(), "1" * 70_000
        team, _ = desk(bank, [pays(order), "Paid."])
        async with Seawall(teams=[team], authenticate=_principal) as sea:
            await over(await sea.start(team, "Refund"))
            (effect,) = await sea.journal.effects()
            undo = await sea.undo(effect.id, credential="alice")
            await decide_as(sea, await parked(undo), "bob")
            await over(undo)
        assert bank.booked == [order, f"-{order} (receipt {order})"]

    asyncio.run(main())


@pytest.mark.parametrize("how", ["done", "cancelled", "rejected"])
def test_who_is_forgotten_is_forgotten_by_the_runs_that_undo_their_effects(how: str, tmp_path: Path) -> None:
    async def main() -> None:
        team, _ = desk(Bank(), [pays("zebra"), "Paid."])
        async with Seawall(tmp_path / "desk.db", teams=[team], authenticate=_principal) as sea:
            await over(await sea.start(team, "Refund", principal="user:7"))
            (effect,) = await sea.journal.effects()
            undo = await sea.undo(effect.id, credential="alice")
            waiting = await parked(undo)
            memory = sea.memory()
            assert (await memory.forget("user:7", credential="dpo")).running == (undo.id,)
            if how == "cancelled":
                await undo.cancel(by="carol")
            else:
                await decide_as(sea, waiting, "bob", approve=how == "done")
            await over(undo)
            forgotten = await memory.forget("user:7", credential="dpo")
            assert (forgotten.runs, forgotten.kept, forgotten.running) == (2, 0, ())
            assert [each.principal for each in await sea.journal.effects(EffectFilter(tool="refund"))]
            assert (await sea.journal.verify()).bad is None
        assert not [each for each in tmp_path.iterdir() if each.is_file() and b"zebra" in each.read_bytes()]

    asyncio.run(main())


@pytest.mark.parametrize("how", ["cancelled", "rejected"])
def test_an_undoing_that_did_nothing_is_in_nobodys_way(how: str) -> None:
    async def main() -> None:
        bank = Bank()
        team, _ = desk(bank, [pays("1042"), "Paid."])
        async with Seawall(teams=[team], authenticate=_principal) as sea:
            await over(await sea.start(team, "Refund"))
            (effect,) = await sea.journal.effects()
            first = await sea.undo(effect.id, credential="alice")
            waiting = await parked(first)
            if how == "cancelled":
                await first.cancel(by="carol")
            else:
                await decide_as(sea, waiting, "bob", approve=False)
            assert (await over(first)).status == ("cancelled" if how == "cancelled" else "refused")

            second = await sea.undo(effect.id, credential="alice")
            assert second.id != first.id
            assert bank.booked == ["1042"]
            if how == "rejected":  # as long as the rejection stands, it is not asked again
                assert (await over(second)).status == "refused"
                return
            waiting = await parked(second)
            assert (await sea.undo(effect.id, credential="bob")).id == second.id
            await decide_as(sea, waiting, "bob")
            assert (await over(second)).status == "completed"
            assert (await sea.undo(effect.id, credential="bob")).id == second.id
            assert bank.booked == ["1042", "-1042 (receipt 1042)"]

    asyncio.run(main())


def _principal(name: object) -> Any:
    from seawall import Principal

    return Principal(str(name))


def test_what_was_not_done_or_has_no_undo_is_not_undone() -> None:
    async def main() -> None:
        @tool(effect=True)
        async def pay(what: str) -> str:
            """Pay."""
            return what

        team = Team(
            "desk", Agent("cashier", model=ScriptedModel([call("pay", what="1"), "Paid."]), tools=[pay])
        )
        async with Seawall() as sea:
            await over(await sea.start(team, "Pay"))
            (effect,) = await sea.journal.effects()
            with pytest.raises(Misused, match="this process does not have team 'desk'"):
                await sea.undo(effect.id, by="alice")
            with pytest.raises(Misused, match="declares no undo"):
                await sea.undo(effect.id, by="alice", team=team)

    asyncio.run(main())


def test_no_model_can_call_the_tool_that_undoes() -> None:
    async def main() -> None:
        bank = Bank()
        taken = call("take_back", order_id="1", amount={"amount": "1", "currency": "EUR"}, receipt="x")
        team, model = desk(bank, [taken, "I can't."])
        async with Seawall() as sea:
            await over(await sea.start(team, "Take it back"))
        assert "there is no tool 'take_back'" in sent(model)[-1]
        assert bank.booked == []

    asyncio.run(main())


def test_what_becomes_of_an_effect_after_its_run_has_ended_is_told_to_the_next_run() -> None:
    async def main() -> None:
        @tool(effect=Effect(unique_by=("what",)))
        async def pay(what: str) -> str:
            """Pay."""
            raise RuntimeError("the bank hung up")

        model = ScriptedModel([call("pay", what="1"), "Fine.", "Sure."])
        team = Team(Agent("cashier", model=model, tools=[pay]))
        async with Seawall() as sea:
            run = await sea.start(team, "Pay", session="s")
            await parked(run)
            await run.cancel(by="u")
            assert (await over(run)).status == "cancelled"
            (effect,) = await sea.journal.effects()
            assert effect.state == "unknown"
            said = Settle(effect=effect.id, state="committed", at=1.0, reason="the bank's list", by="bob")
            await sea.journal.settle(said)
            next_run = await sea.start(team, "And?", session="s")
            await over(next_run)
            assert 'pay({"what":"1"}) was done: "the bank\'s list" (said by bob)' in sent(model)[-2]
            (taken,) = [e for e in await sea.journal.events(next_run.id) if isinstance(e, RunTaken)]
            assert len(taken.facts) == 1
            await over(await sea.start(team, "Well?", session="s"))
            assert len([text for text in sent(model) if "said by bob" in text]) == 1

    asyncio.run(main())
