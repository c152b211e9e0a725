"""Repairs a conversation for sending: parts that the protocol's servers refuse are replaced by similar accepted ones.

The record stays unchanged. A repair depends only on the messages before it and on the offered tools. So a conversation
that grows keeps its beginning, and the provider's prompt cache stays valid.
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
"""The replacement of a text that is empty or only white space."""
NO_RESULT = "[the result of this call was not recorded]"
BEGINNING = "[the conversation goes on]"
"""The request that is put before a conversation which does not begin with a request."""
NO_ANSWER = "[no answer]"
"""The assistant's message that is put between a result and the next request, for servers that require one."""
GO_ON = "[go on]"
"""The request that is put behind a conversation which ends with the assistant."""
NO_TOOLS = ToolSpec(
    "no_tools", "There are no tools any more: never call this.", {"type": "object", "properties": {}}
)
"""The tool that is offered if an agent without tools has calls in its history and the servers require tools then."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_CHARS = 9
"""The number of letters and digits of a repaired call id. Every protocol accepts this form, Mistral's servers too."""
_KEPT = 8192
"""How many repaired messages are kept for the next request."""

ReadIds = Callable[[Reasoning], Sequence[str]]
"""Returns the ids of a message's calls as its server wrote them."""


class Names:
    """The tool names of one request: Seawall's names and the sent names, which map one to one.

    Offered tools get their names first, so no repaired name equals the name of another tool.
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
        """`origin` is the model and host that the request is sent to; only reasoning from there is sent back."""
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
        """Returns the result of a call with the id and the name with which the call is sent."""
        return self._keep(
            message,
            (call.id, call.name),
            lambda: replace(self._fix_text(message), call_id=call.id, name=call.name),
        )

    def fix_assistant(self, message: Assistant, sent: tuple[tuple[str, str], ...]) -> Message:
        """Returns the assistant's message with these pairs of id and name for its calls."""
        return self._keep(message, sent, lambda: self._fix_assistant(message, sent))

    def list_ids(self, message: Assistant) -> Sequence[str]:
        """Returns the ids that the addressed server wrote for these calls, or "" for each call if another server wrote them."""
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
    """Returns the stand-in for the result of a call that has no recorded result; the same object for the same call."""
    return ToolResult(number, name, NO_RESULT)


@lru_cache(maxsize=1024)
def _make_call(number: str, name: str) -> Assistant:
    """Returns the stand-in for the call of a result that has no recorded call; the same object for the same result."""
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
            elif message.content.strip():  # no server accepts an empty instruction
                self._made.append(self._history.fix_text(message))
        self._close_calls()
        self._begin()
        if not self._rules.ends_with_assistant and self._ends_with(Assistant):
            self._made.append(_GO_ON)
        return self._made

    def _begin(self) -> None:
        """Adds a request if the messages do not begin with one."""
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
        """Returns an id that no earlier call has: the server's own id, or else the recorded one if the protocol allows it."""
        chosen = own or (recorded if self._rules.call_id.fullmatch(recorded) else "")
        count = 0
        while not chosen or chosen in self._ids:
            chosen = _digest(recorded, count)
            count += 1
        self._ids.add(chosen)
        return chosen
