"""Repairs a conversation as it is sent: what the protocol's servers refuse is replaced by the nearest that they accept.

The record stays as it was. A repair depends only on what stands before it and on the tools that are offered, so a
conversation that grows keeps its beginning, and a provider's prompt cache holds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from msgspec.structs import replace

from seawall.core.canonical import escape_unsendable
from seawall.models.protocol import (
    Assistant,
    Message,
    Reasoning,
    System,
    ToolCall,
    ToolResult,
    ToolSpec,
    User,
)
from seawall.models.providers.arguments import repair_arguments
from seawall.models.providers.wire_rules import MAX_DERIVED_CHARS, WireRules

EMPTY = "[empty]"
"""Stands for a text that is empty, or white space."""
NO_RESULT = "[the result of this call was not recorded]"
BEGINNING = "[the conversation goes on]"
"""The request before a conversation that does not begin with one."""
NO_ANSWER = "[no answer]"
"""The assistant's message between a result and the next request, for servers that want one."""
GO_ON = "[go on]"
"""The request behind a conversation that ends with the assistant."""
NO_TOOLS = ToolSpec(
    "no_tools", "There are no tools any more: never call this.", {"type": "object", "properties": {}}
)
"""Is offered where an agent without tools has calls in its history, and the servers want tools for them."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_CHARS = 9
"""Letters and digits of a repaired call id: the one form that every protocol accepts, Mistral's servers included."""
_KEPT = 8192
"""Repaired messages that are kept for the next request."""

ReadIds = Callable[[Reasoning], Sequence[str]]
"""Returns the ids of a message's calls as its server wrote them."""


class Names:
    """The tool names of one request: as Seawall has them, and as they are sent. They map one to one.

    A tool that is offered comes first, so no repaired name becomes the name of another tool.
    """

    def __init__(self, rules: WireRules, offered: Iterable[ToolSpec]) -> None:
        self._rules = rules
        self._sent: dict[str, str] = {}
        names = [spec.name for spec in offered]
        fit = [name for name in names if rules.tool_name.fullmatch(name)]
        self._sent.update(zip(fit, fit, strict=True))
        self._taken = set(fit)
        for name in names:
            self.send(name)
        self._offered = {sent: name for name, sent in self._sent.items() if sent != name}

    def send(self, name: str) -> str:
        """Returns the name as it is sent."""
        sent = self._sent.get(name)
        if sent is None:
            fits = self._rules.tool_name.fullmatch(name) is not None and name not in self._taken
            sent = self._sent[name] = name if fits else self._derive(name)
            self._taken.add(sent)
        return sent

    def receive(self, sent: str) -> str:
        """Returns the name of the offered tool that is sent as `sent`; any other name stays as it is."""
        return self._offered.get(sent, sent)

    def _derive(self, name: str) -> str:
        readable = re.sub(r"[^a-zA-Z0-9_-]+", "_", name)[:MAX_DERIVED_CHARS].strip("_-") or "unnamed"
        lead = readable if readable[0].isalpha() else f"_{readable}"
        count = 0
        while (made := f"{lead}_{_digest(name, count)}") in self._taken:
            count += 1
        return made


def _digest(text: str, count: int) -> str:
    data = f"{count}:{text}".encode("utf-8", "backslashreplace")
    number = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
    digits = ""
    for _ in range(_ID_CHARS):
        number, digit = divmod(number, len(_DIGITS))
        digits += _DIGITS[digit]
    return digits


class History:
    """Repairs conversations by the rules of a protocol. It repairs each message object once."""

    def __init__(self, rules: WireRules, origin: str, read_ids: ReadIds) -> None:
        """`origin` is the model and host that is asked; only its own reasoning goes back to it."""
        self.rules = rules
        self._origin = origin
        self._read_ids = read_ids
        self._kept: dict[int, tuple[Message, object, Message]] = {}
        self._ids: dict[int, tuple[Message, Sequence[str]]] = {}

    def __repr__(self) -> str:
        return f"<History {len(self._kept)}/{_KEPT} messages>"

    def repair(self, given: Sequence[Message], names: Names) -> list[Message]:
        """Returns the messages as they are sent. Those that need no repair are the same objects."""
        return _Repair(self, names).repair(given)

    # ---- one message

    def fix_text(self, message: System | User | ToolResult) -> Message:
        """Returns a text that the servers accept."""
        return self._keep(message, None, self._fix_text)

    def fix_result(self, message: ToolResult, call: ToolCall) -> Message:
        """Returns the result of a call, as that is sent."""
        return self._keep(
            message,
            (call.id, call.name),
            lambda: replace(self._fix_text(message), call_id=call.id, name=call.name),
        )

    def fix_assistant(self, message: Assistant, sent: tuple[tuple[str, str], ...]) -> Message:
        """Returns the assistant's message with these (id, name) of its calls."""
        return self._keep(message, sent, lambda: self._fix_assistant(message, sent))

    def list_ids(self, message: Assistant) -> Sequence[str]:
        """Returns the ids that the server asked wrote for these calls, or "" for each call of another."""
        own = message.reasoning
        if own is None or own.origin != self._origin:
            return ("",) * len(message.calls)
        known = self._ids.get(id(message))
        if known is None:
            found = self._read_ids(own)
            if len(found) != len(message.calls):
                found = ("",) * len(message.calls)
            known = self._ids[id(message)] = (message, found)
        return known[1]

    def _keep(self, message: Message, variant: object, fix: Callable[..., Message]) -> Message:
        known = self._kept.get(id(message))
        if known is not None and known[1] == variant:
            return known[2]
        if len(self._kept) >= _KEPT:
            self._kept.clear()
            self._ids.clear()
        fixed = fix() if variant is not None else fix(message)
        fixed = message if fixed == message else fixed
        # The message is kept too, so that no other object gets its id.
        self._kept[id(message)] = (message, variant, fixed)
        return fixed

    def _fix_text(self, message: Message) -> Message:
        content = escape_unsendable(message.content or "")
        if not self.rules.blank_text and not content.strip():
            content = EMPTY
        return message if content == message.content else replace(message, content=content)

    def _fix_assistant(self, message: Assistant, sent: tuple[tuple[str, str], ...]) -> Assistant:
        calls = tuple(
            ToolCall(number, name, repair_arguments(one.arguments))
            for (number, name), one in zip(sent, message.calls, strict=True)
        )
        content = escape_unsendable(message.content or "")
        if not content.strip():
            content = None if calls else EMPTY
        own = message.reasoning
        if own is not None and (own.origin != self._origin or (not calls and content == EMPTY)):
            own = None
        return Assistant(content, calls, own)


@lru_cache(maxsize=1024)
def _make_result(number: str, name: str) -> ToolResult:
    """Returns the result of a call whose own was not recorded: the same object for the same call."""
    return ToolResult(number, name, NO_RESULT)


@lru_cache(maxsize=1024)
def _make_call(number: str, name: str) -> Assistant:
    """Returns the call of a result whose own was not recorded: the same object for the same result."""
    return Assistant(None, (ToolCall(number, name, "{}"),))


_BEGINNING, _NO_ANSWER, _GO_ON = User(BEGINNING), Assistant(NO_ANSWER), User(GO_ON)


class _Repair:
    """The repair of one request's messages, in their order."""

    def __init__(self, history: History, names: Names) -> None:
        self._history = history
        self._rules = history.rules
        self._names = names
        self._ids: set[str] = set()
        self._open: list[tuple[str, ToolCall]] = []
        """The recorded ids of calls without a result so far, and these calls as they are sent."""
        self._made: list[Message] = []

    def repair(self, given: Sequence[Message]) -> list[Message]:
        for message in given:
            if isinstance(message, ToolResult):
                self._add_result(message)
                continue
            self._close_calls()
            if isinstance(message, Assistant):
                self._add_assistant(message)
            elif isinstance(message, User):
                if not self._rules.user_after_tool and self._ends_with(ToolResult):
                    self._made.append(_NO_ANSWER)
                self._made.append(self._history.fix_text(message))
            elif message.content.strip():  # no server wants an empty instruction
                self._made.append(self._history.fix_text(message))
        self._close_calls()
        self._begin()
        if not self._rules.ends_with_assistant and self._ends_with(Assistant):
            self._made.append(_GO_ON)
        return self._made

    def _begin(self) -> None:
        """Adds a request, if there is none yet."""
        if all(isinstance(each, System) for each in self._made):
            self._made.append(_BEGINNING)

    def _ends_with(self, kind: type[Message]) -> bool:
        return bool(self._made) and isinstance(self._made[-1], kind)

    def _add_assistant(self, message: Assistant) -> None:
        self._begin()
        sent: list[tuple[str, str]] = []
        for call, own in zip(message.calls, self._history.list_ids(message), strict=True):
            one = ToolCall(self._choose_id(call.id, own), self._names.send(call.name), "")
            self._open.append((call.id, one))
            sent.append((one.id, one.name))
        self._made.append(self._history.fix_assistant(message, tuple(sent)))

    def _add_result(self, message: ToolResult) -> None:
        found = next((pair for pair in self._open if pair[0] == message.call_id), None)
        if found is not None:
            self._open.remove(found)
            call = found[1]
        else:
            self._close_calls()
            self._begin()
            call = ToolCall(self._choose_id(message.call_id, ""), self._names.send(message.name), "")
            self._made.append(_make_call(call.id, call.name))
        self._made.append(self._history.fix_result(message, call))

    def _close_calls(self) -> None:
        for _, call in self._open:
            self._made.append(_make_result(call.id, call.name))
        self._open.clear()

    def _choose_id(self, recorded: str, own: str) -> str:
        """Returns an id that no call before has: the server's own, else the recorded one if it fits."""
        chosen = own or (recorded if self._rules.call_id.fullmatch(recorded) else "")
        count = 0
        while not chosen or chosen in self._ids:
            chosen = _digest(recorded, count)
            count += 1
        self._ids.add(chosen)
        return chosen
