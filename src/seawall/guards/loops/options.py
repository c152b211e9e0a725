"""Options of the guard `loops`, with the reason and the measurement of each default."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, TypedDict

from seawall.core.errors import Misused

LoopScope = Literal["frame", "run", "session"]


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """What counts as a loop. The figures are from `python bench/loops.py`; see docs/benchmarks.md."""

    no_news: int = 3
    """How often a call may return what it returned before, with nothing new from any call in between; after that it is
    not made again. Of 965 good recorded runs, a limit of 3 stops 3 and a limit of 2 stops 7; a limit of 4 lets one
    more runaway go on."""
    unfinished: int = 16
    """The limit in place of `no_news` if there is a reason to expect another result: the result itself says so
    ("running", "not yet"; errors do not count), the run has let time pass since the last call (10 seconds, or 30
    including the time of the models), or the same call has returned different results twice before. Equal to `alike`.
    An agent that waits with a tool that is not declared as `poll` calls it a dozen times and more, and the run's
    limits bound what that costs. A write that is made again after such a wait has this limit too, and so have errors
    of one tool."""
    stretch: int = 6
    """Calls in a row that each returned what they had returned before, with any arguments; after that, no call is made
    whose result is known. This rule finds an agent that goes through the same calls once more, before each of them has
    been made three times. Of 965 good recorded runs, limits of 5, 6 and 8 stop none by this rule, and 4 stops one; 8
    lets one more true loop go on."""
    alike: int = 16
    """How often a read may return what it returned before, except for what may be noise: ids, times, durations,
    numbers of ten digits. The agent is advised as for any repeated result. The next job of a queue is such an id too,
    so the halt comes at five times `no_news`. The same limit holds for a write without arguments, which may take the
    next item of a queue. After twice as many calls in a row, with any arguments, no call is made whose result is
    known."""
    again: int = 4
    """How often a write may be made again with the same arguments if its result differs in numbers only (each order
    has a new one) and nothing else new was learned in between. `no_news` does not count writes, because a write may
    have changed the world whatever its receipt says. One more than `no_news`, for buttons that are meant to be pressed
    repeatedly. A write whose arguments hold no text of several words, and whose receipt is exactly the same, may be
    made twice as often: a user may ask for many key presses or undo steps, but not for many copies of a mail. A write
    whose receipt reports progress ("page 3 of 20", "11 left") may be made as often as `alike` allows. In the
    recordings, a limit of 2 would stop one more good run, 3 catches no more runaways than 4, and 6 catches one
    less."""
    errors: int = 8
    """Known errors in a row (the same text, with any arguments), with nothing new in between; after that their tool is
    not called. No good recorded run made more than 4 errors in a row of any kind; this is twice that."""
    failures: int = 10
    """Errors of one kind (the same class, status code and first words) that one tool returns in a row, for any
    arguments and any agent; after that the tool is not called. If other tools are called in between, half as many more
    are allowed. A short result that reports an error counts as an error. So does a call that can't be made, or that a
    guard or a person refuses. No good recorded run made more than 4 errors in a row of any kind. An error of another
    kind, a success of the tool or a change of the world ends the row."""
    fruitless: int = 24
    """Calls in a row, in the whole run, that each failed in any way, or returned a known result for the third time or
    more; after that, no call is made whose result is known or whose tool failed the last time. Three times `errors`,
    because neither the texts nor the tools need to be equal. A second equal result does not count, because the first
    one may no longer be in the agent's context."""
    reworded: int = 10
    """How often a tool may return its last result, or one of the three before it, to a question that was not asked
    before and contains no new word; after that the tool is not called. Equal to `failures`, because the case is
    similar: the arguments change and the result does not. If other tools are called in between, half as many more are
    allowed, and twice as many if each question asks for another part of the same thing, because pages and ranges may
    be empty."""
    same_answer: int = 50
    """The same limit for questions that contain new words: names that are looked up, pages that are opened. Such a row
    is mostly work on a list, so the limit is twice `writes`; set it higher for a run that is meant to do more."""
    cycles: int = 4
    """How often a round of calls may be repeated, by any agents, if each call returns what it returned at most 16
    calls before; after that, no call of the round is made. This rule finds an agent that switches a state back and
    forth, where each result is new. A round has two to four calls; a longer one, or one whose order varies, is allowed
    as many calls as four rounds of four. Turning a device off and on a few times is a normal repair, and on the
    recordings cross-validation finds no more runaways with limits of 2 or 3."""
    rounds: int = 8
    """How often a round of two to sixteen calls, writes among them, may be repeated in the same order and with the
    same results, whatever other calls are made in between. A round without writes may be repeated twice as often,
    because work on a list reads the same things for each item. Twice `cycles`, which allows no calls in between."""
    delegations: int = 3
    """How often nearly the same task may be handed to one agent again while the world does not change and no tool
    returns anything new to the run. If a tool returns something new each time, three times as often."""
    similar: float = 0.7
    """The share of common words (0 to 1) from which on two tasks count as nearly the same. Numbers, ids, addresses,
    paths and names must be equal in any case: "order 1042" and "order 1043" are two tasks."""
    writes: int = 25
    """Effects of one tool that one run may perform. A write storm changes its arguments each time, so no other rule
    finds it. No good recorded run made more than 5 with a tool whose name says that it writes; a run that is meant to
    do more with one tool sets this higher."""
    polls: int = 20
    """Equal results in a row of a `poll` tool after which it is not called again. With the waits below, that takes a
    quarter of an hour, which is longer than a run lasts by default; set it to fit what you wait for."""
    poll_wait_s: float = 1.0
    """Seconds to wait after a poll's first equal result; the wait doubles after each further one."""
    poll_wait_max_s: float = 60.0
    """The longest wait of a poll, in seconds: an end is noticed within a minute."""
    replies: int = 3
    """Useless replies in a row with one reason (empty, or an answer in which the same field fails validation in the
    same way), after which the model is not called again. Useless replies with different reasons count together with
    calls that can't be made; the limit for those is one more than the greater of `no_news` and `replies`."""
    barren: int = 8
    """Model calls in a row of one agent that led to nothing: no call was performed, and the agent gave no answer.
    After that its model is not called again. The replies need not be equal: this bounds useless replies, and calls
    that can't be made, that guards or people refuse, or that are answered with a known result. Equal to `errors`, for
    the same reason: no good recorded run made more than 4 errors in a row of any kind."""
    scope: LoopScope = "frame"
    """Whose knowledge counts. `frame`: that of one agent at one task, which begins with an empty context. `run`: that
    of all agents of the run tree together. `session`: as `run`, including what the session's earlier runs knew."""
    literal: bool = False
    """Use a plain rule instead: count the calls of one tool by one agent, whatever they return, and forbid the
    fourth."""
    literal_calls: int = 3
    """With `literal`: the calls of one tool that one agent may make."""

    def __post_init__(self) -> None:
        """Raises `Misused` for values that are out of bounds."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            least = 0 if field.name.endswith("_s") else 0.1 if field.name == "similar" else 1
            most = 1.0 if field.name == "similar" else float("inf")
            if not least <= value <= most:
                bound = f"at least {least}" if value < least else f"at most {most}"
                raise Misused(f"Loops: {field.name} is {value}; it must be {bound}")
        if self.scope not in ("frame", "run", "session"):
            raise Misused(f"Loops: scope is {self.scope!r}; it must be 'frame', 'run' or 'session'")


class LoopKeywords(TypedDict, total=False):
    """The fields of `LoopOptions`, as keywords."""

    no_news: int
    unfinished: int
    stretch: int
    alike: int
    again: int
    errors: int
    failures: int
    fruitless: int
    reworded: int
    same_answer: int
    cycles: int
    rounds: int
    delegations: int
    similar: float
    writes: int
    polls: int
    poll_wait_s: float
    poll_wait_max_s: float
    replies: int
    barren: int
    scope: LoopScope
    literal: bool
    literal_calls: int
