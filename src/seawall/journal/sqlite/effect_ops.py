"""The writer's operations on effects, proposals, principals and facts. The rules decide; the operations load the
records and store the results, inside the writer's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from seawall.core.errors import Misused, Refused
from seawall.journal.ballot_rules import (
    BallotFacts,
    Told,
    count_ballot,
    expire,
    mark_told,
    record_decision,
)
from seawall.journal.effect_rules import (
    ClaimFacts,
    allow_another,
    check_claim,
    find_day,
    has_expired,
    is_replaced,
    is_void,
    plan_claim,
    settle_from_outside,
)
from seawall.journal.protocol import (
    Ballot,
    Command,
    DecisionRecord,
    EffectClaim,
    EffectRecord,
    Fact,
    PrincipalRecord,
    Proposal,
    Settle,
)
from seawall.journal.sqlite.effect_changes import RecordDraft, find_next_key, record_settled
from seawall.journal.sqlite.effect_rows import encode_fact
from seawall.journal.sqlite.ops import Bodies, QueuedOp, Why
from seawall.journal.sqlite.transaction import Transaction


class ClaimOp(QueuedOp):
    """Claims an effect."""

    __slots__ = ("bodies", "claim")

    def __init__(self, claim: EffectClaim, bodies: Bodies) -> None:
        super().__init__()
        self.claim = claim
        self.bodies = bodies

    def get_runs(self) -> Sequence[str]:
        """See `Op.get_runs`."""
        return (self.claim.run,)

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        claim = self.claim
        check_claim(claim)
        draft = RecordDraft(tx)
        if draft.has_ended(claim.run):
            raise Refused(
                f"run {claim.run} has ended; it can't claim {claim.tool!r}",
                guard="effects",
                limit="a run that goes on",
                value=claim.run,
            )
        own = draft.find_own(claim.run, claim.call)
        if own is not None and is_replaced(own, claim):
            draft.free_effect(own)
            own = None
        newest = self._find_newest(draft, own, tx.sure_now)
        facts = ClaimFacts(
            now=tx.sure_now,
            own=own,
            newest=newest,
            proposal=draft.find_proposal(claim.proposal) if claim.proposal else None,
            rejected=draft.find_rejected(claim, tx.sure_now),
            sums=draft.find_sums(claim, max(claim.day, find_day(tx.sure_now))),
        )
        plan = plan_claim(claim, facts)
        if plan.freed is not None and plan.freed.state != "failed":
            draft.free_effect(plan.freed)
        if plan.effect is not None:
            draft.put_effect(plan.effect)
            draft.add_bodies(claim.tenant, self.bodies, ())
        if plan.proposal is not None:
            draft.put_proposal(plan.proposal)
        draft.prepare()
        draft.write()
        self.result = plan.answer

    def _find_newest(self, draft: RecordDraft, own: EffectRecord | None, now: float) -> EffectRecord | None:
        """Returns the newest effect of the identity. A void claim is freed first."""
        if not self.claim.identity:
            return None
        newest = draft.find_newest(self.claim.identity)
        if newest is None or (own is not None and newest.id == own.id):
            return newest
        if is_void(newest, ended=draft.has_ended(newest.run), now=now):
            draft.free_effect(newest)
            newest = draft.find_newest(self.claim.identity)
        return newest


class SettleOp(QueuedOp):
    """Settles an effect from outside its run."""

    __slots__ = ("bodies", "change")

    def __init__(self, change: Settle, bodies: Bodies) -> None:
        super().__init__()
        self.change = change
        self.bodies = bodies

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        change, draft = self.change, RecordDraft(tx)
        before = find_known_effect(draft, change.effect)
        after = settle_from_outside(before, change, live=self._find_live(tx, before))
        self.result = after
        if after == before:
            return
        draft.add_bodies(before.tenant, self.bodies, [change.receipt])
        draft.settle_effect(before, after)
        draft.note(record_settled(after, change))
        draft.send(
            before.run,
            Command(
                kind="settled",
                step=after.step,
                approved=after.state == "committed",
                output=change.receipt,
                by=change.by,
                reason=change.reason,
            ),
        )
        draft.tell(after, change.at)
        draft.prepare()
        draft.write()

    def _find_live(self, tx: Transaction, record: EffectRecord) -> str | None:
        """Returns the live process that owns the effect's run; None if there is none."""
        tx.load([record.run], ())
        state = tx.find(record.run)
        if state is None or state.owner is None or state.ended:
            return None
        return state.owner if tx.judge(state.owner).left_s is not None else None


class AllowAgainOp(QueuedOp):
    """Allows another effect of an identity."""

    __slots__ = ("by", "effect")

    def __init__(self, effect: str, by: str) -> None:
        super().__init__()
        self.effect = effect
        self.by = by

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        draft = RecordDraft(tx)
        record = find_known_effect(draft, self.effect)
        newest = draft.find_newest(record.identity) if record.identity else None
        self.result = allowed = allow_another(record, newest, self.by)
        draft.put_effect(allowed)
        draft.note(DecisionRecord(at=tx.sure_now, what="again", about=record.id, by=self.by))
        draft.write()


class DecideOp(QueuedOp):
    """Counts a decision, or refuses it; either result is recorded."""

    __slots__ = ("ballot", "bodies")

    def __init__(self, ballot: Ballot, bodies: Bodies) -> None:
        super().__init__()
        self.ballot = ballot
        self.bodies = bodies

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        ballot, draft, now = self.ballot, RecordDraft(tx), tx.sure_now
        proposal = find_known_proposal(draft, ballot.proposal)
        facts = BallotFacts(
            now=now,
            ended=draft.has_ended(proposal.run) is not False,
            principal=draft.find_principal(key_hash=ballot.key) if ballot.key else None,
            has_principals=draft.has_principals(),
        )
        try:
            counted = count_ballot(proposal, ballot, facts)
        except Refused as refused:
            error = refused  # raised once it is recorded
            draft.note(record_decision(proposal, ballot, now, str(refused)))
            if proposal.state == "open" and facts.ended:
                draft.close_proposal(replace(proposal, state="void"))
            elif proposal.state == "open" and has_expired(proposal, now):
                draft.close_proposal(expire(proposal, now))
            draft.prepare()
            draft.write()
            self.error: Why | None = lambda: error
            return
        draft.add_bodies(proposal.tenant, self.bodies, [ballot.edit])
        draft.note(record_decision(counted, ballot, now))
        draft.close_proposal(counted, stop=ballot.stop) if counted.state != "open" else draft.put_proposal(
            counted
        )
        draft.prepare()
        draft.write()
        self.result = counted


class MarkOp(QueuedOp):
    """Records a notification of a proposal."""

    __slots__ = ("proposal", "told", "what")

    def __init__(self, proposal: str, what: Told, told: bool) -> None:
        super().__init__()
        self.proposal = proposal
        self.what: Told = what
        self.told = told

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        draft = RecordDraft(tx)
        before = find_known_proposal(draft, self.proposal)
        self.result = after = mark_told(before, self.what, tx.sure_now, told=self.told)
        if after == before:
            return
        if before.state == "open" and after.state == "expired":
            draft.close_proposal(after)
            draft.note(DecisionRecord(at=tx.sure_now, what="expire", about=after.id, hash=after.hash))
        else:
            draft.put_proposal(after)
        draft.prepare()
        draft.write()


class PutPrincipalOp(QueuedOp):
    """Adds or changes a principal."""

    __slots__ = ("new", "principal")

    def __init__(self, principal: PrincipalRecord, new: bool) -> None:
        super().__init__()
        self.principal = principal
        self.new = new

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        record, draft = self.principal, RecordDraft(tx)
        before = draft.put_principal(record, new=self.new)
        if before == record:
            return
        draft.note(
            DecisionRecord(
                at=tx.sure_now,
                what="principal" if record.removed_at is None else "remove",
                about=record.name,
                roles=record.roles,
                agent=record.agent,
            )
        )
        draft.write()


class AddFactOp(QueuedOp):
    """Adds a fact to a session."""

    __slots__ = ("bodies", "fact", "session", "tenant")

    def __init__(self, tenant: str, session: str, fact: Fact, bodies: Bodies) -> None:
        super().__init__()
        self.tenant = tenant
        self.session = session
        self.fact = fact
        self.bodies = bodies

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        draft = RecordDraft(tx)
        draft.add_bodies(self.tenant, self.bodies, [self.fact.text])
        draft.write()
        fact = replace(self.fact, number=find_next_key(tx, "facts"))
        tx.tables["facts"].put(None, encode_fact(tx.ensure_tenant_id(self.tenant), self.session, fact))
        tx.wrote = True


def find_known_effect(draft: RecordDraft, key: str) -> EffectRecord:
    """Returns the effect with an id. Raises `Misused` if there is none."""
    record = draft.find_effect(key)
    if record is None:
        raise Misused(f"effect {key} is not in the journal")
    return record


def find_known_proposal(draft: RecordDraft, key: str) -> Proposal:
    """Returns the proposal with an id. Raises `Misused` if there is none."""
    record = draft.find_proposal(key)
    if record is None:
        raise Misused(f"proposal {key} is not in the journal")
    return record
