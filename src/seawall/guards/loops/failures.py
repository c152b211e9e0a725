"""The rule `failures`: errors of one kind that one tool returns in a row, with any arguments and for any caller."""

from __future__ import annotations

from msgspec.structs import replace

from seawall.guards.loops.findings import Notice, Violation
from seawall.guards.loops.options import LoopOptions
from seawall.guards.loops.state import Failures, LoopState, Observation
from seawall.guards.loops.waits import limit_among_waits
from seawall.run.step import Step

AMONG_OTHERS = 1.5
"""The factor for the limit if other calls are made in between: they may have changed something that their tools do not
declare."""


def update_failures(
    state: LoopState, observation: Observation, options: LoopOptions, notices: list[Notice]
) -> Failures | None:
    """Returns the tool's errors in a row if the observation changes them; None if they stay."""
    before = state.failures.get(observation.name)
    kind = observation.failure_kind
    if not kind:
        ends = observation.ok and before is not None and before.count
        return replace(before, count=0) if before is not None and ends else None
    if before is None or before.kind != kind or before.world_changes != state.world_changes:
        return Failures(kind, 1, observation.step, state.world_changes, waits=state.waits)
    if not before.count:
        return replace(before, count=1, step=observation.step, among_others=False, waits=state.waits)
    is_other = len(state.recent) > 1 and state.recent[-2].name != observation.name
    found = replace(before, count=before.count + 1, among_others=before.among_others or is_other)
    notices.extend(_list_notices(state, found, options))
    return found


def _list_notices(state: LoopState, found: Failures, options: LoopOptions) -> list[Notice]:
    """Returns a notice once the errors of one kind come near the limit."""
    limit = _get_limit(state, found, options)
    return [Notice("failures", found.count, limit, found.step)] if found.count * 2 >= limit else []


def find_refusals(state: LoopState, tool: str, options: LoopOptions) -> Notice | None:
    """Returns a notice for an agent's next model call, if calls of this tool were refused near the limit."""
    found = state.failures.get(tool)
    if found is None or found.world_changes != state.world_changes:
        return None
    return next(iter(_list_notices(state, found, options)), None)


def _get_limit(state: LoopState, found: Failures, options: LoopOptions) -> int:
    limit = int(options.failures * AMONG_OTHERS) if found.among_others else options.failures
    return limit_among_waits(limit, found.count, state.waits - found.waits, options)


def check_failures(state: LoopState, step: Step, options: LoopOptions) -> Violation | None:
    """Forbids a call of a tool that failed too often in a row for one kind of reason."""
    found = state.failures.get(step.name)
    if found is None or step.poll or found.world_changes != state.world_changes:
        return None
    limit = _get_limit(state, found, options)
    return Violation("failures", found.count, limit, found.step) if found.count >= limit else None
