"""What an effect's tool has beside its own function: its preview, the question what became of a call, and its undo."""

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
    """Calls a tool's preview function with those of the call's arguments that it takes."""
    return _call(tool, tool.options.preview, tool.validate_arguments(arguments), context)


def call_reconcile(tool: Tool, context: ToolContext) -> Any:
    """Asks the other side what became of the call with the context's key."""
    return _call(tool, tool.options.reconcile, {"key": context.key}, context)


def fill_undo_arguments(tool: Tool, arguments: Mapping[str, Any], receipt: str | None) -> dict[str, Any]:
    """Returns the arguments of the tool that undoes a call of `tool`, made of the call's own and of its receipt.

    `arguments` and `receipt` are as they were recorded. A receipt that is an object or a list is given as that, if the
    undo tool takes it so, and else as text. Raises `Misused` if the tool has no undo, and `ValueError` if a value is
    needed that was redacted or that the undo tool does not take.
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
    """Yields what a recorded receipt may be, the likeliest first."""
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
