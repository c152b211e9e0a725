"""What the guard remembers of a run: values that are folded from events, each event in constant time.

What a call returned is known by its fingerprint: a digest of its result or error without what differs each time and
certainly means nothing (`seawall.run.fingerprint`). Where more may mean nothing, it also has a loose fingerprint: of a
write without all numbers, of a read without ids, times and durations, of an error by its kind. Two results of a read are
*alike* if only their loose fingerprints are equal. A question is a call without its result: the tool (or the agent, of a
hand-off) with its arguments.

Two kinds of events end a streak of calls without new information:

- `Scope.discoveries` counts the results in a scope whose fingerprint was new there; `Scope.firm_discoveries` those of
  them that were not alike what was known either, and not what their tool had returned the last time to other words.
- `LoopState.world_changes` counts the changes of the world in the whole run: writes, as far as they may have changed
  something, and polls that returned something new.

The pair of the two numbers names a streak. A counter holds for the streak that stands beside it; once one of the two
numbers has moved on, the counter is void and starts again:

- `LastAnswer.repeats`: how often a question got what it had returned before (rules `unfinished` and `polls`), and
  `plain_repeats`: those of them when nothing spoke for another answer (rule `no_news`).
- `Scope.stale_calls`: calls in a row that each returned what their question had returned before, whatever they asked
  (rule `stretch`).
- `LastAnswer.alike`, `Scope.alike_calls`: the same two, of answers that are alike or equal, with
  `Scope.firm_discoveries` in the place of `Scope.discoveries` (rule `alike`).
- `Scope.known_errors`: errors in a row whose fingerprint was known in the scope, whatever was asked (rule `errors`).

Others hold until something else is counted:

- `Failures.count`: errors of one kind in a row of one tool; it holds as long as the world stays and the tool does not
  succeed (rule `failures`).
- `LastAnswer.write_repeats`: how often a write was made again and returned the same except for numbers; it holds as long
  as `Scope.loose_discoveries` stays (rule `again`).
- `Cycle.calls`: calls in a row of the whole run that each returned what they had returned at most `RECENT` calls
  before (rule `cycles`).
- `Round.count`: the same, without the calls that returned something new (rule `rounds`).
- `Delegation.repeats`: how often nearly the same task was handed to an agent; it holds as long as the world stays
  (rule `delegations`).
- `SameAnswers.count` and `reworded`: equal answers of one tool in a row, whatever was asked; they hold as long as the
  world stays and the tool returns nothing else (rules `same_answer` and `reworded`).
- `LoopState.fruitless`: calls in a row of the whole run that failed or returned what was known (rule `fruitless`).
- `LoopState.writes`: effects performed, by tool (rule `writes`); `LoopState.literal_calls`: calls by agent and tool
  (option `literal`).
- `LoopState.barren`: model calls in a row of one frame from which nothing came (rules `replies`, `no_news` and
  `barren`); it holds until a call of the frame is performed, or its agent answers.
"""

from __future__ import annotations

import msgspec

from seawall.core.canonical import Ref, encode_text
from seawall.core.events import REQUESTED, Gist, StepDone, StepIntended, StepStatus
from seawall.core.persistent import Latest, Log
from seawall.run.fingerprint import FAILED, UNFINISHED
from seawall.run.step import Result, Step

Streak = tuple[int, int]
"""A stretch of calls without new information: the discoveries of its scope, and the world changes of the run."""
NO_STREAK: Streak = (-1, -1)
RECENT = 16
"""Calls whose answers an agent is sure to have in its context. An agent that asks again after more calls may have lost
the answer: coding agents read their files once more when their context was cut."""
TURNED_AWAY: tuple[StepStatus, ...] = ("invalid", "refused")
"""Statuses of calls that were not made."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """A call with its result, as the rules see it: the same from events and from a step that is being settled."""

    step: int
    agent: str
    frame: int
    kind: str
    name: str
    question: str
    """The call without its result."""
    asked_question: str
    """The same for any spelling of the arguments."""
    ok: bool
    """Whether the call succeeded."""
    status: StepStatus
    fingerprint: str
    loose_fingerprint: str | None = None
    answer_fingerprint: str | None = None
    """See `StepDone.answer_fingerprint`."""
    wording: str = ""
    effect: bool = False
    may_write: bool = False
    poll: bool = False
    gist: Gist | None = None
    output: Ref | None = None
    left_s: float = 0.0
    began_at: float = 0.0
    ended_at: float = 0.0
    """When it was made and when its result came, by the wall clock; 0 if that is not known."""

    @property
    def loose_key(self) -> str:
        """The digest that equal and alike results share; for an error, its fingerprint."""
        return (self.loose_fingerprint or self.fingerprint) if self.ok else self.fingerprint

    @property
    def answer(self) -> str | None:
        """The digest by which the answers to different questions are compared."""
        return self.answer_fingerprint or self.loose_fingerprint

    @property
    def unfinished(self) -> bool:
        """Whether the result of a read says that a later result may differ."""
        return (self.loose_fingerprint or "").startswith(UNFINISHED) and not self.effect

    @property
    def failure_kind(self) -> str:
        """The kind of an error, or of a result that tells of an error; "" of any other result.

        A call that can't be made, or that a guard or a person refuses, counts as an error.
        """
        if self.status in TURNED_AWAY:
            return FAILED + self.fingerprint
        loose = self.loose_fingerprint
        return loose if loose and loose[0] == FAILED else ""


SPELLED = "~"
"""The prefix of a key that finds an answer for any spelling of its question; no name of a tool begins with it."""


def make_question(name: str, arguments: str) -> str:
    """Returns a call without its result."""
    return f"{name}\0{arguments}"


def observe_events(step: StepIntended, done: StepDone) -> Observation | None:
    """Returns a call from its record; None if its result has no fingerprint. What a person rejects is refused."""
    if done.fingerprint is None or not (
        step.kind in REQUESTED or (step.kind == "approval" and done.status == "refused" and step.call)
    ):
        return None
    question = make_question(step.name, step.arguments_key)
    return Observation(
        step=step.step,
        agent=step.agent,
        frame=step.frame,
        kind=step.kind,
        name=step.name,
        question=question,
        asked_question=make_question(step.name, step.asked) if step.asked else question,
        ok=done.status == "ok",
        status=done.status,
        fingerprint=done.fingerprint,
        loose_fingerprint=done.loose_fingerprint,
        answer_fingerprint=done.answer_fingerprint,
        wording=step.wording,
        effect=step.effect,
        may_write=step.may_write,
        poll=step.poll,
        gist=step.gist,
        output=done.output,
        left_s=done.left_s,
        began_at=step.at,
        ended_at=done.at,
    )


def observe_result(step: Step, result: Result, began_at: float) -> Observation | None:
    """Returns a performed call that is being settled; None if its result has no fingerprint."""
    if result.fingerprint is None or step.kind not in REQUESTED:
        return None
    question = make_question(step.name, step.arguments_key)
    return Observation(
        step=step.number,
        agent=step.agent,
        frame=step.frame,
        kind=step.kind,
        name=step.name,
        question=question,
        asked_question=make_question(step.name, step.asked) if step.asked else question,
        ok=result.status == "ok",
        status=result.status,
        fingerprint=result.fingerprint,
        loose_fingerprint=result.loose_fingerprint,
        answer_fingerprint=result.answer_fingerprint,
        wording=step.wording,
        effect=step.effect,
        may_write=step.may_write,
        poll=step.poll,
        gist=step.gist,
        began_at=began_at,
    )


class LastAnswer(msgspec.Struct, frozen=True):
    """The newest answer to one question."""

    fingerprint: str
    first_step: int
    """The first step that returned this answer."""
    ok: bool
    streak: Streak
    """The streak in which `repeats` was counted."""
    repeats: int = 0
    """How often the answer came again."""
    loose_fingerprint: str | None = None
    write_streak: int = 0
    """The `loose_discoveries` of its scope at which `write_repeats` was counted."""
    write_repeats: int = 0
    """How often the question, a write, was asked again and returned the same except for numbers."""
    output: Ref | None = None
    segment: int = 0
    """The `LoopState.segment` in which the answer came."""
    left_s: float = 0.0
    """The active seconds that the run had left when the answer came: the run's own clock."""
    call: int = 0
    """The number, in its scope, of the call that returned the answer last."""
    polls: int = 0
    """The `LoopState.polls` at which the answer came last."""
    alike: int = 0
    """How often an answer came that was alike but not equal."""
    alike_streak: Streak = NO_STREAK
    """The streak in which `alike` was counted: with firm discoveries."""
    plain_repeats: int = 0
    """The number of repeats when no other answer was to be expected; see `rules.may_change`."""
    waits: int = 0
    """The `LoopState.waits` at which the answer came last."""
    changes: int = 0
    """How often the question got an answer that differed from the last one."""
    write_limit: int = 0
    """How often the write may be made again, by its newest result; 0 is `LoopOptions.again`."""
    question: str = ""
    """The question that returned the answer last, as it was spelled."""
    spellings: int = 1
    """The number of spellings of the question that returned the answer, one after another."""


class Failures(msgspec.Struct, frozen=True):
    """Errors in a row of one tool, all of one kind."""

    kind: str
    count: int
    step: int
    """The step of the first of these errors."""
    world_changes: int
    """The `LoopState.world_changes` at which they were counted."""
    among_others: bool = False
    """True if other calls were made between these errors."""
    waits: int = 0
    """The `LoopState.waits` at the first of these errors."""


class SameAnswers(msgspec.Struct, frozen=True):
    """Answers in a row of one tool that it had given before, to any questions: equal ones, or a few in turn."""

    answer: str
    """The loose fingerprint of the newest answer."""
    step: int
    """The step of the first of these answers."""
    world_changes: int
    """The `LoopState.world_changes` at which they were counted."""
    count: int = 0
    """The number of questions after the first that had not been asked before."""
    reworded: int = 0
    """The number of these questions whose words were all in the questions before."""
    moved: int = 0
    """The number of reworded questions that asked for another part, such as the next page."""
    among_others: bool = False
    """True if other calls were made between these answers."""
    others: tuple[str, ...] = ()
    """Loose fingerprints of the answers before the newest, the newest first; see `sameness.FEW`."""
    first: str = ""
    """`StepIntended.wording` of the first question."""
    names: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    """The names and words of the questions, from the second on; see `seawall.run.wording`. Positions count as words."""


class Scope(msgspec.Struct, frozen=True):
    """What is known in one frame or, with a wider option `scope`, in the whole run."""

    answers: Latest[str, LastAnswer] = Latest()
    """The newest answers by question."""
    errors: Latest[str, int] = Latest()
    """The step that first met an error, by the error's fingerprint."""
    same_answers: Latest[str, SameAnswers] = Latest()
    """Equal answers in a row, by tool that reads."""
    discoveries: int = 0
    """The number of results that were new in this scope."""
    firm_discoveries: int = 0
    """As `discoveries`, without results that are alike an earlier answer to the same question."""
    loose_discoveries: int = 0
    """As `discoveries`, without repeated writes whose results differ in numbers only."""
    calls: int = 0
    """The number of calls so far."""
    stale_calls: int = 0
    """Calls in a row that each returned what their question had returned before."""
    stale_streak: Streak = NO_STREAK
    alike_calls: int = 0
    """Calls that each returned something alike what their question had got before."""
    alike_streak: Streak = NO_STREAK
    failed_tool: str = ""
    """The tool of the newest known error."""
    known_errors: int = 0
    """Known errors in a row."""
    errors_streak: Streak = NO_STREAK
    errors_waits: int = 0
    """The `LoopState.waits` at the first of the known errors."""


class BarrenTurns(msgspec.Struct, frozen=True):
    """The newest model calls of one frame, in a row, that led to nothing: no performed call, and no answer."""

    calls: int = 0
    """The number of these model calls."""
    unusable: int = 0
    """The number of the newest replies that could not be used: useless replies, and calls that can't be made."""
    same: int = 0
    """The number of the newest replies that are wrong in the same way."""
    reason: str = ""
    """A digest of what is wrong with these replies."""
    made_calls: bool = False
    """True if the newest reply made calls, so that it was not useless by itself."""
    compared: bool = False
    """True if a call of the newest reply that can't be made is counted in `same` already."""
    advised: bool = False
    """True if the agent was advised on a call of the newest reply."""
    refused: str = ""
    """The tool of a call of the newest reply that a guard or a person has refused; "" if none was."""


class UnmadeCalls(msgspec.Struct, frozen=True):
    """The reasons why calls of one reply were not made. The same mistake in many calls counts once."""

    reply: int
    fingerprints: frozenset[str]


class RecentCall(msgspec.Struct, frozen=True):
    """One call in the order in which the run's calls ended."""

    question: str
    """The agent that made it, and its question."""
    fingerprint: str
    name: str
    step: int


class Cycle(msgspec.Struct, frozen=True):
    """Calls in a row that each returned what they had returned a few calls before."""

    calls: int = 0
    period: int = 0
    """The most calls between a call and the call with the same result."""


class RecurringCall(msgspec.Struct, frozen=True):
    """The newest of the calls that asked one question and got one answer."""

    question: str
    """The agent that made it, and its question."""
    name: str
    step: int
    effect: bool = False
    number: int = 0
    """The number of the call among the calls that came again, from 1; 0 if it came once."""
    after: str = ""
    """The question of the call before it, among those that came again."""


class Round(msgspec.Struct, frozen=True):
    """Calls that came again in the same order, without those in between that returned something new."""

    calls: tuple[RecurringCall, ...] = ()
    """The newest of these calls, the newest last."""
    number: int = 0
    """The number of calls that came again so far."""
    count: int = 0
    """The number of the newest calls that each followed the same call as the last time."""
    period: int = 0
    """The most recurring calls between a call and the same call before it."""


class Delegation(msgspec.Struct, frozen=True):
    """A task that was handed to an agent, and how often nearly the same one was handed to it again."""

    gist: Gist
    step: int
    world_changes: int
    """The `LoopState.world_changes` at which the task was handed out."""
    news: int = 0
    """The `LoopState.news` at which the task was answered last."""
    repeats: int = 0
    plain_repeats: int = 0
    """The repeats before which no tool had returned news since the last time."""


class LoopState(msgspec.Struct, frozen=True):
    """All that the guard remembers of a run."""

    scopes: dict[int, Scope] = {}
    """The scopes by frame; with a wider option `scope` there is one, under 0."""
    world_changes: int = 0
    """The number of changes of the world: writes that succeeded, and changes that a poll has shown."""
    polls: int = 0
    """The number of polls made, which are signs that the run let time pass."""
    waits: int = 0
    """The number of times that the run let time pass without a call; see `waits.WAIT_S`."""
    ended_at: float = 0.0
    """When the newest call ended, by the wall clock."""
    replied_s: float = 0.0
    """Seconds that models took for their replies since the newest call ended."""
    segment: int = 0
    """How often a process took the run over, or a write ended whose fate is not known. An answer of an earlier segment
    is not fresh."""
    recent: tuple[RecentCall, ...] = ()
    """The newest `RECENT` calls, newest last."""
    cycle: Cycle = Cycle()
    """The cycle that the newest calls form."""
    round: Round = Round()
    failures: Latest[str, Failures] = Latest()
    """The errors in a row, by tool."""
    fruitless: int = 0
    """The number of calls in a row that failed or returned what was known."""
    fruitless_since: int = 0
    """The step of the first of these calls."""
    recurring: Latest[str, RecurringCall] = Latest()
    """The calls that may come again, by question and answer."""
    news: int = 0
    """The number of results of tools that no agent of the run had returned before."""
    delegations: dict[str, Log[Delegation]] = {}
    """The tasks that were handed out, by agent."""
    writes: dict[str, int] = {}
    """The number of performed effects, by tool."""
    barren: dict[int, BarrenTurns] = {}
    """The model calls that led to nothing, by frame."""
    unmade: dict[int, UnmadeCalls] = {}
    """The calls of a frame's newest reply that were not made, by frame."""
    literal_calls: dict[str, int] = {}
    """With the option `literal`: the number of calls by agent and tool."""


# ---- the handover to the session's next run


MAX_HANDOVER = 64
"""The most questions whose answers are handed to a session's next run, the newest ones: some 10 kB of digests."""


class HandoverEntry(msgspec.Struct, frozen=True, array_like=True):
    """One question with its answer as the session's next run gets it. Journals hold it as an array, in this order."""

    question: str
    fingerprint: str
    ok: bool
    repeats: int
    loose_fingerprint: str | None
    write_repeats: int


_encoder = msgspec.json.Encoder(enc_hook=encode_text)
_decoder = msgspec.json.Decoder(tuple[HandoverEntry, ...])


def pack_handover(scope: Scope, world_changes: int) -> str:
    """Returns what a scope knows, for the session's next run. Counters that are void are handed over as 0."""
    entries: list[HandoverEntry] = []
    answers = [each for each in scope.answers.items().items() if not each[0].startswith(SPELLED)]
    for question, answer in answers[-MAX_HANDOVER:]:
        repeats = answer.plain_repeats if answer.streak == (scope.discoveries, world_changes) else 0
        write_repeats = answer.write_repeats if answer.write_streak == scope.loose_discoveries else 0
        entries.append(
            HandoverEntry(
                question, answer.fingerprint, answer.ok, repeats, answer.loose_fingerprint, write_repeats
            )
        )
    return _encoder.encode(entries).decode()


def unpack_handover(text: str) -> Scope:
    """Returns what an earlier run of the session knew; its steps have number 0. Raises `ValueError` for another text."""
    answers: Latest[str, LastAnswer] = Latest()
    errors: Latest[str, int] = Latest()
    for entry in _decoder.decode(text):
        answer = LastAnswer(
            entry.fingerprint,
            0,
            entry.ok,
            (0, 0),
            entry.repeats,
            entry.loose_fingerprint,
            0,
            entry.write_repeats,
            plain_repeats=entry.repeats,
        )
        answers = answers.put(entry.question, answer)
        if not entry.ok:
            errors = errors.put(entry.fingerprint, 0)
    return Scope(answers=answers, errors=errors)
