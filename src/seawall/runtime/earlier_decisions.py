"""Finds the earlier decision on an approval step when a person decides on it again. The first decision stands."""

from __future__ import annotations

from typing import NamedTuple

from seawall.core.errors import Misused
from seawall.core.events import CommandTaken
from seawall.effects.credentials import Decider
from seawall.journal.ballot_rules import is_same_person
from seawall.journal.effect_rules import format_time
from seawall.journal.protocol import Journal, Proposal, Vote
from seawall.journal.protocol.effects import make_proposal_id
from seawall.run.state import RunState


class StepDecision(NamedTuple):
    """A person's decision on an approval step."""

    step: int
    approve: bool
    decider: Decider
    stop: bool = False


async def check_earlier_decision(journal: Journal, state: RunState, decision: StepDecision) -> bool:
    """Returns whether the same person has made the same decision on this step, so that there is nothing more to do.

    Raises `Misused` for another decision, or another person's decision; the message says who decided what, and when.
    """
    run, step = state.started.run, decision.step
    votes, decided = await _find_votes(journal, state, step)
    mine = [vote for vote in votes if _is_of(vote, decision.decider)]
    if not votes or not (decided or mine):
        return False
    stops = state.stopped is not None and state.stopped.step == step
    if mine and mine[-1].approve == decision.approve and (stops or not decision.stop):
        return True
    told = " and ".join(_describe(vote) for vote in (votes if decided else mine))
    word = "approve" if decision.approve else "reject"
    who = decision.decider.principal.name
    raise Misused(
        f"run {run}: step {step} does not wait for a decision of {who} (waiting: {_list_waiting(state)}): {told}, and "
        f"the first decision stands; {who} can't {word} it any more"
    )


def explain_not_waiting(state: RunState, step: int) -> Misused:
    """Returns the error for a decision on a step that does not wait for one."""
    waiting = _list_waiting(state)
    return Misused(f"run {state.started.run}: step {step} does not wait for a decision (waiting: {waiting})")


def _list_waiting(state: RunState) -> str:
    return ", ".join(str(each.step) for each in state.approvals) or "none"


async def _find_votes(journal: Journal, state: RunState, step: int) -> tuple[tuple[Vote, ...], bool]:
    """Returns the votes on a step, and whether it is decided. In older versions, the run's inbox has the votes."""
    run = state.started.run
    proposal = await _find_proposal(journal, run, step)
    if proposal is not None:
        return proposal.votes, proposal.state != "open"
    votes = [
        Vote(principal=event.by, approve=bool(event.approved), at=event.at, reason=event.reason)
        for event in await journal.events(run)
        if isinstance(event, CommandTaken) and event.command == "decide" and event.step == step and event.by
    ]
    votes += [
        Vote(
            principal=item.command.by, approve=bool(item.command.approved), at=0.0, reason=item.command.reason
        )
        for item in await journal.inbox(run, after=state.inbox)
        if item.command.kind == "decide" and item.command.step == step and item.command.by
    ]
    return tuple(votes[:1]), bool(votes)


async def _find_proposal(journal: Journal, run: str, step: int) -> Proposal | None:
    try:
        return await journal.proposal(make_proposal_id(run, step))
    except Misused:  # there is none
        return None


def _is_of(vote: Vote, decider: Decider) -> bool:
    return is_same_person(vote.principal, decider.principal.name)


def _describe(vote: Vote) -> str:
    what = "approved" if vote.approve else "rejected"
    when = f" at {format_time(vote.at)}" if vote.at else ""
    return f"{vote.principal} {what} it{when}{f' ({vote.reason})' if vote.reason else ''}"
