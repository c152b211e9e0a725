"""The rules of effects: what a claim is answered, and what may become of an effect."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.errors import Fenced, Misused, Refused, SeawallBug
from seawall.core.events import EffectState
from seawall.core.money import Money
from seawall.journal.effect_rules import (
    UNKNOWN_RUN_S,
    ClaimFacts,
    ClaimPlan,
    Over,
    allow_another,
    begin_attempt,
    count_amount,
    is_replaced,
    is_void,
    plan_claim,
    settle_from_outside,
    settle_in_run,
)
from seawall.journal.protocol import EffectClaim, EffectRecord, Proposal, Settle, SumRule

HASH, OTHER = "a" * 64, "b" * 64
RECEIPT = Ref("c" * 64)
NOW = 1_767_225_600.0  # 2026-01-01
STATES: tuple[EffectState, ...] = ("proposed", "approved", "attempting", "committed", "failed", "unknown")
CLAIM = EffectClaim(tenant="acme", run="r-1", call="c-1", tool="refund", identity="i", hash=HASH)


def eur(amount: str | int) -> Money:
    return Money(amount, "EUR")


def record_of(state: EffectState, **fields: Any) -> EffectRecord:
    record = EffectRecord(
        id="e-1",
        key="i-1",
        identity="i",
        tenant="acme",
        run="r-1",
        call="c-1",
        tool="refund",
        state=state,
        claimed_at=NOW,
    )
    return replace(record, **fields)


def proposal_of(**fields: Any) -> Proposal:
    proposal = Proposal(
        id="p-1",
        hash=HASH,
        tenant="acme",
        run="r-1",
        call="c-1",
        step=2,
        agent="clerk",
        name="refund",
        created_at=NOW,
        state="approved",
    )
    return replace(proposal, **fields)


def plan(claim: EffectClaim = CLAIM, **fields: Any) -> ClaimPlan:
    """Returns what follows from a claim in a journal that holds nothing else."""
    sums: dict[Over, Decimal] = dict.fromkeys(("run", "tenant", "day"), Decimal(0))
    known: dict[str, Any] = dict.fromkeys(("own", "newest", "proposal", "rejected"))
    return plan_claim(claim, ClaimFacts(**{"now": NOW, "sums": sums, **known, **fields}))


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("proposed", "claimed"),
        ("approved", "claimed"),
        ("attempting", "claimed"),
        ("unknown", "claimed"),
        ("committed", "committed"),
        ("failed", "claimed"),
    ],
)
def test_a_call_that_claims_again_gets_its_own_claim(state: EffectState, status: str) -> None:
    own = record_of(state)
    found = plan(own=own, newest=own)
    assert found.answer.status == status
    if state in ("attempting", "unknown", "committed"):
        assert (found.answer.effect, found.effect) == (own, None)
    if state == "failed":
        assert found.answer.effect is not None
        assert (found.answer.effect.key, found.answer.effect.number) == ("i-2", 2)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("proposed", "waits"),
        ("approved", "waits"),
        ("attempting", "waits"),
        ("unknown", "waits"),
        ("committed", "committed"),
        ("failed", "claimed"),
    ],
)
def test_another_call_of_the_identity_waits_or_gets_what_it_returned(state: EffectState, status: str) -> None:
    found = plan(newest=record_of(state, run="r-0", receipt=RECEIPT))
    assert found.answer.status == status
    if status != "claimed":
        assert (found.effect, found.proposal) == (None, None)


def test_a_committed_effect_that_a_person_allowed_again_is_claimed_under_the_next_key() -> None:
    found = plan(newest=record_of("committed", run="r-0", again="alice"))
    assert found.effect is not None
    assert (found.answer.status, found.effect.key) == ("claimed", "i-2")
    own = record_of("committed", again="alice")
    assert plan(own=own, newest=own).answer.status == "committed"


def test_a_call_under_another_identity_waits_until_its_attempt_is_settled() -> None:
    for state in ("attempting", "unknown"):
        own = record_of(state, identity="old")
        assert plan(own=own).answer.status == "waits"
    assert is_replaced(record_of("proposed", identity="old"), CLAIM)
    assert not is_replaced(record_of("attempting", identity="old"), CLAIM)
    assert not is_replaced(record_of("proposed"), CLAIM)


def test_a_call_of_its_own_keeps_the_key_that_it_is_given() -> None:
    plain = replace(CLAIM, identity="")
    assert plan(plain).effect is not None
    found = plan(plain).effect
    assert found is not None
    assert found.key == "r-1:c-1"
    kept = plan(replace(plain, key="old")).effect
    assert kept is not None
    assert kept.key == "old"
    failed = record_of("failed", identity="", key="r-1:c-1", settled_at=1.0, reason="no")
    again = plan(plain, own=failed).effect
    assert again is not None
    assert (again.key, again.state, again.reason, again.settled_at) == ("r-1:c-1", "approved", "", None)


def test_a_claim_without_a_run_a_call_or_an_amount_for_its_limits_is_misused() -> None:
    for wrong in (replace(CLAIM, run=""), replace(CLAIM, call=""), replace(CLAIM, tool="")):
        with pytest.raises(Misused, match="names its run"):
            plan(wrong)
    with pytest.raises(Misused, match="no amount"):
        plan(replace(CLAIM, rules=(SumRule(over="call", limit=eur(1)),)))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hash": OTHER}, "what was approved has the hash bbbbbbbbbbbb…, this call has aaaaaaaaaaaa…"),
        ({"state": "open"}, "is open, not approved"),
        ({"state": "rejected"}, "is rejected, not approved"),
        ({"state": "expired"}, "is expired, not approved"),
        ({"state": "void"}, "is void, not approved"),
        ({"state": "used"}, "was used already"),
        ({"run": "r-0"}, "is of run r-0"),
        ({"tenant": "other"}, "is of run"),
        ({"call": "c-2"}, "of another call"),
        ({"expires_at": NOW}, "the approval expired at 2026-01-01 00:00:00 UTC"),
    ],
)
def test_an_approval_that_does_not_hold_asks_anew(fields: dict[str, Any], words: str) -> None:
    proposal = proposal_of(**fields)
    own = record_of("proposed", proposal="p-1")
    found = plan(replace(CLAIM, proposal="p-1"), own=own, newest=own, proposal=proposal)
    assert found.answer.status == "asks"
    assert words in found.answer.problem
    assert found.answer.proposal == proposal
    assert found.effect is not None
    assert (found.effect.state, found.effect.proposal) == ("proposed", "")
    if proposal.state == "approved" and proposal.run == "r-1":
        assert found.proposal is not None
        assert found.proposal.state == ("expired" if "expires_at" in fields else "void")


def test_a_claim_without_a_hash_uses_no_approval() -> None:
    claim = replace(CLAIM, proposal="p-1", hash="")
    found = plan(claim, proposal=proposal_of(hash=""))
    assert (found.answer.status, found.answer.problem[:8]) == ("asks", "what was")
    assert plan(replace(CLAIM, proposal="p-9")).answer.problem == "there is no proposal p-9"


def test_an_approval_is_used_once_and_by_its_own_call_again() -> None:
    claim = replace(CLAIM, proposal="p-1", asks=True)
    own = record_of("proposed", proposal="p-1")
    first = plan(claim, own=own, newest=own, proposal=proposal_of(expires_at=NOW + 1))
    assert first.answer.status == "claimed"
    assert first.effect is not None
    assert first.proposal is not None
    assert (first.effect.state, first.effect.proposal, first.proposal.state) == ("approved", "p-1", "used")
    again = plan(claim, own=first.effect, newest=first.effect, proposal=first.proposal)
    assert (again.answer, again.effect, again.proposal) == (first.answer, first.effect, first.proposal)
    late = plan(claim, now=NOW + 1, own=first.effect, newest=first.effect, proposal=first.proposal)
    assert late.answer.status == "asks"
    assert late.answer.problem.startswith("the approval expired at")


def test_a_rejection_that_holds_answers_whatever_the_sums_are_but_not_an_approval() -> None:
    rejected = proposal_of(id="p-0", state="rejected")
    found = plan(rejected=rejected, own=record_of("approved"))
    assert (found.answer.status, found.answer.proposal, found.effect) == ("rejected", rejected, None)
    assert found.freed == record_of("approved")
    approved = plan(replace(CLAIM, proposal="p-1"), rejected=rejected, proposal=proposal_of())
    assert approved.answer.status == "claimed"


def test_what_is_not_its_turn_is_claimed_only_to_be_asked_about() -> None:
    ahead = replace(CLAIM, ahead=True)
    free = plan(ahead)
    assert (free.answer.status, free.answer.effect, free.effect) == ("claimed", None, None)
    asked = plan(replace(ahead, asks=True))
    assert asked.effect is not None
    assert (asked.answer.status, asked.effect.state) == ("asks", "proposed")


def test_what_is_detached_claims_nothing_that_must_be_asked_about() -> None:
    detached = replace(CLAIM, detached=True)
    assert plan(detached).answer.status == "claimed"
    own = record_of("approved")
    asked = plan(replace(detached, asks=True), own=own, newest=own)
    assert (asked.answer.status, asked.answer.effect, asked.effect, asked.freed) == ("asks", None, None, own)


@given(
    before=st.integers(0, 3_000), amount=st.integers(0, 3_000), limit=st.integers(0, 3_000), own=st.booleans()
)
def test_a_sum_asks_exactly_above_its_limit_and_counts_a_call_once(
    before: int, amount: int, limit: int, own: bool
) -> None:
    mine = record_of("approved", amount=eur(amount), day="2026-01-01") if own else None
    counted = Decimal(before + (amount if own else 0))
    for over in ("run", "tenant", "day"):
        claim = replace(CLAIM, amount=eur(amount), rules=(SumRule(over=over, limit=eur(limit)),))
        found = plan(claim, own=mine, newest=mine, sums={over: counted})
        assert (found.answer.status == "asks") == (before + amount > limit)
        assert [each.value for each in found.answer.over] == [eur(before + amount)] * (
            before + amount > limit
        )


def test_amounts_of_two_currencies_are_asked_about_and_of_one_call_are_not_summed() -> None:
    usd = replace(CLAIM, amount=Money("1", "USD"), rules=(SumRule(over="day", limit=eur(9)),))
    assert [each.value for each in plan(usd).answer.over] == [Money("1", "USD")]
    call = replace(CLAIM, amount=eur(9), rules=(SumRule(over="call", limit=eur(9)),))
    assert plan(call, sums={}).answer.status == "claimed"


def test_a_claim_counts_on_the_later_of_its_day_and_the_journal_s() -> None:
    for day, counted in (("2025-12-31", "2026-01-01"), ("2026-01-02", "2026-01-02"), ("", "2026-01-01")):
        found = plan(replace(CLAIM, amount=eur(1), day=day)).effect
        assert found is not None
        assert found.day == counted


@pytest.mark.parametrize("state", STATES)
def test_a_claim_is_void_only_before_its_attempt_and_without_its_run(state: EffectState) -> None:
    record, claimed = record_of(state), state in ("proposed", "approved")
    assert is_void(record, ended=True, now=NOW) == claimed
    assert not is_void(record, ended=False, now=NOW + 10 * UNKNOWN_RUN_S)
    assert not is_void(record, ended=None, now=NOW + UNKNOWN_RUN_S)
    assert is_void(record, ended=None, now=NOW + UNKNOWN_RUN_S + 1) == claimed


@pytest.mark.parametrize("state", STATES)
def test_an_attempt_needs_a_claim_of_its_own_run(state: EffectState) -> None:
    change = Settle(effect="e-1", state="attempting", at=NOW, step=7)
    if state in ("approved", "attempting", "unknown"):
        begun = begin_attempt(record_of(state), change, "r-1")
        assert (begun.state, begun.step, begun.attempted_at) == ("attempting", 7, NOW)
        assert begin_attempt(begun, replace(change, at=NOW + 9), "r-1").attempted_at == NOW
    else:
        with pytest.raises(Fenced, match=f"is {state}"):
            begin_attempt(record_of(state), change, "r-1")
    with pytest.raises(Fenced, match="of run r-1, not by run r-2"):
        begin_attempt(record_of(state), change, "r-2")


def test_a_plain_effect_begins_as_it_is_described() -> None:
    described = record_of("attempting", identity="", key="k")
    change = Settle(effect="e-1", state="attempting", at=NOW, step=7, record=described)
    assert begin_attempt(None, change, "r-1").day == "2026-01-01"
    assert begin_attempt(record_of("failed"), change, "r-1").state == "attempting"
    with pytest.raises(Fenced, match="is committed"):
        begin_attempt(record_of("committed"), change, "r-1")
    with pytest.raises(Fenced, match="is claimed by call c-2"):
        begin_attempt(record_of("approved", call="c-2"), change, "r-1")
    with pytest.raises(SeawallBug, match="is described as e-1"):
        begin_attempt(None, replace(change, effect="e-2"), "r-1")


@pytest.mark.parametrize(
    ("before", "said", "after"),
    [
        ("attempting", "committed", "committed"),
        ("attempting", "failed", "failed"),
        ("attempting", "unknown", "unknown"),
        ("unknown", "committed", "committed"),
        ("unknown", "failed", "failed"),
        ("failed", "committed", "committed"),
        ("failed", "unknown", "failed"),
        ("committed", "failed", "committed"),
        ("committed", "unknown", "committed"),
        ("committed", "committed", "committed"),
    ],
)
def test_what_a_run_says_of_its_effect(before: EffectState, said: EffectState, after: EffectState) -> None:
    change = Settle(effect="e-1", state=said, at=NOW, receipt=RECEIPT if said == "committed" else None)
    assert settle_in_run(record_of(before), change, "r-1").state == after
    with pytest.raises(SeawallBug):
        settle_in_run(record_of(before), change, "r-2")


def test_an_effect_that_the_journal_did_not_know_is_settled_as_described() -> None:
    described = record_of("attempting", identity="")
    change = Settle(effect="e-1", state="committed", at=NOW, receipt=RECEIPT, record=described)
    assert settle_in_run(None, change, "r-1").state == "committed"
    with pytest.raises(SeawallBug, match="belongs to another run"):
        settle_in_run(None, replace(change, record=None), "r-1")


@pytest.mark.parametrize(
    ("before", "said", "outcome"),
    [
        ("proposed", "committed", "has not been attempted"),
        ("approved", "failed", "has not been attempted"),
        ("attempting", "committed", "committed"),
        ("attempting", "failed", "failed"),
        ("unknown", "committed", "committed"),
        ("unknown", "failed", "failed"),
        ("failed", "committed", "committed"),
        ("failed", "failed", "failed"),
        ("committed", "failed", "that is final"),
        ("committed", "committed", "it has the receipt none already"),
    ],
)
def test_what_somebody_says_of_an_effect(before: EffectState, said: EffectState, outcome: str) -> None:
    change = Settle(effect="e-1", state=said, at=NOW, by="bob", receipt=RECEIPT)
    if outcome in STATES:
        assert settle_from_outside(record_of(before), change, live=None).state == outcome
    else:
        with pytest.raises(Refused, match=outcome) as refused:
            settle_from_outside(record_of(before), change, live=None)
        assert refused.value.guard == "effects"


def test_nobody_says_that_an_effect_failed_while_it_is_performed() -> None:
    fails = Settle(effect="e-1", state="failed", at=NOW, by="bob")
    with pytest.raises(Refused, match="process host:1:1 is performing it"):
        settle_from_outside(record_of("attempting"), fails, live="host:1:1")
    late = replace(fails, state="committed", receipt=RECEIPT)
    settled = settle_from_outside(record_of("attempting"), late, live="host:1:1")
    assert settle_from_outside(settled, late, live=None) is settled
    with pytest.raises(Misused, match="not as 'unknown'"):
        settle_from_outside(record_of("attempting"), replace(fails, state="unknown"), live=None)


def test_another_effect_is_allowed_after_the_newest_one_only() -> None:
    done = record_of("committed")
    assert allow_another(done, done, "alice").again == "alice"
    later = record_of("failed", id="e-2")
    for record, newest, words in (
        (done, later, "effect e-2 of the same identity came after it, and is failed"),
        (record_of("unknown"), None, "it is unknown, not committed"),
        (record_of("committed", identity=""), None, "each may go again"),
    ):
        with pytest.raises(Refused, match=words):
            allow_another(record, newest, "alice")
    with pytest.raises(Misused, match="name that person"):
        allow_another(done, done, "")


@pytest.mark.parametrize(
    ("state", "counted"),
    [
        ("proposed", (5, 0)),
        ("approved", (5, 0)),
        ("attempting", (5, 0)),
        ("unknown", (5, 0)),
        ("committed", (0, 5)),
        ("failed", (0, 0)),
    ],
)
def test_what_an_effect_adds_to_the_sums(state: EffectState, counted: tuple[int, int]) -> None:
    assert count_amount(record_of(state, amount=eur(5))) == counted
    assert count_amount(record_of(state)) == (0, 0)
