"""Writes one conversation in the shapes in which others record it: the rows of a file, for tests and for audit_files.py.

The shapes follow the public documentation of each format, and what its own exporters write.
"""

from collections.abc import Callable

from recorded import langchain, messages, pydantic_ai, spans
from recorded.conversation import Conversation, Row, Turn, make_loop, make_work

SHAPES: dict[str, Callable[[Conversation], list[Row]]] = {
    "chat": messages.write_chat,
    "chat_list": messages.write_chat_list,
    "chat_log": messages.write_chat_log,
    "responses": messages.write_responses,
    "response_items": messages.write_response_items,
    "langchain": langchain.write_langchain,
    "langchain_constructors": langchain.write_langchain_constructors,
    "langchain_data": langchain.write_langchain_data,
    "checkpoints": langchain.write_checkpoints,
    "updates": langchain.write_updates,
    "events": langchain.write_events,
    "langsmith": langchain.write_langsmith,
    "otlp": spans.write_otlp,
    "otlp_events": spans.write_otlp_events,
    "openinference": spans.write_openinference,
    "openllmetry": spans.write_openllmetry,
    "pydantic_ai": pydantic_ai.write_pydantic_ai,
    "pydantic_ai_history": pydantic_ai.write_pydantic_ai_history,
    "pydantic_ai_messages": pydantic_ai.write_pydantic_ai_messages,
    "claude_code": messages.write_claude_code,
}
"""By name: what writes a conversation in this shape."""

__all__ = ["SHAPES", "Conversation", "Row", "Turn", "make_loop", "make_work"]
