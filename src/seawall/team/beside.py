"""Calls the further functions of an effect's tool: its preview, its reconcile function, and its undo tool."""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from seawall.core.errors import Misused
from seawall.core.redact import MARK
from seawall.team.declarations import RECEIPT
from seawall.team.parameters import ToolContext, find_context_parameter
from seawall.team.tool import Tool, encode_canonical, get_plain_function


def call_preview(tool: Tool, arguments: dict[str, Any], context: ToolContext) -> Any:
    """Calls a tool's preview function with the arguments of the call that the function takes."""
    return _call(tool, tool.options.preview, tool.validate_arguments(arguments), context)


def call_reconcile(tool: Tool, context: ToolContext) -> Any:
    """Calls a tool's reconcile function, which finds out what became of the call with the context's key."""
    return _call(tool, tool.options.reconcile, {"key": context.key}, context)


def fill_undo_arguments(tool: Tool, arguments: Mapping[str, Any], receipt: str | None) -> dict[str, Any]:
    """Returns the arguments for the undo tool of `tool`, made from the call's arguments and its receipt.

    `arguments` and `receipt` are the recorded ones. A receipt that is a JSON object or list is passed as such if the undo
    tool accepts that, and otherwise as text. Raises `Misused` if the tool has no undo, and `ValueError` if a needed value
    was redacted or the undo tool does not accept it.
    """
    undo = tool.options.undo
    if not isinstance(undo, Tool):
        raise Misused(f"tool {tool.name!r} declares no undo")
    takes = undo.spec.parameters.get("properties", {})
    filled = {name: value for name, value in arguments.items() if name in takes and name != RECEIPT}
    problem: ValueError | None = None
    for each in _list_readings(receipt) if RECEIPT in takes else ({},):
        given = filled | each
        if MARK in encode_canonical(given):
            raise ValueError(f"{undo.name!r} needs a value that is recorded without its secret")
        try:
            undo.validate_arguments(given)
        except ValueError as error:
            problem = error
        else:
            return given
    raise problem or ValueError(f"{undo.name!r} can't be filled")


def _list_readings(receipt: str | None) -> Iterator[dict[str, Any]]:
    """Yields the possible values of a recorded receipt, the most likely first."""
    if receipt is None:
        yield {}
        return
    parsed: Any = None
    with contextlib.suppress(ValueError):
        parsed = json.loads(receipt)
    if isinstance(parsed, dict | list):
        yield {RECEIPT: parsed}
    yield {RECEIPT: receipt}
    if parsed is not None and not isinstance(parsed, dict | list):
        yield {RECEIPT: parsed}


def _call(
    tool: Tool, function: Callable[..., Any] | None, values: Mapping[str, Any], context: ToolContext
) -> Any:
    if function is None:
        raise Misused(f"tool {tool.name!r} has no such function")
    function = get_plain_function(function)
    takes = inspect.signature(function).parameters
    everything = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in takes.values())
    given = {name: value for name, value in values.items() if everything or name in takes}
    where = find_context_parameter(function)
    if where is not None:
        given[where] = context
    return function(**given)
