"""How a call of LangGraph's `ToolNode`, which LangChain's agents use, too, passes the gate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langgraph.prebuilt.tool_node import ToolCallRequest
from msgspec.structs import replace
from pydantic import BaseModel, ValidationError

from seawall.adapters.langchain_core.messages import make_tool_message, read_tool_result
from seawall.adapters.langchain_core.places import (
    FrameRefused,
    GraphPlace,
    ToolTurn,
    enter_tool,
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
        edited = _edit(request, turn)
        try:
            with enter_tool(place, turn.call, _make_turn(request)):
                brought = handler(edited)
        except FrameRefused as refused:
            brought = _write_refusal(request, refused)
        return _read_result(edited, brought), brought

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
        edited = _edit(request, turn)
        try:
            with enter_tool(place, turn.call, _make_turn(request)):
                brought = await handler(edited)
        except FrameRefused as refused:
            brought = _write_refusal(request, refused)
        return _read_result(edited, brought), brought

    done = await pass_gate_async(place, _ask(place, request), perform, beside=beside)
    return make_tool_message(request.tool_call, done)


def _read_result(request: ToolCallRequest, brought: Any) -> Result:
    """Returns a tool's value for the gate. `ToolNode` answers a call that does not fit the tool's schema by itself: then the
    tool was not called.
    """
    result = read_tool_result(brought)
    return replace(result, error="not_done") if result.error and not _fits(request) else result


_CHECK = "_parse_input"
"""The method of LangChain's tools that checks their arguments."""


def _fits(request: ToolCallRequest) -> bool:
    """Returns whether the tool was found and takes these arguments, as far as its own schema tells. The graph gives the tool
    further ones, which are missing here.
    """
    tool = request.tool
    schema: Any = None if tool is None else tool.args_schema
    if tool is None or not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return tool is not None
    # A class may check in a way of its own.
    if getattr(type(tool), _CHECK) is not getattr(BaseTool, _CHECK):
        return True
    try:
        schema.model_validate(request.tool_call["args"])
    except ValidationError as error:
        asked: Any = tool.tool_call_schema
        given = set(schema.model_fields) - set(asked.model_fields)
        return all(not each["loc"] or each["loc"][0] in given for each in error.errors())
    except Exception:  # noqa: BLE001 -- a validator of the user's own may raise anything
        return True
    return True


def _read_id(request: ToolCallRequest) -> str:
    return str(request.tool_call["id"] or "")


def _make_turn(request: ToolCallRequest) -> ToolTurn:
    return ToolTurn(cast("Any", request).runtime, request.tool_call["name"], _read_id(request))


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
