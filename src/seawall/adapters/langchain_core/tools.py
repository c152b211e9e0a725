"""How a call of LangGraph's `ToolNode`, which LangChain's agents use, too, passes the gate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from langchain_core.messages import ToolMessage
from langgraph.prebuilt.tool_node import ToolCallRequest

from seawall.adapters.langchain_core.messages import make_tool_message, read_tool_result
from seawall.adapters.langchain_core.places import (
    FrameRefused,
    GraphPlace,
    inside_tool,
    pass_gate,
    pass_gate_async,
)
from seawall.run.step import Result
from seawall.runtime.foreign.asks import Turn


def gate_tool_call(
    place: GraphPlace,
    request: ToolCallRequest,
    handler: Callable[[ToolCallRequest], Any],
    *,
    beside: bool = False,
) -> Any:
    """Takes a call of a tool through the gate. `handler` performs it. `beside`: see `pass_gate`."""

    def perform(turn: Turn) -> tuple[Result, Any]:
        try:
            with inside_tool(place, _read_id(request), cast("Any", request).runtime):
                brought = handler(_edit(request, turn))
        except FrameRefused as refused:
            brought = _write_refusal(request, refused)
        return read_tool_result(brought), brought

    done = pass_gate(place, _ask(place, request), perform, beside=beside)
    return make_tool_message(request.tool_call, done)


async def gate_tool_call_async(
    place: GraphPlace,
    request: ToolCallRequest,
    handler: Callable[[ToolCallRequest], Awaitable[Any]],
    *,
    beside: bool = False,
) -> Any:
    """As `gate_tool_call`."""

    async def perform(turn: Turn) -> tuple[Result, Any]:
        try:
            with inside_tool(place, _read_id(request), cast("Any", request).runtime):
                brought = await handler(_edit(request, turn))
        except FrameRefused as refused:
            brought = _write_refusal(request, refused)
        return read_tool_result(brought), brought

    done = await pass_gate_async(place, _ask(place, request), perform, beside=beside)
    return make_tool_message(request.tool_call, done)


def _read_id(request: ToolCallRequest) -> str:
    return str(request.tool_call["id"] or "")


def _ask(place: GraphPlace, request: ToolCallRequest) -> Any:
    call = request.tool_call
    return place.session.tool(
        place.agent, call["name"], call["args"], call_id=_read_id(request), frame=place.frame
    )


def _edit(request: ToolCallRequest, turn: Turn) -> ToolCallRequest:
    if dict(turn.arguments) == request.tool_call["args"]:
        return request
    edited: Any = {**request.tool_call, "args": dict(turn.arguments)}
    return request.override(tool_call=edited)


def _write_refusal(request: ToolCallRequest, refused: FrameRefused) -> ToolMessage:
    return ToolMessage(
        str(refused), name=request.tool_call["name"], tool_call_id=_read_id(request), status="error"
    )
