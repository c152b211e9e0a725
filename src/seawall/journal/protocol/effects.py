"""Effects, proposals and decisions: records of the journal that outlive the runs that made them.

A run's events say what happened in it. What holds across runs is here: which effect an identity stands for, what a
person was asked and answered, and what a day's sums are. These records are changed in the writer's transaction only,
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
    """One effect: what happens at most once under one key."""

    id: str
    """`e-` and a digest of the key."""
    key: str
    """What the tool gets as its idempotency key."""
    identity: str = ""
    """The keyed digest of what makes it the same effect in all runs; "" for one that is a call's own."""
    number: int = 1
    """Which effect of its identity this is: a later one follows one that failed, or was allowed by a person."""
    tenant: str
    run: str
    """The run that has claimed it."""
    call: str
    """The call in that run (`RunState.call_key`)."""
    step: int | None = None
    """The newest attempt."""
    tool: str
    version: str = ""
    agent: str = ""
    session: str | None = None
    principal: str = ""
    state: EffectState
    """`proposed`: a person is asked. `approved`: it may begin, as soon as its run goes on. The others as in the run."""
    amount: Money | None = None
    day: str = ""
    """The day (UTC) in whose sums it is counted."""
    arguments: Ref | None = None
    claimed_at: float
    attempted_at: float | None = None
    """When the first attempt was recorded: from then on the other side may know the key."""
    settled_at: float | None = None
    receipt: Ref | None = None
    reason: str = ""
    """Why it failed, or who says what became of it."""
    settled_by: str = ""
    """"": the run's own result; `late`, `reconcile`, or the person who said it."""
    proposal: str = ""
    """The proposal under which it is asked about, or was approved."""
    undoes: str = ""
    """The effect that this one undoes."""
    again: str = ""
    """The person who has allowed another effect of this identity; used up by the next claim."""


class SumRule(msgspec.Struct, frozen=True, kw_only=True):
    """A limit on amounts. `over`: this call alone, or the tool's sum in the run, of the tenant, or on the day."""

    over: Literal["call", "run", "tenant", "day"]
    limit: Money


class OverSum(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that asks: `value` is above its limit, or of another currency (`value` is then the call's amount)."""

    rule: int
    """Its place in `EffectClaim.rules`."""
    value: Money


class EffectClaim(msgspec.Struct, frozen=True, kw_only=True):
    """What a run asks for before it attempts an effect: that nobody else does the same."""

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
    """A person is asked, whatever the sums are."""
    hash: str = ""
    """Of what would be performed, see `Proposal.hash`."""
    likeness: str = ""
    """See `StepIntended.likeness`. Only an effect with an identity has look-alikes."""
    proposal: str = ""
    """The approved proposal under which it is to be performed."""
    ahead: bool = False
    """It is not its turn: claim it only if a person is asked, so that they can decide early."""
    detached: bool = False
    """Claim it only if nobody need be asked."""
    arguments: Ref | None = None
    undoes: str = ""


ClaimStatus = Literal[
    "claimed",  # go on (with `ahead`: nothing was claimed, and nobody need be asked)
    "asks",  # a person must decide; it is claimed as `proposed`, unless `detached`
    "committed",  # it was done; `effect.receipt` is what it returned
    "waits",  # another call has claimed it, or its fate is not known: wait until that is settled
    "rejected",  # a person has rejected the same proposal, and that still holds
]


class ClaimAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a claim."""

    status: ClaimStatus
    effect: EffectRecord | None = None
    over: tuple[OverSum, ...] = ()
    """`asks`: the rules that ask."""
    proposal: Proposal | None = None
    """`rejected`: that proposal. `asks` after an approval that does not hold: the approved one."""
    problem: str = ""
    """`asks` after an approval: why it does not hold any more (expired, used, another hash)."""


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
    """What one person said of a proposal."""

    principal: str
    approve: bool
    at: float
    roles: tuple[str, ...] = ()
    reason: str = ""
    authenticated: bool = True


ProposalState = Literal[
    "open",
    "approved",  # it may be performed
    "rejected",
    "expired",  # nobody decided in time
    "void",  # its run ended, or what it is about has changed
    "used",  # approved, and taken up by the call
]


class Proposal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person is asked: may exactly this be done?"""

    id: str
    """`p-` and a digest of run and step."""
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
    """The principal on whose behalf the run is."""
    kind: str = "tool"
    name: str
    version: str = ""
    arguments: Ref | None = None
    """The canonical arguments, as they are performed but for secrets."""
    seal: str = ""
    amount: Money | None = None
    preview: Ref | None = None
    """What the tool's own preview function says. Arguments come before it."""
    preview_failed: bool = False
    reverted: tuple[Ref, ...] = ()
    """What the run had read in memory that was reverted since: the guard `memory` holds it for that."""
    reasons: tuple[Reason, ...] = ()
    causes: tuple[CauseStep, ...] = ()
    flags: tuple[str, ...] = ()
    """What is odd about the arguments: invisible or bidirectional characters, markup, padding."""
    asks: Literal["approve", "confirm"] = "approve"
    """`confirm`: the requester decides. `approve`: anybody but the requester."""
    declared: bool = True
    """The tool declares that it is asked about, so whoever decides must be authenticated."""
    roles: tuple[str, ...] = ()
    people: int = 1
    created_at: float
    expires_at: float | None = None
    expires_s: float = 0.0
    """For so long a rejection holds, too."""
    remind_at: float | None = None
    escalate_at: float | None = None
    escalate_to: tuple[str, ...] = ()
    likeness: str = ""
    """See `StepIntended.likeness`."""
    effect: str = ""
    """The effect record that is claimed for it."""
    group: str = ""
    """Equal for proposals of one kind from one source: tool, requester and session."""
    state: ProposalState = "open"
    votes: tuple[Vote, ...] = ()
    """Of those who decided on the proposal as it is now: an edit begins anew."""
    decided_at: float | None = None
    original: Ref | None = None
    """The arguments as the agent proposed them, if a person has edited them."""
    edited_by: str = ""
    escalated: bool = False
    notified: tuple[str, ...] = ()
    """What `notify` was called for and has returned: `new`, `reminded`, `escalated`, `expired`."""
    links: tuple[str, ...] = ()
    """Digests of the links that were used."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Step `step` of `run` waits until effect `effect` is settled, or is nobody's any more."""

    effect: str
    run: str
    step: int


class Settle(msgspec.Struct, frozen=True, kw_only=True):
    """An effect's new state: `attempting`, `committed`, `failed` or `unknown`.

    `record` describes it as a whole, for the first time that it is heard of: an effect that needed no claim.
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
    """The run is told these facts of the session: they are gone with this change. `Refused` if one is gone already."""

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
"""What an append changes of these records, in its own transaction.

A `Proposal` is new. With the state `void` it may also be one that is there: then nobody is asked any more.
"""


class Ballot(msgspec.Struct, frozen=True, kw_only=True):
    """A person's decision on a proposal, as it is checked in the transaction."""

    proposal: str
    hash: str
    approve: bool
    principal: str
    roles: tuple[str, ...] = ()
    agent: bool = False
    """The credential belongs to an agent, which may decide nothing."""
    key: str = ""
    """The key's hash, if it was made by `seawall principals`: its record must still be there, and gives the roles."""
    authenticated: bool = True
    reason: str = ""
    stop: bool = False
    """A rejection ends the run."""
    edit: Ref | None = None
    """Other arguments: a vote for the proposal with these, which begins the votes anew."""
    edit_hash: str = ""
    edit_amount: Money | None = None
    link: str = ""
    """The digest of the single-use link that was followed."""


class ProposalFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which proposals are listed, oldest first."""

    state: ProposalState | None = "open"
    role: str | None = None
    """Those that somebody with this role may decide."""
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
    """Somebody who may decide, as `seawall principals` made it. Of the key only its hash is stored."""

    name: str
    roles: tuple[str, ...] = ()
    agent: bool = False
    key_hash: str
    created_at: float
    removed_at: float | None = None


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the next run of a session must be told: how an errand ended, or what became of an effect after its run."""

    number: int
    at: float
    run: str
    text: Ref
    """What it was about: a receipt, an answer, or the arguments."""
    effect: str = ""
    """The effect that was settled after its run had ended."""


DecisionKind = Literal[
    "approve",  # a vote for a proposal
    "edit",  # a vote for it with other arguments
    "reject",
    "refuse",  # a decision that did not hold; `problem` says why
    "expire",
    "commit",  # somebody, or a late receipt, says that an effect happened
    "fail",  # that it did not
    "again",
    "principal",  # somebody was added or changed
    "remove",
]


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who decided what, and when: an entry of the chain, which nothing changes or prunes."""

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
    """What was decided on, as `Proposal.hash`."""
    arguments: Ref | None = None
    """`edit`: the other arguments."""
    receipt: Ref | None = None
    link: str = ""
    """The digest of the single-use link that was followed."""


class EffectStore(Protocol):
    """Effects, proposals, principals and facts, over all runs and processes.

    `bodies` are stored in the same transaction as what refers to them.
    """

    async def identity_key(self) -> bytes:
        """Returns the key of this journal's identities; makes it at the first call. It never changes."""
        ...

    async def claim(self, claim: EffectClaim, bodies: Mapping[Ref, bytes] | None = None) -> ClaimAnswer:
        """Claims an effect, in one step across all processes; see `ClaimStatus`.

        A call that claims again gets its own claim. A claim is void once its run has ended without an intent.
        """
        ...

    async def settle(self, change: Settle, bodies: Mapping[Ref, bytes] | None = None) -> EffectRecord:
        """Settles an effect from outside its run: a late receipt, or what somebody found out.

        Its run, if it has not ended, gets the command `settled`; runs that wait for the effect are woken. What is
        `committed` stays so, and to say it again changes nothing. Raises `Misused` for an unknown effect, and
        `Refused` (guard `effects`) if it can't be settled so: it was never attempted, a live process is performing it
        at this moment, or it is committed with another receipt.
        """
        ...

    async def allow_again(self, effect: str, by: str) -> EffectRecord:
        """Lets the next claim of a committed effect's identity have one more. Raises `Misused`, `Refused`."""
        ...

    async def decide(self, ballot: Ballot, bodies: Mapping[Ref, bytes] | None = None) -> Proposal:
        """Checks a decision and counts it, in one step across all processes; the last one needed sends the run its command.

        Raises `Refused` (guard `approval`) for a decision that does not hold, with what is wrong, which is recorded; and
        `Misused` for an unknown proposal.
        """
        ...

    async def mark_proposal(
        self, proposal: str, change: Literal["new", "reminded", "escalated", "expired"], *, told: bool = True
    ) -> Proposal:
        """Notes what was told of a proposal; `escalated` and `expired` also change it, if that is due.

        A proposal that expires sends its run the command `decide`. With `told=False` it is only changed: call it so
        before somebody is told, and again afterwards.
        """
        ...

    async def proposal(self, proposal: str) -> Proposal:
        """Returns a proposal. Raises `Misused` if there is none; a unique beginning or end of the id is enough."""
        ...

    async def proposals(self, wanted: ProposalFilter = OPEN_PROPOSALS, *, limit: int = 100) -> list[Proposal]:
        """Returns proposals, oldest first."""
        ...

    async def proposal_groups(self, wanted: ProposalFilter = OPEN_PROPOSALS) -> list[tuple[str, str]]:
        """Returns id and group of each proposal that fits and has not expired, oldest first.

        It is for counting: many are gone through in little time, and are not checked as `proposals` checks what it returns.
        """
        ...

    async def due_proposals(self, now: float, *, told: bool = True, limit: int = 100) -> list[Proposal]:
        """Returns the proposals of which somebody must be told something by `now` (see `Proposal.notified`), the
        longest due first. With `told=False`: those that change by then, whether or not somebody must be told.
        """
        ...

    async def decisions(self, about: str = "", *, limit: int = 1_000) -> list[DecisionRecord]:
        """Returns what was decided about a proposal, an effect or a principal ("": about all), oldest first."""
        ...

    async def effect(self, effect: str) -> EffectRecord:
        """Returns an effect. Raises `Misused` if there is none; a unique beginning or end of the id is enough."""
        ...

    async def effects(self, wanted: EffectFilter = EVERY_EFFECT, *, limit: int = 100) -> list[EffectRecord]:
        """Returns effects, newest first."""
        ...

    async def put_principal(self, principal: PrincipalRecord) -> None:
        """Adds or changes a principal. Raises `Misused` for a key that another one has."""
        ...

    async def principals(self) -> list[PrincipalRecord]:
        """Returns all principals, also removed ones, by name."""
        ...

    async def add_fact(
        self, tenant: str, session: str, fact: Fact, bodies: Mapping[Ref, bytes] | None = None
    ) -> None:
        """Adds a fact to a session; its `number` is given by the journal, and is never given again."""
        ...

    async def facts(self, tenant: str, session: str) -> list[Fact]:
        """Returns the facts that no run of the session has been told yet."""
        ...

    async def woken_runs(self, teams: Sequence[str], *, limit: int = 100) -> list[str]:
        """Returns waiting runs of these teams that have commands in their inbox which no process has taken; oldest first."""
        ...
