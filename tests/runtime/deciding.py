"""A person who decides on what a run waits for."""

from __future__ import annotations

from seawall import Seawall, Waiting
from seawall.journal.protocol.effects import Ballot, make_proposal_id


async def decide(sea: Seawall, waiting: Waiting, *, approve: bool = True, stop: bool = False) -> None:
    """Decides as a person whom nobody has asked for a key."""
    proposal = await sea.journal.proposal(make_proposal_id(waiting.run, waiting.step))
    ballot = Ballot(
        proposal=proposal.id,
        hash=proposal.hash,
        approve=approve,
        principal="finance",
        authenticated=False,
        stop=stop,
    )
    await sea.journal.decide(ballot)
    await sea.supervisor.inbox.deliver(waiting.run)
