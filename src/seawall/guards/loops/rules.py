"""The rules: how a result changes the state, and when a call is forbidden.

A rule never says that the run as a whole is stuck. It says of one call what that call would return, so an agent that
turns to something else, however late, goes on. Each rule has two functions: one updates the state with a result and
may write a `Notice` for the agent, the other (`check_…`) returns the `Violation` that forbids a call. `answer` is the
newest answer to the question that the call asks.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from seawall.core.canonical import ref_of
from seawall.core.persistent import Log
from seawall.guards.loops.cycles import find_previous, update_cycle
from seawall.guards.loops.delegations import update_delegation
from seawall.guards.loops.failures import update_failures
from seawall.guards.loops.findings import Notice, Violation
from seawall.guards.loops.options import LoopOptions
from seawall.guards.loops.rounds import (
    Recurrence,
    make_agent_question,
    make_recurring_key,
    update_round,
)
from seawall.guards.loops.sameness import count_fruitless, find_sameness
from seawall.guards.loops.state import (
    RECENT,
    SPELLED,
    Delegation,
    Failures,
    LastAnswer,
    LoopState,
    Observation,
    SameAnswers,
    Scope,
    Streak,
    make_question,
)
from seawall.guards.loops.waits import limit_among_waits, note_end, note_pause
from seawall.run.fingerprint import PROGRESS
from seawall.run.step import Step
from seawall.run.wording import decode_wording

ALIKE_STRETCH = 2
"""Calls in a row that returned nothing new except for noise, with any arguments: so many times the limit of one question,
as `stretch` is twice `no_news`."""
VARIES = 2
"""Changes of its answer after which a question is one whose answer changes: a die, a channel. The first change may be the
end of what was waited for."""
PRESSED = 2
"""The factor for the limit of a write whose arguments hold no text: it is a key or a button, and not a mail."""
_NO_ARGUMENTS = f"\0{ref_of(b'{}')}"


class Learned(msgspec.Struct, frozen=True):
    """What a result changes: the state and scope with new counters, what is still to be kept, and the notices."""

    state: LoopState
    scope: Scope
    question: str
    answer: LastAnswer
    new_error: str | None
    """The fingerprint of an error that is new in the scope."""
    failures: Failures | None
    """The tool's new errors in a row; None if they stay."""
    same_answers: SameAnswers | None
    """The tool's new equal answers in a row; None if they stay."""
    recurrence: Recurrence | None
    delegation: Delegation | None
    notices: list[Notice]


def learn(state: LoopState, scope: Scope, observation: Observation, options: LoopOptions) -> Learned:
    """Returns what a result changes. The growing collections are left to `keep`.

    A result is judged before it is folded, and a collection that two versions append to is copied.
    """
    notices: list[Notice] = []
    if observation.poll:
        state = replace(state, polls=state.polls + 1)
    state = note_pause(state, observation)
    before = _find_before(scope, observation)
    waited = before is not None and _has_waited(state, before, observation)
    new_error = None
    if not observation.ok and observation.fingerprint not in scope.errors:
        new_error = observation.fingerprint
    is_known = before is not None and _is_known(before, observation)
    sameness = find_sameness(
        state, scope, observation, options, notices, is_known=is_known, was_asked=before is not None
    )
    firm = scope.firm_discoveries
    state, scope, answer = _update_answer(
        state, scope, observation, before, options, notices, is_same=sameness.is_same
    )
    is_news = scope.firm_discoveries != firm
    if not waited:
        # Asked for the second time, it may have been lost on the way: a context that was shortened.
        is_old = before is not None and before.repeats > 0 and _is_same(before, observation)
        state = count_fruitless(state, observation, options, notices, is_known=is_old, is_news=is_news)
    expects_change = False
    if before is not None:
        is_other = is_known and before.question not in ("", observation.question)
        spellings = before.spellings + is_other if is_known else 1
        changes = before.changes + (not is_known)
        expects_change = is_known and may_change(state, before, observation)
        answer = replace(
            answer, question=observation.question, spellings=spellings, changes=changes, waits=state.waits
        )
    state = note_end(state, observation)
    recurrence = None
    if not waited:
        if not expects_change:
            state = update_cycle(state, observation, options, notices, is_known=is_known)
        if not observation.poll:
            state, recurrence = update_round(state, observation, options, notices)
            if is_news and recurrence.call.number == 0 and observation.kind == "tool":
                state = replace(state, news=state.news + 1)
    failures = update_failures(state, observation, options, notices)
    delegation = update_delegation(state, observation, options, notices)
    _note_writes(state, observation, options, notices)
    return Learned(
        state,
        scope,
        observation.question,
        answer,
        new_error,
        failures,
        sameness.answers,
        recurrence,
        delegation,
        notices,
    )


def is_new_in_every_way(state: LoopState, scope: Scope, observation: Observation) -> bool:
    """Returns whether a read's result is unlike all that is known, so that `learn` would write no notice. Most are."""
    if observation.kind != "tool" or observation.effect or not observation.ok or observation.failure_kind:
        return False
    answer = observation.answer
    same = scope.same_answers.get(observation.name)
    if same is not None and answer is not None and (answer == same.answer or answer in same.others):
        return False
    question = make_agent_question(observation)
    return (
        scope.answers.get(observation.question) is None
        and scope.answers.get(SPELLED + observation.asked_question) is None
        and state.recurring.get(make_recurring_key(question, observation)) is None
        and not find_previous(state, question, observation.fingerprint)
    )


def keep(learned: Learned, observation: Observation, scope_id: int) -> LoopState:
    """Returns the state with all that was learned."""
    state, scope = learned.state, learned.scope
    errors = scope.errors
    if learned.new_error is not None:
        errors = errors.put(learned.new_error, observation.step)
    answers = scope.answers.put(learned.question, learned.answer)
    answers = answers.put(SPELLED + observation.asked_question, learned.answer)
    same_answers, failures = scope.same_answers, state.failures
    recurring, delegations = state.recurring, state.delegations
    if learned.same_answers is not None:
        same_answers = same_answers.put(observation.name, learned.same_answers)
    if learned.failures is not None:
        failures = failures.put(observation.name, learned.failures)
    if learned.recurrence is not None:
        recurring = recurring.put(*learned.recurrence)
    if learned.delegation is not None:
        log = delegations.get(observation.name, Log[Delegation]()).append(learned.delegation)
        delegations = {**delegations, observation.name: log}
    scope = replace(scope, answers=answers, errors=errors, same_answers=same_answers)
    scopes = {**state.scopes, scope_id: scope}
    return replace(state, scopes=scopes, failures=failures, recurring=recurring, delegations=delegations)


# ---- repeats, errors, writes made again, polls


def find_answer(scope: Scope, step: Step) -> LastAnswer | None:
    """Returns the newest answer to what a call asks.

    That is the answer to another spelling of the question, if the spellings have got the same so far.
    """
    question = make_question(step.name, step.arguments_key)
    answer = scope.answers.get(question)
    spelled = scope.answers.get(SPELLED + (make_question(step.name, step.asked) if step.asked else question))
    if spelled is None or spelled.spellings < 2:
        return answer
    return spelled if answer is None or answer.fingerprint == spelled.fingerprint else answer


def _find_before(scope: Scope, observation: Observation) -> LastAnswer | None:
    """Returns the newest answer to this question, in another spelling if both got the same."""
    spelled = scope.answers.get(SPELLED + observation.asked_question)
    if spelled is not None and _is_known(spelled, observation):
        return spelled
    return scope.answers.get(observation.question)


def _is_same(before: LastAnswer, observation: Observation) -> bool:
    """Returns whether the answer is the same. A poll's may be alike: it has a limit of its own."""
    return before.fingerprint == observation.fingerprint or (
        observation.poll and _is_alike(before, observation)
    )


def _is_alike(before: LastAnswer, observation: Observation) -> bool:
    """Returns whether a read returned the same except for what may be noise."""
    if observation.effect or not (observation.ok and before.ok):
        return False
    return (before.loose_fingerprint or before.fingerprint) == observation.loose_key


def _is_known(before: LastAnswer, observation: Observation) -> bool:
    return before.fingerprint == observation.fingerprint or _is_alike(before, observation)


def _update_answer(
    state: LoopState,
    scope: Scope,
    observation: Observation,
    before: LastAnswer | None,
    options: LoopOptions,
    notices: list[Notice],
    *,
    is_same: bool,
) -> tuple[LoopState, Scope, LastAnswer]:
    """Counts whether the answer to this question, or this error of the tool, was known.

    `is_same`: another question got it the last time, so it is hardly news.
    """
    error_since = None if observation.ok else scope.errors.get(observation.fingerprint)
    streak = (scope.discoveries, state.world_changes)
    if before is not None and not _is_same(before, observation) and _is_alike(before, observation):
        return _count_alike(state, scope, before, observation, options, notices)
    if before is None or not _is_same(before, observation):
        if error_since is None:
            return _count_discovery(state, scope, observation, before, options, notices, is_firm=not is_same)
        scope = _count_known_error(state, scope, observation, streak)
        if scope.known_errors > 1:  # one may be chance: another id that is not there either
            limit = _limit_errors(state, scope, options)
            notices.append(Notice("errors", scope.known_errors, limit, error_since))
        answer = _build_answer(state, scope, observation, streak)
    elif observation.effect and observation.ok:
        # Whatever the receipt says, the world may have changed; see `_count_repeated_write`.
        state = replace(state, world_changes=state.world_changes + 1)
        streak = (scope.discoveries, state.world_changes)
        answer = _renew_answer(before, state, scope, observation, streak, repeats=0)
    elif before.streak[1] != state.world_changes:
        # The same as before the world changed: worth knowing, once after each change.
        answer = _renew_answer(before, state, scope, observation, streak, repeats=0)
    elif _has_waited(state, before, observation):
        answer = _renew_answer(
            before,
            state,
            scope,
            observation,
            before.streak,
            repeats=before.repeats,
            plain_repeats=before.plain_repeats,
        )
    else:
        scope = scope if observation.ok else _count_known_error(state, scope, observation, streak)
        is_plain = not may_change(state, before, observation)
        repeats, plain_repeats = 1, int(is_plain)
        if before.streak == streak:
            repeats, plain_repeats = before.repeats + 1, before.plain_repeats + is_plain
        answer = _renew_answer(
            before, state, scope, observation, streak, repeats=repeats, plain_repeats=plain_repeats
        )
        firm = (scope.firm_discoveries, state.world_changes)
        alike = answer.alike + 1 if answer.alike_streak == firm and observation.ok else 0
        answer = replace(answer, alike=alike, alike_streak=firm)
        if not is_plain and not observation.poll:
            notices.append(Notice("unfinished", repeats, _limit_unfinished(options), before.first_step))
        elif not observation.poll:
            scope = _count_stale_call(scope, streak, is_recent=scope.calls - before.call < RECENT)
            notices.append(Notice("no_news", plain_repeats, options.no_news, before.first_step))
            notices.append(Notice("stretch", scope.stale_calls, options.stretch, before.first_step))
        elif repeats * 2 >= options.polls:
            notices.append(Notice("polls", repeats, options.polls, before.first_step))
    answer = _count_repeated_write(
        answer, state, before, scope.loose_discoveries, observation, options, notices
    )
    return state, replace(scope, calls=scope.calls + 1), answer


def _count_alike(
    state: LoopState,
    scope: Scope,
    before: LastAnswer,
    observation: Observation,
    options: LoopOptions,
    notices: list[Notice],
) -> tuple[LoopState, Scope, LastAnswer]:
    """Counts an answer that is alike the one before: it voids the other counters, as if it was new."""
    scope = replace(scope, discoveries=scope.discoveries + 1)
    answer = _build_answer(state, scope, observation, (scope.discoveries, state.world_changes))
    firm = (scope.firm_discoveries, state.world_changes)
    alike = before.alike if before.alike_streak == firm else 0
    if before.alike_streak == firm and not _has_waited(state, before, observation):
        alike += 1  # else its news may have been used: for a call that returned something new, or a write
        calls = scope.alike_calls if scope.alike_streak == firm else 0
        is_recent = scope.calls - before.call < RECENT
        scope = replace(scope, alike_calls=calls + 1 if is_recent else 0, alike_streak=firm)
        answer = replace(answer, first_step=before.first_step)
        notices.append(Notice("alike", alike, _limit_alike(options), before.first_step))
    answer = replace(answer, alike=alike, alike_streak=firm)
    return state, replace(scope, calls=scope.calls + 1), answer


def _limit_alike(options: LoopOptions) -> int:
    """Returns the limit of answers that are alike: never less than that of equal ones."""
    return max(options.alike, options.no_news)


def _build_answer(
    state: LoopState, scope: Scope, observation: Observation, streak: Streak, *, write_streak: int = 0
) -> LastAnswer:
    """Returns an answer that its question had not returned before."""
    return LastAnswer(
        observation.fingerprint,
        observation.step,
        observation.ok,
        streak,
        write_streak=write_streak,
        output=observation.output,
        segment=state.segment,
        left_s=observation.left_s,
        call=scope.calls,
        polls=state.polls,
        alike_streak=(scope.firm_discoveries, state.world_changes),
        loose_fingerprint=None if observation.effect or not observation.ok else observation.loose_fingerprint,
        waits=state.waits,
        question=observation.question,
    )


def _renew_answer(
    before: LastAnswer,
    state: LoopState,
    scope: Scope,
    observation: Observation,
    streak: Streak,
    *,
    repeats: int,
    plain_repeats: int = 0,
) -> LastAnswer:
    """Returns the record of an answer that came again, with its new counts, time and recorded text."""
    if before.alike_streak[1] != state.world_changes:
        before = replace(before, alike=0, alike_streak=(scope.firm_discoveries, state.world_changes))
    return replace(
        before,
        fingerprint=observation.fingerprint,
        streak=streak,
        repeats=repeats,
        plain_repeats=plain_repeats,
        output=observation.output,
        segment=state.segment,
        left_s=observation.left_s,
        call=scope.calls,
        polls=state.polls,
    )


def _has_waited(state: LoopState, answer: LastAnswer, observation: Observation) -> bool:
    """Returns True if the run polled since this read was last made; then its repeated answer is not counted.

    An agent that waits for something looks at more than the poll. The poll's own cap ends it.
    """
    reads = not observation.poll and not observation.effect
    return reads and _is_known(answer, observation) and answer.polls != state.polls


def may_change(state: LoopState, answer: LastAnswer, observation: Observation) -> bool:
    """Returns whether another answer was to be expected, although the same one came again.

    It says so itself; the run has let time pass; or the question is one whose answer changes.
    """
    return observation.unfinished or answer.waits != state.waits or answer.changes >= VARIES


def _count_discovery(
    state: LoopState,
    scope: Scope,
    observation: Observation,
    before: LastAnswer | None,
    options: LoopOptions,
    notices: list[Notice],
    *,
    is_firm: bool,
) -> tuple[LoopState, Scope, LastAnswer]:
    """Counts a new result: it voids the counters, and a new result of a tool that may write changes the world."""
    writes = observation.effect or observation.may_write
    if (writes and observation.ok) or (observation.poll and before is not None):
        state = replace(state, world_changes=state.world_changes + 1)
    discoveries, loose_discoveries = scope.discoveries + 1, scope.loose_discoveries
    streak = (discoveries, state.world_changes)
    scope = replace(scope, firm_discoveries=scope.firm_discoveries + is_firm)
    answer = _build_answer(state, scope, observation, streak, write_streak=loose_discoveries + 1)
    answer = _count_repeated_write(answer, state, before, loose_discoveries, observation, options, notices)
    if not answer.write_repeats:
        loose_discoveries += 1
        if answer.write_streak != loose_discoveries:
            answer = replace(answer, write_streak=loose_discoveries)
    scope = replace(
        scope, discoveries=discoveries, loose_discoveries=loose_discoveries, calls=scope.calls + 1
    )
    return state, scope, answer


def _count_repeated_write(
    answer: LastAnswer,
    state: LoopState,
    before: LastAnswer | None,
    write_streak: int,
    observation: Observation,
    options: LoopOptions,
    notices: list[Notice],
) -> LastAnswer:
    """Counts a write that was made before, if its result is the same except for numbers and nothing else is new."""
    loose = observation.loose_fingerprint
    if loose is None or not (observation.effect and observation.ok):
        return answer
    repeats = 0
    if before is not None and before.loose_fingerprint == loose and before.write_streak == write_streak:
        repeats = before.write_repeats + 1
        limit = _limit_again(state, before, observation, options)
        answer = replace(answer, first_step=before.first_step, write_limit=limit)
        notices.append(Notice("again", repeats, limit, before.first_step))
    return replace(answer, loose_fingerprint=loose, write_streak=write_streak, write_repeats=repeats)


def _limit_again(state: LoopState, before: LastAnswer, observation: Observation, options: LoopOptions) -> int:
    """Returns how often a write may be made again.

    One without arguments, or whose result says how far it has come, may take the next of a row each time. One that comes
    after a wait may be due again. One without a text, with the same receipt to the letter, is pressed like a button; a new
    number in it is a second order.
    """
    says_how_far = (observation.loose_fingerprint or "").startswith(PROGRESS)
    takes_next = says_how_far or observation.asked_question.endswith(_NO_ARGUMENTS)
    if takes_next and before.fingerprint != observation.fingerprint:
        return max(options.alike, options.again)
    if before.waits != state.waits:
        return max(options.unfinished, options.again)
    has_text = not observation.wording or bool(decode_wording(observation.wording).words)
    is_pressed = not has_text and before.fingerprint == observation.fingerprint
    return options.again * PRESSED if is_pressed else options.again


def _count_stale_call(scope: Scope, streak: Streak, *, is_recent: bool) -> Scope:
    before = scope.stale_calls if scope.stale_streak == streak else 0
    return replace(scope, stale_calls=before + 1 if is_recent else 0, stale_streak=streak)


def _count_known_error(state: LoopState, scope: Scope, observation: Observation, streak: Streak) -> Scope:
    count, waits = 1, state.waits
    if scope.errors_streak == streak:
        count, waits = scope.known_errors + 1, scope.errors_waits
    return replace(
        scope, failed_tool=observation.name, known_errors=count, errors_streak=streak, errors_waits=waits
    )


def _limit_errors(state: LoopState, scope: Scope, options: LoopOptions) -> int:
    waits = state.waits - scope.errors_waits
    return limit_among_waits(options.errors, scope.known_errors, waits, options)


def check_repeats(
    state: LoopState, scope: Scope, step: Step, answer: LastAnswer, options: LoopOptions
) -> Violation | None:
    """Forbids a call that returned the same too often, or that is a write and was made again too often."""
    waited = answer.polls != state.polls and not step.poll
    if answer.streak == (scope.discoveries, state.world_changes) and not waited:
        if not step.poll and answer.plain_repeats >= options.no_news and answer.waits == state.waits:
            return Violation("no_news", answer.plain_repeats, options.no_news, answer.first_step)
        limit = options.polls if step.poll else _limit_unfinished(options)
        if answer.repeats >= limit:
            return Violation("polls" if step.poll else "unfinished", answer.repeats, limit, answer.first_step)
    limit = answer.write_limit or options.again
    if answer.write_repeats >= limit and answer.write_streak == scope.loose_discoveries:
        return Violation("again", answer.write_repeats, limit, answer.first_step)
    return None


def _limit_unfinished(options: LoopOptions) -> int:
    """Returns how often an answer that may change may come again: never less often than others."""
    return max(options.unfinished, options.no_news)


def check_alike(
    state: LoopState, scope: Scope, step: Step, answer: LastAnswer, options: LoopOptions
) -> Violation | None:
    """Forbids a call after too many answers that were the same except for what may be noise."""
    streak = (scope.firm_discoveries, state.world_changes)
    if step.poll or answer.polls != state.polls or answer.alike_streak != streak:
        return None
    limit = _limit_alike(options)
    if answer.alike >= limit:
        return Violation("alike", answer.alike, limit, answer.first_step)
    limit *= ALIKE_STRETCH
    if answer.alike and scope.alike_streak == streak and scope.alike_calls >= limit:
        return Violation("alike", scope.alike_calls, limit, answer.first_step)
    return None


def check_stretch(
    state: LoopState, scope: Scope, step: Step, answer: LastAnswer, options: LoopOptions
) -> Violation | None:
    """Forbids a call whose answer is known, after too many calls in a row that returned known answers."""
    if scope.stale_calls < options.stretch or step.poll:
        return None
    if scope.stale_streak != (scope.discoveries, state.world_changes):
        return None
    if answer.streak[1] != state.world_changes or scope.calls - answer.call >= RECENT:
        return None
    if answer.polls != state.polls or answer.waits != state.waits:
        return None
    return Violation("stretch", scope.stale_calls, options.stretch, answer.first_step)


def check_errors(state: LoopState, scope: Scope, step: Step, options: LoopOptions) -> Violation | None:
    """Forbids a call of a tool that failed in known ways too often in a row."""
    if scope.failed_tool != step.name or step.poll:
        return None
    limit = _limit_errors(state, scope, options)
    if scope.known_errors < limit:
        return None
    if scope.errors_streak != (scope.discoveries, state.world_changes):
        return None
    return Violation("errors", scope.known_errors, limit)


def compute_poll_wait_s(state: LoopState, scope: Scope, answer: LastAnswer, options: LoopOptions) -> float:
    """Returns the seconds that a poll waits before it is made again."""
    if not answer.repeats or answer.streak != (scope.discoveries, state.world_changes):
        return 0.0
    return min(options.poll_wait_s * 2.0 ** min(answer.repeats - 1, 32), options.poll_wait_max_s)


# ---- write storms


def _note_writes(
    state: LoopState, observation: Observation, options: LoopOptions, notices: list[Notice]
) -> None:
    """Adds a notice when the effects of one tool come near their cap."""
    count = state.writes.get(observation.name, 0) if observation.effect else 0
    if count * 5 >= options.writes * 4:  # the last fifth
        notices.append(Notice("writes", count, options.writes, observation.step))


def count_write(state: LoopState, tool: str, change: int) -> LoopState:
    """Counts an effect when it begins, so that the cap is exact for the calls of one reply, too."""
    return replace(state, writes={**state.writes, tool: state.writes.get(tool, 0) + change})


def check_writes(state: LoopState, step: Step, options: LoopOptions) -> Violation | None:
    """Forbids an effect that the run performed too often, whatever its arguments were."""
    count = state.writes.get(step.name, 0) if step.effect else 0
    return Violation("writes", count, options.writes) if count >= options.writes else None
