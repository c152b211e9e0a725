"""The formats of recordings that are read, each in a file of its own.

- `format.py`: what a format is
- `calls.py`, `claude_code.py`, `otlp.py` with `otlp_attributes.py`, `langsmith.py`, `pydantic_ai.py`,
  `langchain.py`, `openai.py`: one each
- `conversations.py`: what formats share whose values each hold a conversation
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
"""All formats. A value is read as the first that recognises it, or as the one before it in its file."""

__all__ = ["FORMATS", "Format", "Reader"]
