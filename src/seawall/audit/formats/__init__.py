"""The formats of recordings that the audit reads, one file for each.

- `format.py`: the type of a format
- `calls.py`, `claude_code.py`, `otlp.py` with `otlp_attributes.py`, `langsmith.py`, `pydantic_ai.py`,
  `langchain.py`, `openai.py`: one each
- `conversations.py`: shared by the formats in which each value holds a conversation
"""

from seawall.audit.formats import calls, claude_code, langchain, langsmith, openai, otlp, pydantic_ai
from seawall.audit.formats.format import Format, Reader

FORMATS: tuple[Format, ...] = (
    calls.FORMAT,
    claude_code.FORMAT,
    otlp.FORMAT,
    langsmith.FORMAT,
    pydantic_ai.FORMAT,
    langchain.FORMAT,
    openai.RESPONSES,
    openai.CHAT,
)
"""All formats. A value is read in the format of the value before it, if that format recognises it; otherwise in the first
format that does."""

__all__ = ["FORMATS", "Format", "Reader"]
