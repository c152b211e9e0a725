"""What the name of a tool says of its effect: the verbs by which tools write, and those by which they read.

One rule for everybody who meets a tool that nobody has declared: the gate around frameworks, MCP servers, `seawall wrap`. Two
others ask something else of a name: the lint, whether others see what the tool changes (`lint/rules/effects.py`), and the
audit, how much a recorded call proves (`audit/tools.py`).
"""

from __future__ import annotations

import re

_WRITES = frozenset(
    [
        "activate",
        "add",
        "approve",
        "archive",
        "assign",
        "ban",
        "block",
        "book",
        "buy",
        "cancel",
        "charge",
        "close",
        "create",
        "deactivate",
        "delete",
        "deploy",
        "disable",
        "drop",
        "edit",
        "enable",
        "execute",
        "grant",
        "insert",
        "install",
        "invite",
        "issue",
        "merge",
        "modify",
        "move",
        "order",
        "pay",
        "post",
        "publish",
        "purge",
        "push",
        "put",
        "refund",
        "reject",
        "remove",
        "rename",
        "replace",
        "reserve",
        "reset",
        "restart",
        "revoke",
        "save",
        "schedule",
        "sell",
        "send",
        "set",
        "submit",
        "subscribe",
        "suspend",
        "terminate",
        "transfer",
        "unblock",
        "uninstall",
        "unsubscribe",
        "update",
        "upload",
        "upsert",
        "withdraw",
        "write",
    ]
)
_READS = frozenset(
    [
        "calculate",
        "check",
        "compare",
        "compute",
        "count",
        "describe",
        "explain",
        "fetch",
        "find",
        "get",
        "grep",
        "has",
        "inspect",
        "is",
        "list",
        "load",
        "look",
        "lookup",
        "peek",
        "preview",
        "query",
        "read",
        "retrieve",
        "scan",
        "search",
        "show",
        "summarize",
        "summarise",
        "translate",
        "validate",
        "verify",
        "view",
    ]
)
"""The verbs in names of tools, as public tool servers use them."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def seems_to_write(name: str) -> bool:
    """Returns whether a tool's name says that it changes the world: whether the first verb in it does."""
    words = (word.lower() for word in _WORD.findall(name))
    return next((word in _WRITES for word in words if word in _WRITES or word in _READS), False)


def seems_to_read(name: str) -> bool:
    """Returns whether a tool's name says that it only reads."""
    words = (word.lower() for word in _WORD.findall(name))
    return next((word in _READS for word in words if word in _WRITES or word in _READS), False)
