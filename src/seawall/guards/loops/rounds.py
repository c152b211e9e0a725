"""The rule `rounds`: a round of calls that is repeated with the same answers, with any other calls in between.

The rule looks only at calls that return what they have returned before. Calls that return something new are left out, and
end nothing. If the remaining calls come in the same order each time, they are a round. The rule `cycles` is stricter and
reaches its limit sooner: it allows no other calls in between.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from seawall.guards.loops.findings import Notice, Violation
from seawall.guards.loops.options import LoopOptions
from seawall.guards.loops.state import LoopState, Observation, RecurringCall, Round, make_question
from seawall.run.step import Step

MAX_ROUND = 16
"""Calls of one round, at most; a call that comes again after more of them begins a new round."""
READ_ROUNDS = 2
"""The factor for the limit of a round that only reads: work on a list reads the same things for each item."""


class Recurrence(NamedTuple):
    """The record to keep of a call that the rule has looked at."""

    key: str
    call: RecurringCall


def update_round(
    state: LoopState, observation: Observation, options: LoopOptions, notices: list[Notice]
) -> tuple[LoopState, Recurrence]:
    """Returns the state with the round that the newest call belongs to, and the record to keep of the call."""
    question = make_agent_question(observation)
    key = make_recurring_key(question, observation)
    seen = state.recurring.get(key)
    this = RecurringCall(question, observation.name, observation.step, effect=observation.effect)
    if seen is None:
        return state, Recurrence(key, this)
    round_ = state.round
    number = round_.number + 1
    back = number - seen.number if seen.number else 0
    before = round_.calls[-1] if round_.calls else None
    follows = back <= MAX_ROUND and (not seen.after or before is None or seen.after == before.question)
    this = replace(this, number=number, after="" if before is None else before.question)
    count = round_.count + 1 if follows else 1
    period = max(round_.period, back) if follows else back
    calls = (*round_.calls, this)[-MAX_ROUND:]
    state = replace(state, round=Round(calls, number, count, period))
    times = count_rounds(state.round)
    limit = _get_limit(state.round, options)
    if times * 4 >= limit * 3 and count % period == 0:
        notices.append(Notice("rounds", times, limit, seen.step, _describe_round(state.round)))
    return state, Recurrence(key, this)


def make_agent_question(observation: Observation) -> str:
    """Returns the question of a call together with the agent that asks it."""
    return f"{observation.agent}\0{observation.asked_question}"


def make_recurring_key(question: str, observation: Observation) -> str:
    """Returns the key in `LoopState.recurring` of a call that asked `question`, with its answer."""
    return f"{question}\0{observation.loose_key}"


def count_rounds(round_: Round) -> int:
    """Returns how often the round has come again. One call by itself is not a round."""
    return round_.count // round_.period if round_.period > 1 else 0


def check_round(state: LoopState, step: Step, options: LoopOptions) -> Violation | None:
    """Forbids a call that would begin or continue the round once more."""
    times = count_rounds(state.round)
    if not times or step.poll or times < (limit := _get_limit(state.round, options)):
        return None
    question = f"{step.agent}\0{make_question(step.name, step.asked_key)}"
    for call in state.round.calls[-state.round.period :]:
        if call.question == question:
            return Violation("rounds", times, limit, call.step, _describe_round(state.round))
    return None


def _get_limit(round_: Round, options: LoopOptions) -> int:
    writes = any(call.effect for call in round_.calls[-round_.period :]) if round_.period else False
    return options.rounds if writes else options.rounds * READ_ROUNDS


def _describe_round(round_: Round) -> str:
    names = [call.name for call in round_.calls[-round_.period :]]
    return " → ".join(names if len(names) <= 4 else [*names[:4], "…"])
