"""Decides which recorded tools write, and which are polls, because a recording does not say it.

The user can declare it (`--effect`, `--poll`). Otherwise the names decide: a tool whose name begins with a writing or a
reading verb writes or reads, and every other tool *may* write. A new result of a tool that may write may mean that the
world has changed, so known information is worth reading once more. This errs on the side of letting a run go on.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

from seawall.audit.recording import RecordedCall
from seawall.guards.loops import Loops
from seawall.guards.loops.options import LoopKeywords

NO_CAP = 1_000_000_000
"""A cap on writes that no recording reaches."""

WRITING_VERBS = frozenset(
    (
        *(
            "activate",
            "add",
            "append",
            "apply",
            "book",
            "buy",
            "cancel",
            "connect",
            "create",
            "deactivate",
            "delete",
        ),
        *(
            "disable",
            "disconnect",
            "edit",
            "enable",
            "exchange",
            "grant",
            "insert",
            "install",
            "invite",
            "modify",
        ),
        *(
            "move",
            "order",
            "pay",
            "post",
            "reboot",
            "refuel",
            "refund",
            "remove",
            "rename",
            "replace",
            "reschedule",
        ),
        *(
            "reseat",
            "reserve",
            "reset",
            "restart",
            "resume",
            "return",
            "revoke",
            "save",
            "schedule",
            "send",
            "set",
        ),
        *("share", "submit", "suspend", "toggle", "transfer", "turn", "uninstall", "update", "write"),
    )
)
"""First words of a tool's name (`send_email`, `sendEmail`) that say that it changes the world."""

READING_VERBS = frozenset(
    (
        *(
            "check",
            "count",
            "describe",
            "fetch",
            "find",
            "get",
            "glob",
            "grep",
            "inspect",
            "list",
            "look",
            "lookup",
        ),
        *("query", "read", "search", "show", "verify", "view"),
    )
)
"""First words of a tool's name (`get_user`, `readFile`) that say that it only reads."""

POLLING_WORDS = ("poll", "sleep", "wait")
"""Words in a tool's name which say that it waits."""

POLLING_TOOLS = ("BashOutput", "TaskOutput", "command_status", "read_terminal", "get_process_output")
"""Tools of coding agents that read the output or the state of a process that was started before."""

_FIRST_WORD = re.compile(r"[a-z]+|[A-Z][a-z]*")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_WAITING_COMMAND = re.compile(
    r'"(?:command|cmd|code|input|keystrokes)":"(?:\s*cd [^;&|"]+(?:&&|;))*\s*(?:sudo )?'
    r"(?:sleep|wait|until|while|watch|tail|ps|pgrep|jobs|top|noop)\b"
)
"""A shell command that begins with a wait, or with a look at running processes."""
_EMPTY_COMMAND = re.compile(r'"(?:command|cmd|input|keystrokes|chars)":"(?:\\[nr])*"')
"""An empty command, which reads what the command before it has printed meanwhile."""


@dataclass(frozen=True, kw_only=True)
class ToolNames:
    """The user's declarations about recorded tools, as names or patterns (`send_*`)."""

    effects: Sequence[str] = ()
    """Tools that change the world. If any are named, all other tools only read."""
    polls: Sequence[str] = ()
    """Tools that are called until something has happened."""

    def is_poll(self, call: RecordedCall) -> bool:
        """Returns whether this call checks if something has happened."""
        if _matches_any(call.tool, self.polls) or call.tool in POLLING_TOOLS:
            return True
        if any(word.lower() in POLLING_WORDS for word in _WORD.findall(call.tool)):
            return True
        return bool(_WAITING_COMMAND.search(call.arguments) or _EMPTY_COMMAND.search(call.arguments))

    def is_effect(self, call: RecordedCall) -> bool:
        """Returns whether this tool is known to change the world."""
        if self.effects:
            return _matches_any(call.tool, self.effects)
        return _read_verb(call.tool) in WRITING_VERBS

    def may_write(self, call: RecordedCall) -> bool:
        """Returns whether this tool may write: neither the user nor its name says that it only reads."""
        return not self.effects and _read_verb(call.tool) not in READING_VERBS


def make_guards(names: ToolNames, options: LoopKeywords | None = None) -> tuple[Loops, ...]:
    """Returns the loop guard with these options, or with its defaults. If the user names no effects, it has no cap on writes.

    If the effects are guessed from the tools' names, the guess is good enough to find that a call was made twice. It is not
    good enough to stop a run because a tool was called often: some agents do everything with `send_keys`.
    """
    keywords: LoopKeywords = options or {}
    return (Loops(**keywords) if names.effects else Loops(**{"writes": NO_CAP, **keywords}),)


def _read_verb(tool: str) -> str:
    first = _FIRST_WORD.match(tool)
    return "" if first is None else first.group().lower()


def _matches_any(tool: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(tool, pattern) for pattern in patterns)
