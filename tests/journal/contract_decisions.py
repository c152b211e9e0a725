"""What every journal does with proposals, and with what people decide on them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from journal.effects_story import (
    ALICE,
    HASH,
    NEW_HASH,
    append_records,
    ask,
    attempt,
    claim_of,
    committed,
    eur,
    proposal_of,
    sent,
    status_of,
)
from journal.story import Open, begin, bodies, finish, opened
from seawall.core.canonical import ref_of
from seawall.core.errors import Fenced, Misused, Refused
from seawall.core.events import CommandTaken
from seawall.journal.protocol import (
    Command,
    EffectFilter,
    PrincipalRecord,
    ProposalFilter,
)
from seawall.testing import ManualClock


class DecisionContract:
    """Proposals, and who may decide on them."""

    def test_an_approved_proposal_lets_its_call_go_on_once(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease, proposal = await ask(journal)
                assert await journal.proposals() == [proposal]
                assert await journal.woken_runs(["desk"]) == []
                decided = await journal.decide(replace(ALICE, reason="as agreed"))
                assert (decided.state, decided.votes[0].principal) == ("approved", "alice")
                (command,) = await sent(journal, "r-1")
                assert command == Command(
                    kind="decide", by="alice", reason="as agreed", step=2, approved=True, proposal="p-1"
                )
                assert await journal.woken_runs(["desk", "other"]) == ["r-1"]
                taken = CommandTaken(at=1.0, inbox=0, command="decide")
                await journal.append(lease, 2, [taken], {}, waiting=False)
                assert await journal.woken_runs(["desk"]) == []

                mine = claim_of("r-1", asks=True, hash=HASH, amount=eur("500"), proposal="p-1")
                answer = await journal.claim(mine)
                assert (answer.status, await journal.claim(mine)) == ("claimed", answer)
                assert (await journal.proposal("p-1")).state == "used"
                await append_records(journal, lease, 3, attempt(answer.effect))
                await append_records(journal, lease, 4, committed(answer.effect))
                assert (await journal.effect(answer.effect.id if answer.effect else "")).state == "committed"
                assert [each.what for each in await journal.decisions("p-1")] == ["approve"]
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_an_effect_is_approved_as_soon_as_its_proposal_is_and_only_while_that_holds(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:

                async def list_states() -> dict[str, list[str]]:
                    return {
                        state: [each.state for each in await journal.effects(EffectFilter(state=state))]
                        for state in ("proposed", "approved")
                    }

                lease, proposal = await ask(journal, people=2, expires_at=clock.wall_s() + 100.0)
                asked = {"proposed": ["proposed"], "approved": []}
                approved = {"proposed": [], "approved": ["approved"]}
                await journal.decide(ALICE)
                assert await list_states() == asked
                await journal.decide(replace(ALICE, principal="bob"))
                assert await list_states() == approved
                assert [each.state for each in await journal.effects(EffectFilter(run="r-1"))] == ["approved"]
                assert [each.state for each in await journal.effects()] == ["approved"]
                for wanted in (
                    EffectFilter(state="approved", tenant="acme"),
                    EffectFilter(state="approved", run="r-1"),
                ):
                    assert len(await journal.effects(wanted)) == 1
                assert await journal.effects(EffectFilter(state="approved", tool="other")) == []
                assert (await journal.effect(proposal.effect)).state == "approved"
                with pytest.raises(Fenced):  # not taken up: whether it still holds is checked then
                    await append_records(journal, lease, 2, attempt(await journal.effect(proposal.effect)))

                await clock.advance(101)
                assert await list_states() == asked
                assert (await journal.effect(proposal.effect)).state == "proposed"
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_what_differs_from_what_was_approved_is_asked_about_again(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await ask(journal)
                await journal.decide(ALICE)
                answer = await journal.claim(
                    claim_of("r-1", asks=True, hash=NEW_HASH, amount=eur("500"), proposal="p-1")
                )
                assert answer.status == "asks"
                assert "has the hash aaaaaaaaaaaa…, this call has bbbbbbbbbbbb…" in answer.problem
                assert (await journal.proposal("p-1")).state == "void"

        asyncio.run(scenario())

    def test_a_rejection_frees_the_claim_and_is_learned_until_it_expires(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await ask(journal)
                await journal.decide(replace(ALICE, approve=False, reason="too much", stop=True))
                (command,) = await sent(journal, "r-1")
                assert (command.approved, command.stop, command.reason) == (False, True, "too much")
                assert await journal.effects() == []
                await begin(journal, "r-2")
                answer = await journal.claim(claim_of("r-2", hash=HASH))
                assert answer.status == "rejected"
                assert answer.proposal is not None
                assert answer.proposal.votes[0].reason == "too much"
                assert status_of(await journal.claim(claim_of("r-2", hash=HASH, tenant="other"))) == "claimed"
                await clock.advance(100)
                assert status_of(await journal.claim(claim_of("r-3", identity="i-9", hash=HASH))) == "claimed"

        asyncio.run(scenario())

    def test_what_looks_like_a_rejected_effect_is_rejected_within_its_run(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await ask(journal, likeness="l-1")
                await journal.decide(replace(ALICE, approve=False))
                await begin(journal, "r-2")
                alike = claim_of("r-1", call="c-2", hash=NEW_HASH, likeness="l-1")
                assert status_of(await journal.claim(alike)) == "rejected"
                assert status_of(await journal.claim(replace(alike, likeness="l-2", asks=True))) == "asks"
                assert (
                    status_of(await journal.claim(replace(alike, call="c-3", identity="", key="k")))
                    == "claimed"
                )
                other = claim_of("r-2", identity="i-2", hash=NEW_HASH, likeness="l-1")
                assert status_of(await journal.claim(other)) == "claimed"
                await clock.advance(100)
                later = replace(alike, call="c-4", identity="i-4")
                assert status_of(await journal.claim(later)) == "claimed"

        asyncio.run(scenario())

    def test_two_people_are_two_people(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await ask(journal, people=2)
                assert (await journal.decide(ALICE)).state == "open"
                assert await sent(journal, "r-1") == []
                with pytest.raises(Refused, match="has voted already; 2 people"):
                    await journal.decide(replace(ALICE, principal="Alice "))
                assert (await journal.decide(replace(ALICE, principal="bob"))).state == "approved"
                assert [command.by for command in await sent(journal, "r-1")] == ["alice, bob"]
                with pytest.raises(Refused, match="approved already by alice, bob"):
                    await journal.decide(replace(ALICE, principal="carol"))
                history = await journal.decisions("p-1")
                assert [(each.what, each.by) for each in history] == [
                    ("approve", "alice"),
                    ("refuse", "Alice "),
                    ("approve", "bob"),
                    ("refuse", "carol"),
                ]
                assert await journal.decisions() == history
                assert await journal.decisions(limit=1) == history[-1:]
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_an_edit_begins_the_votes_anew_and_never_asks_for_more(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await ask(journal, people=2)
                await journal.decide(ALICE)
                new = b'{"order_id":"1042","amount":"300"}'
                edit = replace(ALICE, principal="bob", edit=ref_of(new), edit_hash=NEW_HASH)
                with pytest.raises(Refused, match="may not make it 501"):
                    await journal.decide(replace(edit, edit_amount=eur("501")), bodies(new))
                with pytest.raises(Misused, match="is not in the journal"):
                    await journal.decide(replace(edit, edit_amount=eur("300")))
                edited = await journal.decide(replace(edit, edit_amount=eur("300")), bodies(new))
                assert (edited.state, edited.hash, edited.amount) == ("open", NEW_HASH, eur("300"))
                assert [vote.principal for vote in edited.votes] == ["bob"]
                with pytest.raises(Refused, match=f"the decision has the hash {HASH}"):
                    await journal.decide(ALICE)
                await journal.decide(replace(ALICE, hash=NEW_HASH))
                (command,) = await sent(journal, "r-1")
                assert (command.approved, command.edit) == (True, ref_of(new))
                assert await journal.bodies("acme", [ref_of(new)]) == bodies(new)

        asyncio.run(scenario())

    def test_a_decision_after_its_time_is_refused_whatever_the_clock_says(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await ask(journal, expires_at=clock.wall_s() + 50)
                await clock.advance(50)
                await begin(journal, "r-2")  # so the journal has seen this time
                clock.jump_wall(-49)
                with pytest.raises(Refused, match="expired at 2026-01-01 00:00:50 UTC"):
                    await journal.decide(ALICE)
                assert (await journal.proposal("p-1")).state == "expired"
                assert await journal.effects() == []
                (command,) = await sent(journal, "r-1")
                assert (command.approved, command.by) == (False, "")

        asyncio.run(scenario())

    def test_nobody_decides_on_a_run_that_has_ended(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease, _ = await ask(journal)
                await finish(journal, lease, 2)
                with pytest.raises(Refused, match="proposal p-1 is void already"):
                    await journal.decide(ALICE)
                with pytest.raises(Misused, match="p-9 is not in the journal"):
                    await journal.decide(replace(ALICE, proposal="p-9"))

        asyncio.run(scenario())

    def test_proposals_are_listed_by_who_may_decide(self, open_journal: Open, clock: ManualClock) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                kinds = {
                    "p-1": proposal_of("r-1"),
                    "p-2": proposal_of("r-1", roles=("legal",)),
                    "p-3": proposal_of("r-1", roles=()),
                    "p-4": proposal_of(
                        "r-1", roles=("legal",), escalate_at=clock.wall_s() + 10, escalate_to=("finance",)
                    ),
                    "p-5": proposal_of("r-1", roles=("finance", "legal")),
                }
                for number, (name, proposal) in enumerate(kinds.items(), 1):
                    await append_records(journal, lease, number, replace(proposal, id=name))

                async def list_ids(**wanted: Any) -> list[str]:
                    found = await journal.proposals(ProposalFilter(**wanted))
                    counted = await journal.proposal_groups(ProposalFilter(**wanted))
                    assert counted == [(each.id, each.group) for each in found]
                    return [each.id for each in found]

                assert await list_ids() == list(kinds)
                assert await list_ids(role="finance") == ["p-1", "p-3", "p-5"]
                assert await list_ids(role="finance", tenant="acme") == ["p-1", "p-3", "p-5"]
                assert await list_ids(role="finance", run="r-1") == ["p-1", "p-3", "p-5"]
                assert await list_ids(role="finance", tenant="other") == []
                assert await list_ids(role="finance", after="p-1") == ["p-3", "p-5"]
                assert await list_ids(tenant="acme", after="p-3") == ["p-4", "p-5"]
                assert await list_ids(run="r-2") == []
                assert await list_ids(state=None) == list(kinds)
                assert await list_ids(state="approved") == []
                await clock.advance(10)
                assert await list_ids(role="finance") == ["p-1", "p-3", "p-4", "p-5"]
                wanted = ProposalFilter(role="finance", after="p-1")
                assert [each.id for each in await journal.proposals(wanted, limit=2)] == ["p-3", "p-4"]
                with pytest.raises(Misused, match="begins after one that is"):
                    await list_ids(after="p-9")

        asyncio.run(scenario())

    def test_who_must_be_told_is_due_until_they_are_told(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                now = clock.wall_s()
                lease, _ = await ask(
                    journal,
                    created_at=now,
                    remind_at=now + 10,
                    escalate_at=now + 20,
                    escalate_to=("cfo",),
                    expires_at=now + 30,
                )

                async def is_due() -> bool:
                    return [each.id for each in await journal.due_proposals(clock.wall_s())] == ["p-1"]

                async def changes() -> bool:
                    found = await journal.due_proposals(clock.wall_s(), told=False)
                    return [each.id for each in found] == ["p-1"]

                assert await is_due()
                assert not await changes()
                await journal.mark_proposal("p-1", "new")
                assert not await is_due()
                assert (await journal.mark_proposal("p-1", "expired")).state == "open"
                await clock.advance(10)
                assert await is_due()
                await journal.mark_proposal("p-1", "reminded")
                await clock.advance(10)
                assert await is_due()
                assert await changes()
                assert (await journal.mark_proposal("p-1", "escalated")).escalated
                assert not await changes()
                await clock.advance(10)
                assert await changes()
                assert (await journal.mark_proposal("p-1", "expired", told=False)).state == "expired"
                assert not await changes()
                assert await is_due()
                told = await journal.mark_proposal("p-1", "expired")
                assert told.notified == ("new", "reminded", "escalated", "expired")
                assert not await is_due()
                assert [command.approved for command in await sent(journal, "r-1")] == [False]
                assert await journal.effects() == []
                assert [each.what for each in await journal.decisions("p-1")] == ["expire"]
                await finish(journal, lease, 2)

        asyncio.run(scenario())

    def test_a_proposal_is_taken_back_by_its_run(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease, proposal = await ask(journal)
                await append_records(journal, lease, 2, replace(proposal, state="void"))
                assert (await journal.proposal("p-1")).state == "void"
                assert await journal.effects() == []
                assert await sent(journal, "r-1") == []

        asyncio.run(scenario())

    def test_a_key_decides_with_the_roles_of_its_record_while_it_is_there(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                alice = PrincipalRecord(name="alice", roles=("finance",), key_hash="k-1", created_at=1.0)
                await ask(journal, people=2)
                ballot = replace(ALICE, key="k-1", roles=("everything",))
                with pytest.raises(Refused, match="alice has no such key"):
                    await journal.decide(ballot)
                await journal.put_principal(alice)
                await journal.put_principal(alice)
                with pytest.raises(Misused, match="'alice' has this key"):
                    await journal.put_principal(replace(alice, name="bob"))
                with pytest.raises(Misused, match="'alice' has a key"):
                    await journal.put_principal(replace(alice, key_hash="k-2"), new=True)
                assert (await journal.decide(ballot)).votes[0].roles == ("finance",)
                await journal.put_principal(replace(alice, removed_at=5.0))
                with pytest.raises(Refused, match="alice has no such key"):
                    await journal.decide(ballot)
                assert [each.removed_at for each in await journal.principals()] == [5.0]
                changes = [each.what for each in await journal.decisions("alice")]
                assert changes == ["principal", "remove"]
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())
