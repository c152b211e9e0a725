"""Checks whether a run's next step fits raised limits, before these are recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seawall.core.canonical import Ref
from seawall.core.errors import Misused
from seawall.core.events import Event, Planned
from seawall.core.refs import refs_of
from seawall.engine.closing import Closing
from seawall.guards.limits import Fits
from seawall.guards.nested import TeamLimits
from seawall.guards.shared import Defer
from seawall.history.recorded import fold_in_slices
from seawall.run.step import Propose
from seawall.run.verdict import Advise, Allow, GuardVerdict
from seawall.runtime.supervisor import Supervisor
from seawall.team.team import Team


async def check_next_step(
    supervisor: Supervisor, team: Team, events: Sequence[Event], texts: Mapping[Ref, bytes], *, answered: bool
) -> None:
    """Raises `Misused` if a run with these events, whose limits were just raised, is halted again at once.

    `answered`: the run has an answer already, which is better than one made from its record. So its next step must fit
    the limits; it is not enough that the run could end. `texts` are the bodies that the journal does not have yet.
    """
    guards, journal = supervisor.factory.get_guards(team), supervisor.journal
    state = await fold_in_slices(events, guards)
    tenant = state.started.tenant
    bodies = supervisor.make_bodies()
    bodies.load(texts)
    bodies.load(await journal.bodies(tenant, bodies.missing(refs_of(events)), or_erased=True))
    history = await supervisor.sessions.load_messages(journal, tenant, state.history, bodies)
    logic = supervisor.factory.make_logic(team, bodies, history)
    teams = [guard for guard in guards if isinstance(guard, TeamLimits)]
    now = supervisor.clock.wall_s
    closing = Closing(logic, state.started.limits, teams, bodies, now=now, performs=True)
    reasons: list[str] = []
    for proposal in logic.decide(state):
        if not isinstance(proposal, Propose) or proposal.skip is not None or proposal.kind == "approval":
            return
        step = logic.prepare(proposal, state, state.steps + 1)
        found = closing.check(step, state, state.left_s)
        reason = _find_reason(found, answered=answered)
        if step.invalid is not None or step.lost or reason is None:
            return
        reasons.append(reason)
    if reasons:
        raise Misused(f"limits: run {state.started.run} gets no further with them: {reasons[0]}")


def _find_reason(found: Fits | Defer | Planned | list[GuardVerdict], *, answered: bool) -> str | None:
    """Returns why the run can't go on with a step; None if it can."""
    if isinstance(found, Fits | Defer):
        return None
    if isinstance(found, Planned):
        return found.reason if answered else None
    stops = [each.verdict for each in found if each.mode == "enforce"]
    return next((each.reason for each in stops if not isinstance(each, Allow | Advise)), None)
