"""A kind and a seed become a script: what each agent asks, and what comes of it.

The agents take no advice, so all that they do is known before they begin; a guard can only end it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loop_hard.kinds import LONGEST, Kind, StepKind
from loop_hard.texts import Texts, tell_time
from seawall.audit import RecordedCall

FIRST = "worker"
START_S = 1_767_225_600.0
"""2026-01-01T00:00:00Z, where a `ManualClock` begins."""
LEAD = StepKind(
    tool="open_page", args={"page": "<<word>>/<<words:2>>"}, result="<<words:9>>. <<int:2:900>> <<words:5>>."
)
"""What agents do before it begins: they read something new."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One reply of one agent, and what comes of it."""

    agent: str
    step: StepKind
    tool: str = ""
    """The tool, or the agent that is asked as a tool."""
    arguments: str = ""
    """JSON, or what the agent wrote for it."""
    result: str = ""
    """Of the call, or the answer of the agent that was asked; times are still marked."""
    at_s: float = 0.0
    """When its result is there, from the start."""
    said: str | None = None
    """An answer: the agent that was asked is done."""

    @property
    def failed(self) -> bool:
        """Whether nothing but an error comes of it."""
        return bool(self.step.error or self.step.rejected)


@dataclass(frozen=True, kw_only=True)
class Script:
    """What happens in one run."""

    kind: Kind
    seed: int
    moves: tuple[Move, ...]
    onset: int
    """Moves before the loop began."""

    @property
    def agents(self) -> tuple[str, ...]:
        """All agents, the first one first."""
        return tuple(dict.fromkeys([FIRST, *(move.agent for move in self.moves), *_asked(self.kind.steps)]))

    def calls(self) -> list[tuple[int, RecordedCall, float]]:
        """The script as others are shown it: calls in the order in which their results come, each with the number of
        moves that had been made by then, and with its time. What can't be made or used is a call that failed.
        """
        seen: list[tuple[int, RecordedCall, float]] = []
        open_calls: list[Move] = []
        for number, move in enumerate(self.moves, start=1):
            if move.step.to and move.said is None and not move.step.unmade:
                open_calls.append(move)
                continue
            if move.said is not None:
                asked = open_calls.pop()
                seen.append((number, _seen(asked, move.said, move.at_s), move.at_s))
                continue
            seen.append((number, _seen(move, move.result, move.at_s), move.at_s))
        return seen


def _asked(steps: Sequence[StepKind]) -> Iterator[str]:
    for step in steps:
        if step.to and not step.unmade:
            yield step.to
            yield from _asked(step.inside)


def _seen(move: Move, result: str, at_s: float) -> RecordedCall:
    return RecordedCall(
        tool=move.tool,
        arguments=tell_time(move.arguments, START_S + at_s),
        result=tell_time(result, START_S + at_s),
        failed=move.failed,
        agent=move.agent,
    )


def make(kind: Kind, seed: int) -> Script:
    """The script of a kind and a seed."""
    rng = random.Random(f"{kind.name}/{seed}")
    writer = _Writer(kind, rng)
    for _ in range(rng.randint(1, 3)):
        writer.add(LEAD, FIRST)
    onset = len(writer.moves)
    rounds = rng.randint(*kind.rounds)
    for n in range(1, rounds + 1):
        writer.texts.begin_round(n, rounds)
        steps = list(kind.steps)
        if kind.shuffle:
            rng.shuffle(steps)
        for step in steps:
            if _due(step, n, rounds) and rng.random() < step.chance:
                writer.repeat(step, FIRST)
        if kind.cls == "loop" and len(writer.moves) >= LONGEST:
            break
    moves = writer.moves
    if kind.cls == "loop":
        moves = moves[: _cut(moves)]
    return Script(kind=kind, seed=seed, moves=tuple(moves), onset=onset)


def _due(step: StepKind, n: int, rounds: int) -> bool:
    if step.rounds is not None:
        first, last = (each if each > 0 else rounds + 1 + each for each in step.rounds)
        if not first <= n <= last:
            return False
    return n % step.every == 0


def _cut(moves: Sequence[Move]) -> int:
    """Where a loop is cut off: at its longest, or later where a hand-off is under way."""
    deep = 0
    for number, move in enumerate(moves, start=1):
        deep += bool(move.step.to and move.said is None and not move.step.unmade) - (move.said is not None)
        if number >= LONGEST and deep == 0:
            return number
    return len(moves)


class _Writer:
    """Adds moves to a script."""

    def __init__(self, kind: Kind, rng: random.Random) -> None:
        self.kind = kind
        self.rng = rng
        self.texts = Texts(rng)
        self.moves: list[Move] = []
        self.at_s = 0.0

    def repeat(self, step: StepKind, agent: str) -> None:
        """Add a step as often as it is due, and what stands between."""
        for k in range(1, self.rng.randint(*step.times) + 1):
            self.texts.k = k
            self.add(step, agent)
            between = self.kind.between
            if between and agent == FIRST and self.rng.random() < self.kind.between_chance:
                self.add(self.rng.choice(between), agent)

    def add(self, step: StepKind, agent: str) -> None:
        """Add one move, and all that it leads to."""
        fill = self.texts.fill
        self.texts.call = len(self.moves) + 1
        self.at_s += self.kind.pace_s * self.rng.uniform(0.6, 1.4) + step.pause_s
        arguments = step.raw or json.dumps({name: _typed(fill(text)) for name, text in step.args.items()})
        if step.reply is not None:
            arguments = json.dumps({"text": fill(step.reply)})
        if step.raw:
            arguments = fill(step.raw)
        tool = f"ask_{step.to}" if step.to else fill(step.tool) or "final_answer"
        result = fill(step.error or step.rejected or step.result)
        self.moves.append(
            Move(
                agent=agent,
                step=step,
                tool=tool,
                arguments=arguments,
                result=result,
                at_s=self.at_s,
            )
        )
        if step.to and not step.unmade:
            for each in step.inside:
                if self.rng.random() < each.chance:
                    self.repeat(each, step.to)
            self.at_s += self.kind.pace_s * self.rng.uniform(0.6, 1.4)
            self.moves.append(Move(agent=step.to, step=step, said=fill(step.answer), at_s=self.at_s))


def _typed(text: str) -> object:
    """A number if it is one: agents send numbers as numbers."""
    return int(text) if text.isdecimal() and len(text) < 10 and (text == "0" or text[0] != "0") else text
