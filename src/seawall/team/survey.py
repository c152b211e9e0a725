"""A survey of one frame's conversation: what of it is sent, how long that is, and what of it is junk.

A survey reads each message once, when it is added. It holds nothing that does not follow from the messages and the
frame's folds, so a resumed run's is the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from seawall.core.canonical import digest_of
from seawall.core.events import Folded
from seawall.core.persistent import Log
from seawall.models.protocol import Assistant, Message, ToolResult, User
from seawall.run.bodies import Bodies
from seawall.run.fingerprint import normalise
from seawall.run.frame import MessageRef
from seawall.team.context import (
    NOT_ANSWERED,
    NOT_DECIDED,
    NOT_SETTLED,
    bound_tokens,
    read_assistant,
    read_message,
)

Junk = Literal["", "failed", "repeated", "stale"]

LEAST_JUNK_CHARS = 40
"""A shorter result ("ok", a number) is no repeat: a text that says so would be longer than itself."""
MAX_COMPARED_CHARS = 16_000
"""Of a result: a longer one is compared as it is, with clocks and ids of requests."""
_ERROR = re.compile(
    r"\s*(?:\W{0,3}(?:error|exception|traceback|fatal|failed)\b|<tool_use_error>|\{\s*\"(?:error|errors)\"\s*:)",
    re.IGNORECASE,
)
"""Results of tools that tell of an error in their text, and raise none."""
_OPEN = frozenset({NOT_ANSWERED, NOT_DECIDED, NOT_SETTLED})


@dataclass(slots=True, eq=False)
class Item:
    """One message of the conversation."""

    place: int
    """See `Folded.message`."""
    ref: MessageRef
    size: int
    """Bytes as it is sent now, with its framing."""
    exchange: ToolExchange | None = None
    name: str = ""
    arguments: str = ""
    failed: bool = False
    junk: Junk = ""
    because: str = ""
    """The label of the result that makes it junk."""
    fold: Folded | None = None

    @property
    def label(self) -> str:
        """What the agent calls it by: the step of this run or, before it, its place in the session's conversation."""
        return f"s{~self.place}" if self.place < 0 else str(self.ref.step)


@dataclass(slots=True, eq=False)
class ToolExchange:
    """An assistant's message with calls, and their results."""

    asked: Item
    results: list[Item] = field(default_factory=list[Item])
    has_effect: bool = False
    is_open: bool = False
    """One of its calls waits for a person: it is an open question."""

    @property
    def items(self) -> list[Item]:
        """The messages, in their order."""
        return [self.asked, *self.results]


class Survey:
    """The conversation of one frame, with what precedes it in its session."""

    def __init__(
        self, bodies: Bodies, run: str, folds: Mapping[int, Folded], effects: Collection[str] = ()
    ) -> None:
        self.folds = folds
        self.refs: Log[MessageRef] = Log()
        """The frame's own messages that were added."""
        self.items: list[Item] = []
        self.sent: list[Message] = []
        self.size = 0
        """Bytes of what is sent."""
        self.junk_size = 0
        self.tried_at = 0
        """The size at which nothing worth it could be shortened."""
        self._bodies, self._run, self._effects = bodies, run, effects
        self._messages: list[Message | None] = []
        """What is sent of each item."""
        self._history = 0
        """Items of the session's conversation."""
        self._calls: dict[str, tuple[str, str]] = {}
        self._exchange: ToolExchange | None = None
        self._seen: dict[str, Item] = {}
        """By digest of a result: the first one."""
        self._newest: dict[tuple[str, str], Item] = {}
        """By tool and arguments: the newest result."""
        self._failures: dict[str, list[Item]] = {}
        """By tool: failures since its newest success."""

    def add_history(self, refs: Sequence[MessageRef]) -> None:
        """Adds the session's conversation before the run."""
        for place, ref in enumerate(refs):
            self._add(~place, ref)
        self._history = len(refs)

    def continues(self, refs: Log[MessageRef]) -> bool:
        """Returns whether `add` brings this survey to a conversation of these messages."""
        return refs.continues(self.refs) or not len(self.refs)

    def fold(self, folds: Mapping[int, Folded]) -> None:
        """Takes over what is shortened now. It reads only the messages of which that has changed."""
        before = self.folds
        if folds is before:
            return
        self.folds = folds
        changed = [place for place in {**before, **folds} if before.get(place) != folds.get(place)]
        for place in changed:
            at = ~place if place < 0 else self._history + place
            if at < len(self.items):
                self._refold(at, folds.get(place))
        if changed:
            self.sent = [message for message in self._messages if message is not None]
            self.tried_at = 0

    def _refold(self, at: int, fold: Folded | None) -> None:
        item = self.items[at]
        if item.junk:
            self.junk_size += item.size if fold is None else 0
            self.junk_size -= item.size if item.fold is None else 0
        message = self._messages[at] = self._read(item.ref, fold)
        size = 0 if message is None else bound_tokens(message)
        self.size += size - item.size
        if item.junk and fold is None:
            self.junk_size += size - item.size
        item.fold, item.size = fold, size

    def _read(self, ref: MessageRef, fold: Folded | None) -> Message | None:
        return read_folded(ref, fold, self._bodies) if fold else read_message(ref, self._bodies, self._run)

    def add(self, refs: Log[MessageRef]) -> None:
        """Adds the frame's messages that are not here yet."""
        for place, ref in enumerate(refs.since(len(self.refs)), len(self.refs)):
            self._add(place, ref)
        self.refs = refs

    def _add(self, place: int, ref: MessageRef) -> None:
        fold = self.folds.get(place)
        message = self._read(ref, fold)
        item = Item(place, ref, 0 if message is None else bound_tokens(message), fold=fold)
        self.items.append(item)
        self._messages.append(message)
        self.size += item.size
        if message is not None:
            self.sent.append(message)
        if ref.role == "tool":
            self._add_result(item)
        elif ref.role == "assistant":
            unfolded = message if isinstance(message, Assistant) and fold is None else None
            self._add_reply(item, unfolded or read_assistant(self._bodies.text(ref.ref)))

    def _add_reply(self, item: Item, reply: Assistant) -> None:
        self._calls = {call.id: (call.name, call.arguments) for call in reply.calls}
        self._exchange = item.exchange = ToolExchange(item) if reply.calls else None

    def _add_result(self, item: Item) -> None:
        ref, exchange = item.ref, self._exchange
        item.name, item.arguments = self._calls.get(ref.call, (ref.name, ""))
        text = self._bodies.text(ref.ref)
        item.failed = ref.failed or _ERROR.match(text) is not None
        if exchange is not None:
            item.exchange = exchange
            exchange.results.append(item)
            exchange.has_effect = exchange.has_effect or item.name in self._effects
            exchange.is_open = exchange.is_open or text in _OPEN
        if item.name not in self._effects:  # what was done, and what was not, is no junk
            self._judge(item, text)

    def _judge(self, item: Item, text: str) -> None:
        """Marks what this result makes junk: itself, or what was before it."""
        digest = ""
        if len(text) >= LEAST_JUNK_CHARS:
            short = len(text) <= MAX_COMPARED_CHARS
            digest = digest_of([item.name, normalise(text)]) if short else item.ref.ref
        first = self._seen.get(digest) if digest else None
        key = (item.name, item.arguments)
        before = self._newest.get(key)
        if first is not None:
            self._mark(item, "repeated", first)
        elif digest:
            self._seen[digest] = item
        if first is None and before is not None and _is_superseded(before, item):
            self._mark(before, "stale", item)
        self._newest[key] = item
        if item.failed:
            self._failures.setdefault(item.name, []).append(item)
            return
        for failure in self._failures.pop(item.name, ()):
            if not failure.junk:
                self._mark(failure, "failed", item)

    def _mark(self, item: Item, junk: Junk, because: Item) -> None:
        item.junk, item.because = junk, because.label
        if item.fold is None:
            self.junk_size += item.size

    def find_fresh(self) -> int:
        """Returns from which item on the model has not seen the conversation yet: it has not replied since."""
        for at in range(len(self.items) - 1, -1, -1):
            if self.items[at].ref.role == "assistant" and self.items[at].place >= 0:
                return at
        return len(self.items)

    def find(self, label: str) -> Item | None:
        """Returns the message with a label; of several, a result, and the newest."""
        found: Item | None = None
        for item in self.items:
            if item.label == label and (item.place < 0 or item.ref.role == "tool"):
                found = item
        return found


def _is_superseded(before: Item, item: Item) -> bool:
    """Returns whether a result is out of date, because the same call gave another one."""
    return not (before.failed or item.failed or before.junk or before.ref.ref == item.ref.ref)


def read_folded(ref: MessageRef, fold: Folded, bodies: Bodies) -> Message | None:
    """Returns what is sent in the place of a message; None if nothing is.

    The text that stands for an assistant's message with calls is told as not from the user: as the assistant's own it
    would be an example of how to write calls.
    """
    if fold.how == "left_out":
        return None
    text = bodies.text(fold.text)
    if ref.role == "tool":
        return ToolResult(ref.call, ref.name, text)
    if ref.role == "assistant" and not read_assistant(bodies.text(ref.ref)).calls:
        return Assistant(text)
    return User(text)
