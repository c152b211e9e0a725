"""What people have approved before of an effect: the only thing that a claim of permission can be checked against."""

from __future__ import annotations

from seawall.journal.effect_rules import format_time
from seawall.journal.protocol import Journal
from seawall.journal.protocol.effects import EffectFilter, EffectRecord, Proposal
from seawall.run.step import Step

MAX_EFFECTS = 100
"""The newest effects of the tool that are looked at: whoever speaks of a decision speaks of a recent one."""


async def list_decisions(journal: Journal, tenant: str, step: Step, identity: str) -> tuple[str, ...]:
    """Returns, in words, who has approved the effect of `step` before: the same identity, or the same arguments."""
    found: list[str] = []
    for effect in await journal.effects(EffectFilter(tenant=tenant, tool=step.name), limit=MAX_EFFECTS):
        if effect.proposal and _is_same(effect, step, identity):
            proposal = await journal.proposal(effect.proposal)
            if proposal.state in ("approved", "used"):
                found.append(_describe(proposal))
    return tuple(found)


def _is_same(effect: EffectRecord, step: Step, identity: str) -> bool:
    if identity:
        return effect.identity == identity
    return not step.seal and step.input is not None and effect.arguments == step.input


def _describe(proposal: Proposal) -> str:
    who = " and ".join(vote.principal for vote in proposal.votes if vote.approve) or "somebody"
    when = "" if proposal.decided_at is None else f" at {format_time(proposal.decided_at)}"
    return f"{who} approved proposal {proposal.id}{when}"
