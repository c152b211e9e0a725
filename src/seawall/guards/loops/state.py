"""What the guard remembers: values that are folded from events, each step in constant time."""

from __future__ import annotations

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import Gist, StepDone, StepIntended, StepStatus
from seawall.core.persistent import Latest, Log
from seawall.run.step import Result, Step


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """A call with its result, as the rules see it: the same from events and from a step that is being settled."""

    step: int
    agent: str
    frame: int
    kind: str
    name: str
    input: Ref | None
    status: StepStatus
    news: str
    alike: str | None = None
    effect: bool = False
    may_write: bool = False
    poll: bool = False
    gist: Gist | None = None
    output: Ref | None = None
    left_s: float = 0.0

    @property
    def question(self) -> str:
        """The call without its result."""
        return make_question(self.name, self.input)

    @property
    def ok(self) -> bool:
        """Whether it came to what it was made for."""
        return self.status == "ok"


def make_question(name: str, arguments: Ref | None) -> str:
    """A call without its result."""
    return f"{name}\0{arguments or ''}"


def observe_events(step: StepIntended, done: StepDone) -> Observation | None:
    """A performed call from its record; None if it teaches nothing."""
    if step.kind not in ("tool", "handoff") or done.fingerprint is None:
        return None
    return Observation(
        step=step.step,
        agent=step.agent,
        frame=step.frame,
        kind=step.kind,
        name=step.name,
        input=step.input,
        status=done.status,
        news=done.fingerprint,
        alike=done.loose_fingerprint,
        effect=step.effect,
        may_write=step.may_write,
        poll=step.poll,
        gist=step.gist,
        output=done.output,
        left_s=done.left_s,
    )


def observe_result(step: Step, result: Result) -> Observation | None:
    """A performed call that is being settled; None if it teaches nothing."""
    if step.kind not in ("tool", "handoff") or result.fingerprint is None:
        return None
    return Observation(
        step=step.number,
        agent=step.agent,
        frame=step.frame,
        kind=step.kind,
        name=step.name,
        input=step.input,
        status=result.status,
        news=result.fingerprint,
        alike=result.loose_fingerprint,
        effect=step.effect,
        may_write=step.may_write,
        poll=step.poll,
        gist=step.gist,
    )


class LastAnswer(msgspec.Struct, frozen=True):
    """The newest answer to one question."""

    answer: str
    step: int
    """The first step that brought it."""
    ok: bool
    spell: tuple[int, int]
    """In which spell without news (see `Scope.spell`) `times` was counted."""
    times: int = 0
    """Times that it came again in this spell."""
    alike: str | None = None
    alike_spell: int = 0
    alike_times: int = 0
    """Times that a write was made again and brought the same but for numbers."""
    output: Ref | None = None
    segment: int = 0
    left_s: float = 0.0
    call: int = 0
    """Which call of the scope brought it last."""
    waits: int = 0
    """How many polls had been made by then, see `LoopState.waits`."""


class Scope(msgspec.Struct, frozen=True):
    """What is known in one frame, or in the whole run."""

    known: Latest[str, LastAnswer] = Latest()
    """By question."""
    errors: Latest[str, int] = Latest()
    """Digests of errors, and the step that first met with each."""
    news: int = 0
    """How often something new was learned. Between two of these lies a spell without news."""
    other_news: int = 0
    """The same, but a write that was made again counts as nothing new, though its result has new numbers."""
    calls: int = 0
    """Calls so far."""
    stale: int = 0
    """LastAnswer answers in a row, whatever was asked."""
    stale_spell: tuple[int, int] = (-1, -1)
    failed: str = ""
    """The tool of the newest known error."""
    failures: int = 0
    """LastAnswer errors in a row."""
    failures_spell: tuple[int, int] = (-1, -1)
    problems: int = 0
    """Replies in a row that were no use for the same reason."""
    problem: str = ""


class Place(msgspec.Struct, frozen=True):
    """One call in the order in which the run's calls ended: what was asked, by whom, and what came."""

    asked: str
    news: str
    name: str
    step: int


class Round(msgspec.Struct, frozen=True):
    """Calls in a row of which each brought what it had brought a few calls before."""

    calls: int = 0
    period: int = 0
    """How many calls before, at most."""


class Delegation(msgspec.Struct, frozen=True):
    """A task that was handed to an agent, and how often nearly the same one was."""

    gist: Gist
    step: int
    world: int
    times: int = 0


CARRIED = 64
"""Questions whose answers a session's next run begins with, the newest: some 10 kB of digests."""


class Handover(msgspec.Struct, frozen=True, array_like=True):
    """One question as it is carried over to the session's next run."""

    question: str
    answer: str
    ok: bool
    times: int
    alike: str | None
    alike_times: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[Handover, ...])


def pack(scope: Scope, world: int) -> str:
    """What a scope knows, for the session's next run. Counts that a later event made void are not carried."""
    left: list[Handover] = []
    for asked, known in list(scope.known.items().items())[-CARRIED:]:
        times = known.times if known.spell == (scope.news, world) else 0
        alike_times = known.alike_times if known.alike_spell == scope.other_news else 0
        left.append(Handover(asked, known.answer, known.ok, times, known.alike, alike_times))
    return _encoder.encode(left).decode()


def unpack(text: str) -> Scope:
    """What an earlier run of the session knew. Its steps have number 0. Raises `ValueError` for another text."""
    known: Latest[str, LastAnswer] = Latest()
    errors: Latest[str, int] = Latest()
    for each in _decoder.decode(text):
        answer = LastAnswer(each.answer, 0, each.ok, (0, 0), each.times, each.alike, 0, each.alike_times)
        known = known.put(each.question, answer)
        if not each.ok:
            errors = errors.put(each.answer, 0)
    return Scope(known=known, errors=errors)


class LoopState(msgspec.Struct, frozen=True):
    """All that the guard remembers of a run."""

    scopes: dict[int, Scope] = {}
    """By frame; with a wider scope all of it is under 0."""
    world: int = 0
    """How often the world was changed: by writes that brought something new, or as a poll has shown."""
    waits: int = 0
    """Polls made: time that the run let pass."""
    segment: int = 0
    """How often a process took the run, or a write ended that may have happened or not: an answer from before is not
    fresh."""
    recent: tuple[Place, ...] = ()
    """The newest calls, newest last."""
    round: Round = Round()
    handed: dict[str, Log[Delegation]] = {}
    """By agent."""
    writes: dict[str, int] = {}
    """By tool: effects performed."""
    calls: dict[str, int] = {}
    """With `literal`: calls of each (agent, tool)."""
