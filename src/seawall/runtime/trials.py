"""Trials: a recorded run is decided again, or gone on with live from one of its steps."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from seawall.core.errors import Misused, SeawallBug
from seawall.core.events import GuardSet, Mode, RunStarted
from seawall.core.limits import Limits, validate_limits
from seawall.core.refs import refs_of
from seawall.history.fork import fork_events
from seawall.history.recorded import fold_in_slices, read_events
from seawall.history.replay import Replay, replay
from seawall.memory.guard import MEMORY_GUARD
from seawall.runtime.big_texts import compute_apart, list_recorded_texts, put_apart
from seawall.runtime.supervisor import Supervisor
from seawall.team.team import Team


async def replay_run(
    supervisor: Supervisor, run_id: str, team: Team, limits: Limits | None, modes: Mapping[str, Mode]
) -> Replay:
    """Decides again over a recorded run. See `Seawall.replay`."""
    journal, factory = supervisor.journal, supervisor.factory
    events = await read_events(journal, run_id)
    state = await fold_in_slices(events)
    used_limits = validate_limits(limits) if limits is not None else state.started.limits
    bodies = supervisor.make_bodies()
    bodies.load(await journal.bodies(state.started.tenant, refs_of(events)))
    if bodies.missing(refs_of(events)):  # today's code can't decide over texts that it can't read
        raise Misused(f"run {run_id}: its texts were erased, so nothing can be decided over them again")
    history = await supervisor.sessions.load_messages(journal, state.started.tenant, state.history, bodies)
    logic = factory.make_logic(team, bodies, history)
    guards = factory.get_guards(team)
    recorded = dict(state.started.guards)
    if not team.has_memory:  # today's team has no guard for it
        recorded.pop(MEMORY_GUARD, None)
    start_modes = supervisor.modes.compute_start_modes(guards, recorded, modes)
    events[0] = replace(state.started, guards=start_modes)
    for seq, event in enumerate(events):
        if isinstance(event, GuardSet) and event.guard in modes:
            events[seq] = replace(event, mode=start_modes[event.guard])
    await compute_apart(list_recorded_texts(team, run_id, events, bodies), bodies)
    return await replay(events, logic, guards, used_limits, bodies)


async def fork_run(
    supervisor: Supervisor,
    run_id: str,
    team: Team,
    *,
    run: str,
    at: int,
    result: str | None,
    live_effects: bool,
    app: str | None,
) -> None:
    """Records run `run`, which begins with the result of step `at` of a recorded one. See `Seawall.fork`."""
    events = await read_events(supervisor.journal, run_id)
    bodies = supervisor.make_bodies()
    await put_apart(result or "", bodies)
    changed = None if result is None else (bodies.put(result), result)
    begin = fork_events(
        events, at, run=run, now=supervisor.clock.wall_s(), result=changed, live_effects=live_effects
    )
    started = begin[0]
    if not isinstance(started, RunStarted):
        raise SeawallBug("a fork begins with RunStarted")
    started = replace(started, app=app or started.app)
    if started.agent not in team.members:  # a fork that can't go on is not recorded
        members = ", ".join(team.members)
        raise Misused(
            f"team {team.name!r} has no agent {started.agent!r}, which leads run {run_id} (agents: {members})"
        )
    supervisor.factory.check(team, started.limits, supervisor.budget.get_usd_cap(started.tenant))
    await fold_in_slices([started, *begin[1:]], supervisor.factory.get_guards(team))
    await supervisor.journal.create(started, begin[1:], bodies.unsaved(), take=False)
