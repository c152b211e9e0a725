"""The rule `delegations`: nearly the same task is handed to one agent again, and the world has not changed.

An agent phrases its answer differently each time, so a new answer is no sign of news. A new result of a tool is: for any agent of the run,
and since the task was handed out the last time.
"""

from __future__ import annotations

from msgspec.structs import replace

from seawall.core.events import Gist
from seawall.guards.loops.findings import Notice, Violation
from seawall.guards.loops.options import LoopOptions
from seawall.guards.loops.state import Delegation, LoopState, Observation
from seawall.run.fingerprint import compare_gists
from seawall.run.step import Step

AMONG_NEWS = 3
"""The factor for the limit if a tool returned something new in between: a planner is asked for the next step, a clerk for
the next answer."""
MAX_DELEGATIONS = 32
"""The number of an agent's newest tasks that a new one is compared with; a run makes up to 32 hand-offs by default."""


def update_delegation(
    state: LoopState, observation: Observation, options: LoopOptions, notices: list[Notice]
) -> Delegation | None:
    """Returns the delegation to record for a hand-off; it counts up if nearly the same task was handed to the agent before."""
    if observation.gist is None or not observation.ok:
        return None
    found = _find_similar(state, observation.name, observation.gist, options)
    if found is None:
        return Delegation(observation.gist, observation.step, state.world_changes, state.news)
    is_plain = found.news == state.news
    found = replace(
        found, news=state.news, repeats=found.repeats + 1, plain_repeats=found.plain_repeats + is_plain
    )
    if is_plain:
        notices.append(Notice("delegations", found.plain_repeats, options.delegations, found.step))
    else:
        notices.append(Notice("delegations", found.repeats, _limit_delegations(options), found.step))
    return found


def _limit_delegations(options: LoopOptions) -> int:
    return options.delegations * AMONG_NEWS


def _find_similar(state: LoopState, agent: str, gist: Gist | None, options: LoopOptions) -> Delegation | None:
    """Returns the newest delegation of nearly the same task to this agent since the world changed."""
    log = state.delegations.get(agent)
    if log is None or gist is None:
        return None
    for delegation in reversed(log.since(max(0, len(log) - MAX_DELEGATIONS))):
        if (
            delegation.world_changes == state.world_changes
            and compare_gists(delegation.gist, gist) >= options.similar
        ):
            return delegation
    return None


def check_delegation(state: LoopState, step: Step, options: LoopOptions) -> Violation | None:
    """Forbids a hand-off if nearly the same task was handed to this agent too often."""
    found = _find_similar(state, step.name, step.gist, options) if step.kind == "handoff" else None
    if found is None:
        return None
    if found.plain_repeats >= options.delegations and found.news == state.news:
        return Violation("delegations", found.plain_repeats, options.delegations, found.step)
    limit = _limit_delegations(options)
    return Violation("delegations", found.repeats, limit, found.step) if found.repeats >= limit else None
