"""The rules of decisions: whose ballot counts, and when a proposal is decided. Pure, as `effect_rules.py`."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from seawall.core.errors import Misused, Refused
from seawall.core.invisible import is_invisible
from seawall.journal.effect_rules import format_time, has_expired
from seawall.journal.protocol import Ballot, Command, DecisionRecord, PrincipalRecord, Proposal, Vote

Told = Literal["new", "reminded", "escalated", "expired"]


@dataclass(frozen=True, kw_only=True)
class BallotFacts:
    """The facts of the journal that decide whether a ballot counts."""

    now: float
    """The later of the wall clock and the newest time in the journal."""
    ended: bool
    """Whether the proposal's run has ended."""
    principal: PrincipalRecord | None
    """The principal whose key the ballot shows; None if no principal has that key."""
    has_principals: bool
    """Whether the journal has principals, or had some."""


def is_same_person(one: str, other: str) -> bool:
    """Returns whether two names may belong to one person: they look alike except for case, width, white space and
    invisible characters.
    """
    return _fold(one) == _fold(other)


def _fold(name: str) -> str:
    seen = "".join(char for char in name if char.isspace() or not is_invisible(char))
    return " ".join(unicodedata.normalize("NFKC", seen).casefold().split())


def _refuse(problem: str, limit: object, value: object) -> Refused:
    return Refused(problem, guard="approval", limit=limit, value=value)


def count_ballot(proposal: Proposal, ballot: Ballot, facts: BallotFacts) -> Proposal:
    """Returns the proposal with one more vote. Raises `Refused` (guard `approval`) if the ballot does not count."""
    _check_proposal(proposal, ballot, facts)
    roles = _check_voter(proposal, ballot, facts)
    vote = Vote(
        principal=ballot.principal,
        approve=ballot.approve,
        at=facts.now,
        roles=roles,
        reason=ballot.reason,
        authenticated=ballot.authenticated,
    )
    links = (*proposal.links, ballot.link) if ballot.link else proposal.links
    if not ballot.approve:
        votes = (*proposal.votes, vote)
        return replace(proposal, state="rejected", votes=votes, links=links, decided_at=facts.now)
    if ballot.edit is not None:
        _check_edit(proposal, ballot)
        proposal = replace(
            proposal,
            arguments=ballot.edit,
            hash=ballot.edit_hash,
            seal="",
            amount=ballot.edit_amount,
            original=proposal.original or proposal.arguments,
            edited_by=ballot.principal,
            preview=None,  # the preview was made for other arguments
            preview_failed=False,
            votes=(),
        )
    votes = (*proposal.votes, vote)
    proposal = replace(proposal, votes=votes, links=links)
    return (
        replace(proposal, state="approved", decided_at=facts.now)
        if len(votes) >= proposal.people
        else proposal
    )


def _check_proposal(proposal: Proposal, ballot: Ballot, facts: BallotFacts) -> None:
    """Raises `Refused` if the proposal can't be decided any more, or not with this ballot."""
    name = f"proposal {proposal.id}"
    if ballot.link and ballot.link in proposal.links:
        raise _refuse(f"{name}: this link was used already; it is good for one decision", 1, 2)
    if proposal.state == "expired" and proposal.expires_at is not None:
        expiry = format_time(proposal.expires_at)
        raise _refuse(f"{name} expired at {expiry}; nothing was done", "open", proposal.state)
    if proposal.state != "open":
        by = ", ".join(vote.principal for vote in proposal.votes)
        who = (
            f" by {by} at {format_time(proposal.decided_at)}"
            if by and proposal.decided_at is not None
            else ""
        )
        raise _refuse(f"{name} is {proposal.state} already{who}", "open", proposal.state)
    if facts.ended:
        raise _refuse(f"{name} is void: its run {proposal.run} has ended", "open", "void")
    if has_expired(proposal, facts.now):
        expiry = format_time(proposal.expires_at)
        raise _refuse(f"{name} expired at {expiry}; it is {format_time(facts.now)}", expiry, facts.now)
    if ballot.hash != proposal.hash:
        raise _refuse(
            # The right hash is not shown: a person who copies it would approve what they have not seen.
            f"{name}: the decision has the hash {ballot.hash or 'none'}, and the proposal has another one: look at it again, with "
            f"seawall approvals {proposal.id}",
            "the hash of what is asked",
            ballot.hash,
        )


def _check_voter(proposal: Proposal, ballot: Ballot, facts: BallotFacts) -> tuple[str, ...]:
    """Returns the voter's roles. Raises `Refused` if they may not decide."""
    name, who = f"proposal {proposal.id}", ballot.principal
    roles, agent = ballot.roles, ballot.agent
    if not who.strip():
        raise _refuse(f"{name}: the decision does not name the person who decides", "a principal", who)
    if ballot.key:
        record = facts.principal
        if record is None or record.removed_at is not None or record.name != who:
            raise _refuse(f"{name}: {who} has no such key any more", "a key of the journal", who)
        roles, agent = record.roles, agent or record.agent
    if agent:
        raise _refuse(f"{name}: {who} is an agent, and agents decide nothing", "a person", who)
    if not ballot.authenticated:
        _check_unauthenticated(proposal, who, facts)
    check_may_vote(proposal, who, roles, facts.now)
    return roles


def check_may_vote(proposal: Proposal, who: str, roles: Sequence[str], now: float) -> None:
    """Raises `Refused` if `who`, with these roles, may not decide at this time: they lack the role, or have decided
    already.
    """
    name = f"proposal {proposal.id}"
    _check_requester(proposal, who)
    wanted = find_roles(proposal, now)
    if wanted and not set(wanted) & set(roles):
        raise _refuse(
            f"{name} is decided by {' or '.join(wanted)}; {who} has {', '.join(roles) or 'no role'}",
            wanted,
            roles,
        )
    if any(is_same_person(vote.principal, who) for vote in proposal.votes):
        raise _refuse(f"{name}: {who} has voted already; {proposal.people} people must approve it", 1, 2)


def _check_unauthenticated(proposal: Proposal, who: str, facts: BallotFacts) -> None:
    if proposal.declared or facts.has_principals:
        why = (
            "its tool asks for a person's approval"
            if proposal.declared
            else "this journal has principals, or had some"
        )
        raise _refuse(
            f"proposal {proposal.id}: {who} has shown no key, and {why}; give a credential, in a shell --key-file FILE "
            "(made with: seawall principals add NAME)",
            "authenticated",
            "not authenticated",
        )


def _check_requester(proposal: Proposal, who: str) -> None:
    """Raises `Refused` if only the requester may decide and `who` is somebody else, or if the requester may not decide
    and `who` is the requester.
    """
    name, requester = f"proposal {proposal.id}", proposal.requester
    if proposal.asks == "confirm":
        if not requester.strip():
            raise _refuse(
                f"{name} is confirmed by the user on whose behalf run {proposal.run} works, but the run names no user: start "
                "runs with principal=…",
                "a requester",
                "",
            )
        if requester != who:
            raise _refuse(f"{name} is confirmed by {requester}, not by {who}", requester, who)
    elif requester.strip() and is_same_person(requester, who):
        raise _refuse(f"{name}: {who} has requested it, and may not decide on it", "somebody else", who)


def find_roles(proposal: Proposal, now: float) -> tuple[str, ...]:
    """Returns the roles of which one is needed to decide at this time; empty: no role is needed."""
    escalated = proposal.escalated or (proposal.escalate_at is not None and now >= proposal.escalate_at)
    return (*proposal.roles, *proposal.escalate_to) if proposal.roles and escalated else proposal.roles


def _check_edit(proposal: Proposal, ballot: Ballot) -> None:
    """Raises `Refused` for edited arguments that go beyond the question: a higher amount, or an amount of another
    currency.
    """
    name, asked, given = f"proposal {proposal.id}", proposal.amount, ballot.edit_amount
    if not ballot.edit_hash:
        raise Misused(f"{name}: an edit needs the hash of what is to be performed")
    if asked is None and given is None:
        return
    if asked is None or given is None or asked.currency != given.currency or given > asked:
        raise _refuse(
            f"{name} is about {asked or 'no amount'}; an edit may not make it {given or 'no amount'}",
            str(asked),
            str(given),
        )


# ---- what follows from a decision


def record_decision(proposal: Proposal, ballot: Ballot, now: float, problem: str = "") -> DecisionRecord:
    """Returns the record of a ballot that was counted or, with a `problem`, was refused."""
    voted = not problem and proposal.votes
    edited = not problem and ballot.approve and ballot.edit is not None
    return DecisionRecord(
        at=now,
        what="refuse" if problem else "edit" if edited else "approve" if ballot.approve else "reject",
        about=proposal.id,
        by=ballot.principal,
        roles=proposal.votes[-1].roles if voted else ballot.roles,
        agent=ballot.agent,
        authenticated=ballot.authenticated,
        reason=ballot.reason,
        problem=problem,
        hash=ballot.edit_hash if edited else ballot.hash,
        arguments=ballot.edit if edited else None,
        link=ballot.link,
    )


def make_command(proposal: Proposal, *, stop: bool = False) -> Command | None:
    """Returns what a decided proposal tells its run; None while more votes are needed."""
    if proposal.state == "expired":
        return Command(
            kind="decide",
            step=proposal.step,
            approved=False,
            reason=f"nobody decided until {format_time(proposal.expires_at)}",
            proposal=proposal.id,
        )
    if proposal.state not in ("approved", "rejected"):
        return None
    approved = proposal.state == "approved"
    counted = proposal.votes if approved else proposal.votes[-1:]
    return Command(
        kind="decide",
        by=", ".join(vote.principal for vote in counted),
        reason=proposal.votes[-1].reason,
        step=proposal.step,
        approved=approved,
        proposal=proposal.id,
        edit=proposal.arguments if approved and proposal.original is not None else None,
        stop=stop and not approved,
    )


def delay_changes(proposal: Proposal, seconds: float) -> Proposal:
    """Returns a new proposal that expires and is escalated so many seconds later.

    A proposal is made by the wall clock and judged by the journal's time. If the clock was set back, it is behind that
    time, and a proposal without this delay may have expired before anybody is asked.
    """
    expires_at, escalate_at = proposal.expires_at, proposal.escalate_at
    return replace(
        proposal,
        expires_at=None if expires_at is None else expires_at + seconds,
        escalate_at=None if escalate_at is None else escalate_at + seconds,
    )


def find_due(proposal: Proposal) -> float | None:
    """Returns the wall second at which the next notification of a proposal is due; None if none will be."""
    if proposal.state == "expired":
        return None if "expired" in proposal.notified else proposal.expires_at
    if proposal.state != "open":
        return None
    dues = {
        "new": proposal.created_at,
        "reminded": proposal.remind_at,
        "escalated": proposal.escalate_at,
        "expired": proposal.expires_at,
    }
    return min(
        (at for what, at in dues.items() if at is not None and what not in proposal.notified), default=None
    )


def find_change(proposal: Proposal) -> float | None:
    """Returns the wall second at which a proposal changes by itself: it is escalated, or it expires. None if it does
    not change.
    """
    if proposal.state != "open":
        return None
    times = (proposal.expires_at, None if proposal.escalated else proposal.escalate_at)
    return min((at for at in times if at is not None), default=None)


def mark_told(proposal: Proposal, what: Told, now: float, *, told: bool) -> Proposal:
    """Returns the proposal after a notification was made, or just before it is made; see `mark_proposal`."""
    if what == "escalated":
        if proposal.state == "open" and proposal.escalate_at is not None and now >= proposal.escalate_at:
            proposal = replace(proposal, escalated=True)
        told = told and proposal.escalated
    if what == "expired":
        if proposal.state == "open" and has_expired(proposal, now):
            proposal = expire(proposal, now)
        told = told and proposal.state == "expired"
    if told and what not in proposal.notified:
        proposal = replace(proposal, notified=(*proposal.notified, what))
    return proposal


def expire(proposal: Proposal, now: float) -> Proposal:
    """Returns the proposal as expired, because it was not decided in time."""
    return replace(proposal, state="expired", decided_at=now)


def find_rejected_until(proposal: Proposal) -> float | None:
    """Returns the wall second until which a rejection also answers the same proposal; None if the proposal was not
    rejected.
    """
    if proposal.state != "rejected" or proposal.decided_at is None:
        return None
    return proposal.decided_at + proposal.expires_s
