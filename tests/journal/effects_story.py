"""Effects, proposals and decisions to record in a journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from journal.story import begin, bodies, intended
from seawall.core.canonical import ref_of
from seawall.core.money import Money
from seawall.journal.protocol import (
    Ballot,
    ClaimAnswer,
    Command,
    EffectClaim,
    EffectRecord,
    Fact,
    Journal,
    Lease,
    PrincipalRecord,
    Proposal,
    RecordChange,
    Settle,
    Wait,
)

ARGUMENTS, RECEIPT, OTHER = b'{"order_id":"1042"}', b'{"paid":true}', b'{"paid":"twice"}'
FACT = b"the refund was paid"
HASH, NEW_HASH = "a" * 64, "b" * 64
ALICE = Ballot(proposal="p-1", hash=HASH, approve=True, principal="alice", roles=("finance",))


def eur(amount: str) -> Money:
    return Money(amount, "EUR")


def claim_of(run: str, call: str = "c-1", **fields: Any) -> EffectClaim:
    """Returns the claim of a call that refunds order 1042."""
    claim = EffectClaim(
        tenant="acme", run=run, call=call, tool="refund", identity="i-1", arguments=ref_of(ARGUMENTS)
    )
    return replace(claim, **fields)


def proposal_of(run: str, effect: str = "", **fields: Any) -> Proposal:
    """Returns a proposal of step 2 of a run."""
    proposal = Proposal(
        id="p-1",
        hash=HASH,
        tenant="acme",
        run=run,
        step=2,
        call="c-1",
        agent="clerk",
        requester="user:7",
        name="refund",
        arguments=ref_of(ARGUMENTS),
        amount=eur("500"),
        roles=("finance",),
        created_at=0.0,
        expires_s=100.0,
        effect=effect,
    )
    return replace(proposal, **fields)


async def append_records(
    journal: Journal, lease: Lease, seq: int, *records: RecordChange, **options: Any
) -> None:
    """Appends one event with changes of records."""
    contents = bodies(ARGUMENTS, RECEIPT)
    await journal.append(lease, seq, [intended(seq, ARGUMENTS)], contents, records=records, **options)


def attempt(effect: EffectRecord | None) -> Settle:
    assert effect is not None
    return Settle(effect=effect.id, state="attempting", at=10.0, step=7)


def committed(effect: EffectRecord | None, receipt: bytes = RECEIPT) -> Settle:
    assert effect is not None
    return Settle(effect=effect.id, state="committed", at=11.0, step=7, receipt=ref_of(receipt))


async def pay(journal: Journal, run: str, **fields: Any) -> tuple[Lease, EffectRecord]:
    """Records a run that has claimed and committed an effect, and goes on."""
    lease = await begin(journal, run)
    answer = await journal.claim(claim_of(run, **fields))
    assert answer.status == "claimed", answer
    await append_records(journal, lease, 1, attempt(answer.effect))
    await append_records(journal, lease, 2, committed(answer.effect))
    assert answer.effect is not None
    return lease, await journal.effect(answer.effect.id)


async def ask(
    journal: Journal, run: str = "r-1", effect: EffectClaim | None = None, **fields: Any
) -> tuple[Lease, Proposal]:
    """Records a run that waits for a person's decision on its effect."""
    lease = await begin(journal, run)
    answer = await journal.claim(effect or claim_of(run, asks=True, hash=HASH, amount=eur("500")))
    assert answer.status == "asks", answer
    assert answer.effect is not None
    proposal = proposal_of(run, answer.effect.id, **fields)
    await append_records(journal, lease, 1, proposal, waiting=True)
    return lease, proposal


async def sent(journal: Journal, run: str) -> Sequence[Command]:
    return [item.command for item in await journal.inbox(run)]


def status_of(answer: ClaimAnswer) -> str:
    return answer.status


async def tell_of_effects(journal: Journal) -> None:
    """Records an effect that was approved by two people and committed, one that others wait for, and a fact."""
    alice = PrincipalRecord(name="alice", roles=("finance",), key_hash="k-1", created_at=1.0)
    await journal.put_principal(alice)
    lease, proposal = await ask(journal, "r-4", people=2)
    await journal.decide(replace(ALICE, key="k-1", reason="as agreed"))
    await journal.decide(replace(ALICE, principal="bob"))
    mine = claim_of("r-4", asks=True, hash=HASH, amount=eur("500"), proposal=proposal.id)
    answer = await journal.claim(mine)
    await append_records(journal, lease, 2, attempt(answer.effect))
    await append_records(journal, lease, 3, committed(answer.effect))
    await begin(journal, "r-5")
    flying = await journal.claim(claim_of("r-5", identity="i-2", amount=eur("20")))
    assert flying.effect is not None
    lease = await begin(journal, "r-6")
    await append_records(journal, lease, 1, Wait(effect=flying.effect.id, run="r-6", step=3), waiting=True)
    fact = Fact(number=0, at=1.0, run="r-4", text=ref_of(FACT))
    await journal.add_fact("acme", "s", fact, bodies(FACT))
