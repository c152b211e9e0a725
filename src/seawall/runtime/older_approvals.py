"""What older versions asked: approval steps without a proposal, which are decided as steps of their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seawall.core.canonical import Ref
from seawall.core.events import Event, Judged, StepIntended
from seawall.core.odd_text import find_odd_text
from seawall.history.recorded import fold_in_slices
from seawall.journal.protocol import Journal, ProposalFilter, Reason, RunRow
from seawall.run.commands import find_effect_in_doubt
from seawall.run.state import RunState
from seawall.runtime.approval_views import ERASED, Approval, decode_arguments

MAX_RUNS = 1_000
"""Runs of older versions that are looked at: the oldest that wait. Each decision lets another one come up."""


async def list_older_approvals(journal: Journal, wanted: ProposalFilter, limit: int) -> list[Approval]:
    """Returns what older versions asked and nobody has decided, oldest first. Anybody may decide, whatever their role."""
    if wanted.state not in ("open", None):
        return []
    rows = await journal.older_waits(limit=MAX_RUNS)
    run, _, step = wanted.after.partition(" ")
    place = next((place for place, row in enumerate(rows) if row.run == run), 0)  # 0: it is decided by now
    found: list[Approval] = []
    for row in rows[place:]:
        if wanted.run in (None, row.run) and wanted.tenant in (None, row.tenant):
            asked = await _read_run(journal, row)
            found += [
                each for each in asked if row.run != run or not step.isdecimal() or each.step > int(step)
            ]
        if len(found) >= limit:
            break
    return found[:limit]


async def _read_run(journal: Journal, row: RunRow) -> list[Approval]:
    """Returns what a run asks without a proposal."""
    events = await journal.events(row.run)
    if not events:  # pruned meanwhile
        return []
    state = await fold_in_slices(events)
    decided = {item.command.step for item in await journal.inbox(row.run, after=state.inbox)}
    asked = [
        step
        for step in state.asked
        if not step.proposal and step.step not in decided and find_effect_in_doubt(state, step) is None
    ]
    bodies = await journal.bodies(row.tenant, [step.input for step in asked if step.input])
    return [_build(step, state, events, bodies) for step in sorted(asked, key=lambda step: step.step)]


def _build(
    step: StepIntended, state: RunState, events: Sequence[Event], bodies: Mapping[Ref, bytes]
) -> Approval:
    started = state.started
    text = ""
    if step.input and step.call is not None:
        text = bodies[step.input].decode("utf-8", "replace") if step.input in bodies else ERASED
    arguments = decode_arguments(text)
    return Approval(
        id=f"{started.run} {step.step}",
        hash="",
        state="open",
        kind="model" if step.call is None else "tool",
        tool=step.name,
        version=step.version,
        arguments=arguments,
        arguments_text=text,
        amount=None,
        flags=find_odd_text(arguments),
        reasons=tuple(
            Reason(
                guard=event.guard,
                reason=event.reason,
                limit=None if event.limit is None else str(event.limit),
                value=None if event.value is None else str(event.value),
            )
            for event in events
            if isinstance(event, Judged) and event.step == step.step
            if event.verdict == "hold" and event.mode == "enforce"
        ),
        preview=None,
        preview_failed=False,
        summary=None,
        causes=(),
        asks="approve",
        declared=False,
        roles=(),
        people=1,
        votes=(),
        created_at=step.at,
        expires_at=None,
        escalated=False,
        escalate_to=(),
        decided_at=None,
        original=None,
        edited_by="",
        requester=started.principal,
        agent=step.agent,
        run=started.run,
        step=step.step,
        session=started.session,
        tenant=started.tenant,
        team=started.team,
        app=started.app,
        effect="",
        group="",
    )
