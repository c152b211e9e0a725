"""A model that follows a script: for tests, demos and benchmarks, without a network.

    model = ScriptedModel([call("find_order", order_id="1042"), say("It was sent.")])

Entries of a script: `say`, `call`, `calls`, `fail`, `slow`, `hang`, a plain `str` (as `say`), an `Assistant`,
a `ModelReply`, an exception (raised as it is), or a function `(ModelRequest) -> entry`.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from seawall.core.clock import Clock, SystemClock
from seawall.core.errors import Misused
from seawall.models.protocol import (
    Assistant,
    FailureKind,
    Finish,
    Message,
    ModelFailed,
    ModelReply,
    ModelRequest,
    Price,
    TextDelta,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
)

_SHOWN_CHARS = 200  # of the last message, in the error for a script that has ended
_PIECE = re.compile(r"\s*\S+\s*$|\s*\S+|\s+")


class Reply(msgspec.Struct, frozen=True):
    """A reply in a script, made by `say`, `call` and `calls`. The model gives an id to each call whose id is ""."""

    content: str | None = None
    calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    finish: Finish | None = None


class Failure(msgspec.Struct, frozen=True):
    """A failure in a script, made by `fail`."""

    kind: FailureKind
    message: str
    retry_after_s: float | None = None
    after: str = ""


class Slow(msgspec.Struct, frozen=True):
    """A delay before an entry in seconds, made by `slow` and `hang`. None means forever."""

    delay_s: float | None
    then: Entry


ScriptFunction = Callable[[ModelRequest], "Entry"]
Entry = str | Reply | Failure | Slow | Assistant | ModelReply | BaseException | ScriptFunction


def say(text: str, *, usage: Usage | None = None, finish: Finish = "stop") -> Reply:
    """Makes a reply of text."""
    return Reply(text, (), usage, finish)


def call(tool: str, arguments: Mapping[str, Any] | str | None = None, /, **named: Any) -> Reply:
    """Makes a reply of one tool call: `call("find_order", order_id="1042")`.

    Arguments are keywords, a mapping if a name is not an identifier, or a `str` that is sent as it is, even if it is
    not valid JSON.
    """
    if isinstance(arguments, str):
        if named:
            raise Misused(f"call({tool!r}): arguments as text and as keywords ({', '.join(named)}) at once")
        text = arguments
    else:
        text = msgspec.json.encode({**(arguments or {}), **named}).decode()
    return Reply(None, (ToolCall("", tool, text),))


def calls(*parts: Reply | ToolCall, text: str | None = None, usage: Usage | None = None) -> Reply:
    """Makes a reply of several calls at once, with `text` beside them if given.

    A `ToolCall` keeps its own id; every other call gets one that is unique in the conversation.
    """
    collected: list[ToolCall] = []
    for part in parts:
        if isinstance(part, ToolCall):
            collected.append(part)
        else:
            collected.extend(part.calls)
    return Reply(text, tuple(collected), usage)


def fail(
    kind: FailureKind, message: str | None = None, *, retry_after_s: float | None = None, after: str = ""
) -> Failure:
    """Makes an entry that raises a `ModelFailed` of that kind; a stream yields the text `after` first."""
    return Failure(kind, message or f"scripted failure: {kind}", retry_after_s, after)


def slow(seconds: float, then: Entry) -> Slow:
    """Makes an entry that plays `then` after `seconds` of the model's clock. It ignores `ModelRequest.timeout_s`."""
    return Slow(seconds, then)


def hang() -> Slow:
    """Makes an entry that never replies: the model waits until the caller cancels."""
    return Slow(None, "")


class ScriptEnded(Misused):
    """A scripted model was called more often than its script has replies."""


class ScriptedModel:
    """A `Model` that plays a list of entries in the order of arrival, or calls a function for each request.

    A list has one cursor, which starts at the first entry in each process. If several runs are in flight, use a
    function of the request. With `by="position"` the model counts the replies in the request's conversation instead, and
    plays the entry with that number, counted from 0. Use it if a run is resumed, decided on or forked: the script then
    continues where that run stands. The list needs an entry for every reply of its agent, in a session also for the
    replies of earlier runs, and a failure is repeated at each try. Replies that were left out of a shortened context are
    not counted (see `Context`). `requests` holds the latest `keep_requests` requests, and `request_count` counts all of
    them. Without a `usage` in the entry or here, the model estimates the tokens as a quarter of the characters of the
    request and the reply. The time for this estimate grows with the length of the conversation; a given `usage` takes no
    time.
    """

    def __init__(
        self,
        script: Sequence[Entry] | ScriptFunction,
        *,
        name: str = "scripted",
        price: Price | None = None,
        usage: Usage | None = None,
        clock: Clock | None = None,
        keep_requests: int = 1000,
        by: Literal["arrival", "position"] = "arrival",
    ) -> None:
        if isinstance(script, str):
            raise Misused(f"a script is a list or a function, not the text {script!r}; write [{script!r}]")
        if by not in ("arrival", "position"):
            raise Misused(f"ScriptedModel: by is {by!r}; it is 'arrival' or 'position'")
        if by == "position" and callable(script):
            raise Misused("ScriptedModel: by='position' is for a list; a function sees the request itself")
        self._function: ScriptFunction | None = None
        self._entries: tuple[Entry, ...] = ()
        if callable(script):
            self._function = script
        else:
            self._entries = tuple(
                _check_entry(entry, f"entry {i}") for i, entry in enumerate(script, start=1)
            )
        self._by = by
        self._furthest = 0
        self._name = name
        self._price = price
        self._usage = usage
        self._clock: Clock = clock or SystemClock()
        self._requests: deque[ModelRequest] = deque(maxlen=keep_requests)
        self._keeps = keep_requests > 0
        self.request_count = 0
        self._call_count = 0
        self._tools: tuple[tuple[ToolSpec, ...], int] = ((), 0)

    @property
    def name(self) -> str:
        """The name that is shown and recorded."""
        return self._name

    @property
    def price(self) -> Price | None:
        """The price, as given."""
        return self._price

    @property
    def requests(self) -> list[ModelRequest]:
        """The latest requests, oldest first."""
        return list(self._requests)

    @property
    def left(self) -> int | None:
        """The number of the script's entries that were not played yet; None for a function."""
        return None if self._function else max(0, len(self._entries) - self._furthest)

    async def respond(self, request: ModelRequest) -> ModelReply:
        """Returns the script's next reply. Raises `ModelFailed` if the script says so, `ScriptEnded` after its end."""
        entry = await self._take_entry(request)
        if isinstance(entry, Failure):
            raise ModelFailed(entry.kind, entry.message, retry_after_s=entry.retry_after_s)
        return self._make_reply(entry, request)

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yields the next reply's text word by word, then the reply. Raises as `respond` does."""
        entry = await self._take_entry(request)
        if isinstance(entry, Failure):
            for piece in _PIECE.findall(entry.after):
                yield TextDelta(piece)
            began = bool(entry.after)
            raise ModelFailed(entry.kind, entry.message, retry_after_s=entry.retry_after_s, began=began)
        reply = self._make_reply(entry, request)
        for piece in _PIECE.findall(reply.message.content or ""):
            yield TextDelta(piece)
        yield reply

    async def _take_entry(self, request: ModelRequest) -> Reply | Failure | ModelReply:
        """Records the request and plays its entry: waits for a delay, calls a function, raises an exception."""
        if self._keeps:
            messages = request.messages
            if type(messages) is not tuple:  # the caller may append to its list afterwards
                request = msgspec.structs.replace(request, messages=tuple(messages))
            self._requests.append(request)
        number = self.request_count if self._by == "arrival" else _count_replies(request)
        self.request_count += 1
        self._furthest = max(self._furthest, number + 1)
        if self._function is not None:
            entry = self._function(request)
        elif number < len(self._entries):
            entry = self._entries[number]
        else:
            raise ScriptEnded(self._describe_end(request))
        while True:
            if isinstance(entry, (Reply, Failure, ModelReply)):
                return entry
            if isinstance(entry, Slow):
                if entry.delay_s is None:
                    await asyncio.get_running_loop().create_future()
                else:
                    await self._clock.sleep(entry.delay_s)
                entry = entry.then
            elif isinstance(entry, str):
                return Reply(entry)
            elif isinstance(entry, Assistant):
                return Reply(entry.content, entry.calls)
            elif isinstance(entry, BaseException):
                raise entry
            else:
                entry = _check_entry(entry, f"reply {number + 1}")(request)

    def _make_reply(self, entry: Reply | ModelReply, request: ModelRequest) -> ModelReply:
        if isinstance(entry, ModelReply):
            return entry
        made = entry.calls
        if made and any(not one.id for one in made):
            made = tuple(self._give_id(one, i, request) for i, one in enumerate(made, start=1))
        message = Assistant(entry.content, made)
        usage = entry.usage or self._usage or self._estimate(request, message)
        finish = entry.finish or ("tool_calls" if made else "stop")
        return ModelReply(message=message, usage=usage, finish=finish)

    def _give_id(self, one: ToolCall, place: int, request: ModelRequest) -> ToolCall:
        """Gives a call an id that no earlier call of the conversation has, even if another process continues it.

        With a function, or by position, the ids depend only on the request, so that concurrent runs do not change each
        other's ids.
        """
        if one.id:
            return one
        if self._function is None and self._by == "arrival":
            self._call_count += 1
            place = self._call_count
        return ToolCall(f"call_{len(request.messages)}_{place}", one.name, one.arguments)

    def _estimate(self, request: ModelRequest, message: Assistant) -> Usage:
        chars = sum(map(_count_chars, request.messages))
        if request.tools:
            if self._tools[0] is not request.tools:
                self._tools = (request.tools, len(msgspec.json.encode(request.tools)))
            chars += self._tools[1]
        return Usage((chars + 3) // 4, (_count_chars(message) + 3) // 4)

    def _describe_end(self, request: ModelRequest) -> str:
        shown = "none"
        if request.messages:
            last = request.messages[-1]
            who = f"tool {last.name!r}" if isinstance(last, ToolResult) else type(last).__name__.lower()
            text = last.content or ""
            more = f"… ({len(text)} characters)" if len(text) > _SHOWN_CHARS else ""
            shown = f"{who}: {text[:_SHOWN_CHARS]!r}{more}"
        called = f"was called {self.request_count} times"
        if self._by == "position":
            called = f"was called in a conversation with {_count_replies(request)} replies"
        more = ""
        if self._by == "arrival" and _count_replies(request):
            more = "; for a run that is resumed or forked, give the model by='position'"
        return (
            f"model {self._name!r} {called} and its script has"
            f" {len(self._entries)} replies; the last message was {shown}{more}"
        )

    def __repr__(self) -> str:
        script = "function" if self._function else f"{self.left} of {len(self._entries)} replies left"
        return f"<ScriptedModel {self._name!r} {script}, {self.request_count} requests>"


def _check_entry(entry: Entry, where: str) -> Any:
    """Returns the entry. Raises `Misused` if it is of another type."""
    if isinstance(entry, (str, Reply, Failure, Slow, Assistant, ModelReply, BaseException)) or callable(
        entry
    ):
        return entry
    raise Misused(f"{where} of a script is {entry!r}; write say(…), call(…), calls(…), fail(…) or slow(…)")


def _count_replies(request: ModelRequest) -> int:
    return sum(isinstance(message, Assistant) for message in request.messages)


def _count_chars(message: Message) -> int:
    total = len(message.content or "")
    if type(message) is Assistant:
        for one in message.calls:
            total += len(one.name) + len(one.arguments)
    return total
