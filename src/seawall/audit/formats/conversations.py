"""Reads files in which each value holds a whole conversation, or a conversation up to some point.

A log of requests repeats the conversation in each request, and so does a dump of a graph's states. Values with the same
conversation id are one run. A value without an id that begins with the messages of a known run continues that run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from seawall.audit.gathering import MAX_OPEN_RUNS, GatheredRun, OpenRuns, key_message
from seawall.audit.json_fields import Fields, get_fields, get_text
from seawall.audit.messages import is_message, read_messages
from seawall.audit.recording import BadLine, RecordedMessage, RecordedRun

CONVERSATION_IDS = ("conversation_id", "thread_id", "session_id", "chat_id")
"""Fields of a row or of its metadata that hold the id of its conversation."""
OWN_IDS = ("id", "custom_id", "run_id", "trace_id", "uuid")
"""Fields that hold the id of a row."""


class HeldConversation(msgspec.Struct, frozen=True, kw_only=True):
    """The conversation in one value of a file."""

    messages: Sequence[RecordedMessage]
    conversation: str = ""
    """The id of the conversation; "" if the value has none."""
    own: str = ""
    """The id of the value itself, if the value is a whole conversation."""
    follows: str = ""
    """The id of the response that this value continues; the messages before it are not repeated."""
    response: str = ""
    """The id of the response in this value."""
    adds: bool = False
    """True if `messages` are only the new ones of the conversation, not all."""


Finder = Callable[[Any, int], HeldConversation | None]
"""Returns the conversation in a value; None if the value holds none."""


def find_conversation_id(row: Fields) -> str:
    """Returns the conversation id of a row; "" if it has none."""
    boxes = [row, get_fields(row, "metadata"), get_fields(get_fields(row, "config"), "configurable")]
    boxes.append(get_fields(row, "conversation"))
    found = [get_text(box, *CONVERSATION_IDS) for box in boxes[:3]]
    return next(filter(None, [*found, get_text(boxes[3], "id"), get_text(row, "conversation")]), "")


class ConversationsReader:
    """Joins the conversations in the values of a file into runs."""

    def __init__(self, file: str, name: str, find: Finder) -> None:
        self._file, self._name, self._find = file, name, find
        self._open = OpenRuns(lambda key, line: GatheredRun(key, file, name, line))
        self._by_content: OrderedDict[int, str] = OrderedDict()
        """The keys of runs without an id, by the digest of all of a run's messages."""
        self._by_response: OrderedDict[str, str] = OrderedDict()
        self._bare = ""
        """The key of the run to which messages are added that stand alone in a value."""
        self._named = (0, 0)
        """The newest line after which runs were named, and the number of these runs."""

    def read(self, value: Any, line: int) -> Iterator[RecordedRun | BadLine]:
        """Reads a value, and yields the runs that are closed to make room for it."""
        if isinstance(value, dict) and is_message(value):
            yield from self._read_bare(get_fields(value), line)
            return
        exchange = self._find(value, line)
        if exchange is None or not exchange.messages:
            return
        if exchange.own and not exchange.conversation:
            run = GatheredRun(exchange.own, self._file, self._name, line)
            run.add_snapshot(exchange.messages)
            built = run.build()
            if built is not None:
                yield built
            return
        key = exchange.conversation or self._by_response.get(exchange.follows, "")
        if exchange.adds or (key and key in self._open and exchange.follows):
            key = key or self._name_bare(line)
            self._open.get(key, line).append(exchange.messages)
        elif key:
            self._open.get(key, line).add_snapshot(exchange.messages)
        else:
            key = self._join_by_content(exchange.messages, line)
        if exchange.response:
            _remember(self._by_response, exchange.response, key)
        yield from self._open.settle(key)

    def _read_bare(self, row: Fields, line: int) -> Iterator[RecordedRun]:
        messages = read_messages([row], line)
        if any(message.role == "system" for message in messages) and self._bare:
            yield from self._open.close(self._bare) if self._bare in self._open else ()
            self._bare = ""
        key = find_conversation_id(row) or self._name_bare(line)
        self._open.get(key, line).append(messages)
        yield from self._open.settle(key)

    def _name_bare(self, line: int) -> str:
        self._bare = self._bare or self._name_run(line)
        return self._bare

    def _join_by_content(self, messages: Sequence[RecordedMessage], line: int) -> str:
        """Adds messages to the run that they continue, or to a new one, and returns the run's key."""
        said = [message for message in messages if message.role != "system"]
        digests: list[int] = [0]
        for message in said:
            digests.append(hash((digests[-1], key_message(message))))
        replied = next((at for at, each in enumerate(said) if each.role == "assistant"), len(said))
        for known in range(
            len(said) - 1, replied, -1
        ):  # a beginning without a reply identifies no run, because other runs may begin with the same request
            key = self._by_content.get(digests[known], "")
            if key and key in self._open:
                self._by_content.pop(digests[known])
                self._open.get(key, line).append(said[known:])
                break
        else:
            key = self._name_run(line)
            self._open.get(key, line).append(messages)
        _remember(self._by_content, digests[-1], key)
        return key

    def _name_run(self, line: int) -> str:
        """Returns an id for a run without one: the number of its line, with a second number if that is taken."""
        self._named = (line, self._named[1] + 1 if self._named[0] == line else 1)
        return str(line) if self._named[1] == 1 else f"{line}.{self._named[1]}"

    def finish(self) -> Iterator[RecordedRun]:
        """Yields the runs that were still open."""
        yield from self._open.close_all()


def _remember(known: OrderedDict[Any, str], key: Any, value: str) -> None:
    """Adds a key to a mapping of at most `MAX_OPEN_RUNS` keys. The oldest key is forgotten."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > MAX_OPEN_RUNS:
        known.popitem(last=False)
