"""Earlier approvals of an effect by people: the only record against which a claim of permission can be checked."""

from __future__ import annotations

from collections.abc import Sequence

from seawall.journal.effect_rules import format_time
from seawall.journal.protocol import Journal
from seawall.journal.protocol.effects import EffectFilter, EffectRecord, Proposal, ProposalFilter
from seawall.run.step import Step
from seawall.run.traces import find_traces

MAX_EFFECTS = 100
"""Newest effects of the tool that are searched: a claim about a decision is about a recent one. The same number of
proposals of the run is searched: people decide on fewer in one run."""


async def list_decisions(
    journal: Journal, tenant: str, runs: Sequence[str], step: Step, identity: str, text: str
) -> tuple[str, ...]:
    """Returns, in words, the earlier approvals of the effect of `step`: with the same identity, or the same arguments.
    A call that reports a decision may rest on it too, such as a letter about an order whose refund was approved in one
    of `runs`. Such a decision is on a proposal of another tool that has a value of `text`, the arguments of the
    step.
    """
    found = [
        _describe(proposal)
        for effect in await journal.effects(EffectFilter(tenant=tenant, tool=step.name), limit=MAX_EFFECTS)
        if effect.proposal and _is_same(effect, step, identity)
        if _is_approved(proposal := await journal.proposal(effect.proposal))
    ]
    mine = find_traces(text).literals
    for run in runs:
        for proposal in await journal.proposals(ProposalFilter(state=None, run=run), limit=MAX_EFFECTS):
            if proposal.name == step.name or not _is_approved(proposal) or proposal.arguments is None:
                continue
            bodies = await journal.bodies(tenant, [proposal.arguments])
            asked = bodies.get(proposal.arguments, b"").decode("utf-8", "replace")
            if find_traces(asked).literals & mine:
                found.append(_describe(proposal))
    return tuple(found)


def _is_approved(proposal: Proposal) -> bool:
    return proposal.state in ("approved", "used")


def _is_same(effect: EffectRecord, step: Step, identity: str) -> bool:
    if identity:
        return effect.identity == identity
    return not step.seal and step.input is not None and effect.arguments == step.input


def _describe(proposal: Proposal) -> str:
    who = " and ".join(vote.principal for vote in proposal.votes if vote.approve) or "somebody"
    when = "" if proposal.decided_at is None else f" at {format_time(proposal.decided_at)}"
    return f"{who} approved proposal {proposal.id} ({proposal.name}){when}"
