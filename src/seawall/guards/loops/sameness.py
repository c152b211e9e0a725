"""The rules for answers that stay the same whatever is asked, and for rows of calls that teach the run nothing.

`reworded` and `same_answer` look at one tool that gives its last answer to another question as well. A question that
contains a new word is a different question, and may rightly have the same answer: twenty unknown names are twenty
questions. A question that consists of words of the questions before it asks the same in other words.

`fruitless` looks at the whole run: calls in a row that each failed, in any way, or returned what was known.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from seawall.guards.loops.findings import Notice, Violation
from seawall.guards.loops.options import LoopOptions
from seawall.guards.loops.state import LastAnswer, LoopState, Observation, SameAnswers, Scope
from seawall.run.step import Step
from seawall.run.wording import Wording, decode_wording

MOVED = 2
"""The factor for the limit if the questions ask for other parts of the same thing: pages of a scan and ranges of a file
may be empty."""
AMONG_OTHERS = 1.5
"""The factor for the limit if other calls are made in between, as with errors of one kind."""
FEW = 4
"""The number of a tool's newest answers; an answer that equals one of them is not a new answer. A server that has three
pages may begin again at the fourth."""
MAX_WORDS = 256
"""The number of words that are kept of the questions in a row; after that, each further word counts as new."""


class Sameness(NamedTuple):
    """What a result says of the tool's answers."""

    answers: SameAnswers | None = None
    """The new record of the tool's answers; None if it stays as it is."""
    is_same: bool = False
    """Whether the tool gave its last answer to a question that differs in words only."""


_NOTHING = Sameness()


def find_sameness(
    state: LoopState,
    scope: Scope,
    observation: Observation,
    options: LoopOptions,
    notices: list[Notice],
    *,
    is_known: bool,
    was_asked: bool,
) -> Sameness:
    """Returns what a result changes in the record of the tool's answers.

    `is_known`: the same question got this answer before, so `no_news` counts it. `was_asked`: the question was asked
    before, with any answer.
    """
    if observation.kind != "tool" or observation.effect or observation.poll or not observation.ok:
        return _NOTHING
    answer = observation.answer
    if answer is None or observation.failure_kind:
        return _NOTHING
    before = scope.same_answers.get(observation.name)
    if before is not None and before.world_changes != state.world_changes:
        before = None
    if before is None or not (
        answer == before.answer or _is_among_few(before, answer, observation.wording, was_asked)
    ):
        return Sameness(_begin(state, observation, answer, before))
    if is_known:
        return _NOTHING
    wording = decode_wording(observation.wording)
    before = _decode_first(before)
    is_other = bool(state.recent) and state.recent[-1].name != observation.name
    found = _add_question(before, wording, among_others=before.among_others or is_other)
    count = found.count if answer == before.answer else 0
    found = replace(found, answer=answer, others=_list_others(before), count=count)
    _note(found, options, notices)
    return Sameness(found, is_same=wording.names in before.names)


def _begin(
    state: LoopState, observation: Observation, answer: str, before: SameAnswers | None
) -> SameAnswers:
    """Returns a row of answers that begins with one that differs from the last one."""
    others = () if before is None else _list_others(before)
    return SameAnswers(
        answer, observation.step, state.world_changes, others=others, first=observation.wording
    )


def _list_others(before: SameAnswers) -> tuple[str, ...]:
    """Returns the answers before the one that came now."""
    return (before.answer, *before.others)[: FEW - 1]


def _is_among_few(before: SameAnswers, answer: str, asked: str, was_asked: bool) -> bool:
    """Returns whether an answer that differs from the last one was given before, and the question now differs in words
    only.
    """
    if was_asked or answer not in before.others:
        return False
    before, wording = _decode_first(before), decode_wording(asked)
    return wording.names in before.names and wording.words <= before.words


def _decode_first(before: SameAnswers) -> SameAnswers:
    """Returns a row with the words of its first question; most rows end before they are needed."""
    if before.names:
        return before
    first = decode_wording(before.first)
    return replace(before, names=frozenset((first.names,)), words=first.words | first.positions)


def _add_question(before: SameAnswers, wording: Wording, *, among_others: bool) -> SameAnswers:
    """Returns the answers of a tool with one more question that was not asked before."""
    found = replace(before, count=before.count + 1, among_others=among_others)
    if not wording.names:  # of a journal of an earlier version, or of arguments that are redacted
        return found
    if wording.names in before.names and wording.words <= before.words:
        has_moved = not wording.positions <= before.words
        found = replace(found, reworded=before.reworded + 1, moved=before.moved + has_moved)
    if len(before.words) + len(before.names) >= MAX_WORDS:
        return found
    words = before.words | wording.words | wording.positions
    return replace(found, names=before.names | {wording.names}, words=words)


def _note(found: SameAnswers, options: LoopOptions, notices: list[Notice]) -> None:
    """Adds a notice when the equal answers come near a limit."""
    for rule, times in (("reworded", found.reworded), ("same_answer", found.count)):
        if times and times * 4 >= (limit := _limit(rule, found, options)) * (2 if rule == "reworded" else 3):
            notices.append(Notice(rule, times, limit, found.step))


def _limit(rule: str, found: SameAnswers, options: LoopOptions) -> int:
    limit = options.reworded if rule == "reworded" else options.same_answer
    limit = max(limit, options.no_news)
    if rule == "reworded" and found.moved * 2 >= found.reworded:
        return limit * MOVED
    return int(limit * AMONG_OTHERS) if found.among_others else limit


def check_sameness(state: LoopState, scope: Scope, step: Step, options: LoopOptions) -> Violation | None:
    """Forbids a call of a tool that gave the same answer too often, to any questions."""
    found = scope.same_answers.get(step.name)
    if found is None or step.poll or step.effect or found.world_changes != state.world_changes:
        return None
    for rule, times in (("reworded", found.reworded), ("same_answer", found.count)):
        if times and times >= (limit := _limit(rule, found, options)):
            return Violation(rule, times, limit, found.step)
    return None


def count_fruitless(
    state: LoopState,
    observation: Observation,
    options: LoopOptions,
    notices: list[Notice],
    *,
    is_known: bool,
    is_news: bool,
) -> LoopState:
    """Counts calls in a row that failed or returned what was known (`is_known`); a new result ends the row."""
    if observation.poll:
        return state
    failed = not observation.ok or bool(observation.failure_kind)
    if not failed and (is_news or observation.effect):
        return replace(state, fruitless=0) if state.fruitless else state
    if not (failed or is_known):  # alike what was known, or the same to another question
        return state
    since = observation.step if not state.fruitless else state.fruitless_since
    state = replace(state, fruitless=state.fruitless + 1, fruitless_since=since)
    limit = _limit_fruitless(options)
    if state.fruitless * 4 >= limit * 3:
        notices.append(Notice("fruitless", state.fruitless, limit, since))
    return state


def _limit_fruitless(options: LoopOptions) -> int:
    """Returns the limit of calls from which nothing came: never less than those of calls that are equal somehow."""
    return max(options.fruitless, options.no_news, options.stretch, options.errors, options.failures)


def check_fruitless(
    state: LoopState, step: Step, answer: LastAnswer | None, options: LoopOptions
) -> Violation | None:
    """Forbids a call whose answer is known, or whose tool failed the last time, after too many such calls in a row."""
    if not state.fruitless or step.poll or state.fruitless < (limit := _limit_fruitless(options)):
        return None
    failures = state.failures.get(step.name)
    if (answer is None or answer.polls != state.polls) and (failures is None or not failures.count):
        return None
    return Violation("fruitless", state.fruitless, limit, state.fruitless_since)
