"""Options of the guard `loops`, with the reason and the measurement of each default."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, TypedDict

from seawall.core.errors import Misused

LoopScope = Literal["frame", "run", "session"]


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """What counts as a loop. Figures are from `python bench/loops.py`, see its page."""

    no_news: int = 3
    """How often a call may bring what it brought before, with nothing new from anywhere in between; after that it is
    not made again. Of 965 good recorded runs, 3 stops 3 and 2 stops 7; 4 lets one more runaway go on."""
    unfinished: int = 16
    """The same where something speaks for another answer: it says so itself ("running", "not yet"; an error is not meant),
    the run has let time pass since the last call (10 seconds, or 30 with the time of the models), or the
    question has brought other answers twice before. As many as `alike`. Who waits for something with a tool that is no
    declared `poll` asks a dozen times and more, and the run's limits bound what that costs. A write that is made
    again after such a wait may be made as often, and so may errors of one tool come."""
    stretch: int = 6
    """Calls in a row that each brought what they had brought before, whatever they asked; after that no call is made
    whose answer is known. This rule finds an agent that looks through the same things once more, before each call has
    come three times. Of 965 good recorded runs, 5, 6 and 8 stop none by this rule, and 4 stops one; 8 lets one more
    true loop go on."""
    alike: int = 16
    """How often a read may bring what it brought before but for what may be noise: ids, times, durations, numbers of
    ten digits. It is advised on as any repeated answer is; but the next job of a queue is such an id, too, so the halt
    comes at five times `no_news`. The same holds for a write without arguments, which may take the next of a queue; and
    after twice as many calls in a row, whatever they asked, none is made whose answer is known."""
    again: int = 4
    """How often a write may be made again with the same arguments if it brings the same but for numbers (each order has
    a new one), with nothing else new in between. `no_news` does not count writes, as the world may have changed
    whatever the receipt says. One more than `no_news`, for buttons that are meant to be pressed repeatedly. One whose
    arguments have no text of several words, with the same receipt to the letter, may be made twice as often: a key is
    pressed and a change undone as often as somebody asked for, and a mail with its text is not. One whose receipt says how far it has
    come ("page 3 of 20", "11 left") may be made as often as `alike` says. In the recordings, 2 would stop one more good
    run, 3 catches no more runaways than 4, and 6 catches one less."""
    errors: int = 8
    """Known errors in a row (the same text, whatever the arguments), with nothing new in between; after that their tool
    is not called. No good recorded run made more than 4 errors in a row of any kind: this is twice that."""
    failures: int = 10
    """Errors of one tool in a row that are of one kind (the same class, status code and first words), whatever the
    arguments and the agent; after that the tool is not called. With calls of other tools in between it is half as many
    more. A short result that says that it is an error counts as one, and so does a call that can't be made, or that a
    guard or a person refuses. No good recorded run made more than 4 errors in a row of any kind. An error of another
    kind, a success of the tool or a change of the world ends the row."""
    fruitless: int = 24
    """Calls in a row of the whole run that each failed, in whatever way, or brought for the third time or more what was
    known; after that no call is made whose answer is known or whose tool failed the last time. Three times `errors`: no
    text need be equal, and no tool. The second time does not count: the first one may have left the context."""
    reworded: int = 10
    """How often a tool may bring what it brought the last time, or one of the three times before, to a question that
    was not asked before and has no word that the questions before it did not have; after that the tool is not called. As
    many as `failures`: other arguments, and always the same comes of it. With calls of other tools in between it is half
    as many more, and twice as many if each question asks for another part of the same: pages and ranges may be empty."""
    same_answer: int = 50
    """The same for questions that have words of their own: names that are looked up, pages that are opened. Such a row is
    mostly work on a list, so the limit is twice `writes`; a run that is meant to do more sets this higher."""
    cycles: int = 4
    """How often a round of calls may come again, each with an answer that it brought at most 16 calls before, whatever
    agents make them; after that no call of the round is made. This rule finds an agent that flips a state to and fro,
    where each answer is new. A round has two to four calls; a longer one, or one whose order varies, gets as many calls
    as four rounds of four. Turning something off and on a few times is how devices are mended, and on the recordings
    cross-validation finds no more runaways with 2 or 3."""
    rounds: int = 8
    """How often a round of two to sixteen calls, writes among them, may come again in the same order and with the same
    answers, whatever other calls stand in between; a round without writes twice as often, because work on a list looks
    at the same things for each item. Twice `cycles`, where nothing stands in between."""
    delegations: int = 3
    """How often nearly the same task may be handed to one agent again while the world stays as it is, and no tool brings
    the run anything new; if one does each time, three times as often."""
    similar: float = 0.7
    """From this share of common words on (0 to 1) two tasks are nearly the same. Numbers, ids, addresses, paths and
    names must be equal anyway: "order 1042" and "order 1043" are two tasks."""
    writes: int = 25
    """Effects of one tool that one run may perform. A write storm changes its arguments each time, so no other rule
    finds it. No good recorded run made more than 5 with a tool whose name says that it writes; a run that is meant to
    do more with one tool sets this higher."""
    polls: int = 20
    """Equal results in a row of a `poll` tool after which it is not called again. With the waits below that takes a
    quarter of an hour, which is more than a run has by default; set it to what you wait for."""
    poll_wait_s: float = 1.0
    """Seconds that a poll waits after its first equal result; the wait doubles after each further one."""
    poll_wait_max_s: float = 60.0
    """Seconds that a poll waits at most: an end is seen within a minute."""
    replies: int = 3
    """Replies in a row that were of no use for one reason (empty, or an answer whose same field does not validate in the
    same way), after which the model is not called again. Replies that are of no use for one reason and another count with
    calls that can't be made: after one more than the greater of `no_news` and `replies`, whatever each was."""
    barren: int = 8
    """Model calls in a row of one agent from which nothing came: no call was performed, and it gave no answer. After that
    its model is not called again. Nothing need be equal: this bounds replies that are of no use, calls that can't be made,
    that guards or people refuse, or that are answered with what is known. As many as `errors`, for the same reason: no
    good recorded run made more than 4 errors in a row of any kind."""
    scope: LoopScope = "frame"
    """Whose knowledge counts. `frame`: one agent at one task, which begins with an empty context. `run`: all agents of
    the run tree together. `session`: as `run`, and beginning with what the session's earlier runs knew."""
    literal: bool = False
    """Count the calls of one tool by one agent instead, whatever they bring: the fourth is not made."""
    literal_calls: int = 3
    """With `literal`: calls of one tool that one agent may make."""

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
