"""The rules of decisions: whose ballot counts (A01 to A04, A08), and what a decided proposal tells its run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.errors import Misused, Refused
from seawall.core.money import Money
from seawall.journal.ballot_rules import (
    BallotFacts,
    Told,
    count_ballot,
    expire,
    find_due,
    find_rejected_until,
    find_roles,
    is_same_person,
    make_command,
    mark_told,
    record_decision,
)
from seawall.journal.protocol import Ballot, PrincipalRecord, Proposal

HASH, NEW_HASH = "a" * 64, "b" * 64
EDIT = Ref("c" * 64)
NOW = 1_767_225_600.0
PROPOSAL = Proposal(
    id="p-1",
    hash=HASH,
    tenant="acme",
    run="r-1",
    step=2,
    agent="clerk",
    name="refund",
    requester="user:7",
    arguments=Ref("d" * 64),
    amount=Money("500", "EUR"),
    roles=("finance",),
    created_at=NOW,
    expires_at=NOW + 100,
    expires_s=100.0,
)
BALLOT = Ballot(proposal="p-1", hash=HASH, approve=True, principal="alice", roles=("finance",))
FACTS = BallotFacts(now=NOW, ended=False, principal=None, has_principals=False)
ALICE = PrincipalRecord(name="alice", roles=("finance",), key_hash="k", created_at=NOW)


def facts(**fields: Any) -> BallotFacts:
    known = {"now": NOW, "ended": False, "principal": None, "has_principals": False}
    return BallotFacts(**{**known, **fields})


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "another hash": (
        {},
        {"hash": NEW_HASH},
        {},
        f"the decision has the hash {NEW_HASH}",
    ),
    "no hash": ({}, {"hash": ""}, {}, "the decision has the hash none, and the proposal has another one"),
    "after its time": ({}, {}, {"now": NOW + 100}, "expired at 2026-01-01 00:01:40 UTC; it is 2026-01-01"),
    "an ended run": ({}, {}, {"ended": True}, "its run r-1 has ended"),
    "a link again": ({"links": ("l",)}, {"link": "l"}, {}, "this link was used already"),
    "nobody": ({}, {"principal": " "}, {}, "the decision does not name the person who decides"),
    "an agent": ({}, {"agent": True}, {}, "alice is an agent"),
    "an agent's key": ({}, {"key": "k"}, {"principal": replace(ALICE, agent=True)}, "alice is an agent"),
    "a key that is gone": ({}, {"key": "k"}, {}, "alice has no such key any more"),
    "a removed key": ({}, {"key": "k"}, {"principal": replace(ALICE, removed_at=NOW)}, "no such key"),
    "another's key": ({}, {"key": "k"}, {"principal": replace(ALICE, name="bob")}, "no such key"),
    "a role that the key has not": (
        {},
        {"key": "k"},
        {"principal": replace(ALICE, roles=("support",))},
        "is decided by finance; alice has support",
    ),
    "another role": ({}, {"roles": ("support",)}, {}, "is decided by finance; alice has support"),
    "no role": ({}, {"roles": ()}, {}, "alice has no role"),
    "the requester": ({}, {"principal": "user:7"}, {}, "has requested it"),
    "the requester in other letters": ({}, {"principal": "\uff35SER:7 "}, {}, "has requested it"),
    "the requester who rejects": ({}, {"principal": "user:7", "approve": False}, {}, "has requested it"),
    "without a key": ({}, {"authenticated": False}, {}, "its tool asks for a person's approval"),
    "without a key where keys are": (
        {"declared": False},
        {"authenticated": False},
        {"has_principals": True},
        "this journal has principals",
    ),
    "a stranger who confirms": (
        {"asks": "confirm", "roles": ()},
        {},
        {},
        "confirmed by user:7, not by alice",
    ),
    "a confirmation of nobody": (
        {"asks": "confirm", "requester": "", "roles": ()},
        {},
        {},
        "the run names no user: start runs with principal",
    ),
    "an agent that confirms": (
        {"asks": "confirm", "roles": ()},
        {"principal": "user:7", "agent": True},
        {},
        "is an agent",
    ),
    "a higher amount": (
        {},
        {"edit": EDIT, "edit_hash": NEW_HASH, "edit_amount": Money("500.01", "EUR")},
        {},
        "is about 500.00 EUR; an edit may not make it 500.01 EUR",
    ),
    "another currency": (
        {},
        {"edit": EDIT, "edit_hash": NEW_HASH, "edit_amount": Money("1", "USD")},
        {},
        "may not make it 1.00 USD",
    ),
    "an amount that is gone": ({}, {"edit": EDIT, "edit_hash": NEW_HASH}, {}, "may not make it no amount"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_decision_does_not_count_with(what: str) -> None:
    proposal, ballot, known, words = REFUSED[what]
    with pytest.raises(Refused, match=words.replace(".", r"\.")) as refused:
        count_ballot(replace(PROPOSAL, **proposal), replace(BALLOT, **ballot), facts(**known))
    assert refused.value.guard == "approval"
    assert refused.value.limit is not None or refused.value.value is not None


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("approved", "is approved already"),
        ("rejected", "is rejected already"),
        ("expired", "expired at 2026-01-01 00:01:40 UTC; nothing was done"),
        ("void", "is void already"),
        ("used", "is used already"),
    ],
)
def test_what_is_decided_is_not_decided_again(state: str, words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        count_ballot(replace(PROPOSAL, state=state), BALLOT, FACTS)
    assert (refused.value.limit, refused.value.value) == ("open", state)


@pytest.mark.parametrize(
    ("proposal", "ballot", "known"),
    [
        ({}, {}, {}),
        ({"roles": ()}, {"roles": ()}, {}),
        ({"requester": ""}, {}, {}),
        ({"declared": False}, {"authenticated": False}, {}),
        ({"asks": "confirm", "roles": ()}, {"principal": "user:7"}, {}),
        ({}, {"key": "k", "roles": ()}, {"principal": ALICE, "has_principals": True}),
        ({"escalate_at": NOW, "escalate_to": ("cfo",)}, {"roles": ("cfo",)}, {}),
        ({"expires_at": None}, {}, {"now": NOW + 1e9}),
    ],
)
def test_a_decision_counts(proposal: dict[str, Any], ballot: dict[str, Any], known: dict[str, Any]) -> None:
    decided = count_ballot(replace(PROPOSAL, **proposal), replace(BALLOT, **ballot), facts(**known))
    assert decided.state == "approved"


def test_a_role_that_it_is_escalated_to_decides_from_that_time_on() -> None:
    proposal = replace(PROPOSAL, escalate_at=NOW + 1, escalate_to=("cfo",))
    assert find_roles(proposal, NOW) == ("finance",)
    assert find_roles(proposal, NOW + 1) == ("finance", "cfo")
    with pytest.raises(Refused, match="decided by finance"):
        count_ballot(proposal, replace(BALLOT, roles=("cfo",)), FACTS)


@given(people=st.integers(1, 5), voters=st.lists(st.sampled_from("abcdefg"), max_size=12))
def test_it_takes_as_many_different_people_as_are_needed(people: int, voters: list[str]) -> None:
    proposal = replace(PROPOSAL, people=people)
    for voter in voters:
        if proposal.state != "open":
            break
        ballot = replace(BALLOT, principal=voter)
        if voter in {vote.principal for vote in proposal.votes}:
            with pytest.raises(Refused, match="has voted already"):
                count_ballot(proposal, ballot, FACTS)
        else:
            proposal = count_ballot(proposal, ballot, FACTS)
    assert len({vote.principal for vote in proposal.votes}) == len(proposal.votes) <= people
    assert (proposal.state == "approved") == (len(set(voters)) >= people)


def test_one_rejection_is_enough_and_holds_as_long_as_it_was_asked_about() -> None:
    once = count_ballot(replace(PROPOSAL, people=2), BALLOT, FACTS)
    rejected = count_ballot(once, replace(BALLOT, principal="bob", approve=False, reason="no"), FACTS)
    assert (rejected.state, find_rejected_until(rejected), find_rejected_until(once)) == (
        "rejected",
        NOW + 100,
        None,
    )
    command = make_command(rejected, stop=True)
    assert command is not None
    assert (command.approved, command.by, command.reason, command.stop) == (False, "bob", "no", True)


def test_an_edit_is_a_vote_for_other_arguments_and_ends_the_other_votes() -> None:
    once = count_ballot(replace(PROPOSAL, people=2, seal="s", preview=Ref("e" * 64)), BALLOT, FACTS)
    edit = replace(
        BALLOT, principal="bob", edit=EDIT, edit_hash=NEW_HASH, edit_amount=Money("500", "EUR"), link="l"
    )
    edited = count_ballot(once, edit, FACTS)
    assert (edited.state, edited.hash, edited.arguments, edited.original) == (
        *("open", NEW_HASH, EDIT, PROPOSAL.arguments),
    )
    assert (edited.seal, edited.preview, edited.edited_by, edited.links) == ("", None, "bob", ("l",))
    assert [vote.principal for vote in edited.votes] == ["bob"]
    with pytest.raises(Refused, match="bob has voted already"):
        count_ballot(edited, replace(BALLOT, principal="bob", hash=NEW_HASH), FACTS)
    assert make_command(edited) is None
    decided = count_ballot(edited, replace(BALLOT, hash=NEW_HASH), FACTS)
    command = make_command(decided, stop=True)
    assert command is not None
    assert (command.by, command.edit, command.approved, command.stop) == ("bob, alice", EDIT, True, False)
    with pytest.raises(Misused, match="needs the hash"):
        count_ballot(PROPOSAL, replace(edit, edit_hash=""), FACTS)


def test_an_edit_of_what_has_no_amount_is_allowed() -> None:
    proposal = replace(PROPOSAL, amount=None)
    assert count_ballot(proposal, replace(BALLOT, edit=EDIT, edit_hash=NEW_HASH), FACTS).state == "approved"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("alice", "Alice ", True),
        ("\uff21lice", "alice", True),
        ("a  b", "a b", True),
        ("ali\u200bce\u2060", "alice", True),
        ("a\nb", "a b", True),
        ("alice", "bob", False),
    ],
)
def test_names_that_look_alike_are_one_person_s(one: str, other: str, same: bool) -> None:
    assert is_same_person(one, other) == same


def test_what_is_recorded_of_a_decision() -> None:
    decided = count_ballot(PROPOSAL, replace(BALLOT, key="k"), facts(principal=ALICE))
    record = record_decision(decided, BALLOT, NOW)
    assert (record.what, record.about, record.by, record.roles) == ("approve", "p-1", "alice", ("finance",))
    refused = record_decision(PROPOSAL, replace(BALLOT, agent=True), NOW, "agents decide nothing")
    assert (refused.what, refused.problem, refused.agent) == ("refuse", "agents decide nothing", True)
    edit = replace(BALLOT, edit=EDIT, edit_hash=NEW_HASH, edit_amount=Money("1", "EUR"))
    edited = record_decision(count_ballot(PROPOSAL, edit, FACTS), edit, NOW)
    assert (edited.what, edited.hash, edited.arguments) == ("edit", NEW_HASH, EDIT)
    assert record_decision(decided, replace(BALLOT, approve=False), NOW).what == "reject"


def test_people_are_told_when_it_is_due_and_once() -> None:
    proposal = replace(
        PROPOSAL, remind_at=NOW + 10, escalate_at=NOW + 20, escalate_to=("cfo",), expires_at=NOW + 30
    )
    dues: dict[Told, float] = {"new": NOW, "reminded": NOW + 10, "escalated": NOW + 20, "expired": NOW + 30}
    for what, due in dues.items():
        assert find_due(proposal) == due
        if what in ("escalated", "expired"):
            assert mark_told(proposal, what, due - 1, told=True) == proposal
        proposal = mark_told(proposal, what, due, told=True)
    assert find_due(proposal) is None
    assert (proposal.state, proposal.escalated) == ("expired", True)
    command = make_command(proposal)
    assert command is not None
    assert (command.approved, command.by) == (False, "")
    assert "nobody decided until 2026-01-01 00:00:30 UTC" in command.reason


def test_what_expires_can_be_changed_before_people_are_told() -> None:
    changed = mark_told(PROPOSAL, "expired", NOW + 100, told=False)
    assert changed == expire(PROPOSAL, NOW + 100)
    assert find_due(changed) == NOW + 100
    assert find_due(mark_told(changed, "expired", NOW + 100, told=True)) is None
    assert find_due(replace(PROPOSAL, state="approved")) is None
