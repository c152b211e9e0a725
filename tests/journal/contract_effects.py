"""What every journal does with effects, which outlive the runs that made them."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from journal.effects_story import (
    ALICE,
    ARGUMENTS,
    OTHER,
    RECEIPT,
    append_records,
    ask,
    attempt,
    claim_of,
    committed,
    eur,
    pay,
    sent,
    status_of,
)
from journal.story import INTENT, Open, begin, bodies, done, ended, finish, intended, opened, started
from seawall.core.canonical import ref_of
from seawall.core.errors import Fenced, Misused, Refused
from seawall.core.money import Money
from seawall.journal.protocol import (
    ClaimAnswer,
    EffectFilter,
    EffectRecord,
    Fact,
    FactsTold,
    Settle,
    Summary,
    SumRule,
    Wait,
)
from seawall.testing import ManualClock


class ClaimContract:
    """One effect of one identity, whoever asks for it."""

    def test_an_identity_is_claimed_once_and_its_receipt_answers_the_others(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                _, effect = await pay(journal, "r-1")
                assert (effect.state, effect.number, effect.key) == ("committed", 1, "i-1-1")
                assert effect.receipt == ref_of(RECEIPT)
                assert effect.attempted_at == 10.0
                await begin(journal, "r-2")
                answer = await journal.claim(claim_of("r-2"))
                assert (answer.status, answer.effect) == ("committed", effect)
                assert await journal.claim(claim_of("r-1")) == answer
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_a_claim_in_flight_lets_others_wait_and_its_own_call_go_on(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                other = await begin(journal, "r-2")
                first = await journal.claim(claim_of("r-1"))
                assert await journal.claim(claim_of("r-1")) == first
                assert status_of(await journal.claim(claim_of("r-1", "c-2"))) == "waits"
                assert status_of(await journal.claim(claim_of("r-2"))) == "waits"
                await append_records(journal, lease, 1, attempt(first.effect))
                again = await journal.claim(claim_of("r-1"))
                assert again.status == "claimed"
                assert again.effect is not None
                assert again.effect.state == "attempting"
                waits = Wait(effect=again.effect.id, run="r-2", step=5)
                await append_records(journal, other, 1, waits, waiting=True)
                assert await sent(journal, "r-2") == []
                await append_records(journal, lease, 2, committed(first.effect))
                (woken,) = await sent(journal, "r-2")
                assert (woken.kind, woken.step, woken.approved) == ("settled", 5, True)
                assert woken.output == ref_of(RECEIPT)
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_a_failed_effect_may_go_again_under_the_next_key(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                first = await journal.claim(claim_of("r-1"))
                assert first.effect is not None
                failed = Settle(effect=first.effect.id, state="failed", at=11.0, reason="closed")
                await append_records(journal, lease, 1, attempt(first.effect))
                await append_records(journal, lease, 2, failed)
                again = await journal.claim(claim_of("r-1", "c-2"))
                assert again.effect is not None
                assert (again.status, again.effect.key) == ("claimed", "i-1-2")

        asyncio.run(scenario())

    def test_a_claim_of_a_run_that_ended_without_an_intent_is_free(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                other = await begin(journal, "r-2")
                first = await journal.claim(claim_of("r-1"))
                assert first.effect is not None
                wait = Wait(effect=first.effect.id, run="r-2", step=5)
                await append_records(journal, other, 1, wait, waiting=True)
                await finish(journal, lease, 1)
                (woken,) = await sent(journal, "r-2")
                assert (woken.step, woken.approved, woken.output) == (5, None, None)
                assert status_of(await journal.claim(claim_of("r-2"))) == "claimed"
                with pytest.raises(Refused, match="r-1 has ended"):
                    await journal.claim(claim_of("r-1"))

        asyncio.run(scenario())

    def test_an_attempt_that_a_run_leaves_behind_is_unknown(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                first = await journal.claim(claim_of("r-1", amount=eur("5")))
                await append_records(journal, lease, 1, attempt(first.effect))
                await finish(journal, lease, 2)
                (left,) = await journal.effects(EffectFilter(state="unknown"))
                assert left.run == "r-1"
                await begin(journal, "r-2")
                assert status_of(await journal.claim(claim_of("r-2"))) == "waits"

        asyncio.run(scenario())

    def test_a_claim_of_a_run_that_never_came_is_free_after_an_hour(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await journal.claim(claim_of("r-never"))
                await begin(journal, "r-2")
                await clock.advance(3_600)
                assert status_of(await journal.claim(claim_of("r-2"))) == "waits"
                await clock.advance(1)
                assert status_of(await journal.claim(claim_of("r-2"))) == "claimed"

        asyncio.run(scenario())

    def test_a_wait_for_what_is_settled_already_is_answered_at_once(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                _, effect = await pay(journal, "r-1")
                lease = await begin(journal, "r-2")
                waits = [Wait(effect=effect.id, run="r-2", step=5), Wait(effect="e-gone", run="r-2", step=6)]
                await append_records(journal, lease, 1, *waits, waiting=True)
                told = [(command.step, command.approved) for command in await sent(journal, "r-2")]
                assert told == [(5, True), (6, None)]

        asyncio.run(scenario())

    def test_an_attempt_needs_its_claim(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await begin(journal, "r-1")
                answer = await journal.claim(claim_of("r-1"))
                lease = await begin(journal, "r-2")
                with pytest.raises(Fenced, match="claimed by call c-1 of run r-1"):
                    await append_records(journal, lease, 1, attempt(answer.effect))
                lease = await begin(journal, "r-3")
                with pytest.raises(Fenced, match="is not claimed"):
                    await append_records(journal, lease, 1, Settle(effect="e-0", state="attempting", at=1.0))
                assert len(await journal.events("r-2")) == 1

        asyncio.run(scenario())

    def test_a_plain_effect_needs_no_claim_and_is_listed(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1", session="s")
                plain = EffectRecord(
                    id="e-1",
                    key="r-1:c-1",
                    tenant="acme",
                    run="r-1",
                    call="c-1",
                    session="s",
                    tool="mail",
                    state="attempting",
                    claimed_at=1.0,
                )
                await append_records(journal, lease, 1, replace(attempt(plain), record=plain))
                await append_records(journal, lease, 2, committed(plain))
                (listed,) = await journal.effects(EffectFilter(tool="mail", tenant="acme"))
                assert (listed.id, listed.state, listed.receipt) == ("e-1", "committed", ref_of(RECEIPT))
                for wanted in (EffectFilter(session="s"), EffectFilter(run="r-1"), EffectFilter()):
                    assert await journal.effects(wanted) == [listed]
                assert await journal.effects(EffectFilter(state="unknown", tool="mail")) == []
                assert await journal.effects(EffectFilter(before="e-1")) == []
                assert await journal.effect("e-1") == listed

        asyncio.run(scenario())

    def test_a_question_that_was_never_asked_keeps_no_plain_effect_from_being_made(
        self, open_journal: Open
    ) -> None:
        """The process dies between the claim and the question, and the next one has no reason to ask."""

        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                answer = await journal.claim(claim_of("r-1", identity="", asks=True))
                left = answer.effect
                assert left is not None
                assert left.state == "proposed"
                with pytest.raises(Fenced, match="is proposed"):  # one that must be claimed is asked about
                    await append_records(journal, lease, 1, attempt(left))
                lease = await begin(journal, "r-2")
                answer = await journal.claim(claim_of("r-2", identity="", asks=True))
                assert answer.effect is not None
                plain = replace(answer.effect, state="attempting")
                await append_records(journal, lease, 1, replace(attempt(plain), record=plain))
                await append_records(journal, lease, 2, committed(plain))
                found = await journal.effect(plain.id)
                assert found is not None
                assert found.state == "committed"

        asyncio.run(scenario())

    def test_an_effect_is_found_by_a_part_of_its_id(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                _, effect = await pay(journal, "r-1")
                assert await journal.effect(effect.id[:6]) == effect
                assert await journal.effect(effect.id[-5:]) == effect
                assert await journal.effect(effect.id[-12:]) == effect
                with pytest.raises(Misused, match="no effect's id"):
                    await journal.effect("e-no")
                with pytest.raises(Misused, match="no proposal's id"):
                    await journal.proposal("")

        asyncio.run(scenario())


class SumContract:
    """Limits on what a tool does in a run, a tenant and a day."""

    def test_the_twenty_first_payment_of_a_day_is_asked_about(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                rule = SumRule(over="day", limit=eur("2000"))
                answers: list[ClaimAnswer] = []
                for number in range(21):
                    run = f"r-{number}"
                    await begin(journal, run)
                    claim = claim_of(run, identity=f"i-{number}", amount=eur("99"), rules=(rule,))
                    answers.append(await journal.claim(claim))
                assert [answer.status for answer in answers] == ["claimed"] * 20 + ["asks"]
                assert answers[-1].over[0].value == eur("2079")
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_a_failed_effect_gives_its_amount_back_and_an_unknown_one_does_not(
        self, open_journal: Open
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                rules = tuple(SumRule(over=over, limit=eur("100")) for over in ("run", "tenant", "day"))
                lease = await begin(journal, "r-1")
                first = await journal.claim(claim_of("r-1", amount=eur("60"), rules=rules))
                assert first.effect is not None
                await append_records(journal, lease, 1, attempt(first.effect))
                await append_records(
                    journal, lease, 2, Settle(effect=first.effect.id, state="unknown", at=11.0)
                )
                second = claim_of("r-1", "c-2", identity="i-2", amount=eur("60"), rules=rules, ahead=True)
                asked = await journal.claim(second)
                assert asked.status == "asks"
                assert [(over.rule, over.value) for over in asked.over] == [
                    (number, eur("120")) for number in range(3)
                ]
                await journal.settle(Settle(effect=first.effect.id, state="failed", at=12.0, by="bob"))
                assert status_of(await journal.claim(second)) == "claimed"

        asyncio.run(scenario())

    def test_another_currency_than_the_limit_s_is_asked_about(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await begin(journal, "r-1")
                rules = (SumRule(over="day", limit=eur("2000")),)
                answer = await journal.claim(claim_of("r-1", amount=Money("1", "USD"), rules=rules))
                assert answer.over[0].value == Money("1", "USD")
                with pytest.raises(Misused, match="no amount"):
                    await journal.claim(claim_of("r-1", "c-2", rules=rules))

        asyncio.run(scenario())

    def test_a_claim_that_is_taken_up_on_the_next_day_counts_there(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await begin(journal, "r-1")
                await begin(journal, "r-2")
                rules = (SumRule(over="day", limit=eur("100")),)
                one = claim_of("r-1", amount=eur("60"), rules=rules)
                assert status_of(await journal.claim(one)) == "claimed"
                await clock.advance(86_400)
                other = claim_of("r-2", identity="i-2", amount=eur("60"), rules=rules)
                assert status_of(await journal.claim(other)) == "claimed"
                asked = await journal.claim(one)
                assert (asked.status, asked.over[0].value) == ("asks", eur("120"))
                assert asked.effect is not None
                assert asked.effect.day == "2026-01-02"

        asyncio.run(scenario())


class SettleContract:
    """What becomes of an effect, said from outside of its run."""

    def test_an_unknown_effect_of_a_pruned_run_is_settled_and_answers(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                answer = await journal.claim(claim_of("r-1"), bodies(ARGUMENTS))
                await append_records(journal, lease, 1, attempt(answer.effect))
                await finish(journal, lease, 2)
                await clock.advance(10)
                await journal.prune(before=clock.wall_s())
                assert await journal.events("r-1") == []
                assert await journal.bodies("acme", [ref_of(ARGUMENTS)]) == bodies(ARGUMENTS)
                says = replace(committed(answer.effect), by="bob", reason="the bank's list")
                with pytest.raises(Misused, match="is not in the journal"):
                    await journal.settle(replace(says, receipt=ref_of(OTHER)))
                settled = await journal.settle(replace(says, receipt=ref_of(OTHER)), bodies(OTHER))
                assert (settled.state, settled.settled_by) == ("committed", "bob")
                await journal.prune(before=clock.wall_s())
                await begin(journal, "r-2")
                again = await journal.claim(claim_of("r-2"))
                assert (again.status, again.effect) == ("committed", settled)
                assert await journal.bodies("acme", [ref_of(OTHER)]) == bodies(OTHER)
                assert [each.what for each in await journal.decisions(settled.id)] == ["commit"]
                assert (await journal.verify()).bad is None
                await journal.erase("acme", [ref_of(OTHER)])
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_a_run_that_goes_on_is_told_what_became_of_its_effect(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                answer = await journal.claim(claim_of("r-1"))
                await append_records(journal, lease, 1, attempt(answer.effect))
                assert answer.effect is not None
                fails = Settle(effect=answer.effect.id, state="failed", at=12.0, by="bob", reason="no")
                with pytest.raises(Refused, match="is performing it at this moment"):
                    await journal.settle(fails)
                await append_records(
                    journal, lease, 2, Settle(effect=answer.effect.id, state="unknown", at=11.0)
                )
                await journal.settle(fails)
                (command,) = await sent(journal, "r-1")
                assert (command.kind, command.step, command.approved) == ("settled", 7, False)
                assert (command.by, command.reason) == ("bob", "no")
                late = replace(committed(answer.effect), by="late")
                await append_records(journal, lease, 3, late)
                assert (await journal.effect(answer.effect.id)).state == "committed"
                assert [each.what for each in await journal.decisions(answer.effect.id)] == ["fail", "commit"]

        asyncio.run(scenario())

    def test_what_is_committed_stays_so(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease, effect = await pay(journal, "r-1")
                assert await journal.settle(committed(effect)) == effect
                with pytest.raises(Refused, match="it has the receipt"):
                    await journal.settle(committed(effect, OTHER), bodies(OTHER))
                with pytest.raises(Refused, match="committed, and that is final"):
                    await journal.settle(Settle(effect=effect.id, state="failed", at=12.0, by="bob"))
                await append_records(journal, lease, 3, Settle(effect=effect.id, state="failed", at=12.0))
                assert await journal.effect(effect.id) == effect
                assert await sent(journal, "r-1") == []

        asyncio.run(scenario())

    def test_a_person_allows_one_more(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                _, effect = await pay(journal, "r-1")
                assert (await journal.allow_again(effect.id, "alice")).again == "alice"
                lease = await begin(journal, "r-2")
                answer = await journal.claim(claim_of("r-2"))
                assert answer.effect is not None
                assert (answer.status, answer.effect.number) == ("claimed", 2)
                with pytest.raises(Refused, match="came after it"):
                    await journal.allow_again(effect.id, "alice")
                await append_records(journal, lease, 1, attempt(answer.effect))
                assert (await journal.effect(effect.id)).again == ""
                await append_records(journal, lease, 2, committed(answer.effect))
                await begin(journal, "r-3")
                assert status_of(await journal.claim(claim_of("r-3"))) == "committed"
                assert [each.what for each in await journal.decisions(effect.id)] == ["again"]

        asyncio.run(scenario())

    def test_permission_for_one_more_outlives_a_run_that_did_not_use_it(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                _, effect = await pay(journal, "r-1")
                await journal.allow_again(effect.id, "alice")
                lease = await begin(journal, "r-2")
                await journal.claim(claim_of("r-2"))
                await finish(journal, lease, 1)
                await begin(journal, "r-3")
                assert status_of(await journal.claim(claim_of("r-3"))) == "claimed"

        asyncio.run(scenario())


class FactContract:
    """What the next run of a session is told, and the key of identities."""

    def test_a_fact_is_told_to_one_run(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                fact = Fact(number=0, at=0.0, run="r-0", text=ref_of(RECEIPT))
                for at in (0.0, 1.0, 2.0):
                    await journal.add_fact("acme", "s", replace(fact, at=at), bodies(RECEIPT))
                await journal.add_fact("acme", "t", fact)
                with pytest.raises(Misused, match="is not in the journal"):
                    await journal.add_fact("acme", "s", replace(fact, text=ref_of(OTHER)))
                one, two, three = await journal.facts("acme", "s")
                assert (one.at, one.number < two.number < three.number) == (0.0, True)
                assert await journal.facts("other", "s") == []
                told = FactsTold(session="s", numbers=(one.number, two.number))
                await journal.create(started("r-1", session="s"), [], bodies(INTENT), records=[told])
                assert await journal.facts("acme", "s") == [three]
                with pytest.raises(Refused, match="was told to another run already") as refused:
                    await journal.create(started("r-2", session="s"), [], {}, records=[told])
                assert refused.value.guard == "session"
                assert [row.run for row in await journal.runs()] == ["r-1"]
                await journal.add_fact("acme", "s", fact)
                assert (await journal.facts("acme", "s"))[-1].number > three.number
                assert len(await journal.facts("acme", "t")) == 1
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_the_key_of_identities_never_changes(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                keys = await asyncio.gather(*(journal.identity_key() for _ in range(3)))
                assert len(set(keys)) == 1
                assert len(keys[0]) == 32
                assert await journal.identity_key() == keys[0]
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_a_run_that_ends_at_once_leaves_nothing_claimed(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                answer = await journal.claim(claim_of("r-1"))
                await journal.create(
                    started("r-1"),
                    [intended(1), done(1, b"{}"), ended()],
                    bodies(ARGUMENTS, RECEIPT, b"{}"),
                    summary=Summary(status="completed"),
                    records=[attempt(answer.effect), committed(answer.effect)],
                )
                await journal.claim(claim_of("r-2", identity="i-2"))
                await journal.create(
                    started("r-2"), [ended()], bodies(RECEIPT), summary=Summary(status="completed")
                )
                assert [each.state for each in await journal.effects()] == ["committed"]

        asyncio.run(scenario())


class EffectsContract(ClaimContract, SumContract, SettleContract, FactContract):
    """Everything about effects, in one handle."""


class SharedEffectsContract:
    """Effects, over several handles."""

    def test_of_two_deciders_one_counts_and_the_other_is_told(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as one, opened(open_journal) as two:
                await ask(one)
                reject = replace(ALICE, principal="bob", approve=False)
                results = await asyncio.gather(one.decide(ALICE), two.decide(reject), return_exceptions=True)
                kinds = sorted(type(result).__name__ for result in results)
                assert kinds == ["Proposal", "Refused"]
                assert len(await sent(two, "r-1")) == 1

        asyncio.run(scenario())

    def test_of_two_claims_one_gets_the_identity(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as one, opened(open_journal) as two:
                await begin(one, "r-1")
                await begin(two, "r-2")
                answers = await asyncio.gather(one.claim(claim_of("r-1")), two.claim(claim_of("r-2")))
                assert sorted(answer.status for answer in answers) == ["claimed", "waits"]
                assert await one.identity_key() == await two.identity_key()

        asyncio.run(scenario())
