"""The conversion keeps converted messages for the next request, within a bound."""

from __future__ import annotations

import pytest

from seawall.models.protocol import Assistant, ToolCall, ToolResult, User
from seawall.models.providers import conversion
from seawall.models.providers.conversion import Conversion

ARGUMENTS = '{"at":"' + "y" * 291 + '"}'
RESULT = ToolResult("1", "look", "z" * 300)


def test_what_is_kept_of_converted_messages_is_bounded_by_their_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "KEPT_CHARS", 1_000)
    converted = Conversion()
    conversation = [User("x" * 300), Assistant(None, (ToolCall("1", "look", ARGUMENTS),)), RESULT]

    assert len(converted.convert_messages(conversation)) == 3
    assert repr(converted) == "<Conversion 3/8192 messages, 900/1,000 chars>"
    converted.convert_messages([*conversation, User("w" * 200)])
    assert repr(converted) == "<Conversion 1/8192 messages, 200/1,000 chars>"
    converted.convert_messages([User("v" * 2_000)])
    converted.convert_messages([User("hi")])
    assert repr(converted) == "<Conversion 1/8192 messages, 2/1,000 chars>"
