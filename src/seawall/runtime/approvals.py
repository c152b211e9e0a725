"""Takes people's decisions on proposals, and their findings on effects, in any process. Credentials identify people."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from seawall.core.canonical import Ref, check_recordable, check_texts
from seawall.core.errors import Broken, Misused, Refused, name_error
from seawall.core.events import EffectState
from seawall.effects.credentials import Decider, Principal, find_by_key
from seawall.effects.links import Link, LinkSigner, digest_of_token, make_nonce
from seawall.journal.ballot_rules import check_may_vote, is_same_person
from seawall.journal.protocol import (
    Ballot,
    Command,
    EffectFilter,
    EffectRecord,
    Journal,
    Proposal,
    ProposalFilter,
    Settle,
)
from seawall.run.commands import find_effect_in_doubt
from seawall.runtime.approval_views import (
    Approval,
    RecordedEffect,
    build_approvals,
    build_effects,
    list_proposals,
    read_approval,
)
from seawall.runtime.big_texts import put_apart
from seawall.runtime.calls import call_apart
from seawall.runtime.earlier_decisions import StepDecision, check_earlier_decision, explain_not_waiting
from seawall.runtime.edits import prepare_edit
from seawall.runtime.older_approvals import list_older_approvals
from seawall.runtime.supervisor import Supervisor
from seawall.team.agent import Agent
from seawall.team.team import Team, as_team
from seawall.team.tool import encode

Authenticate = Callable[[Any], "Principal | Awaitable[Principal | None] | None"]
"""A function of the embedding program that returns the owner of a credential, or None. It may be async."""

NOBODY = "the credential is not valid"
REFUSALS_EVERY_S = 1.0
"""Seconds between two recorded wrong credentials, so that many attempts can't fill the disk."""
LINK_S = 3_600.0
"""Seconds for which a link is valid by default: people look at a proposal within an hour."""


class _Finding(NamedTuple):
    """What a person found out about an effect."""

    happened: bool
    receipt: Ref | None
    reason: str
    bodies: Mapping[Ref, bytes]


class Decisions:
    """The methods of `Seawall` for people who decide."""

    def __init__(
        self, supervisor: Supervisor, authenticate: Authenticate | None, link_key: bytes | None
    ) -> None:
        if authenticate is not None and not callable(authenticate):
            raise Misused(f"Seawall: authenticate is {authenticate!r}; it must be a function")
        self._supervisor = supervisor
        self._clock = supervisor.clock
        self._authenticate = authenticate
        self._links = None if link_key is None else LinkSigner(link_key)
        self._no_refusal_before = float("-inf")

    def __repr__(self) -> str:
        return "<Decisions>"

    @property
    def _journal(self) -> Journal:
        return self._supervisor.journal

    # ---- reading

    async def list_approvals(self, wanted: ProposalFilter, limit: int) -> list[Approval]:
        """Returns proposals, oldest first, as people are shown them."""
        now = self._clock.wall_s()
        older: list[Approval] = []
        if not wanted.after or " " in wanted.after:
            older = await list_older_approvals(self._journal, wanted, limit)
            wanted = replace(wanted, after="")
        if len(older) >= limit:
            return older
        found = await list_proposals(self._journal, wanted, limit - len(older), now)
        return [*older, *await build_approvals(self._journal, found, now)]

    async def read_approval(self, proposal: str) -> Approval:
        """Returns one proposal, with the agent's text beside the call."""
        return await read_approval(self._journal, proposal, self._clock.wall_s())

    async def list_effects(self, wanted: EffectFilter, limit: int) -> list[RecordedEffect]:
        """Returns effects, newest first."""
        return await build_effects(self._journal, await self._journal.effects(wanted, limit=limit))

    # ---- identifying the person

    async def identify(self, credential: object, by: str = "", *, on: str = "") -> Decider:
        """Returns the owner of a credential. Without a credential, `by` is a name that is not checked.

        Raises `Refused` for an invalid credential, and records the attempt with proposal `on`.
        """
        try:
            return await self._identify(credential, by)
        except Refused:
            if on:
                await self._record_refused(on)
            raise

    @property
    def authenticates(self) -> bool:
        """Whether the embedding program authenticates people."""
        return self._authenticate is not None

    async def identify_person(self, credential: object, by: str) -> str:
        """Returns the name of a credential's owner. Raises `Refused` for an agent, and for a name that is not checked."""
        decider = await self.identify(credential, by)
        await self._check_name(decider)
        return decider.principal.name

    async def _identify(self, credential: object, by: str) -> Decider:
        check_texts(by=by)
        if credential is None:
            if self._authenticate is not None or not by.strip():
                raise Misused("who decides? give the credential of the person")
            check_recordable(by=by)
            return Decider(principal=Principal(self._redact_name(by)), authenticated=False)
        if by:
            raise Misused(f"by is {by!r}; the credential says who decides")
        if self._authenticate is not None:
            return await self._ask(self._authenticate, credential)
        found = None
        if isinstance(credential, str):
            found = find_by_key(await self._journal.principals(), credential)
        if found is None:
            raise Refused(NOBODY, guard="approval")
        principal = Principal(found.name, found.roles, found.agent)
        return Decider(principal=principal, key=found.key_hash)

    async def _ask(self, authenticate: Authenticate, credential: object) -> Decider:
        """Returns the owner that the embedding program names. If that raises, nothing is decided and no message has the key."""
        principal, error = await call_apart(authenticate, credential, thread="seawall-authenticate")
        if error is not None:
            raise Broken(f"authenticate raised {name_error(error)}: nothing was decided") from error
        if principal is None:
            raise Refused(NOBODY, guard="approval")
        if not isinstance(principal, Principal):
            kind = type(principal).__name__
            raise Misused(f"authenticate returned {kind}: it must return Principal(…), or None for nobody")
        if self._redact_name(principal.name) != principal.name:
            raise Misused("authenticate returned a name that looks like a secret, and can't be recorded")
        return Decider(principal=principal)

    async def _record_refused(self, proposal: str) -> None:
        """Records an attempt to decide without a valid credential, at most once in `REFUSALS_EVERY_S`."""
        now = self._clock.monotonic_s()
        if now < self._no_refusal_before:
            return
        self._no_refusal_before = now + REFUSALS_EVERY_S
        with contextlib.suppress(Refused, Misused):  # the key is invalid, and the proposal may not exist
            await self._journal.decide(
                Ballot(proposal=proposal, hash="", approve=False, principal="", key="none")
            )

    def _redact_name(self, name: str) -> str:
        return self._supervisor.make_bodies().redact(name)

    # ---- deciding on a proposal

    async def decide(
        self,
        proposal: str,
        *,
        approve: bool,
        hash: str,  # noqa: A002 -- the word that everybody sees
        decider: Decider,
        reason: str = "",
        edit: str | None = None,
        team: Team | Agent | None = None,
        stop: bool = False,
        link: str = "",
    ) -> Approval:
        """Records a decision, and lets the run go on if this process has it. Returns the proposal after the decision."""
        check_texts(proposal=proposal, hash=hash, reason=reason)
        if " " in proposal:
            run, _, step = proposal.partition(" ")
            raise Misused(
                f"run {run} was parked by an earlier version, and asks without a proposal: decide on its step {step}"
            )
        bodies = self._supervisor.make_bodies()
        ballot = Ballot(
            proposal=proposal,
            hash=hash,
            approve=approve,
            principal=decider.principal.name,
            roles=decider.principal.roles,
            agent=decider.principal.agent,
            key=decider.key,
            authenticated=decider.authenticated,
            reason=bodies.redact(reason),
            stop=stop,
            link=link,
        )
        if edit is not None:
            found = await self._journal.proposal(proposal)
            known = self._find_team(found) if team is None else as_team(team)
            ballot = prepare_edit(ballot, found, known, edit, bodies)
        decided = await self._journal.decide(ballot, bodies.take_unsaved())
        await self._supervisor.inbox.deliver(decided.run)
        return (await build_approvals(self._journal, [decided]))[0]

    def _find_team(self, proposal: Proposal) -> Team | None:
        """Returns the team of a proposal's run, if this process has it."""
        known = self._supervisor.registry.teams.get(proposal.run)
        return known or self._supervisor.waker.teams.get(proposal.team)

    async def decide_step(
        self, run: str, step: int, *, approve: bool, decider: Decider, reason: str, stop: bool = False
    ) -> None:
        """Decides on approval step `step` of a run as it is now. A repetition of the same decision changes nothing.

        Raises `Misused` if the run does not wait for a decision on that step, and if another decision was made.
        """
        check_texts(reason=reason)
        state = await self._supervisor.read_state(run)
        waiting = state.open.get(step)
        decision = StepDecision(step, approve, decider, stop)
        if waiting is None or waiting not in state.approvals:
            if await check_earlier_decision(self._journal, state, decision):
                return
            raise explain_not_waiting(state, step)
        if find_effect_in_doubt(state, waiting) is not None:
            raise Misused(
                f"run {run}: step {step} asks what became of an effect; say that with: seawall reconcile {run} {step}"
            )
        if waiting.waits_for:
            raise Misused(
                f"run {run}: step {step} waits for effect {waiting.waits_for} of another call; nobody is asked"
            )
        if await check_earlier_decision(self._journal, state, decision):
            return
        if waiting.proposal:
            hash_ = (await self._journal.proposal(waiting.proposal)).hash
            try:
                await self.decide(
                    waiting.proposal, approve=approve, hash=hash_, decider=decider, reason=reason, stop=stop
                )
            except Refused:  # perhaps because another person has decided meanwhile
                if not await check_earlier_decision(self._journal, state, decision):
                    raise
            return
        # An earlier version parked this run, and asked without a proposal.
        await self._check_name(decider)
        command = Command(
            kind="decide", by=decider.principal.name, reason=reason, step=step, approved=approve, stop=stop
        )
        await self._supervisor.send(run, command)

    # ---- what became of an effect

    async def reconcile(
        self,
        effect: str,
        step: int | None,
        *,
        committed: object,
        failed: str | None,
        decider: Decider,
        reason: str,
    ) -> None:
        """Records a person's finding on an effect, or on the effect that `step` of run `effect` asks about.

        Raises `Refused` for a person who may not settle the effect.
        """
        finding = await self._make_finding(committed, failed, reason)
        found = effect if step is None else await self._find_in_doubt(effect, step)
        if found is None:  # an earlier version attempted it, so that only the run has recorded it
            assert step is not None
            await self._check_name(decider)
            command = Command(
                kind="decide",
                by=decider.principal.name,
                reason=finding.reason,
                step=step,
                approved=finding.happened,
                output=finding.receipt,
            )
            await self._supervisor.send(effect, command, finding.bodies)
            return
        record = await self._journal.effect(found)
        await self._check_settler(record, decider)
        change = Settle(
            effect=record.id,
            state="committed" if finding.happened else "failed",
            at=self._clock.wall_s(),
            receipt=finding.receipt,
            reason=finding.reason,
            by=decider.principal.name,
        )
        settled = await self._journal.settle(change, finding.bodies)
        await self._supervisor.inbox.deliver(settled.run)

    async def _find_in_doubt(self, run: str, step: int) -> str | None:
        """Returns the id of the effect whose fate approval step `step` of a run asks for; None if it has no record.

        Raises `Misused` if the step does not ask what became of an effect.
        """
        state = await self._supervisor.read_state(run)
        waiting = state.open.get(step)
        effect = None if waiting is None else find_effect_in_doubt(state, waiting)
        if effect is None:
            raise Misused(f"run {run}: step {step} does not ask what became of an effect")
        wanted: tuple[EffectState | None, ...] = (
            "unknown",
            None,
        )  # None: it was settled, and the run does not know it yet
        for among in wanted:
            records = await self._journal.effects(EffectFilter(run=run, state=among), limit=1_000)
            found = next((each.id for each in records if each.step == effect), None)
            if found is not None:
                return found
        return None

    async def _make_finding(self, committed: object, failed: str | None, reason: str) -> _Finding:
        """Returns a person's finding. Raises `Misused` unless exactly one of `committed` and `failed` is given."""
        check_texts(failed="" if failed is None else failed, reason=reason)
        if (committed is None) == (failed is None):
            raise Misused("say what became of the effect: committed=RECEIPT or failed=TEXT, and not both")
        bodies = self._supervisor.make_bodies()
        told = bodies.redact("; ".join(each for each in (failed or "", reason) if each))
        if failed is not None:
            if not failed.strip():
                raise Misused(
                    f"failed is empty ({failed!r}): say how you know that the effect did not happen and will not"
                )
            return _Finding(False, None, told, {})
        try:
            encoded = encode(committed, "committed=…")
        except TypeError as error:
            kind = type(committed).__name__
            raise Misused(f"reconcile: committed is a {kind} that has no JSON form: {error}") from None
        text = encoded.decode("utf-8", "replace") if isinstance(encoded, bytes) else encoded
        await put_apart(text, bodies)
        return _Finding(True, bodies.put(text), told, bodies.take_unsaved())

    async def allow_again(self, effect: str, *, decider: Decider) -> RecordedEffect:
        """Allows an effect that was done once more."""
        record = await self._journal.effect(effect)
        await self._check_settler(record, decider)
        changed = await self._journal.allow_again(record.id, decider.principal.name)
        return (await build_effects(self._journal, [changed]))[0]

    async def _check_settler(self, record: EffectRecord, decider: Decider) -> None:
        """Raises `Refused` for a person who may not settle an effect, or allow it once more.

        These are agents, the requester of an effect that another person had to approve, and unchecked names where names are
        checked.
        """
        asked = await self._journal.proposal(record.proposal) if record.proposal else None
        await self._check_name(decider, declared=asked is not None and asked.declared)
        name = decider.principal.name
        if asked is not None and asked.asks == "approve" and is_same_person(name, record.principal):
            raise Refused(
                f"{name!r} has asked for this effect, so somebody else has to say what became of it",
                guard="approval",
                value=name,
            )

    async def _check_name(self, decider: Decider, *, declared: bool = False) -> None:
        """Raises `Refused` for an agent, and for an unchecked name where names are checked."""
        _refuse_agent(decider.principal)
        name = decider.principal.name
        if not decider.authenticated and (declared or await self._journal.principals()):
            raise Refused(
                f"nobody has checked that this is {name!r}: give a credential, in a shell --key-file FILE (made with: "
                "seawall principals add NAME)",
                guard="approval",
                value=name,
            )

    # ---- links

    async def make_link(
        self,
        proposal: str,
        principal: Principal | str,
        hash: str | None,  # noqa: A002 -- as above
        expires_s: float,
    ) -> str:
        """Returns the token of a new link."""
        links = self._require_links()
        found = await self._journal.proposal(proposal)
        if found.state != "open":
            raise Refused(f"proposal {found.id} is {found.state}", guard="approval", value=found.state)
        if hash is not None and hash != found.hash:
            raise Refused(f"proposal {found.id} has changed meanwhile", guard="approval", value=hash)
        if not 0 < expires_s < float("inf"):
            raise Misused(f"expires_s is {expires_s!r}; it must be a number of seconds above zero")
        recorded = not isinstance(principal, Principal)
        who = await self._read_principal(principal) if isinstance(principal, str) else principal
        _refuse_agent(who)
        now = self._clock.wall_s()
        check_may_vote(found, who.name, who.roles, now + expires_s)  # it may be escalated by then
        return links.make(
            Link(
                proposal=found.id,
                hash=found.hash,
                principal=who.name,
                roles=() if recorded else who.roles,
                recorded=recorded,
                made_at=now,
                expires_at=now + expires_s,
                nonce=make_nonce(),
            )
        )

    async def read_link(self, token: str) -> Approval:
        """Returns the proposal of a link, for the page that asks. The link stays valid."""
        link = self._require_links().read(token, self._clock.wall_s())
        return await self.read_approval(link.proposal)

    async def decide_by_link(self, token: str, *, approve: bool, reason: str, stop: bool) -> Approval:
        """Decides as the person that a link was made for."""
        link = self._require_links().read(token, self._clock.wall_s())
        decider = Decider(principal=Principal(link.principal, link.roles))
        if link.recorded:
            decider = await self._find_recorded(link)
        return await self.decide(
            link.proposal,
            approve=approve,
            hash=link.hash,
            decider=decider,
            reason=reason,
            stop=stop,
            link=digest_of_token(token),
        )

    def _require_links(self) -> LinkSigner:
        if self._links is None:
            raise Misused("links need a key: Seawall(link_key=…)")
        return self._links

    async def _read_principal(self, name: str) -> Principal:
        for each in await self._journal.principals():
            if each.name == name and each.removed_at is None:
                return Principal(each.name, each.roles, each.agent)
        raise Misused(
            f"there is no principal {name!r}: give Principal(…), or make one with seawall principals"
        )

    async def _find_recorded(self, link: Link) -> Decider:
        """Returns the person that a link was made for, with today's roles. Raises `Refused` for a removed person."""
        for each in await self._journal.principals():
            if each.name == link.principal and each.removed_at is None and each.created_at <= link.made_at:
                principal = Principal(each.name, each.roles, each.agent)
                return Decider(principal=principal, key=each.key_hash)
        raise Refused(
            "the principal of this link was removed: ask for a new link",
            guard="approval",
            value=link.principal,
        )


def _refuse_agent(principal: Principal) -> None:
    if principal.agent:
        raise Refused(
            f"{principal.name!r} is an agent, and agents decide nothing",
            guard="approval",
            value=principal.name,
        )
