"""Gathers one run from its pieces in a file: requests that repeat the conversation before them, lines of a session, spans of
tools. Each message is added once, each call gets its result, and conversations that can't be joined stay separate.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from seawall.audit.recording import RecordedCall, RecordedMessage, RecordedRun

MAX_RUN_BYTES = 64 * 1024 * 1024
"""Bytes of one run's texts while it is gathered. Later messages are counted, not read. The longest recording with which we
tuned the guards has 1.1 MB."""
MAX_OPEN_BYTES = 64 * 1024 * 1024
"""Bytes of the texts of all runs of a file that are gathered at one time. Past that, the run that was not added to for the
longest time is closed: the spans of a trace and the requests of a conversation are near each other in a file."""
MAX_OPEN_RUNS = 10_000
"""Runs that are gathered at one time. Each takes some kilobytes of memory beside its texts."""
MAX_CLOSED_KEYS = 100_000
"""The newest keys of closed runs that are remembered, so that later pieces of a closed run are reported as a further part."""
_MESSAGE_BYTES = 300
"""Bytes of memory that a message takes beside its texts."""


class SpanCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a tool, from the tool's span."""

    tool: str
    call_id: str = ""
    arguments: str | None = None
    result: str | None = None
    failed: bool = False
    agent: str = ""
    line: int = 0


class _Thread:
    """One conversation of a run, as the keys of its messages."""

    def __init__(self, agent: str, label: str) -> None:
        self.agent, self.label = agent, label
        self.keys: list[int] = []


def key_message(message: RecordedMessage) -> int:
    """Returns a key that is equal for two recordings of the same message, even if they give its calls different ids."""
    calls = tuple([(call.tool, call.arguments) for call in message.calls])
    return hash((message.role, message.text, calls))


class GatheredRun:
    """A run to which more pieces may be added."""

    def __init__(self, run_id: str, file: str, name: str, line: int) -> None:
        self.id, self.file, self.format, self.line = run_id, file, name, line
        self.size_bytes = 0
        self.left_out = 0
        self._entries: list[RecordedMessage | SpanCall] = []
        self._threads: list[_Thread] = []
        self._labels: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<GatheredRun {self.id} of {len(self._entries)} entries>"

    def append(self, messages: Iterable[RecordedMessage], agent: str = "") -> None:
        """Adds messages after those of the same agent that were added before."""
        for message in messages:
            self._keep(replace(message, agent=agent) if agent else message)

    def extend_reply(self, message: RecordedMessage) -> bool:
        """Adds the calls and the text of `message` to the newest message of its agent, if that is an assistant's. Returns
        whether it was.
        """
        for at in range(len(self._entries) - 1, -1, -1):
            entry = self._entries[at]
            if not isinstance(entry, RecordedMessage) or entry.agent != message.agent:
                continue
            if entry.role == "tool":  # results of this reply's calls may come before the rest of the reply
                continue
            if entry.role != "assistant":
                return False
            text = "\n".join(filter(None, (entry.text, message.text)))
            calls = entry.calls + message.calls
            self._entries[at] = replace(entry, text=text, calls=calls, usage=message.usage or entry.usage)
            return True
        return False

    def add_call(self, call: SpanCall) -> None:
        """Adds the call of a tool's span."""
        size = len(call.arguments or "") + len(call.result or "")
        if self._has_room(size):
            self._entries.append(call)

    def add_snapshot(
        self,
        messages: Sequence[RecordedMessage],
        agent: str = "",
        replied: Sequence[RecordedMessage] = (),
    ) -> None:
        """Adds the new messages of a conversation, which is given up to now, and of the reply to it."""
        said = [message for message in [*messages, *replied] if message.role != "system"]
        keys = [key_message(message) for message in said]
        thread, known = self._find_thread(keys, agent, len(said) - len(replied))
        if thread is None:
            thread = _Thread(agent, self._name_thread(agent))
            self._threads.append(thread)
            self.append([message for message in messages if message.role == "system"], thread.label)
        if known < len(keys):
            thread.keys += keys[known:]
            self.append(said[known:], thread.label)

    def _find_thread(self, keys: list[int], agent: str, asked: int) -> tuple[_Thread | None, int]:
        """Returns the conversation that these messages continue, and how many of them are known.

        The first `asked` messages are the request. Only they are compared with the newest known message, because a new reply
        may be equal to an earlier one.
        """
        threads = [thread for thread in reversed(self._threads) if thread.agent == agent]
        longest = max(threads, key=lambda thread: _count_common(thread.keys, keys), default=None)
        if longest is None:
            return None, 0
        common = _count_common(longest.keys, keys)
        if common in (len(longest.keys), len(keys)):
            return longest, common
        # if the beginning was left out or rewritten, all after the newest known message is new
        for thread in threads:
            if thread.keys[-1] in keys[:asked]:
                return thread, asked - keys[:asked][::-1].index(thread.keys[-1])
        if common > 1:  # a second reply to the same request
            return longest, common
        return None, 0

    def _name_thread(self, agent: str) -> str:
        number = self._labels[agent] = self._labels.get(agent, 0) + 1
        return agent if number == 1 else f"{agent or 'agent'} #{number}"

    def _keep(self, message: RecordedMessage) -> None:
        size = len(message.text) + sum(len(call.arguments) for call in message.calls)
        if self._has_room(size):
            self._entries.append(message)

    def _has_room(self, size: int) -> bool:
        size += _MESSAGE_BYTES
        if self.size_bytes + size > MAX_RUN_BYTES:
            self.left_out += 1
            return False
        self.size_bytes += size
        return True

    def build(self) -> RecordedRun | None:
        """Returns the run; None if it has no reply of a model and no call of a tool."""
        joined = _CallJoiner()
        messages: list[RecordedMessage] = []
        for entry in self._entries:
            if isinstance(entry, SpanCall):
                joined.add_span(entry)
            else:
                joined.add_message(entry, len(messages))
                messages.append(entry)
        if not joined.calls and not any(message.role == "assistant" for message in messages):
            return None
        calls, unanswered = joined.finish()
        return RecordedRun(
            id=self.id,
            calls=calls,
            line=self.line,
            file=self.file,
            format=self.format,
            messages=tuple(messages),
            unanswered=unanswered,
            left_out=self.left_out,
            lacks=joined.find_lacks(),
        )


def _count_common(one: Sequence[int], other: Sequence[int]) -> int:
    most = min(len(one), len(other))
    return next((at for at in range(most) if one[at] != other[at]), most)


class _JoinedCall(msgspec.Struct, eq=False):
    """A call, until its result is known."""

    id: str
    tool: str
    arguments: str | None
    agent: str
    line: int
    reply: int | None
    result: str | None = None
    failed: bool = False
    in_span: bool = False
    is_asked: bool = False
    """True if a message has asked for the call."""
    is_told: bool = False
    """True if a message has brought the call's result."""


class _CallJoiner:
    """Gives each call of a run its result, by the call's id or, without ids, in the order of the calls."""

    def __init__(self) -> None:
        self.calls: list[_JoinedCall] = []
        self._by_id: dict[str, _JoinedCall] = {}
        """The newest call with each id: some models give the same id to several calls."""
        self._open: dict[str, list[_JoinedCall]] = {}
        """The calls without a result, by agent."""
        self._replies: dict[str, int] = {}
        """The number of the newest reply, by agent."""
        self._unclaimed: dict[str, list[_JoinedCall]] = {}
        """The calls that no span has described, by tool."""
        self._untold: list[_JoinedCall] = []
        """The calls whose result no message has brought, but that a span has described."""

    def add_message(self, message: RecordedMessage, number: int) -> None:
        """Adds the calls that a message asks for, or the result that it brings."""
        if message.role == "tool":
            self._answer(message)
        elif message.role == "assistant":
            self._replies[message.agent] = number
            for asked in message.calls:
                known = self._by_id.get(asked.id) if asked.id else None
                is_same = known is not None and (known.tool, known.arguments) == (asked.tool, asked.arguments)
                if known is not None and is_same and known.is_asked and known.agent != message.agent:
                    continue  # this conversation begins with a part of another agent's
                # the call's span came before the message
                if known is not None and is_same and not known.is_asked:
                    known.agent, known.reply, known.is_asked = message.agent, number, True
                    continue
                call = _JoinedCall(asked.id, asked.tool, asked.arguments, message.agent, message.line, number)
                call.is_asked = True
                self._add(call)
                self._open.setdefault(message.agent, []).append(call)

    def _add(self, call: _JoinedCall) -> None:
        self.calls.append(call)
        self._unclaimed.setdefault(call.tool, []).append(call)
        if call.id:
            self._by_id[call.id] = call

    def _answer(self, message: RecordedMessage) -> None:
        call = self._by_id.get(message.call_id) if message.call_id else None
        if call is None:
            waiting = self._open.get(message.agent, [])
            same = [each for each in waiting if each.tool == message.tool]
            candidates = same or ([] if message.tool and message.call_id else waiting)
            call = next((each for each in candidates if not (message.call_id and each.id)), None)
        if call is None:
            told = (each for each in self._untold if each.tool == message.tool or not message.tool)
            call = next(told, None)
        if call is None:
            if not message.tool:
                return
            reply = self._replies.get(message.agent)
            call = _JoinedCall(message.call_id, message.tool, None, message.agent, message.line, reply)
            self._add(call)
        if call.result is None:
            call.result, call.failed = message.text, message.failed
        if call.in_span and not call.is_told:
            self._untold.remove(call)
        call.is_told = True
        self._close(call)

    def _close(self, call: _JoinedCall) -> None:
        waiting = self._open.get(call.agent, [])
        self._open[call.agent] = [each for each in waiting if each is not call]

    def add_span(self, span: SpanCall) -> None:
        """Adds the call of a tool's span: to the call that a message has asked for, if there is one, or as a new call."""
        call = self._by_id.get(span.call_id) if span.call_id else None
        if call is None:
            alike = [each for each in self._unclaimed.get(span.tool, ()) if not (each.id and span.call_id)]
            same = [each for each in alike if span.arguments is None or each.arguments == span.arguments]
            waits = (each for each in alike if each.result is None)
            call = same[0] if same else next(waits, None)  # some tracers write the arguments in another form
        if call is None:
            reply = self._replies.get(span.agent)
            call = _JoinedCall(span.call_id, span.tool, span.arguments, span.agent, span.line, reply)
            self._add(call)
        if not call.in_span:
            call.in_span = True
            self._unclaimed[call.tool].remove(call)
            if not call.is_told:
                self._untold.append(call)
        call.failed = call.failed or span.failed
        if call.result is None and (span.result is not None or span.failed):
            call.result = span.result or ""
        self._close(call)

    def find_lacks(self) -> tuple[str, ...]:
        """Returns the fields, of `arguments` and `result`, that no call of the run has."""
        has = {
            "arguments": any(call.arguments is not None for call in self.calls),
            "result": any(call.result is not None for call in self.calls),
        }
        return tuple(name for name, found in has.items() if not found) if self.calls else ()

    def finish(self) -> tuple[tuple[RecordedCall, ...], int]:
        """Returns the calls that have a result (all calls if none has one), and the number of calls that were left out."""
        answered = [call for call in self.calls if call.result is not None] or self.calls
        calls = [
            RecordedCall(
                tool=call.tool,
                arguments="{}" if call.arguments is None else call.arguments,
                result=call.result or "",
                failed=call.failed,
                agent=call.agent,
                turn=None if call.reply is None else str(call.reply),
                reply=call.reply,
                line=call.line,
            )
            for call in answered
        ]
        return tuple(calls), len(self.calls) - len(answered)


class Gatherable(Protocol):
    """A run that `OpenRuns` holds."""

    @property
    def size_bytes(self) -> int:
        """Bytes that the run's texts take."""
        ...

    def build(self) -> RecordedRun | None:
        """Returns the run; None if it has no reply of a model and no call of a tool."""
        ...


G = TypeVar("G", bound=Gatherable)


class OpenRuns(Generic[G]):
    """The runs of a file to which more pieces may be added, by their key, within bounds."""

    def __init__(
        self,
        make: Callable[[str, int], G],
        *,
        max_bytes: int = MAX_OPEN_BYTES,
        max_runs: int = MAX_OPEN_RUNS,
    ) -> None:
        """`make` returns a new run with an id and the line in which the id was first seen."""
        self._make, self._max_bytes, self._max_runs = make, max_bytes, max_runs
        self._runs: OrderedDict[str, G] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._total = 0
        self._parts: OrderedDict[str, int] = OrderedDict()

    def __repr__(self) -> str:
        return f"<OpenRuns {len(self._runs)} of {self._total:,} bytes>"

    def __contains__(self, key: str) -> bool:
        return key in self._runs

    def get(self, key: str, line: int) -> G:
        """Returns the run of this key. Begins a new run if it is not open."""
        run = self._runs.get(key)
        if run is None:
            parts = self._parts.get(key, 0)
            run = self._runs[key] = self._make(f"{key} (part {parts + 1})" if parts else key, line)
        self._runs.move_to_end(key)
        return run

    def settle(self, key: str) -> Iterator[RecordedRun]:
        """Counts by how much a run has grown, and yields the runs that are closed to make room for it."""
        size = self._runs[key].size_bytes
        self._total += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        while self._runs and (self._total > self._max_bytes or len(self._runs) > self._max_runs):
            yield from self.close(next(iter(self._runs)))

    def close(self, key: str) -> Iterator[RecordedRun]:
        """Closes one run, and yields it."""
        run = self._runs.pop(key)
        self._total -= self._sizes.pop(key, 0)
        self._parts[key] = self._parts.get(key, 0) + 1
        self._parts.move_to_end(key)
        if len(self._parts) > MAX_CLOSED_KEYS:
            self._parts.popitem(last=False)
        built = run.build()
        if built is not None:
            yield built

    def close_all(self) -> Iterator[RecordedRun]:
        """Closes all runs, and yields them. The run that was added to last comes last."""
        for key in list(self._runs):
            yield from self.close(key)
