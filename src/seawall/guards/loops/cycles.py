"""The rule `cycles`: a few calls that are made again and again, with nothing in between, and return the same each time."""

from __future__ import annotations

from msgspec.structs import replace

from seawall.guards.loops.findings import Notice, Violation
from seawall.guards.loops.options import LoopOptions
from seawall.guards.loops.rounds import make_agent_question
from seawall.guards.loops.state import RECENT, Cycle, LoopState, Observation, RecentCall, make_question
from seawall.run.step import Step

PERIOD = 4
"""Calls of one round of a cycle, at most: a longer cycle, or one that is not made in the same order each time, is
given as many calls as four rounds of this length."""


def update_cycle(
    state: LoopState,
    observation: Observation,
    options: LoopOptions,
    notices: list[Notice],
    *,
    is_known: bool,
) -> LoopState:
    """Counts how far the newest calls of the run, whatever agents made them, form a cycle.

    A call belongs to it if it returned what it had returned lately. A call whose answer is known for longer (`is_known`)
    neither belongs to the cycle nor ends it.
    """
    if observation.poll:
        return state
    question = make_agent_question(observation)
    newest = RecentCall(question, observation.fingerprint, observation.name, observation.step)
    back = find_previous(state, question, observation.fingerprint)
    cycle = state.cycle if is_known else Cycle()
    if back:
        cycle = Cycle(state.cycle.calls + 1, max(state.cycle.period, back))
    since = state.recent[-back].step if back else 0
    state = replace(state, recent=(*state.recent, newest)[-RECENT:], cycle=cycle)
    rounds, rest = _count_rounds(cycle)
    if back and rounds > 1 and not rest:  # a single repeated round may be a look whether all is well
        notices.append(Notice("cycles", rounds, options.cycles, since, _describe_cycle(state)))
    return state


def find_previous(state: LoopState, question: str, fingerprint: str) -> int:
    """Returns how many calls ago this question got the same; 0: not lately."""
    for back, call in enumerate(reversed(state.recent), 1):
        if call.fingerprint == fingerprint and call.question == question:
            return back
    return 0


def _count_rounds(cycle: Cycle) -> tuple[int, int]:
    """Returns the rounds, and the calls beyond them.

    One call by itself is not a cycle. A longer cycle counts as several of `PERIOD` calls.
    """
    return divmod(cycle.calls, min(cycle.period, PERIOD)) if cycle.period > 1 else (0, 0)


def _describe_cycle(state: LoopState) -> str:
    names = [each.name for each in state.recent[-state.cycle.period :]]
    return " → ".join(names if len(names) <= PERIOD else [*names[:PERIOD], "…"])


def check_cycle(state: LoopState, step: Step, options: LoopOptions) -> Violation | None:
    """Forbids a call that would repeat the cycle once more."""
    if not state.cycle.calls or step.poll:
        return None
    rounds, _ = _count_rounds(state.cycle)
    if rounds < options.cycles:
        return None
    question = f"{step.agent}\0{make_question(step.name, step.asked_key)}"
    for call in state.recent[-state.cycle.period :]:
        if call.question == question:
            return Violation("cycles", rounds, options.cycles, call.step, _describe_cycle(state))
    return None
