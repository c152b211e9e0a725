"""What a team does next: `decide(team, state) -> actions`. Pure: a function of the definition and the fold.

A frame is one agent at work. In each the same loop turns: ask the model; make the calls of its reply (reads
at once, effects one after another); ask again; until the reply is an answer. A coordinator's answer goes to
its reviewer first, if it has one.
"""

from __future__ import annotations

from collections.abc import Iterator

from seawall.core.events import StoppedBy
from seawall.run.frame import Frame, Slot
from seawall.run.state import RunState
from seawall.run.step import Action, Close, End, Propose
from seawall.team.agent import ASK_PREFIX
from seawall.team.team import Member, Team

BACKOFF_S = 0.5
"""Before the second try of a model call; doubled for each further one. Providers' clients use the same."""
MAX_BACKOFF_S = 8.0


def decide(team: Team, state: RunState) -> list[Action]:
    """The next actions; none if everything waits."""
    if state.ended is not None:
        return []
    if state.cancelled is not None:
        by = state.cancelled.by or "the caller"
        reason = state.cancelled.reason or f"cancelled by {by}"
        return [End(status="cancelled", stopped_by=StoppedBy("cancel", reason))]
    if state.halted is not None:
        halt = state.halted
        step = halt.step or None
        return [
            End(status="halted", stopped_by=StoppedBy(halt.guard, halt.reason, step, halt.limit, halt.value))
        ]
    actions: list[Action] = []
    for frame in state.frames.values():
        actions.extend(_frame(team, state, frame))
    return actions


def _frame(team: Team, state: RunState, frame: Frame) -> Iterator[Action]:
    if frame.model is not None or frame.review is not None or frame.approval is not None:
        return
    member = team.members.get(frame.agent)
    if member is None:
        yield from _deserted(team, frame)
    elif frame.turn:
        yield from _calls(team, frame, member)
    elif frame.error is not None:
        yield _failed(frame, frame.error_kind or "error", None)
    elif frame.answer is not None:
        yield _answered(frame, member)
    elif frame.approved is False and frame.rounds >= member.rounds:
        yield _rejected(frame, member)
    else:
        yield Propose(
            kind="model",
            name=member.agent.model_name,
            agent=frame.agent,
            frame=frame.id,
            depth=frame.depth,
            delay_s=_backoff(frame.failures, frame.retry_after_s),
            grant=frame.grant,
        )


def _deserted(team: Team, frame: Frame) -> Iterator[Action]:
    """An agent that is gone from the team: what it began is settled first, then its frame fails."""
    pending = [slot for slot in frame.turn if slot.line is None]
    for slot in pending:
        if slot.unknown is not None and slot.step is None:
            yield _fate(frame, slot)
    if not any(slot.unknown is not None or slot.step is not None for slot in pending):
        there = ", ".join(team.members)
        text = f"agent {frame.agent!r} is not in team {team.name!r} any more (there: {there})"
        yield _failed(frame, "error", text)


def _fate(frame: Frame, slot: Slot) -> Propose:
    """Ask a person what became of an effect."""
    return Propose(
        kind="approval",
        name=slot.call.name,
        agent=frame.agent,
        frame=frame.id,
        depth=frame.depth,
        call=slot.call,
    )


def _backoff(failures: int, retry_after_s: float | None) -> float:
    if failures == 0:
        return 0.0
    if retry_after_s is not None:
        return retry_after_s
    return min(MAX_BACKOFF_S, BACKOFF_S * 2 ** (failures - 1))


def _calls(team: Team, frame: Frame, member: Member) -> Iterator[Action]:
    """Reads at once; an effect alone, and only when everything before it is answered."""
    effects = {item.name for item in member.agent.tools if item.effect}
    for slot in frame.turn:
        if slot.line is not None:
            continue
        is_effect = slot.call.name in effects
        if is_effect and slot is not next(other for other in frame.turn if other.line is None):
            return
        if slot.step is None:
            yield _call(team, frame, member, slot)
        if is_effect:
            return


def _call(team: Team, frame: Frame, member: Member, slot: Slot) -> Propose:
    name = slot.call.name
    colleague = name.removeprefix(ASK_PREFIX) if name.startswith(ASK_PREFIX) else ""
    target = team.target(colleague) if colleague in member.asks else None
    if slot.unknown is not None:
        return _fate(frame, slot)
    return Propose(
        kind="tool" if target is None else "handoff",
        name=name if target is None else target,
        agent=frame.agent,
        frame=frame.id,
        depth=frame.depth if target is None else frame.depth + 1,
        call=slot.call,
        delay_s=_backoff(slot.failures, slot.retry_after_s),
        grant=slot.grant,
    )


def _answered(frame: Frame, member: Member) -> Action:
    if frame.kind == "review":
        return Close(step=frame.id, status="ok", output=frame.answer, approved=bool(frame.approved))
    if member.reviewer is not None and not frame.approved:
        return Propose(
            kind="review",
            name=member.reviewer,
            agent=frame.agent,
            frame=frame.id,
            depth=frame.depth + 1,
            grant=frame.grant,
        )
    if frame.kind == "root":
        return End(status="completed", answer=frame.answer, reviewed=frame.approved)
    return Close(step=frame.id, status="ok", output=frame.answer)


def _rejected(frame: Frame, member: Member) -> Action:
    reason = f"{member.reviewer!r} rejected the answer {frame.rounds} times (limit {member.rounds})"
    if frame.kind == "root":
        stopped_by = StoppedBy("review", reason, None, f"review_rounds={member.rounds}", str(frame.rounds))
        return End(status="refused", reviewed=False, stopped_by=stopped_by)
    return Close(step=frame.id, status="error", text=f"Error: {reason}", error="rejected")


def _failed(frame: Frame, kind: str, text: str | None) -> Action:
    """A frame that can't go on: its caller is told, or the run ends."""
    if frame.kind != "root":
        return Close(step=frame.id, status="error", output=frame.error, text=text, error=kind)
    stopped_by = frame.refusal
    if stopped_by is None and kind == "refused":
        stopped_by = StoppedBy("approval", "a person refused what this run held for")
    status = "failed" if stopped_by is None else "refused"
    return End(status=status, stopped_by=stopped_by, error=text, error_ref=frame.error)
