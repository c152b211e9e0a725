"""Effects, proposals and decisions: records of the journal that outlive the runs that made them.

A run's events say what happened in the run. The records here hold across runs: which effect an identity stands for,
what a person was asked and answered, and the sums of a day. These records are changed in the writer's transaction only,
together with the events that they belong to, and the chain holds them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import EffectState
from seawall.core.money import Money
from seawall.journal.protocol.memory import EntriesRead


def make_effect_id(key: str) -> str:
    """Returns the id of the effect that has this key."""
    return f"e-{hashlib.blake2b(key.encode(), digest_size=10).hexdigest()}"


def make_proposal_id(run: str, step: int) -> str:
    """Returns the id of the proposal that waits as approval step `step` of `run`."""
    return f"p-{hashlib.blake2b(f'{run}:{step}'.encode(), digest_size=10).hexdigest()}"


class EffectRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One effect, which happens at most once under its key."""

    id: str
    """`e-` and a digest of the key."""
    key: str
    """The idempotency key that the tool gets."""
    identity: str = ""
    """The keyed digest that is equal for the same effect in all runs; "" for an effect that is unique to its call."""
    number: int = 1
    """Counts the effects of one identity: a further one exists if the one before it failed, or if a person allowed
    it."""
    tenant: str
    run: str
    """The run that has claimed it."""
    call: str
    """The call in that run (`RunState.call_key`)."""
    step: int | None = None
    """The step of the newest attempt."""
    tool: str
    version: str = ""
    agent: str = ""
    session: str | None = None
    principal: str = ""
    state: EffectState
    """`proposed`: a person is asked. `approved`: it may begin as soon as its run goes on. The other states mean the
    same as in the run."""
    amount: Money | None = None
    day: str = ""
    """The day (UTC) in whose sums it is counted."""
    arguments: Ref | None = None
    claimed_at: float
    attempted_at: float | None = None
    """Wall seconds when the first attempt was recorded: from then on the external system may know the key."""
    settled_at: float | None = None
    receipt: Ref | None = None
    reason: str = ""
    """Why the effect failed, or who said what became of it."""
    settled_by: str = ""
    """Where the final state comes from: "" is the run's own result; otherwise `late`, `reconcile`, or the person who said it."""
    proposal: str = ""
    """The proposal that asks for the effect, or by which it was approved."""
    undoes: str = ""
    """The effect that this one undoes."""
    again: str = ""
    """The person who has allowed another effect of this identity; used up by the next claim."""


class SumRule(msgspec.Struct, frozen=True, kw_only=True):
    """A limit on amounts. `over`: this call alone, or the tool's sum in the run, of the tenant, or on the day."""

    over: Literal["call", "run", "tenant", "day"]
    limit: Money


class OverSum(msgspec.Struct, frozen=True, kw_only=True):
    """A rule by which a person must be asked: `value` is above the rule's limit, or of another currency (`value` is
    then the call's amount).
    """

    rule: int
    """The rule's index in `EffectClaim.rules`."""
    value: Money


class EffectClaim(msgspec.Struct, frozen=True, kw_only=True):
    """What a run asks for before it attempts an effect: the exclusive right to it."""

    tenant: str
    run: str
    call: str
    tool: str
    version: str = ""
    agent: str = ""
    session: str | None = None
    principal: str = ""
    identity: str = ""
    key: str = ""
    """The key to use; "": made from the identity and its number."""
    amount: Money | None = None
    day: str = ""
    rules: tuple[SumRule, ...] = ()
    asks: bool = False
    """Whether a person is asked independent of the sums."""
    hash: str = ""
    """The hash of what would be performed, see `Proposal.hash`."""
    likeness: str = ""
    """See `StepIntended.likeness`. Only an effect with an identity has look-alikes."""
    proposal: str = ""
    """The approved proposal that allows the effect."""
    ahead: bool = False
    """The call's turn has not come yet: claim the effect only if a person is asked, so that they can decide early."""
    detached: bool = False
    """Claim the effect only if no person must be asked."""
    arguments: Ref | None = None
    undoes: str = ""


ClaimStatus = Literal[
    "claimed",  # go on (with `ahead`: nothing was claimed, and no person must be asked)
    "asks",  # a person must decide; the effect is claimed as `proposed`, unless `detached`
    "committed",  # the effect was done; `effect.receipt` is its result
    "waits",  # another call has claimed the effect, or its result is unknown: wait until it is settled
    "rejected",  # a person has rejected the same proposal, and that still holds
]


class ClaimAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a claim."""

    status: ClaimStatus
    effect: EffectRecord | None = None
    over: tuple[OverSum, ...] = ()
    """`asks`: the rules by which a person must be asked."""
    proposal: Proposal | None = None
    """`rejected`: the rejected proposal. `asks` after an approval that does not hold any more: the approved
    proposal."""
    problem: str = ""
    """`asks` after an approval: why the approval does not hold any more (expired, used, another hash)."""


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why one guard holds a step."""

    guard: str
    reason: str
    limit: str | None = None
    value: str | None = None


class CauseStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step on the way to what is proposed, the nearest first."""

    step: int
    kind: str
    name: str
    agent: str = ""
    tie: Literal["value", "exposure"] = "value"


class Vote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One person's vote on a proposal."""

    principal: str
    approve: bool
    at: float
    roles: tuple[str, ...] = ()
    reason: str = ""
    authenticated: bool = True


ProposalState = Literal[
    "open",
    "approved",  # the call may be performed
    "rejected",
    "expired",  # it was not decided in time
    "void",  # its run has ended, or the call has changed
    "used",  # approved, and taken up by the call
]


class Proposal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The question that a person is asked: may exactly this call be performed?"""

    id: str
    """`p-` and a digest of the run and the step."""
    hash: str
    """SHA-256 of kind, name, version (which covers the schema), arguments (canonical) and their seal: what is performed."""
    tenant: str
    run: str
    step: int
    """The approval step, which waits in the run."""
    call: str = ""
    team: str = ""
    app: str | None = None
    agent: str
    session: str | None = None
    requester: str = ""
    """The principal on whose behalf the run works."""
    kind: str = "tool"
    name: str
    version: str = ""
    arguments: Ref | None = None
    """The canonical arguments as they are performed, but with secrets replaced."""
    seal: str = ""
    amount: Money | None = None
    preview: Ref | None = None
    """The text of the tool's preview function. It is shown after the arguments."""
    preview_failed: bool = False
    reverted: tuple[Ref, ...] = ()
    """Texts that the run had read in memory and that were reverted since: the guard `memory` holds the call for that
    reason."""
    reasons: tuple[Reason, ...] = ()
    causes: tuple[CauseStep, ...] = ()
    flags: tuple[str, ...] = ()
    """Oddities of the arguments: invisible or bidirectional characters, markup, padding."""
    asks: Literal["approve", "confirm"] = "approve"
    """`confirm`: the requester decides. `approve`: anybody except the requester decides."""
    declared: bool = True
    """Whether the tool declares that a person is asked. The person who decides must then be authenticated."""
    roles: tuple[str, ...] = ()
    people: int = 1
    created_at: float
    expires_at: float | None = None
    expires_s: float = 0.0
    """Seconds until the proposal expires. A rejection holds for the same time."""
    remind_at: float | None = None
    escalate_at: float | None = None
    escalate_to: tuple[str, ...] = ()
    likeness: str = ""
    """See `StepIntended.likeness`."""
    effect: str = ""
    """The id of the effect record that is claimed for the proposal."""
    group: str = ""
    """Equal for proposals of one kind from one source: tool, requester and session."""
    state: ProposalState = "open"
    votes: tuple[Vote, ...] = ()
    """The votes on the proposal as it is now: an edit removes the earlier ones."""
    decided_at: float | None = None
    original: Ref | None = None
    """The arguments as the agent proposed them, if a person has edited them."""
    edited_by: str = ""
    escalated: bool = False
    notified: tuple[str, ...] = ()
    """Events for which `notify` was called and has returned: `new`, `reminded`, `escalated`, `expired`."""
    links: tuple[str, ...] = ()
    """Digests of the single-use links that were used."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Step `step` of `run` waits until effect `effect` is settled, or its claim is given up."""

    effect: str
    run: str
    step: int


class Settle(msgspec.Struct, frozen=True, kw_only=True):
    """An effect's new state: `attempting`, `committed`, `failed` or `unknown`.

    `record` describes the whole effect when the journal does not know it yet: an effect that needed no claim.
    """

    effect: str
    state: EffectState
    at: float
    step: int | None = None
    receipt: Ref | None = None
    reason: str = ""
    by: str = ""
    record: EffectRecord | None = None


class FactsTold(msgspec.Struct, frozen=True, kw_only=True):
    """The run is told these facts of the session, and this change removes them. Raises `Refused` if one was removed
    before.
    """

    session: str
    numbers: tuple[int, ...]


class FactAdded(msgspec.Struct, frozen=True, kw_only=True):
    """The session's next run must be told of this run, or of this effect. The journal gives the fact its number."""

    session: str
    at: float
    run: str
    text: Ref
    effect: str = ""


RecordChange = Proposal | Wait | Settle | FactsTold | FactAdded | EntriesRead
"""A change of these records that an append makes in its own transaction. A `Proposal` is new, except that one with the
state `void` may withdraw an existing proposal."""


class Ballot(msgspec.Struct, frozen=True, kw_only=True):
    """A person's decision on a proposal. The journal checks it in its transaction."""

    proposal: str
    hash: str
    approve: bool
    principal: str
    roles: tuple[str, ...] = ()
    agent: bool = False
    """Whether the credential belongs to an agent. Agents may not decide on proposals."""
    key: str = ""
    """The hash of the key, if `seawall principals` made the key. The principal's record must still exist, and its roles
    count."""
    authenticated: bool = True
    reason: str = ""
    stop: bool = False
    """A rejection ends the run."""
    edit: Ref | None = None
    """Other arguments: the ballot is a vote for the proposal with these, and earlier votes are removed."""
    edit_hash: str = ""
    edit_amount: Money | None = None
    link: str = ""
    """The digest of the single-use link that was followed."""


class ProposalFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which proposals are listed, oldest first."""

    state: ProposalState | None = "open"
    role: str | None = None
    """Only proposals on which a person with this role may decide."""
    tenant: str | None = None
    run: str | None = None
    after: str = ""
    """The id of the last proposal of the page before."""


OPEN_PROPOSALS = ProposalFilter()


class EffectFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which effects are listed, newest first."""

    state: EffectState | None = None
    tenant: str | None = None
    tool: str | None = None
    run: str | None = None
    session: str | None = None
    before: str = ""
    """The id of the last effect of the page before."""


EVERY_EFFECT = EffectFilter()


class PrincipalRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person who may decide, made by `seawall principals`. Only the hash of their key is stored."""

    name: str
    roles: tuple[str, ...] = ()
    agent: bool = False
    key_hash: str
    created_at: float
    removed_at: float | None = None


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fact that the next run of a session must be told: how an errand ended, or what became of an effect after its
    run.
    """

    number: int
    at: float
    run: str
    text: Ref
    """The text of the fact: a receipt, an answer, or the arguments."""
    effect: str = ""
    """The effect that was settled after its run had ended."""


DecisionKind = Literal[
    "approve",  # a vote for a proposal
    "edit",  # a vote for a proposal with other arguments
    "reject",
    "refuse",  # a decision that was refused; `problem` says why
    "expire",
    "commit",  # a person, or a late receipt, says that an effect happened
    "fail",  # a person says that an effect did not happen
    "again",
    "principal",  # a principal was added or changed
    "remove",
]


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record of who decided what, and when. It is an entry of the chain, and is never changed or pruned."""

    at: float
    what: DecisionKind
    about: str
    """The id of a proposal or an effect, or the name of a principal."""
    by: str = ""
    roles: tuple[str, ...] = ()
    agent: bool = False
    authenticated: bool = True
    reason: str = ""
    problem: str = ""
    hash: str = ""
    """The hash of what was decided, as `Proposal.hash`."""
    arguments: Ref | None = None
    """`edit`: the other arguments."""
    receipt: Ref | None = None
    link: str = ""
    """The digest of the single-use link that was followed."""


class EffectStore(Protocol):
    """Effects, proposals, principals and facts, over all runs and processes.

    `bodies` are stored in the same transaction as the records that refer to them.
    """

    async def identity_key(self) -> bytes:
        """Returns the key of this journal's identities; makes it at the first call. It never changes."""
        ...

    async def claim(self, claim: EffectClaim, bodies: Mapping[Ref, bytes] | None = None) -> ClaimAnswer:
        """Claims an effect, in one step across all processes; see `ClaimStatus`.

        A call that claims again gets its own claim. A claim becomes void if its run ends without having recorded an
        intent for it.
        """
        ...

    async def settle(self, change: Settle, bodies: Mapping[Ref, bytes] | None = None) -> EffectRecord:
        """Settles an effect from outside its run: with a late receipt, or with what a person found out.

        Its run, if it has not ended, gets the command `settled`; runs that wait for the effect are woken. A `committed`
        effect stays committed, and a second call with the same state changes nothing. Raises `Misused` for an unknown
        effect, and `Refused` (guard `effects`) if the effect can't get that state: it was never attempted, a live
        process is performing it at this moment, or it is committed with another receipt.
        """
        ...

    async def allow_again(self, effect: str, by: str) -> EffectRecord:
        """Allows one more effect with the identity of a committed effect; the next claim uses it. Raises `Misused`,
        `Refused`.
        """
        ...

    async def decide(self, ballot: Ballot, bodies: Mapping[Ref, bytes] | None = None) -> Proposal:
        """Checks a decision and counts it, in one step across all processes; the last one needed sends the run its
        command.

        Raises `Refused` (guard `approval`) with the reason for a decision that does not count, which is recorded too,
        and `Misused` for an unknown proposal.
        """
        ...

    async def mark_proposal(
        self, proposal: str, change: Literal["new", "reminded", "escalated", "expired"], *, told: bool = True
    ) -> Proposal:
        """Records a notification of a proposal; `escalated` and `expired` also change the proposal, if that is due.

        A proposal that expires sends its run the command `decide`. With `told=False` the proposal is only changed. Call
        it with `told=False` before a person is notified, and with `told=True` afterwards.
        """
        ...

    async def proposal(self, proposal: str) -> Proposal:
        """Returns a proposal. Raises `Misused` if there is none; a unique beginning or end of the id is enough."""
        ...

    async def proposals(self, wanted: ProposalFilter = OPEN_PROPOSALS, *, limit: int = 100) -> list[Proposal]:
        """Returns proposals, oldest first."""
        ...

    async def proposal_groups(self, wanted: ProposalFilter = OPEN_PROPOSALS) -> list[tuple[str, str]]:
        """Returns the id and the group of each proposal that fits and has not expired, oldest first. It is for
        counting: it reads many proposals fast, and does not check their records as `proposals` does.
        """
        ...

    async def due_proposals(self, now: float, *, told: bool = True, limit: int = 100) -> list[Proposal]:
        """Returns the proposals with a notification that is due by `now` (see `Proposal.notified`), the longest due
        first. With `told=False` it returns the proposals that change by `now`, with or without a notification.
        """
        ...

    async def decisions(self, about: str = "", *, limit: int = 1_000) -> list[DecisionRecord]:
        """Returns the decisions about a proposal, an effect or a principal ("": about all), oldest first."""
        ...

    async def effect(self, effect: str) -> EffectRecord:
        """Returns an effect. Raises `Misused` if there is none; a unique beginning or end of the id is enough."""
        ...

    async def effects(self, wanted: EffectFilter = EVERY_EFFECT, *, limit: int = 100) -> list[EffectRecord]:
        """Returns effects, newest first."""
        ...

    async def put_principal(self, principal: PrincipalRecord, *, new: bool = False) -> None:
        """Adds or changes a principal. Raises `Misused` for a key that another one has and, with `new`, if one of this name
        has a key already.
        """
        ...

    async def principals(self) -> list[PrincipalRecord]:
        """Returns all principals, also removed ones, by name."""
        ...

    async def add_fact(
        self, tenant: str, session: str, fact: Fact, bodies: Mapping[Ref, bytes] | None = None
    ) -> None:
        """Adds a fact to a session. The journal gives it a `number`, which is never used again."""
        ...

    async def facts(self, tenant: str, session: str) -> list[Fact]:
        """Returns the facts that no run of the session has been told yet."""
        ...

    async def woken_runs(self, teams: Sequence[str], *, limit: int = 100) -> list[str]:
        """Returns waiting runs of these teams that have commands in their inbox which no process has taken; oldest first."""
        ...
