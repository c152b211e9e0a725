"""A model's server that looks things up as long as it may call tools, and what it must have been sent at a limit."""

from __future__ import annotations

import json
from collections.abc import Sequence

from seawall.testing import call, say
from seawall.testing.faults import Answer
from seawall.testing.wire import ChatRequest

LAST = "Two orders are paid; the others were not looked up."


class Insatiable:
    """The script of a server that always wants one more call of `tool`."""

    def __init__(self, tool: str = "find_order") -> None:
        self.requests: list[ChatRequest] = []
        self._tool = tool

    def __call__(self, request: ChatRequest) -> Answer:
        """Answers once it may not call a tool."""
        self.requests.append(request)
        return call(self._tool, order=request.number) if may_call(request) else say(LAST)


def may_call(request: ChatRequest) -> bool:
    """Returns whether a request lets the model call tools."""
    return bool(request.body.get("tools")) and request.body.get("tool_choice") != "none"


def check_last(requests: Sequence[ChatRequest], limit: str) -> None:
    """The last request is without tools, and says why; the ones before are as the framework has written them."""
    *before, last = requests
    assert before
    assert all(may_call(each) for each in before)
    assert not may_call(last)
    assert "parallel_tool_calls" not in last.body or last.body.get("tools")
    told = json.dumps(last.messages[-1], ensure_ascii=False)
    assert f"({limit}), so this is your last reply" in told
    told_before = json.dumps([each.messages for each in before], ensure_ascii=False)
    assert "your last reply" not in told_before


def read_results(request: ChatRequest) -> list[str]:
    """Returns the texts of the results of tools in a request."""
    return [str(each["content"]) for each in request.messages if each["role"] == "tool"]
