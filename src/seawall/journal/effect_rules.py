"""The rules of effects: pure functions on records, which a journal applies in its writer's transaction.

A journal loads what a rule asks for, and stores what it returns. Nothing here reads a clock or a database, so every
journal has the same rules. They fail closed: what they do not know, they do not allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Literal

from msgspec.structs import replace

from seawall.core.errors import Fenced, Misused, Refused, SeawallBug
from seawall.core.money import Money
from seawall.journal.protocol import (
    ClaimAnswer,
    EffectClaim,
    EffectRecord,
    OverSum,
    Proposal,
    Settle,
    make_effect_id,
)

UNKNOWN_RUN_S = 3_600.0
"""Seconds after which a claim is void if its run is not in the journal. A run is recorded within seconds of its first
claim, so after an hour its process must have died before it recorded the run."""
CLAIMED = ("proposed", "approved")
"""States of an effect that is claimed and not attempted yet: the claim can be freed."""
UNSETTLED = (*CLAIMED, "attempting", "unknown")

Over = Literal["call", "run", "tenant", "day"]
NOTHING = Decimal(0)
exact = Context(prec=64, traps=[InvalidOperation, Overflow, Inexact])
"""A decimal context in which a sum that is not exact raises."""


def find_day(at: float) -> str:
    """Returns the day (UTC) of a time."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


# ---- claims


@dataclass(frozen=True, kw_only=True)
class ClaimFacts:
    """The facts of the journal that decide on a claim, once void claims are freed."""

    now: float
    """The later of the wall clock and the newest time in the journal."""
    own: EffectRecord | None
    """The newest effect of this run and call."""
    newest: EffectRecord | None
    """The newest effect of this identity."""
    proposal: Proposal | None
    """The proposal that the claim names."""
    rejected: Proposal | None
    """A proposal of the same hash in the tenant that was rejected, if the rejection still holds."""
    sums: Mapping[Over, Decimal]
    """Reserved plus spent amounts, in the claim's currency, for each kind of sum that a rule of the claim asks for."""


@dataclass(frozen=True, kw_only=True)
class ClaimPlan:
    """The answer to a claim, and the records that change with it."""

    answer: ClaimAnswer
    """The answer for the caller."""
    effect: EffectRecord | None = None
    """The claimed effect, to be stored; None: nothing is claimed, or nothing changes."""
    proposal: Proposal | None = None
    """The proposal that the claim names, to be stored: it is now used, or does not hold any more."""
    freed: EffectRecord | None = None
    """The call's earlier claim, which the call gives up."""


def check_claim(claim: EffectClaim) -> None:
    """Raises `Misused` for a claim that can't be judged."""
    if not (claim.run and claim.call and claim.tool):
        raise Misused("a claim names its run, its call and its tool")
    if claim.rules and claim.amount is None:
        raise Misused(f"tool {claim.tool!r} has limits on amounts, and this call has no amount")


def is_void(record: EffectRecord, *, ended: bool | None, now: float) -> bool:
    """Returns whether a claim is void: its effect was not attempted, and its run will not attempt it.

    `ended` says whether its run has ended; None: the journal does not know the run.
    """
    if record.state not in CLAIMED:
        return False
    return now - record.claimed_at > UNKNOWN_RUN_S if ended is None else ended


def is_replaced(own: EffectRecord, claim: EffectClaim) -> bool:
    """Returns whether a call's earlier claim gives way, because the call is another effect now: it was edited."""
    return own.state in CLAIMED and own.identity != claim.identity


def plan_claim(claim: EffectClaim, facts: ClaimFacts) -> ClaimPlan:
    """Returns the answer to a claim; see `ClaimStatus`."""
    check_claim(claim)
    own = facts.own
    if own is not None and own.state == "failed" and own.identity:
        own = None
    if own is not None and own.state not in (*CLAIMED, "failed"):
        return _answer_own(own, claim)
    number = 1
    if own is not None:
        number = own.number
    elif facts.newest is not None:
        newest = facts.newest
        if newest.state == "committed" and not newest.again:
            return ClaimPlan(answer=ClaimAnswer(status="committed", effect=newest))
        if newest.state in UNSETTLED:
            return ClaimPlan(answer=ClaimAnswer(status="waits", effect=newest))
        number = newest.number + 1
    return _ask_or_allow(claim, facts, own, _make_record(claim, facts.now, own, number))


def _answer_own(own: EffectRecord, claim: EffectClaim) -> ClaimPlan:
    """Returns the answer to a call that has attempted its effect before."""
    if own.state == "committed":
        return ClaimPlan(answer=ClaimAnswer(status="committed", effect=own))
    # The tool may declare another identity now. What was attempted under the old one must be settled first.
    status: Literal["claimed", "waits"] = "claimed" if own.identity == claim.identity else "waits"
    return ClaimPlan(answer=ClaimAnswer(status=status, effect=own))


def _make_record(claim: EffectClaim, now: float, own: EffectRecord | None, number: int) -> EffectRecord:
    """Returns the record of a claim. Its amount counts on the day of the claim."""
    day = max(claim.day, find_day(now))
    if own is not None:
        return replace(
            own,
            tool=claim.tool,
            version=claim.version,
            amount=claim.amount,
            day=day,
            arguments=claim.arguments,
            settled_at=None,
            receipt=None,
            reason="",
            settled_by="",
        )
    key = claim.key if claim.key and number == 1 else f"{claim.identity}-{number}"
    if not claim.identity:
        key = claim.key or f"{claim.run}:{claim.call}"
    return EffectRecord(
        id=make_effect_id(key),
        key=key,
        identity=claim.identity,
        number=number,
        tenant=claim.tenant,
        run=claim.run,
        call=claim.call,
        tool=claim.tool,
        version=claim.version,
        agent=claim.agent,
        session=claim.session,
        principal=claim.principal,
        state="approved",
        amount=claim.amount,
        day=day,
        arguments=claim.arguments,
        claimed_at=now,
        undoes=claim.undoes,
    )


def _ask_or_allow(
    claim: EffectClaim, facts: ClaimFacts, own: EffectRecord | None, record: EffectRecord
) -> ClaimPlan:
    """Returns the answer that the effect may begin, or that a person must decide first."""
    proposal, problem = facts.proposal, ""
    if claim.proposal:
        problem = _find_problem(claim, facts, own)
        if not problem and proposal is not None:
            allowed = replace(record, state="approved", proposal=proposal.id)
            answer = ClaimAnswer(status="claimed", effect=allowed)
            return ClaimPlan(answer=answer, effect=allowed, proposal=replace(proposal, state="used"))
    if facts.rejected is not None and holds_for(facts.rejected, claim):
        return ClaimPlan(answer=ClaimAnswer(status="rejected", proposal=facts.rejected), freed=own)
    over = _find_over(claim, facts, own, record.day)
    if claim.asks or over or problem:
        return _ask(claim, facts, own, record, over, problem)
    if claim.ahead:
        kept = own if own is not None and own.state == "approved" else None
        return ClaimPlan(answer=ClaimAnswer(status="claimed", effect=kept))
    allowed = replace(record, state="approved", proposal="")
    return ClaimPlan(answer=ClaimAnswer(status="claimed", effect=allowed), effect=allowed)


def holds_for(rejected: Proposal, claim: EffectClaim) -> bool:
    """Returns whether a rejection also answers a claim of the same hash. If the tool declares that a person is asked,
    the rejection holds in the whole tenant. If the user was asked to confirm the call, it holds in that user's runs. If
    only a user's guard asked, it holds in its own run.
    """
    if rejected.asks == "confirm" and rejected.requester != claim.principal:
        return False
    return rejected.declared or rejected.run == claim.run


def _ask(
    claim: EffectClaim,
    facts: ClaimFacts,
    own: EffectRecord | None,
    record: EffectRecord,
    over: tuple[OverSum, ...],
    problem: str,
) -> ClaimPlan:
    """Returns the answer that a person must decide, and takes back an approval that does not hold any more."""
    proposal = facts.proposal if problem else None
    is_asked = own is not None and own.state == "proposed" and not problem
    asked = replace(record, state="proposed", proposal=own.proposal if own is not None and is_asked else "")
    answer = ClaimAnswer(status="asks", over=over, proposal=proposal, problem=problem)
    taken_back = None
    if proposal is not None and proposal.state == "approved" and proposal.run == claim.run:
        expired = has_expired(proposal, facts.now)
        taken_back = replace(proposal, state="expired" if expired else "void")
    if claim.detached:
        return ClaimPlan(answer=answer, proposal=taken_back, freed=own)
    return ClaimPlan(answer=replace(answer, effect=asked), effect=asked, proposal=taken_back)


def _find_problem(claim: EffectClaim, facts: ClaimFacts, own: EffectRecord | None) -> str:
    """Returns why the proposal that a claim names does not allow the claim; "" if it does."""
    proposal = facts.proposal
    if proposal is None:
        return f"there is no proposal {claim.proposal}"
    if proposal.run != claim.run or proposal.tenant != claim.tenant:
        return f"proposal {proposal.id} is of run {proposal.run}, not of run {claim.run}"
    if proposal.call and proposal.call != claim.call:
        return f"proposal {proposal.id} is of another call"
    if not claim.hash or proposal.hash != claim.hash:
        return f"what was approved has the hash {proposal.hash[:12]}…, this call has {claim.hash[:12] or 'none'}…"
    again = own is not None and (own.state, own.proposal) == ("approved", proposal.id)
    if proposal.state == "used" and not again:
        return f"proposal {proposal.id} was used already"
    if proposal.state not in ("approved", "used"):
        return f"proposal {proposal.id} is {proposal.state}, not approved"
    if has_expired(proposal, facts.now):
        return f"the approval expired at {format_time(proposal.expires_at)}"
    return ""


def _find_over(
    claim: EffectClaim, facts: ClaimFacts, own: EffectRecord | None, day: str
) -> tuple[OverSum, ...]:
    """Returns the rules by which a person must be asked."""
    found: list[OverSum] = []
    amount = claim.amount
    for number, rule in enumerate(claim.rules):
        if amount is None or amount.currency != rule.limit.currency:
            found.append(OverSum(rule=number, value=amount or rule.limit))
            continue
        total = amount.amount
        if rule.over != "call":
            before = exact.subtract(facts.sums[rule.over], _count_own(own, claim, rule.over, day))
            total = exact.add(total, before)
        if total > rule.limit.amount:
            found.append(OverSum(rule=number, value=Money(total, amount.currency)))
    return tuple(found)


def _count_own(own: EffectRecord | None, claim: EffectClaim, over: Over, day: str) -> Decimal:
    """Returns the amount that a call's earlier claim has added to a sum."""
    if own is None or own.amount is None or claim.amount is None or own.tool != claim.tool:
        return NOTHING
    if own.amount.currency != claim.amount.currency or (over == "day" and own.day != day):
        return NOTHING
    return exact.add(*count_amount(own))


def count_amount(record: EffectRecord) -> tuple[Decimal, Decimal]:
    """Returns the amounts that an effect has reserved and has spent."""
    if record.amount is None or record.state == "failed":
        return NOTHING, NOTHING
    amount = record.amount.amount
    return (NOTHING, amount) if record.state == "committed" else (amount, NOTHING)


# ---- what becomes of an effect


def begin_attempt(record: EffectRecord | None, change: Settle, run: str) -> EffectRecord:
    """Returns the record of an effect that `run` begins to attempt. Raises `Fenced` if the run has not claimed the
    effect.
    """
    described = change.record
    known = record or described
    if described is not None and described.id != change.effect:
        raise SeawallBug(f"effect {change.effect} is described as {described.id}")
    if known is None:
        raise Fenced(f"effect {change.effect} is not claimed: run {run} may not begin it; resume the run")
    if known.run != run or (described is not None and known.call != described.call):
        raise Fenced(
            f"effect {known.id} is claimed by call {known.call} of run {known.run}, not by run {run}"
        )
    # A claim to which nothing objects any more may come from a process that died before it could ask a person.
    unclaimed = ("failed", "proposed") if described is not None else ()
    allowed = ("approved", "attempting", "unknown", *unclaimed)
    if record is not None and record.state not in allowed:
        raise Fenced(f"effect {known.id} is {known.state}: run {run} may not begin it; resume the run")
    return replace(
        known,
        state="attempting",
        step=change.step if change.step is not None else known.step,
        day=known.day or find_day(change.at),
        attempted_at=change.at if known.attempted_at is None else known.attempted_at,
        settled_at=None,
        receipt=None,
        reason="",
        settled_by="",
    )


def settle_in_run(record: EffectRecord | None, change: Settle, run: str) -> EffectRecord:
    """Returns the record of an effect once its own run knows what became of it. A settled state stays, but `committed`
    replaces `failed`.
    """
    known = record or change.record
    if known is None or known.run != run:
        raise SeawallBug(f"run {run} settles effect {change.effect}, which belongs to another run")
    if record is None:
        known = replace(known, state="attempting", day=known.day or find_day(change.at))
    if known.state == "committed" or (known.state == "failed" and change.state != "committed"):
        return known
    return _settle(known, change)


def settle_from_outside(record: EffectRecord, change: Settle, *, live: str | None) -> EffectRecord:
    """Returns the record of an effect once a person or a late receipt says what became of it. `live` is the live
    process that is performing it; None if there is none. Raises `Refused`.
    """
    if change.state not in ("committed", "failed"):
        raise Misused(f"an effect is settled as 'committed' or 'failed', not as {change.state!r}")
    if record.state in CLAIMED:
        raise _refuse_effect(record, change, "it has not been attempted")
    if record.state == change.state:
        if change.state == "committed" and record.receipt != change.receipt:
            raise _refuse_effect(
                record,
                change,
                f"it has the receipt {_shorten(record.receipt)} already, not {_shorten(change.receipt)}",
            )
        return record
    if record.state == "committed":
        raise _refuse_effect(record, change, "it is committed, and that is final")
    if change.state == "failed" and record.state == "attempting" and live is not None:
        raise _refuse_effect(record, change, f"process {live} is performing it at this moment")
    return _settle(record, change)


def _shorten(receipt: str | None) -> str:
    return "none" if receipt is None else f"{receipt[:12]}…"


def _refuse_effect(record: EffectRecord, change: Settle, why: str) -> Refused:
    return Refused(
        f"effect {record.id} can't be {change.state}: {why}",
        guard="effects",
        limit=record.state,
        value=change.state,
    )


def _settle(record: EffectRecord, change: Settle) -> EffectRecord:
    return replace(
        record,
        state=change.state,
        step=record.step if change.step is None else change.step,
        settled_at=None if change.state == "unknown" else change.at,
        receipt=change.receipt,
        reason=change.reason,
        settled_by=change.by,
    )


def allow_another(record: EffectRecord, newest: EffectRecord | None, by: str) -> EffectRecord:
    """Returns the record with which `by` allows one more effect of its identity. Raises `Misused`, `Refused`."""
    if not by:
        raise Misused("a person must allow another effect: name that person")
    why = ""
    if not record.identity:
        why = "no other call is the same effect, so each may go again"
    elif record.state != "committed":
        why = f"it is {record.state}, not committed"
    elif newest is not None and newest.id != record.id:
        why = f"effect {newest.id} of the same identity came after it, and is {newest.state}"
    if why:
        raise Refused(
            f"effect {record.id} can't be allowed again: {why}",
            guard="effects",
            limit="committed",
            value=record.state,
        )
    return replace(record, again=by)


def has_expired(proposal: Proposal, now: float) -> bool:
    """Returns whether a proposal has expired."""
    return proposal.expires_at is not None and now >= proposal.expires_at


def format_time(at: float | None) -> str:
    """Returns wall seconds as text for people."""
    return "never" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
