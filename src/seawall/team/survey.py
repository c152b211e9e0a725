"""A survey of one frame's conversation: its messages as they are sent, their size, and which of them are junk.

A survey reads each message once, when it is added. It depends only on the messages and the frame's folds, so a resumed
run has the same survey.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import Folded
from seawall.core.persistent import Log
from seawall.models.protocol import Assistant, Message, ToolResult, User
from seawall.run.bodies import Bodies
from seawall.run.frame import MessageRef
from seawall.team.context import (
    NOT_ANSWERED,
    NOT_DECIDED,
    NOT_SETTLED,
    add_notes,
    bound_tokens,
    read_assistant,
    read_message,
)

RECALL = "recall"
"""The tool that reads memory."""
Content = tuple[str, Ref]
"""A tool, and the content of its result."""
Junk = Literal["", "failed", "repeated", "stale"]

LEAST_JUNK_CHARS = 40
"""The shortest result that counts as a repeat. The text that replaces a shorter one ("ok", a number) would be longer."""
ALIKE_SHARE = 0.6
"""The share of common words from which on two results of one call describe the same thing at two times. Below it they are
pages of a list, or items of a queue, and the earlier one is not outdated."""
_ERROR = (
    r"\s*(?:\W{0,3}(?:(?i:(?:fatal )?error|exception|fatal)|[A-Z]\w*(?:Error|Exception))(?: [\w-]+)?\s?:"
    r"|Traceback \(most recent call last\)|<tool_use_error>"
    r"|\{\s*\"errors?\"\s*:(?!\s*(?:null|false|0|\"\"|\[\s*\]|\{\s*\})))"
)
"""The beginning of a result whose text tells of an error although the tool has not raised one."""
_WORD = re.compile(r"\w+")
_compile = functools.cache(re.compile)
_OPEN = frozenset({NOT_ANSWERED, NOT_DECIDED, NOT_SETTLED})


@dataclass(slots=True, eq=False)
class Item:
    """One message of the conversation."""

    place: int
    """See `Folded.message`."""
    ref: MessageRef
    size: int
    """Bytes of the message as it is sent now, with its framing."""
    label: str
    """The name for the agent: the place in the session's whole conversation, which stays the same from run to run."""
    exchange: ToolExchange | None = None
    name: str = ""
    arguments: str = ""
    failed: bool = False
    junk: Junk = ""
    because: str = ""
    """The label of the result that makes this one junk."""
    because_failed: bool = False
    """True if that result is a failure, too."""
    is_effect: bool = False
    """True for the result of a tool that changes the world, or of an agent with such tools."""
    fold: Folded | None = None


@dataclass(slots=True, eq=False)
class ToolExchange:
    """An assistant's message with calls, and their results."""

    asked: Item
    results: list[Item] = field(default_factory=list[Item])
    lasts: bool = False
    """True if the line about the exchange is not left out, because it tells of an effect, of memory or of a guard's advice."""
    is_open: bool = False
    """True if one of the calls waits for a person, so that the exchange is an open question."""

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
        """The frame's own messages that were added so far."""
        self.items: list[Item] = []
        self.sent: list[Message] = []
        self.size = 0
        """Bytes of all messages as they are sent."""
        self.junk_size = 0
        self.tried_at = 0
        """The size at which the last plan found no worthwhile folds."""
        self._bodies, self._run, self._effects = bodies, run, effects
        self._messages: list[Message | None] = []
        """The message that is sent for each item; None if none is sent."""
        self._history = 0
        """The number of items of the session's conversation."""
        self._earlier: dict[int, Folded] = {}
        """The folds of the session's conversation that earlier runs have made."""
        self._calls: dict[str, tuple[str, str]] = {}
        self._exchange: ToolExchange | None = None
        self._first: dict[Content, Item] = {}
        """The first result with each content that is sent whole."""
        self._same: dict[Content, list[Item]] = {}
        """All results with each content that are not outdated."""
        self._current: dict[tuple[str, str], list[Item]] = {}
        """The newest result and the equal results before it, by tool and arguments."""
        self._failures: dict[str, list[Item]] = {}
        """The failures of each tool since its newest success."""

    def add_history(self, refs: Sequence[MessageRef]) -> None:
        """Adds the session's conversation before the run."""
        self._earlier = {~place: ref.fold for place, ref in enumerate(refs) if ref.fold is not None}
        for place, ref in enumerate(refs):
            self._add(~place, ref)
        self._history = len(refs)

    @property
    def has_folds(self) -> bool:
        """Whether a message is shortened, by this run or an earlier run of the session."""
        return bool(self.folds or self._earlier)

    def _find_fold(self, place: int) -> Folded | None:
        return self.folds.get(place) or self._earlier.get(place)

    def continues(self, refs: Log[MessageRef]) -> bool:
        """Returns whether these messages continue the messages of this survey, so that `add` can add the rest."""
        return refs.continues(self.refs) or not len(self.refs)

    def fold(self, folds: Mapping[int, Folded]) -> None:
        """Applies the current folds. It reads only the messages whose fold has changed."""
        before = self.folds
        if folds is before:
            return
        self.folds = folds
        changed = [place for place in {**before, **folds} if before.get(place) != folds.get(place)]
        contents: dict[Content, None] = {}
        for place in changed:
            at = ~place if place < 0 else self._history + place
            if at < len(self.items):
                self._refold(at, self._find_fold(place))
                contents[_content_of(self.items[at])] = None
        for content in contents:
            self._compare(content)
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
        known = len(self.refs)
        for place, ref in enumerate(refs.since(known), known):
            self._add(place, ref)
        self.refs = refs

    def _add(self, place: int, ref: MessageRef) -> None:
        fold = self._find_fold(place)
        message = self._read(ref, fold)
        label = f"s{~place if place < 0 else self._history + place}"
        item = Item(place, ref, 0 if message is None else bound_tokens(message), label, fold=fold)
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
        item.failed = ref.failed or tells_error(text)
        item.is_effect = item.name in self._effects
        if exchange is not None:
            item.exchange = exchange
            exchange.results.append(item)
            exchange.lasts = exchange.lasts or item.is_effect or item.name == RECALL or bool(ref.notes)
            exchange.is_open = exchange.is_open or text in _OPEN
        if not item.is_effect:  # the result of an effect is never junk
            self._judge(item, text)

    def _judge(self, item: Item, text: str) -> None:
        """Marks the results that this one makes junk: itself, or earlier ones."""
        if item.failed:
            failures = self._failures.setdefault(item.name, [])
            for failure in failures[-1:]:
                self._mark(failure, "failed", item)
            failures.append(item)
            return
        for failure in self._failures.pop(item.name, ()):
            self._mark(failure, "failed", item)
        current = self._current.setdefault((item.name, item.arguments), [])
        if current and current[0].ref.ref != item.ref.ref:
            self._supersede(current, item, text)
            current.clear()
        current.append(item)
        if len(text) < LEAST_JUNK_CHARS:
            return
        content = _content_of(item)
        self._same.setdefault(content, []).append(item)
        first = self._first.get(content)
        if first is not None:
            self._mark(item, "repeated", first)
        elif item.fold is None:
            self._first[content] = item

    def _supersede(self, current: Sequence[Item], item: Item, text: str) -> None:
        """Marks the earlier results of a call that now has a different result. Later results are not repeats of these."""
        content = _content_of(current[0])
        alike = _are_alike(self._bodies.text(current[0].ref.ref), text)
        for before in current:
            self._mark(before, "stale" if alike else "", item)
        if content in self._same:
            self._same[content] = [each for each in self._same[content] if each not in current]
            self._compare(content)

    def _compare(self, content: Content) -> None:
        """Marks which results with equal content are repeats: all but the first one that is sent whole.

        A shortened result can't be the first one, because then the model would have no whole one.
        """
        self._first.pop(content, None)
        for item in self._same.get(content, ()):
            first = self._first.get(content)
            if first is not None:
                self._mark(item, "repeated", first)
            elif item.fold is None:
                self._mark(item, "", item)
                self._first[content] = item

    def _mark(self, item: Item, junk: Junk, because: Item) -> None:
        if item.fold is None:
            self.junk_size += item.size * (bool(junk) - bool(item.junk))
        item.junk, item.because, item.because_failed = junk, because.label, because.failed

    def find_fresh(self) -> int:
        """Returns the index of the first item that the model has not seen, because it has not replied since."""
        for at in range(len(self.items) - 1, -1, -1):
            if self.items[at].ref.role == "assistant" and self.items[at].place >= 0:
                return at
        return len(self.items)

    def find(self, label: str) -> Item | None:
        """Returns the message with a label. A number alone means the newest result of that step of this run."""
        found: Item | None = None
        for item in self.items:
            of_step = item.place >= 0 and item.ref.role == "tool" and label == str(item.ref.step)
            if item.label == label or of_step:
                found = item
        return found


def _content_of(item: Item) -> Content:
    return item.name, item.ref.ref


def _are_alike(one: str, other: str) -> bool:
    """Returns whether two results describe the same thing, because most of their words are the same."""
    first, second = set(_WORD.findall(one)), set(_WORD.findall(other))
    return 2 * len(first & second) >= ALIKE_SHARE * (len(first) + len(second))


def tells_error(text: str) -> bool:
    """Returns whether a result tells of an error, as text or in a JSON object."""
    if not text.lstrip().startswith("{"):
        return _compile(_ERROR).match(text) is not None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):  # a long one may be cut
        return _compile(_ERROR).match(text) is not None
    found = cast("dict[str, Any]", value)
    return bool(found.get("error") or found.get("errors"))


def read_folded(ref: MessageRef, fold: Folded, bodies: Bodies) -> Message | None:
    """Returns the message that replaces a folded one; None if it is left out.

    The text that replaces an assistant's message with calls is marked as not from the user. As the assistant's own
    message, it would be an example of how to write calls.
    """
    if fold.how == "left_out":
        return None
    text = bodies.text(fold.text)
    if ref.role == "tool":
        return ToolResult(ref.call, ref.name, add_notes(text, ref, bodies))
    if ref.role == "assistant" and not read_assistant(bodies.text(ref.ref)).calls:
        return Assistant(text)
    return User(text)
