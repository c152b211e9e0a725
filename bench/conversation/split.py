"""The script of a team: a coordinator, a specialist that reads and one that writes, made from a recording.

The recording has no such team, so its second half is a construction, the same each time:

- The coordinator has the recorded system prompt and no tools. Consecutive calls that one specialist owns are one
  hand-off; what the agent said beside a call is said beside the hand-off, and begins a new one.
- The specialist makes the recorded calls of its task. Reads that are independent go out in one reply, writes one
  by one. A read is independent of those before it in the reply unless it is one of them again, or its arguments
  have a word that their results brought first.
- The specialist reports each result word for word, and the coordinator says what was recorded.

Every message list in it is compared, like that of a recording.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from conversation.recorded import Call, Conversation, Turn
from conversation.rule import Rule
from conversation.script import CLOSING, Expected, Message, Script, asked, names, said, told

DESK, READER, WRITER = "desk", "reader", "writer"
PROMPTS = {
    READER: "You look things up for the desk. Make the calls of your task and report what they return.",
    WRITER: "You change bookings for the desk. Make the calls of your task and report what they return.",
}
_WORD = re.compile(r"\w{2,}")


@dataclass(frozen=True, kw_only=True)
class Handoff:
    """Work for one specialist."""

    owner: str
    text: str | None
    """What the coordinator says beside it."""
    batches: tuple[tuple[Call, ...], ...]


def script(conversation: Conversation) -> Script:
    """A coordinator with two specialists."""
    split = _Split(conversation)
    runs: list[Expected] = []
    for number, turn in enumerate(conversation.turns, start=1):
        runs.append(split.run(number, turn))
        if runs[-1].halted:
            break
    calls = [call for turn in conversation.turns for call in turn.calls]
    reads, writes = names(c for c in calls if not c.effect), names(c for c in calls if c.effect)
    return Script(
        key=conversation.key,
        success=conversation.success,
        system=conversation.system,
        runs=tuple(runs),
        owners={DESK: (), READER: reads, WRITER: writes},
        rows=({"id": conversation.key, "messages": split.desk}, *split.rows),
    )


class _Split:
    """A conversation, run by run."""

    def __init__(self, conversation: Conversation) -> None:
        self.desk: list[Message] = [{"role": "system", "content": conversation.system}]
        """The coordinator's conversation, over all runs."""
        self.rows: list[dict[str, Any]] = []
        """The specialists' conversations, one a hand-off."""
        self._key = conversation.key
        self._words = _words(conversation.system)
        self._rule, self._step, self._advised = Rule(), 0, 0

    def run(self, number: int, turn: Turn) -> Expected:
        """Add one run."""
        self._rule, self._step = Rule(), 1
        claim = self._rule.read(turn.request)
        self._advised = int(claim is not None)
        self._words |= _words(turn.request)
        self.desk.append(asked(turn.request, claim))
        made: list[tuple[Call, ...]] = []
        texts: list[str] = []
        halted = False
        for place, handoff in enumerate(self._handoffs(turn), start=1):
            if handoff.text:
                texts.append(handoff.text)
            performed = self._hand(f"{self._key}/{number}/{place}", handoff)
            made += performed
            if len(performed) < len(handoff.batches):
                halted = True
                break
        if not halted:
            texts.append(CLOSING if turn.answer is None else turn.answer)
            self.desk.append(said(texts[-1]))
            self._words |= _words(texts[-1])
        return Expected(
            request=turn.request,
            batches=tuple(made),
            texts=tuple(texts),
            advised=self._advised,
            halted=halted,
            closed=turn.answer is None and not halted,
        )

    def _hand(self, name: str, handoff: Handoff) -> list[tuple[Call, ...]]:
        """Add one hand-off, whose task names it; the batches that are performed before the guard stops it."""
        agent = handoff.owner
        calls = [call for batch in handoff.batches for call in batch]
        listed = "\n".join(f"{call.name} {call.arguments}" for call in calls)
        task = f"Task {name}. Make these calls:\n{listed}"
        report = "\n\n".join(f"{call.name} returned:\n{call.result}" for call in calls)
        arguments = json.dumps({"task": task}, ensure_ascii=False)
        ask = Call(id=f"task-{name}", name=f"ask_{agent}", arguments=arguments, result=report)
        self.desk.append(said(handoff.text, [ask]))
        asking = self._step + 1
        self._step += 2  # the hand-off, and asking the specialist's model
        messages: list[Message] = [
            {"role": "system", "content": PROMPTS[agent]},
            {"role": "user", "content": task},
        ]
        self.rows.append({"id": name, "messages": messages})
        for place, batch in enumerate(handoff.batches):
            messages.append(said(None, batch))
            if any(self._rule.stops(name, call) for call in batch):
                return list(handoff.batches[:place])
            for call in batch:
                self._step += 1
                note = self._rule.learn(name, call, self._step)
                self._advised += note is not None
                messages.append(told(call, note))
            self._step += 1
        messages.append(said(report))
        self._rule.learn(DESK, ask, asking)
        self.desk.append(told(ask, None))
        self._step += 1
        return list(handoff.batches)

    def _handoffs(self, turn: Turn) -> Iterator[Handoff]:
        """A run's calls, as hand-offs."""
        group: list[Call] = []
        for call in turn.calls:
            if group and (call.text or call.effect is not group[0].effect):
                yield self._handoff(group)
                group = []
            group.append(call)
        if group:
            yield self._handoff(group)

    def _handoff(self, calls: list[Call]) -> Handoff:
        owner = WRITER if calls[0].effect else READER
        return Handoff(owner=owner, text=calls[0].text, batches=tuple(self._batches(calls)))

    def _batches(self, calls: list[Call]) -> Iterator[tuple[Call, ...]]:
        """Calls of one hand-off, as replies of the specialist."""
        batch: list[Call] = []
        brought: set[str] = set()
        for call in calls:
            needs = _words(*_values(json.loads(call.arguments))) - self._words
            again = any((call.name, call.arguments) == (other.name, other.arguments) for other in batch)
            if batch and (call.effect or again or needs & brought):
                yield tuple(batch)
                self._words |= brought
                batch, brought = [], set()
            taken = {other.id for other in batch}
            call_id = call.id
            while call_id in taken:  # recorded ids repeat; within one reply they must not
                call_id += "-again"
            batch.append(replace(call, id=call_id))
            brought |= _words(call.result)
            self._words |= needs - brought
        yield tuple(batch)
        self._words |= brought


def _words(*texts: str) -> set[str]:
    return {word for text in texts for word in _WORD.findall(text)}


def _values(value: object) -> Iterator[str]:
    """All that stands in JSON, without its keys."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _values(item)
    else:
        yield str(value)
