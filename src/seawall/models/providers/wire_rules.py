"""A table of what the servers of each protocol accept in a request. `history.py` repairs what they do not accept.

The sources of each row are in docs/explanation/compatible-servers.md. If servers of one protocol differ, the row has
what all of them accept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

MAX_ARGUMENTS_DEPTH = 64
"""The deepest nesting of objects and lists. Protobuf's JSON, which Gemini's servers read, allows 100 levels for the
whole request."""
INT_BITS = 64
"""The most bits of a whole number; strict JSON parsers refuse one that does not fit into a 64-bit integer."""
MAX_DERIVED_CHARS = 48
"""How many characters of the original name a repaired name keeps."""


@dataclass(frozen=True, kw_only=True)
class WireRules:
    """What the servers of one protocol accept. A message that breaks one of these rules is repaired."""

    tool_name: re.Pattern[str]
    """The pattern of a whole tool name, of an offered tool and of a call in the history."""
    call_id: re.Pattern[str]
    """The pattern of a whole call id that another server made. A server's own ids are sent back unchanged if they are
    unique."""
    blank_text: bool = False
    """Whether a request or a tool's result may be empty or only white space."""
    joins_neighbours: bool = False
    """Whether two messages of one role in a row are joined, because many chat templates refuse them."""
    user_after_tool: bool = True
    """Whether a user's message may follow a tool's result."""
    ends_with_assistant: bool = True
    """Whether the last message may be the assistant's."""
    tools_for_calls: bool = False
    """Whether a history with calls needs tools in the request."""
    thought_tags: tuple[str, str] | None = None
    """The begin and end tag between which servers write thoughts into the text of a message; None if they do not."""
    thought_field: str | None = None
    """The field for thoughts that a message with calls must have, even if it is empty; None without such a field."""
    thoughts_in_turn: bool = False
    """Whether each call since the last request of a person has to begin with its thoughts, in thinking mode."""


_NAME = r"[a-zA-Z0-9_-]{1,%d}"

CHAT = WireRules(
    tool_name=re.compile(_NAME % 64),
    call_id=re.compile(r"[!-~]{1,40}"),
    joins_neighbours=True,
    thought_tags=("<think>", "</think>"),
)
DEEPSEEK = replace(CHAT, thought_field="reasoning_content")
MISTRAL = WireRules(
    tool_name=re.compile(_NAME % 64),
    call_id=re.compile(r"[a-zA-Z0-9]{9}"),
    joins_neighbours=True,
    user_after_tool=False,
    ends_with_assistant=False,
    thought_tags=("<think>", "</think>"),
)
RESPONSES = WireRules(
    tool_name=re.compile(_NAME % 64),
    call_id=re.compile(_NAME % 64),
)
ANTHROPIC = WireRules(
    tool_name=re.compile(_NAME % 128),
    call_id=re.compile(_NAME % 64),
    joins_neighbours=True,
    ends_with_assistant=False,
    tools_for_calls=True,
    thoughts_in_turn=True,
)
GEMINI = WireRules(
    tool_name=re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,63}"),
    call_id=re.compile(_NAME % 64),
    joins_neighbours=True,
    ends_with_assistant=False,
)

RULES = {
    "openai_chat": CHAT,
    "openai_responses": RESPONSES,
    "anthropic_messages": ANTHROPIC,
    "google_gemini": GEMINI,
}
"""The rules by the name of the module in `clients/`."""

_MISTRAL = re.compile(r"(?i)(?:mistral|mixtral|ministral|codestral|devstral|magistral|pixtral)")
_DEEPSEEK = re.compile(r"(?:^|\.)(?:deepseek\.com|moonshot\.(?:ai|cn)|kimi\.com)$")


def find_rules(client: str, name: str, base_url: str | None) -> WireRules:
    """Returns the rules for a model.

    Mistral's models check more than the protocol says, on every server. DeepSeek's and Moonshot's own servers require a
    field that others refuse.
    """
    if client != "openai_chat":
        return RULES[client]
    host = (urlsplit(base_url).hostname or "") if base_url else ""
    if _MISTRAL.search(f"{name} {host}"):
        return MISTRAL
    return DEEPSEEK if _DEEPSEEK.search(host) else CHAT
