"""Builds the proposal of a step that guards hold: everything that a person needs to decide on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seawall.core.canonical import digest_of
from seawall.effects.guard import Question
from seawall.effects.proposals import compute_likeness, compute_proposal_hash
from seawall.journal.protocol.effects import CauseStep, Proposal, Reason, make_proposal_id
from seawall.run.approve import Approve
from seawall.run.bodies import Bodies
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import GuardVerdict, Hold

PLAIN = Approve()
"""The terms of a proposal that only a user's own guard asks for, such as when it expires."""


def build_proposal(
    step: Step,
    state: RunState,
    holds: Sequence[GuardVerdict],
    question: Question | None,
    causes: Sequence[CauseStep],
    bodies: Bodies,
    now: float,
) -> Proposal:
    """Returns the proposal for a prepared step that the verdicts `holds` hold; `question` is the tool's own question.

    `causes` are the steps that led to it, the nearest first.
    """
    from seawall.core.odd_text import find_odd_text  # noqa: PLC0415 -- 5 ms to import, and few runs ask a person

    started, redact = state.started, bodies.redact
    rule = PLAIN if question is None else question.rule
    facts = step.facts
    text = bodies.text(step.input)
    return Proposal(
        id=make_proposal_id(started.run, step.number),
        hash=compute_proposal_hash(step.kind, step.name, step.version, text, step.seal),
        tenant=started.tenant,
        run=started.run,
        step=step.number,
        call="" if step.call is None else state.call_key(step.frame, step.call.id),
        team=started.team,
        app=started.app,
        agent=step.agent,
        session=started.session,
        requester=started.principal,
        kind=step.kind,
        name=step.name,
        version=step.version,
        arguments=step.input,
        seal=step.seal,
        amount=None if facts is None else facts.amount,
        preview=None if question is None or question.preview is None else bodies.put(question.preview),
        preview_failed=question is not None and question.preview_failed,
        reverted=state.cut_texts,
        reasons=tuple(_read_reason(each, redact) for each in holds),
        causes=tuple(causes),
        flags=tuple([redact(each) for each in find_odd_text(step.arguments)]),
        asks="approve" if question is None else question.asks,
        declared=question is not None and question.declared,
        roles=rule.roles,
        people=rule.people,
        created_at=now,
        expires_at=now + rule.expires_s,
        expires_s=rule.expires_s,
        remind_at=None if rule.remind_s is None else now + rule.remind_s,
        escalate_at=None if rule.escalate_s is None else now + rule.escalate_s,
        escalate_to=rule.escalate_to,
        likeness=compute_likeness(step, text),
        effect="" if question is None else question.effect,
        group=digest_of([started.tenant, step.name, started.principal, started.session or ""])[:16],
    )


def _read_reason(held: GuardVerdict, redact: Callable[[str], str]) -> Reason:
    verdict = held.verdict
    assert isinstance(verdict, Hold)
    return Reason(
        guard=held.guard,
        reason=redact(verdict.reason),
        limit=None if verdict.limit is None else redact(str(verdict.limit)),
        value=None if verdict.value is None else redact(str(verdict.value)),
    )
