"""Which recorded tools write, and which are polls: a recording does not say.

The user can (`--effect`, `--poll`). Otherwise a name that says that it writes or reads is believed, and every other
tool *may* write:
something new from it may have changed the world, so what was known before is worth asking once more. That errs on
the side of letting a run go on.
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
"""Writes of one tool that no recording has."""

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
"""Words of a tool's name that say that it waits."""

POLLING_TOOLS = ("BashOutput", "TaskOutput", "command_status", "read_terminal", "get_process_output")
"""Tools of coding agents that look at a process that was begun before."""

_FIRST_WORD = re.compile(r"[a-z]+|[A-Z][a-z]*")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_LOOKS = re.compile(
    r'"(?:command|cmd|code|input|keystrokes)":"(?:\s*cd [^;&|"]+(?:&&|;))*\s*(?:sudo )?'
    r"(?:sleep|wait|until|while|watch|tail|ps|pgrep|jobs|top|noop)\b"
)
"""A shell command that begins with waiting, or with looking at what is under way."""
_NOTHING_ASKED = re.compile(r'"(?:command|cmd|input|keystrokes|chars)":"(?:\\[nr])*"')
"""An empty command looks at what the one before it prints meanwhile."""


@dataclass(frozen=True, kw_only=True)
class ToolNames:
    """What the user says of recorded tools, as names or patterns (`send_*`)."""

    effects: Sequence[str] = ()
    """They change the world; if any are given, all others only read."""
    polls: Sequence[str] = ()
    """They are asked until something has happened."""

    def poll(self, call: RecordedCall) -> bool:
        """Whether this call looks whether something has happened."""
        if _named(call.tool, self.polls) or call.tool in POLLING_TOOLS:
            return True
        if any(word.lower() in POLLING_WORDS for word in _WORD.findall(call.tool)):
            return True
        return bool(_LOOKS.search(call.arguments) or _NOTHING_ASKED.search(call.arguments))

    def effect(self, call: RecordedCall) -> bool:
        """Whether this tool is known to change the world."""
        if self.effects:
            return _named(call.tool, self.effects)
        return _verb(call.tool) in WRITING_VERBS

    def may_write(self, call: RecordedCall) -> bool:
        """Whether nothing says that this tool only reads."""
        return not self.effects and _verb(call.tool) not in READING_VERBS


def guards(names: ToolNames, options: LoopKeywords | None = None) -> tuple[Loops, ...]:
    """The guard as it is by default, and for recordings whose writes are guessed without the cap on writes.

    A tool's name tells enough to see that it was done twice, and not enough to stop a run because it was done often:
    `send_keys` is how some agents do everything.
    """
    given: LoopKeywords = options or {}
    return (Loops(**given) if names.effects else Loops(**{"writes": NO_CAP, **given}),)


def _verb(tool: str) -> str:
    first = _FIRST_WORD.match(tool)
    return "" if first is None else first.group().lower()


def _named(tool: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(tool, pattern) for pattern in patterns)
