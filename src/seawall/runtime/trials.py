"""Trials: replays a recorded run, or forks it live from one of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from seawall.core.canonical import check_recordable
from seawall.core.errors import Misused, SeawallBug
from seawall.core.events import GuardSet, LimitsRaised, Mode, RunStarted
from seawall.core.limits import Limits, validate_limits
from seawall.core.refs import refs_of
from seawall.engine.gate import BUILT_IN
from seawall.history.asked import RecordedLogic
from seawall.history.fork import find_last_result, fork_events, is_same_fork
from seawall.history.recorded import check_request_kept, fold_in_slices, read_events
from seawall.history.replay import Replay, replay
from seawall.memory.guard import MEMORY_GUARD
from seawall.run.fold import has_answered
from seawall.runtime.big_texts import compute_apart, list_recorded_texts, put_apart
from seawall.runtime.foreign.own_loop import explain_fork
from seawall.runtime.foreign.team import ForeignTeam
from seawall.runtime.given import check_names
from seawall.runtime.next_step import check_next_step
from seawall.runtime.raising import check_leads, check_spent, put_note
from seawall.runtime.supervisor import Supervisor
from seawall.team.team import Team


async def replay_run(
    supervisor: Supervisor, run_id: str, team: Team | None, limits: Limits | None, modes: Mapping[str, Mode]
) -> Replay:
    """Decides again over a recorded run. See `Seawall.replay`."""
    journal, factory = supervisor.journal, supervisor.factory
    events = await read_events(journal, run_id)
    state = await fold_in_slices(events)
    if limits is not None:
        validate_limits(limits)
    started = events[0]
    if not isinstance(started, RunStarted):
        raise SeawallBug(f"run {run_id} begins with {type(started).__name__}")
    bodies = supervisor.make_bodies()
    bodies.load(await journal.bodies(state.started.tenant, refs_of(events)))
    if bodies.missing(refs_of(events)):  # today's code can't decide over texts that it can't read
        raise Misused(f"run {run_id}: its texts were erased, so nothing can be decided over them again")
    if started.loop:
        team = ForeignTeam.stand_in(started)
    elif team is None:
        raise Misused(f"run {run_id}: give the team {started.team!r}, which decides over it again")
    guards = factory.get_guards(team)
    recorded: dict[str, Mode] = dict(state.started.guards)
    if not team.has_memory:  # today's team has no guard for it
        recorded.pop(MEMORY_GUARD, None)
    if started.loop:  # a guard of the application that is not here has no mode
        here = {*BUILT_IN, *(guard.name for guard in guards)}
        recorded = {name: mode for name, mode in recorded.items() if name in here}
    start_modes = supervisor.modes.compute_start_modes(guards, recorded, modes)
    events[0] = replace(started, guards=start_modes)
    for seq, event in enumerate(events):
        if isinstance(event, GuardSet) and event.guard in modes:
            events[seq] = replace(event, mode=start_modes[event.guard])
    await compute_apart(list_recorded_texts(team, run_id, events, bodies), bodies)
    if started.loop:
        return await replay(events, RecordedLogic(events, bodies, factory.find_price), guards, limits, bodies)
    history = await supervisor.sessions.load_messages(journal, state.started.tenant, state.history, bodies)
    return await replay(events, factory.make_logic(team, bodies, history), guards, limits, bodies)


class ForkOptions(NamedTuple):
    """The options of a fork: see `Seawall.fork`."""

    at: int | None
    result: str | None
    live_effects: bool
    app: str | None
    raised: LimitsRaised | None
    """Other limits, with the person who gives them."""
    request_id: str | None = None


async def fork_run(
    supervisor: Supervisor, run_id: str, team: Team | None, run: str, options: ForkOptions
) -> str:
    """Records run `run`, which begins with the result of a step of a recorded one. See `Seawall.fork`.

    Returns the fork's id. If the same fork was made before with this request id, this is the id of that run.
    """
    _, result, live_effects, app, raised, request_id = options
    events = await read_events(supervisor.journal, run_id)
    origin = events[0]
    if not isinstance(origin, RunStarted):
        raise SeawallBug(f"run {run_id} begins with {type(origin).__name__}")
    team = _find_team(origin, team, options)
    await check_request_kept(supervisor.journal, origin, "nothing can go on from its steps")
    at = find_last_result(events) if options.at is None else options.at
    bodies = supervisor.make_bodies()
    check_names(bodies.redact, request_id=request_id)
    await put_apart(result or "", bodies)
    changed = None if result is None else (bodies.put(result), result)
    begin = fork_events(
        events, at, run=run, now=supervisor.clock.wall_s(), result=changed, live_effects=live_effects
    )
    started = begin[0]
    if not isinstance(started, RunStarted):
        raise SeawallBug("a fork begins with RunStarted")
    started = begin[0] = replace(started, app=app or started.app, request_id=request_id)
    answered = False
    if raised is not None:
        # the adapter of this loop can't ask for a last answer, whatever the new limits say
        if started.loop and started.limits.at_limit == "halt":
            raised = replace(raised, limits=replace(raised.limits, at_limit="halt"))
        before = await fold_in_slices(begin)
        note, answered = put_note(before, bodies), has_answered(before)
        begin.append(replace(raised, reason=bodies.redact(raised.reason), note=note))
    state = await fold_in_slices(begin, supervisor.factory.get_guards(team))
    check_leads(team, state)  # a fork that can't go on is not recorded
    supervisor.factory.check(team, state.started.limits, supervisor.budget.get_usd_cap(started.tenant))
    if raised is not None:
        check_spent(state, raised.limits)
        if not started.loop:  # what a framework asks for next is not known
            await check_next_step(supervisor, team, begin, bodies.known(), answered=answered)
    lease = await supervisor.journal.create(started, begin[1:], bodies.take_unsaved(), take=False)
    if lease.run != run and not is_same_fork(begin, await read_events(supervisor.journal, lease.run)):
        raise Misused(f"request id {request_id!r} belongs to run {lease.run}: a fork needs a new one")
    return lease.run


def _find_team(origin: RunStarted, team: Team | None, options: ForkOptions) -> Team:
    """Returns what the fork goes on with. Raises `Misused` for what does not fit the run that is forked."""
    if not origin.loop:
        if team is None or options.request_id is not None:
            raise Misused(
                f"run {origin.run}: give the team {origin.team!r}, which goes on from there, and no request id: "
                "that is for runs whose steps a framework's loop asks for"
            )
        return team
    if options.request_id is None or team is not None:
        raise Misused(f"run {origin.run}: {explain_fork(origin)}")
    check_recordable(request_id=options.request_id)
    return ForeignTeam.stand_in(origin)
