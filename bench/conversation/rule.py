"""The loop guard's rule, written down a second time, so that what the guard says is checked and not trusted.

From its page, of what these recordings hold: a call brings no news if it brings what it brought the last time. Each
such call is advised; after three with nothing new in between, that call is not made. A write changes the world: after
it, each question may be asked once more. A write itself is counted apart: made again four times with nothing else
new, and with a result that is the same but for numbers, it is not made. Calls that go round, two to four of them
with the same answers, are advised on when a round is complete, from its second repetition on; after four, the call that
begins it again is not made.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from conversation.recorded import Call

LIMIT, AGAIN, ROUNDS = 3, 4, 4


@dataclass
class Known:
    """The newest answer to a question."""

    answer: str
    step: int
    spell: tuple[int, int]
    times: int = 0
    other: int = 0
    """News of other calls before it: what `again` counts within."""
    again: int = 0


class Frame:
    """What one agent at one task knows."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self.news = 0
        self.other = 0


class Rule:
    """What is known in the frames of one run."""

    def __init__(self) -> None:
        self._frames: dict[str, Frame] = {}
        self._world = 0
        self._calls: list[tuple[str, str]] = []
        """What was asked, by whom, and what came: for cycles."""
        self._names: list[str] = []

    def stops(self, frame: str, call: Call) -> bool:
        """Whether this call is not made."""
        if any(
            self._rounds(period) >= ROUNDS and self._calls[-period][0] == _by(frame, call)
            for period in (2, 3, 4)
        ):
            return True
        here = self._frames.get(frame)
        known = None if here is None else here.known.get(_asked(call))
        if here is None or known is None:
            return False
        same = known.times >= LIMIT and known.spell == (here.news, self._world)
        return same or (known.again >= AGAIN and known.other == here.other)

    def learn(self, frame: str, call: Call, step: int) -> str | None:
        """Take in a result; the advice that stands below it, if it brought no news."""
        note = self._learn(frame, call, step)
        self._calls.append((_by(frame, call), json.dumps(_meaning(call.result), sort_keys=True)))
        self._names.append(call.name)
        for period in (2, 3, 4):
            count = self._matched(period)
            if note is None and count >= 2 * period and count % period == 0 and self._rounds(period):
                names = " → ".join(self._names[-1 - period : -1])
                note = round_again(names, count // period, 2 * (len(self._calls) - period) or step)
        return note

    def _matched(self, period: int) -> int:
        """How many of the newest calls in a row are those of one period before."""
        count, calls = 0, self._calls
        while len(calls) > count + period and calls[-1 - count] == calls[-1 - count - period]:
            count += 1
        return count

    def _rounds(self, period: int) -> int:
        """Full rounds of a cycle that is no shorter one, made several times."""
        newest = self._calls[-period:]
        short = any(
            newest == newest[:size] * (period // size)
            for size in (1, 2)
            if size < period and not period % size
        )
        return 0 if short else self._matched(period) // period

    def _learn(self, frame: str, call: Call, step: int) -> str | None:
        here = self._frames.setdefault(frame, Frame())
        answer = json.dumps(_meaning(call.result), sort_keys=True)
        known = here.known.get(_asked(call))
        if call.effect:
            return self._wrote(here, call, answer, known, step)
        if known is None or known.answer != answer:
            here.news += 1
            here.other += 1
            here.known[_asked(call)] = Known(answer, step, (here.news, self._world))
            return None
        spell = (here.news, self._world)
        if known.spell[1] != self._world:
            known.spell, known.times = spell, 0
            return None
        known.times = known.times + 1 if known.spell == spell else 1
        known.spell = spell
        return advice(call.name, known.step, LIMIT - known.times)

    def _wrote(self, here: Frame, call: Call, answer: str, known: Known | None, step: int) -> str | None:
        self._world += 1
        here.news += known is None or known.answer != answer
        alike = known is not None and _NUMBER.sub("0", known.answer) == _NUMBER.sub("0", answer)
        if known is not None and alike and known.other == here.other:
            since, known.again, known.answer = known.step, known.again + 1, answer
            return again(call.name, since, known.again)
        here.other += known is None or known.answer != answer
        since = known.step if known is not None and known.answer == answer else step
        here.known[_asked(call)] = Known(answer, since, (here.news, self._world), other=here.other)
        return None


_NUMBER = re.compile(r"\d+")


def _by(frame: str, call: Call) -> str:
    return f"{frame.partition('/')[0]} {_asked(call)}"


def round_again(names: str, rounds: int, before: int) -> str:
    """What the guard tells an agent that goes round."""
    last = " Once more, and the run is stopped." if rounds >= ROUNDS else ""
    return (
        f"[{names} has come round {rounds + 1} times with the same answers, since step {before}. Going round brings "
        "the same again: change something that is not in the round, or answer and say what does not work."
        f"{last}]"
    )


def again(name: str, before: int, times: int) -> str:
    """What the guard tells an agent that made a write again."""
    last = " Once more, and the run is stopped." if times >= AGAIN else ""
    return (
        f"[{name} was done with the same arguments in step {before}, and is now done {times + 1} times. Do not do it "
        f"again unless it was asked for more than once: go on with what comes next.{last}]"
    )


def advice(name: str, before: int, left: int) -> str:
    """What the guard tells an agent whose call brought only what step `before` had brought."""
    return (
        f"[{name} brought exactly what you already know from step {before}: nothing new. Use what you have, try "
        "something else, or answer and say what is missing. "
        f"Times that it may come again before the run is stopped: {max(0, left)}.]"
    )


def _asked(call: Call) -> str:
    return json.dumps([call.name, json.loads(call.arguments)], sort_keys=True)


def _meaning(result: str) -> object:
    """A result without its white space and the order of its keys."""
    try:
        value = json.loads(result)
    except ValueError:
        value = None
    return value if isinstance(value, dict | list) else " ".join(result.split())
