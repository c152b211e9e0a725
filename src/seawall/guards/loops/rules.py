"""The rules, one function each: what a result means for the memory, and what stands against a call.

A rule never says that the run as a whole is stuck. It says of one call what that call would bring; so an agent
that turns to something else, however late, goes on.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from seawall.core.events import Gist
from seawall.core.persistent import Log
from seawall.guards.loops.options import LoopOptions
from seawall.guards.loops.state import (
    Delegation,
    LastAnswer,
    LoopState,
    Observation,
    Place,
    Round,
    Scope,
    make_question,
)
from seawall.run.fingerprint import compare_gists
from seawall.run.step import Step

PERIOD = 4
"""Calls of one round of a cycle, at most: a longer cycle, or one that is not made in the same order each time, is
given as many calls as four rounds of this length."""
RECENT = 16
"""Calls whose answers an agent has before it, whatever becomes of its context. Who looks at something again after
more than these may have lost it: coding agents read their files once more when their context was cut."""
MAX_HANDED = 32
"""Tasks of one agent that a new one is compared with, the newest; a run makes 32 hand-offs by default."""


class Lesson(NamedTuple):
    """What a rule has to say of a result, for the advice: which rule, how often, and since which step."""

    rule: str
    times: int
    limit: int
    since: int
    detail: str = ""


class Violation(NamedTuple):
    """What stands against a call."""

    rule: str
    value: int
    limit: int
    since: int = 0
    detail: str = ""


class Learned(NamedTuple):
    """A result taken in: what changes, what is to be kept of it, and what there is to say."""

    memo: LoopState
    scope: Scope
    question: str
    known: LastAnswer
    error: str | None
    """The digest of an error that nobody had met with."""
    handed: Delegation | None
    lessons: list[Lesson]


def learn(memo: LoopState, scope: Scope, taught: Observation, options: LoopOptions) -> Learned:
    """Take in a result. Nothing grows before it is kept: a result is judged before it is folded."""
    lessons: list[Lesson] = []
    if taught.poll:
        memo = replace(memo, waits=memo.waits + 1)
    before = scope.known.get(taught.question)
    waited = before is not None and _waited(memo, before, taught)
    error = None if taught.ok or taught.news in scope.errors else taught.news
    memo, scope, known = _answer(memo, scope, taught, options, lessons)
    if not waited:
        known_long = before is not None and before.answer == taught.news
        memo = _cycle(memo, taught, options, lessons, known_long=known_long)
    handed = _delegation(memo, taught, options, lessons)
    _write(memo, taught, options, lessons)
    return Learned(memo, scope, taught.question, known, error, handed, lessons)


def keep(learned: Learned, taught: Observation, place: int) -> LoopState:
    """The memory with all of it."""
    memo, scope = learned.memo, learned.scope
    errors = scope.errors if learned.error is None else scope.errors.put(learned.error, taught.step)
    scope = replace(scope, known=scope.known.put(learned.question, learned.known), errors=errors)
    memo = replace(memo, scopes={**memo.scopes, place: scope})
    if learned.handed is None:
        return memo
    log = memo.handed.get(taught.name, Log[Delegation]())
    return replace(memo, handed={**memo.handed, taught.name: log.append(learned.handed)})


# ---- no news, errors, writes made again, polls


def _answer(
    memo: LoopState, scope: Scope, taught: Observation, options: LoopOptions, lessons: list[Lesson]
) -> tuple[LoopState, Scope, LastAnswer]:
    """Whether the answer to this question, or this error of the tool, was known."""
    before = scope.known.get(taught.question)
    met = None if taught.ok else scope.errors.get(taught.news)
    spell = (scope.news, memo.world)
    if before is None or before.answer != taught.news:
        if met is None:
            return _new(memo, scope, taught, before, options, lessons)
        scope = _failed(scope, taught, spell)
        if scope.failures > 1:  # one may be chance: another id that is not there either
            lessons.append(Lesson("errors", scope.failures, options.errors, met))
        known = LastAnswer(taught.news, taught.step, taught.ok, spell)
    elif taught.effect and taught.ok:  # whatever its receipt says, the world may be another one; see `_alike`
        memo = replace(memo, world=memo.world + 1)
        known = replace(before, spell=(scope.news, memo.world), times=0)
    elif before.spell[1] != memo.world:  # as before the world changed: worth knowing, once after each change
        known = replace(before, spell=spell, times=0)
    elif _waited(memo, before, taught):
        known = before
    else:
        scope = scope if taught.ok else _failed(scope, taught, spell)
        times = before.times + 1 if before.spell == spell else 1
        known = replace(before, spell=spell, times=times)
        if not taught.poll:
            scope = _stale(scope, spell, recent=scope.calls - before.call < RECENT)
            lessons.append(Lesson("no_news", times, options.no_news, before.step))
            lessons.append(Lesson("stretch", scope.stale, options.stretch, before.step))
        elif times * 2 >= options.polls:
            lessons.append(Lesson("polls", times, options.polls, before.step))
    known = _asked(known, memo, scope, taught)
    known = _alike(known, before, scope.other_news, taught, options, lessons)
    return memo, replace(scope, calls=scope.calls + 1), known


def _asked(known: LastAnswer, memo: LoopState, scope: Scope, taught: Observation) -> LastAnswer:
    """When this question was asked last, and where its answer lies."""
    return replace(
        known,
        output=taught.output,
        segment=memo.segment,
        left_s=taught.left_s,
        call=scope.calls,
        waits=memo.waits,
    )


def _waited(memo: LoopState, known: LastAnswer, taught: Observation) -> bool:
    """Whether time was let pass before this was asked again: who waits for something looks at more than the poll.

    What it brought the last time then counts as nothing, and the poll's own cap ends it.
    """
    reads = not taught.poll and not taught.effect
    return reads and known.answer == taught.news and known.waits != memo.waits


def _new(
    memo: LoopState,
    scope: Scope,
    taught: Observation,
    before: LastAnswer | None,
    options: LoopOptions,
    lessons: list[Lesson],
) -> tuple[LoopState, Scope, LastAnswer]:
    """Something new: what was counted is void and, if it came of what may write, the world is another one."""
    writes = taught.effect or taught.may_write
    if (writes and taught.ok) or (taught.poll and before is not None):
        memo = replace(memo, world=memo.world + 1)
    news, other_news = scope.news + 1, scope.other_news
    known = LastAnswer(taught.news, taught.step, taught.ok, (news, memo.world))
    known = _asked(known, memo, scope, taught)
    known = _alike(known, before, other_news, taught, options, lessons)
    if not known.alike_times:
        other_news += 1
        known = replace(known, alike_spell=other_news)
    return memo, replace(scope, news=news, other_news=other_news, calls=scope.calls + 1), known


def _alike(
    known: LastAnswer,
    before: LastAnswer | None,
    spell: int,
    taught: Observation,
    options: LoopOptions,
    lessons: list[Lesson],
) -> LastAnswer:
    """Count a write that was made before: its result is the same, or has other numbers and nothing else is new."""
    if taught.alike is None:
        return known
    times = 0
    if before is not None and before.alike == taught.alike and before.alike_spell == spell:
        times = before.alike_times + 1
        known = replace(known, step=before.step)
        lessons.append(Lesson("again", times, options.again, before.step))
    return replace(known, alike=taught.alike, alike_spell=spell, alike_times=times)


def _stale(scope: Scope, spell: tuple[int, int], *, recent: bool) -> Scope:
    before = scope.stale if scope.stale_spell == spell else 0
    return replace(scope, stale=before + 1 if recent else 0, stale_spell=spell)


def _failed(scope: Scope, taught: Observation, spell: tuple[int, int]) -> Scope:
    """Count an error that was known."""
    count = scope.failures + 1 if scope.failures_spell == spell else 1
    return replace(scope, failed=taught.name, failures=count, failures_spell=spell)


def against_question(memo: LoopState, scope: Scope, step: Step, options: LoopOptions) -> Violation | None:
    """The call brought the same, or was made as a write, too often already."""
    known = scope.known.get(make_question(step.name, step.input))
    if known is None:
        return None
    limit = options.polls if step.poll else options.no_news
    waited = known.waits != memo.waits and not step.poll
    if known.times >= limit and known.spell == (scope.news, memo.world) and not waited:
        return Violation("polls" if step.poll else "no_news", known.times, limit, known.step)
    if known.alike_times >= options.again and known.alike_spell == scope.other_news:
        return Violation("again", known.alike_times, options.again, known.step)
    return None


def against_stretch(memo: LoopState, scope: Scope, step: Step, options: LoopOptions) -> Violation | None:
    """Nothing new came of so many calls, and nothing new would come of this one."""
    known = scope.known.get(make_question(step.name, step.input))
    if scope.stale < options.stretch or scope.stale_spell != (scope.news, memo.world) or step.poll:
        return None
    if known is None or known.spell[1] != memo.world or scope.calls - known.call >= RECENT:
        return None
    if known.waits != memo.waits:
        return None
    return Violation("stretch", scope.stale, options.stretch, known.step)


def against_errors(memo: LoopState, scope: Scope, step: Step, options: LoopOptions) -> Violation | None:
    """The tool failed in ways that are known, too often in a row."""
    counts = scope.failures_spell == (scope.news, memo.world) and scope.failed == step.name
    if counts and scope.failures >= options.errors and not step.poll:
        return Violation("errors", scope.failures, options.errors)
    return None


def wait_s(memo: LoopState, scope: Scope, step: Step, options: LoopOptions) -> float:
    """Seconds that a poll waits before it is made again."""
    known = scope.known.get(make_question(step.name, step.input)) if step.poll else None
    if known is None or not known.times or known.spell != (scope.news, memo.world):
        return 0.0
    return min(options.poll_wait_s * 2.0 ** min(known.times - 1, 32), options.poll_wait_max_s)


# ---- cycles


def _cycle(
    memo: LoopState, taught: Observation, options: LoopOptions, lessons: list[Lesson], *, known_long: bool
) -> LoopState:
    """Whether the newest calls of the run, whoever made them, go round: each brought what it had brought lately.

    One whose answer is known for longer neither goes round with them nor ends it.
    """
    if taught.poll:
        return memo
    newest = Place(f"{taught.agent}\0{taught.question}", taught.news, taught.name, taught.step)
    back = _back(memo, newest)
    found = memo.round if known_long else Round()
    if back:
        found = Round(memo.round.calls + 1, max(memo.round.period, back))
    since = memo.recent[-back].step if back else 0
    memo = replace(memo, recent=(*memo.recent, newest)[-RECENT:], round=found)
    times, rest = _times(found)
    if back and times > 1 and not rest:  # one round again may be a look whether all is well
        lessons.append(Lesson("cycles", times, options.cycles, since, _names(memo)))
    return memo


def _back(memo: LoopState, newest: Place) -> int:
    """How many calls ago this one brought the same; 0: not lately."""
    for back, place in enumerate(reversed(memo.recent), 1):
        if (place.asked, place.news) == (newest.asked, newest.news):
            return back
    return 0


def _times(found: Round) -> tuple[int, int]:
    """Rounds, and calls beyond them. One call by itself is no cycle; a longer one counts as several of four calls."""
    return divmod(found.calls, min(found.period, PERIOD)) if found.period > 1 else (0, 0)


def _names(memo: LoopState) -> str:
    names = [each.name for each in memo.recent[-memo.round.period :]]
    return " → ".join(names if len(names) <= PERIOD else [*names[:PERIOD], "…"])


def against_cycle(memo: LoopState, step: Step, options: LoopOptions) -> Violation | None:
    """The call would go round once more."""
    times, _ = _times(memo.round)
    if step.poll or times < options.cycles:
        return None
    asked = f"{step.agent}\0{make_question(step.name, step.input)}"
    for place in memo.recent[-memo.round.period :]:
        if place.asked == asked:
            return Violation("cycles", times, options.cycles, place.step, _names(memo))
    return None


# ---- delegations


def _delegation(
    memo: LoopState, taught: Observation, options: LoopOptions, lessons: list[Lesson]
) -> Delegation | None:
    """Whether nearly the same task was handed to this agent before."""
    if taught.gist is None or not taught.ok:
        return None
    found = _similar(memo, taught.name, taught.gist, options)
    if found is None:
        return Delegation(taught.gist, taught.step, memo.world)
    lessons.append(Lesson("delegations", found.times + 1, options.delegations, found.step))
    return replace(found, times=found.times + 1)


def _similar(memo: LoopState, agent: str, gist: Gist | None, options: LoopOptions) -> Delegation | None:
    log = memo.handed.get(agent)
    if log is None or gist is None:
        return None
    for handed in reversed(log.since(max(0, len(log) - MAX_HANDED))):
        if handed.world == memo.world and compare_gists(handed.gist, gist) >= options.similar:
            return handed
    return None


def against_delegation(memo: LoopState, step: Step, options: LoopOptions) -> Violation | None:
    """Nearly the same task was handed to this agent too often."""
    found = _similar(memo, step.name, step.gist, options) if step.kind == "handoff" else None
    if found is None or found.times < options.delegations:
        return None
    return Violation("delegations", found.times, options.delegations, found.step)


# ---- write storms


def _write(memo: LoopState, taught: Observation, options: LoopOptions, lessons: list[Lesson]) -> None:
    """Say so when effects of one tool come near their cap."""
    count = memo.writes.get(taught.name, 0) if taught.effect else 0
    if count * 5 >= options.writes * 4:  # the last fifth
        lessons.append(Lesson("writes", count, options.writes, taught.step))


def count_write(memo: LoopState, tool: str, change: int) -> LoopState:
    """Count an effect when it is begun, so that the cap is exact for calls of one reply too."""
    return replace(memo, writes={**memo.writes, tool: memo.writes.get(tool, 0) + change})


def against_write(memo: LoopState, step: Step, options: LoopOptions) -> Violation | None:
    """The run performed this effect too often, whatever its arguments were."""
    count = memo.writes.get(step.name, 0) if step.effect else 0
    return Violation("writes", count, options.writes) if count >= options.writes else None
