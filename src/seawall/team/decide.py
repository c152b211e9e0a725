"""Decides what a team does next: `decide(team, state) -> actions`. It is a pure function of the definition and the fold.

A frame is one agent at work. Each frame repeats the same loop: call the model; make the calls of its reply (all
reads at once, effects one after another); call the model again, until its reply is an answer. Effects of one reply
that a person must decide on are all asked about at once. A coordinator's answer
goes to the reviewer first, if the team has one. The planner's decisions are in the state: calls that are not made,
frames that end, answers that are not reviewed, and the agent that answers in the team's place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from seawall.core.canonical import Ref
from seawall.core.events import StepIntended, StepKind, StoppedBy
from seawall.run.frame import Frame, PendingCall
from seawall.run.state import RunState
from seawall.run.step import Action, Close, End, Propose
from seawall.team.agent import ASK_PREFIX
from seawall.team.team import Member, Team

PROBE = "probe"
"""The value of `StoppedBy.guard` for a run that is a probe."""
BACKOFF_S = 0.5
"""Seconds before the second try of a model call, doubled for each further try. Providers' clients use the same."""
MAX_BACKOFF_S = 8.0
"""The longest pause, in seconds, before a further try; providers' clients use the same."""


def decide(team: Team, state: RunState) -> list[Action]:
    """Returns the next actions; none if everything waits."""
    if state.ended is not None:
        return []
    if (stopped := decide_stop(state)) is not None:
        return [stopped]
    if state.started.errand is not None:
        return list(_decide_errand(team, state))
    probed = _find_probed_step(state)
    if probed is not None:
        return list(_decide_probe(team, state, probed))
    if state.plan.course == "partial":
        reviewed = None if team.reviewer is None else False
        return [End(status="completed", answer=state.plan.answer, reviewed=reviewed)]
    if state.plan.course == "fallback":
        return list(_decide_fallback(team, state))
    actions: list[Action] = []
    for frame in state.frames.values():
        # only a review is given up in the middle of a step
        if frame.own_step is None or frame.kind == "review":
            actions.extend(_decide_frame(team, state, frame))
    return actions


def decide_stop(state: RunState) -> End | None:
    """Returns the end of a run that a person has cancelled or rejected, or that a guard has halted; None for other runs."""
    if state.cancelled is not None:
        by = state.cancelled.by or "the caller"
        reason = state.cancelled.reason or f"cancelled by {by}"
        return End(status="cancelled", stopped_by=StoppedBy("cancel", reason))
    if state.halted is not None:
        halt = state.halted
        step = halt.step or None
        stopped_by = StoppedBy(halt.guard, halt.reason, step, halt.limit, halt.value)
        return End(status="halted", stopped_by=stopped_by)
    if state.stopped is not None:
        by, stopped = state.stopped.by or "somebody", state.stopped
        reason = f"{by} rejected what was proposed, and ended the run. {stopped.reason}".strip()
        return End(status="refused", stopped_by=StoppedBy("approval", reason, stopped.step))
    return None


def _decide_errand(team: Team, state: RunState) -> Iterator[Action]:
    """Yields the actions by which an errand makes its only call and then ends with the result."""
    done, root = state.answered, state.frames[0]
    if done is None:
        if root.own_step is None:
            yield from _decide_frame(team, state, root)
    elif done.status in ("ok", "replaced", "simulated"):
        yield End(status="completed", answer=done.output)
    elif done.status == "refused":
        guard = "approval" if done.error == "rejected" else "errand"
        who = "a person" if done.error == "rejected" else "a guard"
        stopped_by = StoppedBy(guard, f"{who} refused the call", done.step)
        yield End(status="refused", stopped_by=stopped_by, error_ref=done.output)
    else:
        yield End(status="failed", error_ref=done.output)


def _find_probed_step(state: RunState) -> int | None:
    """Returns the step whose answer a probe has reviewed, once it is there; None before that, and for other runs."""
    fork = state.started.fork
    if fork is None or not fork.probe or state.steps < fork.at_step or fork.at_step in state.open:
        return None
    return fork.at_step


def _decide_probe(team: Team, state: RunState, at: int) -> Iterator[Action]:
    """Yields the actions of a probe: the review of the answer of step `at`, and then the end, which has no answer."""
    judged = next((frame for frame in state.frames.values() if frame.last_reply == at), None)
    member = None if judged is None else team.members.get(judged.agent)
    if judged is None or member is None or member.reviewer is None:
        who = f"step {at}" if judged is None else f"agent {judged.agent!r}"
        yield End(status="failed", error=f"team {team.name!r} has no reviewer for the answer of {who}")
    elif judged.failure is not None:
        yield End(status="failed", error_ref=judged.failure.text)
    elif judged.review.approved is not None:
        yield _end_probe(member.reviewer, "approved" if judged.review.approved else "rejected")
    elif state.plan.course != "team" or judged.id in state.plan.unreviewed or judged.id in state.plan.cut:
        yield _end_probe(member.reviewer, "not judged")
    elif judged.own_step is None:
        yield _answer(judged, member)
    else:
        for frame in state.frames.values():
            is_free = frame.own_step is None or frame.kind == "review"
            if is_free and frame.id != judged.id and judged.id in state.walk_up(frame.id):
                yield from _decide_frame(team, state, frame)


def _end_probe(reviewer: str, value: str) -> End:
    """Returns the end of a probe: `approved`, `rejected` or `not judged`."""
    what = "did not judge" if value == "not judged" else value
    reason = f"{reviewer!r} {what} the answer of a probe, which is never delivered"
    return End(status="cancelled", stopped_by=StoppedBy(PROBE, reason, value=value))


def _decide_fallback(team: Team, state: RunState) -> Iterator[Action]:
    """Yields the actions that give up the team's steps in flight, then those by which the fallback agent answers."""
    plan = state.plan
    if plan.answer is not None:
        reviewed = None if team.reviewer is None else False
        yield End(status="completed", answer=plan.answer, reviewed=reviewed)
        return
    if plan.failure is not None:
        yield End(status="failed", error_ref=plan.failure.output)
        return
    given_up = list(_give_up(state, 0, but=plan.fallback_step))
    if given_up:
        yield from given_up
    elif plan.fallback_step is not None:
        for frame in state.frames.values():
            if frame.id == plan.fallback_step:
                yield from _decide_frame(team, state, frame)
    elif plan.fallback in team.members:
        depth = state.frames[0].depth + 1
        yield Propose(kind="handoff", name=plan.fallback, agent=state.started.agent, frame=0, depth=depth)
    else:
        there = ", ".join(team.members)
        text = f"fallback agent {plan.fallback!r} is not in team {team.name!r} any more (there: {there})"
        yield End(status="failed", error=text)


def _give_up(state: RunState, frame: int, *, but: int | None = None) -> Iterator[Close]:
    """Closes every step in a frame and in the frames below it, the newest first, except `but` and the steps in it."""
    for step in sorted(state.open.values(), key=lambda step: -step.step):
        above = list(_walk_up(state, step))
        if frame in above and (but is None or but not in (step.step, *above)):
            yield Close(step=step.step, status="cancelled", text="given up: the time left was needed")


def _walk_up(state: RunState, step: StepIntended) -> Iterator[int]:
    """Yields the frames that a step is in, innermost first; the last is 0, the run's own."""
    inside: StepIntended | None = step
    while inside is not None:
        yield inside.frame
        inside = state.open.get(inside.frame)


def _decide_frame(team: Team, state: RunState, frame: Frame) -> Iterable[Action]:
    plan = state.plan
    if frame.kind == "review" and frame.parent in plan.unreviewed:
        given_up = Close(step=frame.id, status="cancelled", text="given up: the time left was needed")
        return [*_give_up(state, frame.id), given_up]
    if frame.own_step is not None:
        return ()
    member = team.members.get(frame.agent)
    if member is None:
        return _settle_deserted(team, frame)
    if frame.id in plan.cut:
        error = "limits" if state.is_closing(frame.id) else "timeout"
        return [Close(step=frame.id, status="error", output=plan.cut[frame.id], error=error)]
    if frame.turn:
        return _decide_calls(state, frame, member)
    return [_decide_reply(state, frame, member)]


def _decide_reply(state: RunState, frame: Frame, member: Member) -> Action:
    """Returns the next action of a frame that has no calls to make: its next model call, or what follows its answer."""
    if frame.answer is not None and frame.id in state.plan.unreviewed:
        return _answer(frame, member, unreviewed=True)
    if frame.failure is not None:
        return _fail(frame, frame.failure.kind, None)
    if frame.answer is not None:
        return _answer(frame, member)
    if frame.review.approved is False and frame.review.rounds >= member.rounds:
        return _reject(frame, member)
    return Propose(
        kind="model",
        name=member.model_name,
        agent=frame.agent,
        frame=frame.id,
        depth=frame.depth,
        delay_s=_compute_backoff_s(frame.failures, frame.spared, frame.retry_after_s),
        grant=frame.grant,
        last=state.is_closing(frame.id),
    )


def _settle_deserted(team: Team, frame: Frame) -> Iterator[Action]:
    """Settles the effects of an agent that is no longer in the team, and then fails its frame."""
    unanswered = [each for each in frame.turn if each.answer is None]
    for pending in unanswered:
        if pending.unknown is not None and pending.step is None:
            yield _propose_approval(frame, pending)
    if not any(pending.unknown is not None or pending.step is not None for pending in unanswered):
        there = ", ".join(team.members)
        text = f"agent {frame.agent!r} is not in team {team.name!r} any more (there: {there})"
        yield _fail(frame, "error", text)


def _propose_approval(frame: Frame, pending: PendingCall) -> Propose:
    """Asks a person what became of an effect."""
    return Propose(
        kind="approval",
        name=pending.call.name,
        agent=frame.agent,
        frame=frame.id,
        depth=frame.depth,
        call=pending.call,
    )


def _compute_backoff_s(failures: int, spared: int, retry_after_s: float | None) -> float:
    """Returns the seconds before the next try. `spared` tries are not counted, because the endpoint itself makes them wait."""
    if failures + spared == 0:
        return 0.0
    if retry_after_s is not None:
        return retry_after_s
    return min(MAX_BACKOFF_S, BACKOFF_S * 2 ** max(0, failures - 1))


def _decide_calls(state: RunState, frame: Frame, member: Member) -> Iterator[Action]:
    """Proposes all reads before the first effect at once, and each effect once the calls before it are answered.

    The effects behind an effect that waits for a person's decision may go on. Behind an effect that waits for another
    run's effect, only approved effects may go on, because the other run may wait for them. Before its turn, an effect is
    only proposed to people.
    """
    effects = member.effects
    waits = blocked = behind_effect = False
    for pending in frame.turn:
        if pending.answer is not None:
            continue
        is_effect = pending.call.name in effects
        if pending.step is None and (is_effect or not behind_effect):
            ahead = is_effect and (waits or (blocked and pending.grant is None))
            if not (ahead and (pending.grant is not None or pending.unknown is not None)):
                skip = find_skip(state, frame.id, pending.call.id, pending)
                yield _propose_call(frame, member, pending, skip, ahead=ahead)
        behind_effect = behind_effect or is_effect
        asked = _find_question(state, pending) if is_effect else None
        waits = waits or asked is None
        blocked = blocked or (asked is not None and bool(asked.waits_for))


def find_skip(state: RunState, frame: int, call: str, pending: PendingCall | None) -> Ref | None:
    """Returns the text that replaces the result of a call that is left out; None if the call is made.

    A call that a person has approved, or that may have happened, is not left out although its agent must end.
    """
    skip = state.plan.skipped.get(state.call_key(frame, call))
    settles = pending is not None and (
        pending.grant is not None or pending.unknown is not None or pending.doubtful is not None
    )
    closed = None if skip is not None or settles else state.find_closed(frame)
    return skip if closed is None else closed.told


def find_asked_skip(
    state: RunState, kind: StepKind, frame: Frame, call: str, pending: PendingCall | None
) -> Ref | None:
    """As `find_skip`, for a step that a framework's loop asks for. After a frame's last reply, guards judge model steps."""
    if kind == "model":
        return None if frame.has_replied_last else state.plan.cut.get(frame.id)
    return find_skip(state, frame.id, call, pending)


def _find_question(state: RunState, pending: PendingCall) -> StepIntended | None:
    """Returns the approval step for which a call waits; None if it waits for none."""
    step = None if pending.step is None else state.open.get(pending.step)
    return None if step is None or step.kind != "approval" or pending.unknown is not None else step


def _propose_call(
    frame: Frame, member: Member, pending: PendingCall, skip: Ref | None, *, ahead: bool
) -> Propose:
    name = pending.call.name
    colleague = name.removeprefix(ASK_PREFIX) if name.startswith(ASK_PREFIX) else ""
    target = member.targets.get(colleague)
    reconciles = None
    if pending.unknown is not None:
        if pending.reconciled == pending.unknown or name not in member.reconcilable:
            return _propose_approval(frame, pending)
        reconciles = pending.unknown
    return Propose(
        kind="handoff" if target is not None else "memory" if name in member.memory_tools else "tool",
        name=name if target is None else target,
        agent=frame.agent,
        frame=frame.id,
        depth=frame.depth if target is None else frame.depth + 1,
        call=pending.call,
        delay_s=0.0
        if skip is not None
        else _compute_backoff_s(pending.failures, pending.spared, pending.retry_after_s),
        grant=pending.grant,
        skip=skip,
        ahead=ahead,
        reconciles=reconciles,
    )


def _answer(frame: Frame, member: Member, *, unreviewed: bool = False) -> Action:
    if frame.kind == "review":
        return Close(step=frame.id, status="ok", output=frame.answer, approved=bool(frame.review.approved))
    if member.reviewer is not None and not frame.review.approved and not unreviewed:
        return Propose(
            kind="review",
            name=member.reviewer,
            agent=frame.agent,
            frame=frame.id,
            depth=frame.depth + 1,
            grant=frame.grant,
        )
    if frame.kind == "root":
        return End(
            status="completed", answer=frame.answer, reviewed=False if unreviewed else frame.review.approved
        )
    return Close(step=frame.id, status="ok", output=frame.answer)


def _reject(frame: Frame, member: Member) -> Action:
    reason = f"{member.reviewer!r} rejected the answer {frame.review.rounds} times (limit {member.rounds})"
    if frame.kind == "root":
        stopped_by = StoppedBy(
            "review", reason, None, f"review_rounds={member.rounds}", str(frame.review.rounds)
        )
        return End(status="refused", reviewed=False, stopped_by=stopped_by)
    return Close(step=frame.id, status="error", text=f"Error: {reason}", error="rejected")


def _fail(frame: Frame, kind: str, text: str | None) -> Action:
    """Ends a frame that can't go on: its caller receives the failure, or the run ends."""
    output = None if frame.failure is None else frame.failure.text
    if frame.kind != "root":
        return Close(step=frame.id, status="error", output=output, text=text, error=kind)
    stopped_by = frame.refusal
    if stopped_by is None and kind == "refused":
        stopped_by = StoppedBy("approval", "a person refused what this run held for")
    status = "failed" if stopped_by is None else "refused"
    return End(status=status, stopped_by=stopped_by, error=text, error_ref=output)
