"""Gated copies of the tools that are no functions and that the SDK runs in the caller's process: shell, patch and custom tools."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from agents.editor import ApplyPatchOperation, ApplyPatchResult
from agents.tool import (
    ApplyPatchTool,
    CustomTool,
    LocalShellTool,
    ShellActionRequest,
    ShellCommandOutput,
    ShellResult,
    ShellTool,
    Tool,
)
from pydantic import TypeAdapter

from seawall.adapters.openai_agents.place import CallPlace, RaisedInstead, enter_place, find_invocation
from seawall.adapters.openai_agents.replies import (
    PATCH_FIELDS,
    SHELL_FIELDS,
    read_arguments,
    read_operation,
)
from seawall.core.canonical import digest_of
from seawall.run.step import Result
from seawall.runtime.foreign.asks import Turn
from seawall.runtime.foreign.results import make_failure, make_tool_result

ClientTool = CustomTool | ShellTool | LocalShellTool | ApplyPatchTool
_SHELL = TypeAdapter(ShellResult)
_PATCH = TypeAdapter(ApplyPatchResult)


class _ClientCall(NamedTuple):
    """One call of a tool."""

    call_id: str
    arguments: dict[str, Any]
    invoke: Callable[[dict[str, Any]], Any]
    """Performs the call with these arguments; a person may have changed them."""


class GatedClientTool:
    """Calls one tool of the user through the gate."""

    def __init__(self, tool: ClientTool, not_done: tuple[type[BaseException], ...]) -> None:
        self.tool, self._not_done = tool, not_done
        self._state = dict(tool.__dict__)

    def __repr__(self) -> str:
        return f"<GatedClientTool of {self.tool.name!r}>"

    def is_current(self) -> bool:
        """Returns whether the user has changed nothing of the tool since it was gated."""
        return self._state == self.tool.__dict__

    def make_copy(self) -> Any:
        """Returns the gated copy of the tool."""
        tool = self.tool
        gated = copy.copy(tool)
        gated.__dict__["_seawall_gated"] = self
        if isinstance(gated, CustomTool):
            gated.on_invoke_tool = self._invoke_custom
        elif isinstance(gated, ApplyPatchTool):
            gated.editor = _GatedEditor(self, cast("Any", tool).editor)
        else:
            gated.executor = self._run_shell if isinstance(gated, ShellTool) else self._run_local_shell
        return gated

    # ---- the tools

    async def _invoke_custom(self, context: Any, text: str) -> Any:
        tool = cast("CustomTool", self.tool)

        def invoke(arguments: dict[str, Any]) -> Any:
            return tool.on_invoke_tool(context, str(arguments.get("input", "")))

        return await self._call(_ClientCall(context.tool_call_id, {"input": text}, invoke))

    async def _run_shell(self, request: Any) -> Any:
        tool = cast("Any", self.tool)
        data = request.data

        def invoke(arguments: dict[str, Any]) -> Any:
            action = dataclasses.replace(data.action, **_pick(arguments, SHELL_FIELDS))
            return tool.executor(dataclasses.replace(request, data=dataclasses.replace(data, action=action)))

        return await self._call(_ClientCall(data.call_id, read_operation(data.action), invoke))

    async def _run_local_shell(self, request: Any) -> Any:
        tool = cast("Any", self.tool)
        data = request.data

        def invoke(arguments: dict[str, Any]) -> Any:
            action = data.action.model_copy(update=arguments)
            return tool.executor(
                dataclasses.replace(request, data=data.model_copy(update={"action": action}))
            )

        return await self._call(_ClientCall(data.call_id, read_operation(data.action), invoke))

    async def edit(self, editor: Any, operation: ApplyPatchOperation) -> Any:
        """Performs one operation of a patch with the user's editor."""
        given = read_operation(operation)

        def invoke(arguments: dict[str, Any]) -> Any:
            asked = dataclasses.replace(operation, **_pick(arguments, PATCH_FIELDS))
            return getattr(editor, asked.type)(asked)

        return await self._call(_ClientCall(self._find_call(given), given, invoke))

    def _find_call(self, operation: dict[str, Any]) -> str:
        """Returns the id of the call that asked for an operation. One call may ask for several. Without such a call in the newest
        reply it is "", so that operations are told apart by what they do and by their number.
        """
        names = ("apply_patch", self.tool.name)
        asked = [(call, text) for call, name, text in find_invocation().calls if name in names]
        for call, text in asked:
            if read_arguments(text) == operation:
                return call
        return f"{asked[0][0]}/{digest_of(operation)[:16]}" if asked else ""

    # ---- the gate

    async def _call(self, call: _ClientCall) -> Any:
        invocation = find_invocation()
        run = invocation.run
        place = CallPlace(invocation, invocation.agent, invocation.frame, call.call_id, [])

        async def perform(turn: Turn) -> tuple[Result, Any]:
            return await self._perform(call, place, dict(turn.arguments))

        with run.translate_errors():
            asked = run.session.tool(
                place.agent, self.tool.name, call.arguments, call_id=call.call_id, frame=place.frame
            )
            done = await run.session.step(asked, perform, asking=run.take(place.frame, call.call_id))
        settled = done.settled
        value = done.value if settled.performed else _recall(settled.text, settled.raw)
        if isinstance(value, RaisedInstead):
            raise value.error
        return _add_notes(value, settled.notes)

    async def _perform(
        self, call: _ClientCall, place: CallPlace, arguments: dict[str, Any]
    ) -> tuple[Result, Any]:
        try:
            with enter_place(place):
                found = call.invoke(arguments)
                value = await found if inspect.isawaitable(found) else found
        except Exception as error:
            if place.stops:
                raise place.stops[0] from error
            failed = make_failure(error, f"tool {self.tool.name!r}", self._not_done)
            raw = json.dumps({"raised": str(error) or type(error).__name__})
            return msgspec.structs.replace(failed, reasoning=raw), RaisedInstead(error)
        if place.stops:
            raise place.stops[0]  # an agent inside of it was stopped, even if the tool has swallowed that
        return _write(value), value


class _GatedEditor:
    """The editor of a patch tool, gated."""

    def __init__(self, gated: GatedClientTool, editor: Any) -> None:
        self._gated, self._editor = gated, editor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._editor, name)

    async def create_file(self, operation: ApplyPatchOperation) -> Any:
        return await self._gated.edit(self._editor, operation)

    async def update_file(self, operation: ApplyPatchOperation) -> Any:
        return await self._gated.edit(self._editor, operation)

    async def delete_file(self, operation: ApplyPatchOperation) -> Any:
        return await self._gated.edit(self._editor, operation)


def as_client_tool(tool: Tool) -> ClientTool | None:
    """Returns the tool if the SDK runs it in the caller's process and it can be gated; otherwise None."""
    if isinstance(tool, ShellTool):
        return None if tool.executor is None else tool  # without one, it runs in a container of the provider
    return tool if isinstance(tool, CustomTool | LocalShellTool | ApplyPatchTool) else None


def get_gated_client_tool(tool: Any) -> GatedClientTool | None:
    """Returns what gates a gated copy; None for another tool."""
    return getattr(tool, "__dict__", {}).get("_seawall_gated")


def restore_asked(tool: Any, arguments: dict[str, Any]) -> Any:
    """Returns what the SDK gives a tool's approval policy, from the arguments of a call."""
    if isinstance(tool, CustomTool):
        return str(arguments.get("input", ""))
    if isinstance(tool, ShellTool):
        return ShellActionRequest(**_pick(arguments, SHELL_FIELDS))
    if isinstance(tool, ApplyPatchTool):
        return ApplyPatchOperation(**_pick(arguments, PATCH_FIELDS))
    return arguments


def _pick(arguments: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: arguments.get(name) for name in names}


def _write(value: Any) -> Result:
    """Returns a tool's value as the result that is recorded and judged, with what is needed to restore it."""
    if isinstance(value, ShellResult):
        raw = json.dumps({"shell": _SHELL.dump_python(value, mode="json")})
        return make_tool_result("\n".join(map(_write_output, value.output)), raw=raw)
    if isinstance(value, ApplyPatchResult):
        raw = json.dumps({"patch": _PATCH.dump_python(value, mode="json")})
        return make_tool_result(
            value.output or value.status or "", raw=raw
        )  # a failure that is told is no doubt
    if value is None:
        return make_tool_result("", raw=json.dumps({"none": True}))
    return make_tool_result(str(value))


def _write_output(output: ShellCommandOutput) -> str:
    """Returns what a command has printed, and how it ended unless that was well."""
    ended = "timed out" if output.status == "timeout" else f"exit code {output.exit_code}"
    parts = (
        output.stdout,
        output.stderr,
        "" if output.exit_code in (0, None) and output.status != "timeout" else ended,
    )
    return "\n".join(part.rstrip("\n") for part in parts if part)


def _recall(text: str, raw: str | None) -> Any:
    """Returns a recorded value, or the gate's answer in its place."""
    if raw is None:
        return text
    ((kind, found),) = json.loads(raw).items()
    if kind == "raised":
        return RaisedInstead(RuntimeError(found))
    if kind == "none":
        return None
    return (_SHELL if kind == "shell" else _PATCH).validate_python(found)


def _add_notes(value: Any, notes: Sequence[str]) -> Any:
    """Returns a tool's value with the guards' advice."""
    if not notes:
        return value
    if isinstance(value, ShellResult):
        told = [ShellCommandOutput(stdout=note) for note in notes]
        return dataclasses.replace(value, output=[*value.output, *told])
    if isinstance(value, ApplyPatchResult):
        return dataclasses.replace(value, output="\n\n".join((value.output or "", *notes)).lstrip())
    return "\n\n".join(("" if value is None else str(value), *notes))
