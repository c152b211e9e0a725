"""Declared effects in runs: claimed once, asked about, decided, performed in order, settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, model_serializer

from seawall import ALLOW, Agent, Guard, Hold, NotDone, Outcome, Seawall, Team, ToolContext, Waiting, tool
from seawall.core.canonical import Ref
from seawall.core.errors import Refused
from seawall.core.events import StepIntended
from seawall.core.money import Money
from seawall.effects import Effect, above
from seawall.effects.proposals import compute_proposal_hash
from seawall.journal.protocol import Journal
from seawall.journal.protocol.effects import Ballot, Proposal, ProposalFilter, Settle
from seawall.models.scripted import calls
from seawall.run.step import Step
from seawall.testing import ManualClock, ScriptedModel, call, say
from team.play import sent

_numbers = count()


class Made(BaseModel):
    """A value that its factory makes anew each time."""

    number: int = Field(default_factory=lambda: next(_numbers))


FINANCE = above(Money("100", "EUR"), roles=("finance",))


class Bank:
    """The payments that were made, as the tools ask for them."""

    def __init__(self) -> None:
        self.paid: list[tuple[str, str, str]] = []
        self.fails: list[BaseException] = []

    def makes(self, effect: Effect, name: str = "refund") -> Any:
        async def refund(ctx: ToolContext, order_id: str, amount: Money) -> str:
            if self.fails:
                raise self.fails.pop(0)
            self.paid.append((order_id, str(amount), ctx.key))
            return f"receipt {len(self.paid)} of {order_id}"

        return tool(effect=effect, name=name)(refund)


def pays(order: str, amount: str = "40", name: str = "refund", **more: Any) -> Any:
    return call(name, order_id=order, amount={"amount": amount, "currency": "EUR"}, **more)


def desk(bank: Bank, effect: Effect, *script: Any) -> Team:
    return Team(Agent("cashier", model=ScriptedModel(list(script)), tools=[bank.makes(effect)]))


def play(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


async def over(run: Any) -> Outcome:
    async with asyncio.timeout(60):
        return await run.outcome()


async def waits(run: Any) -> Waiting:
    async with asyncio.timeout(60):
        rest = await run.rest()
    assert isinstance(rest, Waiting), str(rest)
    return rest


async def asked(journal: Journal) -> list[Proposal]:
    return await journal.proposals(ProposalFilter())


async def proposed(sea: Seawall, team: Team, **options: Any) -> tuple[Any, Proposal]:
    """Starts a run that waits for a person; returns it, and what is asked."""
    run = await sea.start(team, "go", **options)
    await waits(run)
    (proposal,) = await asked(sea.journal)
    return run, proposal


async def vote(
    sea: Seawall, proposal: Proposal, *, approve: bool = True, by: str = "alice", **more: Any
) -> None:
    more.setdefault("roles", ("finance",))
    ballot = Ballot(proposal=proposal.id, hash=proposal.hash, approve=approve, principal=by, **more)
    await sea.journal.decide(ballot)
    await sea.supervisor.inbox.deliver(proposal.run)


UNIQUE = Effect(unique_by=("order_id",), amount="amount")
ASKS = Effect(unique_by=("order_id",), amount="amount", approve=FINANCE)


def test_a_second_run_gets_the_receipt_and_pays_nothing() -> None:
    async def main() -> None:
        bank = Bank()
        async with Seawall() as sea:
            first = await over(await sea.start(desk(bank, UNIQUE, pays("1042"), say("Done.")), "go"))
            again = desk(bank, UNIQUE, pays("1042", "41"), say("Done."))
            run = await sea.start(again, "go")
            second = await over(run)
            (effect,) = await sea.journal.effects()
        assert [first.status, second.status] == ["completed", "completed"]
        assert len(bank.paid) == 1
        assert bank.paid[0][2] == effect.key
        assert effect.state == "committed"

    play(main)


def test_a_call_of_another_order_is_another_effect() -> None:
    async def main() -> None:
        bank = Bank()
        async with Seawall() as sea:
            team = desk(bank, UNIQUE, calls(pays("1"), pays("2"), pays("1")), say("Done."))
            assert (await over(await sea.start(team, "go"))).status == "completed"
        assert [order for order, *_ in bank.paid] == ["1", "2"]

    play(main)


def test_what_failed_may_be_done_again_under_another_key() -> None:
    async def main() -> None:
        bank = Bank()
        bank.fails = [NotDone("closed")]
        async with Seawall() as sea:
            team = desk(bank, UNIQUE, pays("1"), pays("1"), say("Done."))
            await over(await sea.start(team, "go"))
            effects = await sea.journal.effects()
        assert len(bank.paid) == 1
        assert sorted((effect.number, effect.state) for effect in effects) == [
            (1, "failed"),
            (2, "committed"),
        ]

    play(main)


def test_an_amount_above_the_limit_is_asked_about_and_paid_once_when_approved() -> None:
    async def main() -> None:
        bank = Bank()
        async with Seawall() as sea:
            run, proposal = await proposed(sea, desk(bank, ASKS, pays("1", "150"), say("Done.")))
            assert proposal.declared
            assert proposal.roles == ("finance",)
            assert "150.00 EUR" in proposal.reasons[0].reason
            assert bank.paid == []
            await vote(sea, proposal)
            assert (await over(run)).status == "completed"
            assert (await sea.journal.proposal(proposal.id)).state == "used"
        assert [amount for _, amount, _ in bank.paid] == ["150.00 EUR"]

    play(main)


def test_an_amount_below_the_limit_is_not_asked_about() -> None:
    async def main() -> None:
        bank = Bank()
        async with Seawall() as sea:
            assert (
                await over(await sea.start(desk(bank, ASKS, pays("1", "99"), say(".")), "go"))
            ).status == "completed"
        assert len(bank.paid) == 1

    play(main)


def test_a_rejection_is_told_and_learned() -> None:
    async def main() -> None:
        bank = Bank()
        async with Seawall() as sea:
            model = ScriptedModel([pays("1", "150"), pays("1", "150"), say("Sorry.")])
            team = Team(Agent("cashier", model=model, tools=[bank.makes(ASKS)]))
            run, proposal = await proposed(sea, team)
            await vote(sea, proposal, approve=False, reason="Too much.")
            assert (await over(run)).status == "completed"
            assert await asked(sea.journal) == []
        assert bank.paid == []

    play(main)


def test_five_effects_of_one_reply_are_asked_about_at_once_and_those_approved_are_made_in_order() -> None:
    async def main() -> None:
        bank = Bank()
        async with Seawall() as sea:
            five = calls(*(pays(str(number), "150") for number in range(1, 6)))
            run = await sea.start(desk(bank, ASKS, five, say("Done.")), "go")
            await waits(run)
            byorder = await asked(sea.journal)
            assert len(byorder) == 5
            for each in (byorder[4], byorder[0], byorder[2]):
                await vote(sea, each)
            await waits(run)
            assert sorted(order for order, *_ in bank.paid) == ["1", "3", "5"]
            for each in (byorder[1], byorder[3]):
                await vote(sea, each, approve=False)
            assert (await over(run)).status == "completed"
        assert sorted(order for order, *_ in bank.paid) == ["1", "3", "5"]

    play(main)


def test_another_run_waits_for_the_decision_on_the_same_effect() -> None:
    async def main() -> None:
        bank = Bank()
        async with Seawall() as sea:
            one = await sea.start(desk(bank, ASKS, pays("1", "150"), say("One.")), "go")
            await waits(one)
            two = await sea.start(desk(bank, ASKS, pays("1", "150"), say("Two.")), "go")
            assert (await waits(two)).kind == "effect"
            (proposal,) = await asked(sea.journal)
            await vote(sea, proposal)
            assert [(await over(run)).status for run in (one, two)] == ["completed", "completed"]
        assert len(bank.paid) == 1

    play(main)


class Late(Guard):
    """Holds a step once it was approved."""

    name = "late"

    def before(self, step: Step, run: Any, memory: Any) -> Any:
        return ALLOW if step.grant is None else Hold("look again")


def test_a_guard_that_begins_to_hold_later_is_asked_about_anew() -> None:
    async def main() -> None:
        bank = Bank()
        async with Seawall(guards=[Late()]) as sea:
            run = await sea.start(desk(bank, ASKS, pays("1", "150"), say("Done.")), "go")
            await waits(run)
            (first,) = await asked(sea.journal)
            await vote(sea, first)
            await waits(run)
            (second,) = await asked(sea.journal)
            assert second.id != first.id
            assert second.reasons[0].guard == "late"
            assert bank.paid == []
            await vote(sea, second)
            assert (await over(run)).status == "completed"
        assert len(bank.paid) == 1

    play(main)


def test_the_sum_of_a_day_is_asked_about_once_it_is_used_up() -> None:
    async def main() -> None:
        bank = Bank()
        effect = Effect(unique_by=("order_id",), amount="amount", per_day=Money("2000", "EUR"))
        async with Seawall() as sea:
            many = calls(*(pays(str(number), "99") for number in range(21)))
            run = await sea.start(desk(bank, effect, many, say("Done.")), "go")
            await waits(run)
            assert len(await asked(sea.journal)) == 1
            assert len(bank.paid) == 20

    play(main)


def test_an_effect_of_unknown_fate_waits_and_is_settled_from_outside() -> None:
    async def main() -> None:
        bank = Bank()
        bank.fails = [TimeoutError()]
        async with Seawall() as sea:
            run = await sea.start(desk(bank, UNIQUE, pays("1"), say("Done.")), "go")
            assert (await waits(run)).kind == "unknown"
            (effect,) = await sea.journal.effects()
            assert effect.state == "unknown"
            with pytest.raises(Refused):
                await sea.journal.allow_again(effect.id, "alice")

    play(main)


def declare(bank: Bank, function: Any, **more: Any) -> Team:
    effect = Effect(unique_by=("order_id",), reconcile=function, **more)
    return desk(bank, effect, pays("1"), say("Done."))


def test_the_other_side_is_asked_what_became_of_an_effect() -> None:
    async def main() -> None:
        bank = Bank()
        bank.fails = [TimeoutError()]
        asked: list[str] = []

        async def find(key: str) -> str:
            asked.append(key)
            return "found receipt"

        async with Seawall() as sea:
            run = await sea.start(declare(bank, find), "go")
            outcome = await over(run)
            (effect,) = await sea.journal.effects()
            events = await sea.journal.events(run.id)
        assert outcome.status == "completed"
        assert [each.state for each in outcome.effects] == ["committed"]
        assert (effect.state, asked) == ("committed", [effect.key])
        steps = [each for each in events if isinstance(each, StepIntended) and each.reconciles is not None]
        assert len(steps) == 1

    play(main)


@pytest.mark.parametrize("sync", [True, False])
def test_what_the_other_side_denies_has_failed_and_what_it_does_not_know_waits(sync: bool) -> None:
    async def main() -> None:
        for says, state, status in (
            (NotDone("never came"), "failed", "completed"),
            (None, "unknown", "waits"),
        ):
            bank = Bank()
            bank.fails = [TimeoutError()]

            def find(key: str, says: Any = says) -> str | None:
                if says is not None:
                    raise says
                return None

            async def find_async(key: str, find: Any = find) -> str | None:
                return find(key)

            async with Seawall() as sea:
                run = await sea.start(declare(bank, find if sync else find_async), "go")
                if status == "waits":
                    assert (await waits(run)).kind == "unknown"
                else:
                    assert (await over(run)).status == status
                (effect,) = await sea.journal.effects()
                assert effect.state == state

    play(main)


def test_what_somebody_found_out_goes_to_the_run_that_waits() -> None:
    async def main() -> None:
        for state in ("committed", "failed"):
            bank = Bank()
            bank.fails = [TimeoutError()]
            async with Seawall() as sea:
                run = await sea.start(desk(bank, UNIQUE, pays("1"), say("Done.")), "go")
                await waits(run)
                (effect,) = await sea.journal.effects()
                await sea.journal.settle(Settle(effect=effect.id, state=state, at=1.0, by="alice"))
                await sea.supervisor.inbox.deliver(run.id)
                outcome = await over(run)
                assert outcome.status == "completed"
                assert [each.state for each in outcome.effects] == [state]

    play(main)


def test_a_call_whose_key_is_forgotten_is_not_made_again() -> None:
    async def main() -> None:
        clock = ManualClock()
        bank = Bank()
        bank.fails = [TimeoutError(), TimeoutError()]
        tries: list[float] = []

        async def refund(order_id: str) -> str:
            tries.append(clock.monotonic_s())
            raise TimeoutError

        made = tool(effect=Effect(unique_by=("order_id",), key_ttl_s=10.0), retries=5, name="refund")(refund)
        team = Team(
            Agent("cashier", model=ScriptedModel([call("refund", order_id="1"), say(".")]), tools=[made])
        )
        async with Seawall(clock=clock) as sea:
            run = await sea.start(team, "go")
            rest = await clock.until(run.rest())
            assert isinstance(rest, Waiting)
            assert rest.kind == "unknown"
        assert len(tries) >= 2
        assert tries[-1] - tries[0] < 10.0

    play(main)


def test_a_person_may_change_the_arguments_and_the_agent_is_told() -> None:
    async def main() -> None:
        bank = Bank()
        async with Seawall() as sea:
            model = ScriptedModel([pays("1", "150"), say("Done.")])
            run, proposal = await proposed(sea, Team(Agent("cashier", model=model, tools=[bank.makes(ASKS)])))
            text = '{"amount":{"amount":"120.00","currency":"EUR"},"order_id":"1"}'
            bodies = sea.supervisor.make_bodies()
            ref = bodies.put_json(text)
            new = compute_proposal_hash("tool", "refund", proposal.version, text, "")
            ballot = Ballot(
                proposal=proposal.id,
                hash=proposal.hash,
                approve=True,
                principal="alice",
                roles=("finance",),
                edit=ref,
                edit_hash=new,
                edit_amount=Money("120", "EUR"),
            )
            await sea.journal.decide(ballot, bodies.take_unsaved())
            await sea.supervisor.inbox.deliver(run.id)
            assert (await over(run)).status == "completed"
        assert [amount for _, amount, _ in bank.paid] == ["120.00 EUR"]
        assert "120.00" in sent(model)[-1]
        assert "other arguments" in sent(model)[-1]

    play(main)


def test_a_rejection_may_end_the_run() -> None:
    async def main() -> None:
        bank = Bank()
        async with Seawall() as sea:
            run, proposal = await proposed(sea, desk(bank, ASKS, pays("1", "150"), say("Done.")))
            await vote(sea, proposal, approve=False, reason="No.", stop=True)
            outcome = await over(run)
        assert outcome.status == "refused"
        assert outcome.stopped_by is not None
        assert outcome.stopped_by.guard == "approval"

    play(main)


def test_the_acting_user_confirms_and_nobody_else() -> None:
    async def main() -> None:
        bank = Bank()
        effect = Effect(unique_by=("order_id",), confirm=True)
        async with Seawall() as sea:
            run, proposal = await proposed(
                sea, desk(bank, effect, pays("1"), say("Done.")), principal="user:7"
            )
            assert proposal.asks == "confirm"
            with pytest.raises(Refused):
                await vote(sea, proposal, by="alice")
            await vote(sea, proposal, by="user:7")
            assert (await over(run)).status == "completed"
        assert len(bank.paid) == 1

    play(main)


def test_what_one_user_does_not_confirm_another_one_may() -> None:
    async def main() -> None:
        bank = Bank()
        effect = Effect(unique_by=("order_id",), confirm=True)
        async with Seawall() as sea:
            for user in ("user:7", "user:8"):
                team = desk(bank, effect, pays("1"), say("No."))
                run = await sea.start(team, "go", principal=user)
                await waits(run)
                (proposal,) = await sea.journal.proposals(ProposalFilter(state="open"))
                await vote(sea, proposal, by=user, approve=False)
                await over(run)
            again = desk(bank, effect, pays("1"), say("No."))
            await over(await sea.start(again, "go", principal="user:7"))  # is not asked again
            assert len(await sea.journal.proposals(ProposalFilter(state="rejected"))) == 2
        assert bank.paid == []

    play(main)


def test_a_preview_is_shown_and_one_that_fails_is_said_to_have_failed() -> None:
    async def main() -> None:
        def explain(order_id: str, amount: Money) -> str:
            if order_id == "2":
                raise LookupError("no such order")
            return f"pays {amount} for {order_id}"

        effect = Effect(unique_by=("order_id",), amount="amount", approve=FINANCE, preview=explain)
        async with Seawall() as sea:
            team = desk(Bank(), effect, calls(pays("1", "150"), pays("2", "150")), say("Done."))
            await waits(await sea.start(team, "go"))
            one, two = await asked(sea.journal)
            texts = await sea.journal.bodies("", [each for each in (one.preview, two.preview) if each])
        assert texts[one.preview or Ref("")] == b"pays 150.00 EUR for 1"
        assert (one.preview_failed, two.preview_failed) == (False, True)

    play(main)


class Panic(BaseException):
    """As native code raises it."""


class Unstorable(BaseModel):
    """Its serializer raises."""

    @model_serializer
    def encode(self) -> str:
        raise Panic("in a serializer")


def test_a_preview_that_can_not_be_shown_is_said_to_have_failed() -> None:
    async def main() -> None:
        def explain(order_id: str, amount: Money) -> Any:
            return Unstorable()

        effect = Effect(unique_by=("order_id",), amount="amount", approve=FINANCE, preview=explain)
        async with Seawall() as sea:
            await waits(await sea.start(desk(Bank(), effect, pays("1", "150"), say("Done.")), "go"))
            (one,) = await asked(sea.journal)
        assert one.preview_failed

    play(main)


def test_an_answer_of_the_other_side_that_can_not_be_recorded_is_left_to_a_person() -> None:
    async def main() -> None:
        bank = Bank()
        bank.fails = [TimeoutError()]

        async def find(key: str) -> Any:
            return Unstorable()

        async with Seawall() as sea:
            run = await sea.start(declare(bank, find), "go")
            assert (await waits(run)).kind == "unknown"

    play(main)


def test_a_live_fork_gets_the_receipt_of_its_origin() -> None:
    async def main() -> None:
        bank = Bank()
        async with Seawall() as sea:
            team = desk(bank, UNIQUE, pays("1"), say("Done."), pays("1"), say("Done again."))
            run = await sea.start(team, "go")
            await over(run)
            fork = await sea.fork(run.id, team, at=1, live_effects=True)
            assert (await over(fork)).status == "completed"
        assert len(bank.paid) == 1

    play(main)


def test_a_value_that_a_factory_makes_is_the_same_for_each_attempt_also_after_a_restart(
    tmp_path: Path,
) -> None:
    seen: list[tuple[int, str]] = []

    def cashier(*, hangs: bool) -> Team:
        async def pay(ctx: ToolContext, made: Made) -> str:
            seen.append((made.number, ctx.key))
            if hangs:
                await asyncio.Event().wait()
            return "paid"

        effect = Effect(key_ttl_s=3600.0)
        model = ScriptedModel(
            lambda request: say("Paid.") if len(request.messages) > 2 else call("pay", made={})
        )
        return Team(Agent("cashier", model=model, tools=[tool(effect=effect, name="pay")(pay)]))

    async def main() -> None:
        async with Seawall(tmp_path / "journal.db") as sea:
            run = await sea.start(cashier(hangs=True), "go")
            async with asyncio.timeout(60):
                while not seen:
                    await asyncio.sleep(0)
        async with Seawall(tmp_path / "journal.db") as sea:
            assert (await over(await sea.resume(run.id, cashier(hangs=False)))).status == "completed"
        assert len(seen) == 2
        assert seen[0] == seen[1]

    play(main)


def test_the_strictest_of_several_rules_says_who_decides() -> None:
    async def main() -> None:
        effect = Effect(
            unique_by=("order_id",),
            amount="amount",
            approve=(
                above(Money("10000", "JPY"), roles=("tokyo",)),
                FINANCE,
                above(Money("1000", "EUR"), roles=("board",), people=2),
            ),
            per_day=Money("2000", "EUR"),
        )
        async with Seawall() as sea:
            for order, amount, roles in (
                ("1", "150", "finance"),
                ("2", "1500", "board"),
                ("3", "5000", "board"),
            ):
                run = await sea.start(desk(Bank(), effect, pays(order, amount), say(".")), "go")
                await waits(run)
                newest = (await asked(sea.journal))[-1]
                assert newest.roles == (roles,)

    play(main)


def test_an_amount_that_is_not_there_is_asked_about_under_the_rules_on_amounts() -> None:
    async def main() -> None:
        async def refund(order_id: str, amount: Money | None = None) -> str:
            return f"paid {order_id} {amount}"

        made = tool(effect=Effect(unique_by=("order_id",), amount="amount", approve=FINANCE), name="refund")(
            refund
        )
        model = ScriptedModel([call("refund", order_id="1"), say(".")])
        async with Seawall() as sea:
            await waits(await sea.start(Team(Agent("cashier", model=model, tools=[made])), "go"))
            (proposal,) = await asked(sea.journal)
        assert proposal.roles == ("finance",)
        assert "has no amount" in proposal.reasons[0].reason

    play(main)
