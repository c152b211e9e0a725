"""Raises limits: a run that one of its limits has halted goes on, and the journal records who raised the limits."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import partial

from msgspec.structs import replace

from seawall.core.canonical import Ref, check_recordable, check_texts
from seawall.core.clock import Clock
from seawall.core.errors import Misused
from seawall.core.events import EffectMoved, Event, LimitsRaised, StepDone, StoppedBy
from seawall.core.limits import Limits, validate_limits
from seawall.engine.in_doubt import close_in_doubt
from seawall.guards.shared import BUDGET
from seawall.history.recorded import check_request_kept, fold_in_slices, read_events
from seawall.journal.protocol import Journal, RunRow
from seawall.journal.protocol.effects import make_effect_id
from seawall.run.bodies import Bodies
from seawall.run.fold import has_answered
from seawall.run.lifted import RAISABLE, leave_out_limits
from seawall.run.state import RunState
from seawall.runtime.approvals import Decisions
from seawall.runtime.foreign.own_loop import explain_own_loop
from seawall.runtime.foreign.team import ForeignTeam
from seawall.runtime.next_step import check_next_step
from seawall.runtime.supervisor import Supervisor
from seawall.team.prepare import honours_key
from seawall.team.team import Team

GO_ON = (
    "[Not from the user: the limits of this run were raised. Go on with what your last reply says is missing, and then "
    "answer again, and in full.]"
)
"""The note for the coordinator of a run that had answered at its limit."""
HAVE_TOOLS = (
    "[Not from the user: the limits of this run were raised. You can call your tools again, so this need not be your last "
    "reply.]"
)
"""The note for agents that had been asked for their last reply when their run was halted."""
COUNTED = ("tool_calls", "model_calls", "handoffs", "tokens", "usd")
"""The limits whose usage is in the ledger."""

_log = logging.getLogger("seawall")


async def sign_limits(
    decisions: Decisions, clock: Clock, limits: Limits | None, by: str, credential: object, reason: str
) -> LimitsRaised | None:
    """Returns the limits with the person who gives them; None without limits.

    Raises the errors of `Seawall.approve` for a person who may not do it.
    """
    if limits is None:
        return None
    limits = validate_limits(limits)
    check_texts(by=by, reason=reason)
    check_recordable(reason=reason)
    if credential is None and not by.strip():
        raise Misused("who gives the run other limits? give by=… or credential=…; it is recorded")
    person = await decisions.identify_person(credential, by)
    return LimitsRaised(at=clock.wall_s(), limits=limits, by=person, reason=reason)


async def raise_limits(supervisor: Supervisor, run: str, team: Team, raised: LimitsRaised) -> bool:
    """Records other limits for a run that a limit has halted. From then on the run has not ended, and can be taken up.

    Nothing is recorded for a run that has these limits already and has not ended: they were raised before, and no process
    has taken it up since. Returns whether a framework's loop asks for the run's steps; then that loop goes on with it, and
    `team` is not used. Raises `Misused` for any other run, and for limits with which this run can't go on.
    """
    journal = supervisor.journal
    events = await read_events(journal, run)
    state = await fold_in_slices(events)
    if state.started.loop:
        team = ForeignTeam.stand_in(state.started)
        if state.started.limits.at_limit == "halt":  # a loop that can't answer at its limit never can
            raised = replace(raised, limits=replace(raised.limits, at_limit="halt"))
    if state.ended is None and state.raised and state.started.limits == raised.limits:
        return bool(state.started.loop)
    check_halted(state)
    check_room(state, raised.limits)
    check_leads(team, state)
    await check_request_kept(journal, state.started, "nothing can go on with it")
    supervisor.factory.check(team, raised.limits, supervisor.budget.get_usd_cap(state.started.tenant))
    bodies = supervisor.make_bodies()
    known = await read_fates(journal, state, bodies, raised.at)
    raised = replace(
        raised,
        reason=bodies.redact(raised.reason),
        again=list_attempted_again(state, team, raised.at),
        note=put_note(state, bodies),
    )
    answered = has_answered(state)
    if not state.started.loop:  # what a framework asks for next is not known
        await check_next_step(supervisor, team, [*events, *known, raised], bodies.known(), answered=answered)
    await journal.reopen(run, len(events), [*known, raised], bodies.take_unsaved())
    return bool(state.started.loop)


async def lift_budget_halt(
    supervisor: Supervisor, row: RunRow, by: str, check: Callable[[Event], None]
) -> bool:
    """Lets a run go on that a cap of its tenant or day has halted, if its account may have room again; returns whether.

    Its limits stay as they are; the record says that `by` has made its request again. `check` raises for the run's first event
    what speaks against that. Each new halt is one of its own day and sum, so the same one is lifted once.
    """
    if row.summary is None or row.summary.stopped_by != BUDGET:
        return False
    events = await supervisor.journal.events(row.run)
    if not events:  # they were pruned
        return False
    check(events[0])
    state = await fold_in_slices(events)
    ended, stopped = state.ended, None if state.ended is None else state.ended.stopped_by
    await supervisor.refresh(supervisor.journal)
    if ended is None or stopped is None or state.before_halt is None:
        return False
    if not supervisor.budget.has_room_again(stopped, ended.at, row.tenant):
        return False
    now, reason = supervisor.clock.wall_s(), "its request was made again, and its account may have room"
    raised = LimitsRaised(at=now, limits=state.started.limits, by=by, reason=reason)
    try:
        await raise_limits(supervisor, row.run, ForeignTeam.stand_in(state.started), raised)
    except Misused as error:  # another process was quicker, or its deadline is over
        _log.info("run %s stays halted: %s", row.run, error)
        return False
    return True


def put_note(state: RunState, bodies: Bodies) -> Ref | None:
    """Returns the note for agents once the limits of a run are raised; None if no agent had been asked for its last reply."""
    before = state if state.before_halt is None else state.before_halt
    if has_answered(state) and leave_out_limits(before.pruned) != before.pruned:
        return bodies.put(GO_ON)
    return bodies.put(HAVE_TOOLS) if before.plan.closing else None


def check_halted(state: RunState) -> None:
    """Raises `Misused` for a run that no limit has halted."""
    run, ended = state.started.run, state.ended
    if ended is None:
        how = explain_own_loop(state.started) if state.started.loop else f"go on with: seawall resume {run}"
        raise Misused(
            f"run {run} has not ended: its limits can be raised once one of them has halted it; {how}"
        )
    if state.before_halt is None:
        by = f" by {ended.stopped_by.guard!r}" if ended.stopped_by is not None else ""
        raise Misused(
            f"run {run} is {ended.status}{by}: only a run that was halted by one of {', '.join(RAISABLE)}, or has answered "
            "at its limit, goes on with other limits"
        )


def check_room(state: RunState, limits: Limits) -> None:
    """Raises `Misused` for limits below what the run has spent, and for limits that would halt it again at once."""
    check_spent(state, limits)
    stopped = None if state.ended is None else state.ended.stopped_by
    if limits == state.started.limits and (stopped is None or stopped.guard != "budget"):
        raise Misused(
            f"limits: run {state.started.run} has just these limits: raise the one that it has used up"
        )
    if stopped is not None and stopped.guard == "limits":
        _check_next(state.started.run, stopped, limits)
    closed = None if state.before_halt is None else state.before_halt.plan.closing.get(0)
    counted = ("tool_calls=", "model_calls=") if state.started.loop else ("tool_calls=",)
    if closed is not None and not closed.part and closed.limit.startswith(counted):
        _check_next(
            state.started.run, StoppedBy("limits", closed.reason, None, closed.limit, closed.value), limits
        )


def check_spent(state: RunState, limits: Limits) -> None:
    """Raises `Misused` for limits below what the run has spent."""
    run = state.started.run
    for name in COUNTED:
        allowed, spent = getattr(limits, name), getattr(state.ledger, name)
        if allowed is not None and allowed < spent:
            raise Misused(
                f"limits: {name} is {allowed}, and run {run} has spent {spent}: it must be at least that"
            )
    used_s = state.started.limits.active_s - state.left_s
    if limits.active_s <= used_s:
        raise Misused(
            f"limits: active_s is {limits.active_s:g}, and run {run} has used {used_s:.3f} s: it must be above that"
        )


def _check_next(run: str, stopped: StoppedBy, limits: Limits) -> None:
    """Raises `Misused` if the step for which the run was halted does not fit these limits either."""
    name = (stopped.limit or "").partition("=")[0]
    if name.startswith("reserved_"):
        if limits.tokens is not None or limits.usd is not None:
            raise Misused(
                f"run {run} was halted because no bound holds for its model ({stopped.reason}): it goes on only without "
                "limits on tokens and usd"
            )
        return
    # the value is that of the longest reply: `check_next_step` knows the shortest
    if name in (
        "tokens",
        "usd",
    ):
        return
    allowed: object = getattr(limits, name, None)
    with contextlib.suppress(InvalidOperation):  # without a known price there is no value
        needed = Decimal(stopped.value or "0")
        if allowed is not None and Decimal(str(allowed)) < needed:
            raise Misused(
                f"limits: {name} is {allowed}, and the next step of run {run} needs {needed} (it was halted at "
                f"{stopped.limit}): raise it to that at least"
            )


def check_leads(team: Team, state: RunState) -> None:
    """Raises `Misused` for a team without the agent that leads the run, because the run could not go on."""
    started = state.started
    if started.agent not in team.members:
        members = ", ".join(team.members)
        raise Misused(
            f"team {team.name!r} has no agent {started.agent!r}, which leads run {started.run} (agents: {members})"
        )


def list_attempted_again(state: RunState, team: Team, now: float) -> tuple[int, ...]:
    """Returns the effects that the halt cut off and that may be attempted again with their keys, as after a crash."""
    before = state.before_halt
    if before is None:
        return ()
    effects = {step.step for step in before.in_flight if step.effect}
    closed = close_in_doubt(before, now, partial(honours_key, team))
    lost = {done.step for done in closed if isinstance(done, StepDone) and done.status == "lost"}
    return tuple(sorted(effects & lost))


async def read_fates(journal: Journal, state: RunState, bodies: Bodies, now: float) -> list[Event]:
    """Returns events about the run's effects that became known after its end and are not among its events."""
    known: list[Event] = []
    for change in () if state.before_halt is None else state.before_halt.effect_states():
        if change.state not in ("attempting", "unknown"):
            continue
        record = None
        with contextlib.suppress(Misused):  # an older version made no record of it
            record = await journal.effect(
                make_effect_id(change.tool_key or f"{state.started.run}:{change.key}")
            )
        if record is None or record.state not in ("committed", "failed"):
            continue
        receipt = record.receipt
        if receipt is None:
            what = "it happened" if record.state == "committed" else "it did not happen"
            by = record.settled_by or "Somebody"
            text = f"The fate of this effect was not known. {by} checked: {what}. {record.reason}"
            receipt = bodies.put(text.strip())
        known.append(EffectMoved(at=now, step=change.step, state=record.state, receipt=receipt))
    return known
