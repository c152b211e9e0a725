"""Recorded calls in Seawall's own format: JSON lines, one run on each line.

    {"id": "r-1", "calls": [{"turn": 2, "agent": "main", "tool": "Bash", "arguments": {"command": "ls"},
                             "result": "a.txt", "error": false}, …]}

Only `calls`, and in each call `tool`, are needed. Other fields of a row are kept as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seawall.audit.formats.format import Format
from seawall.audit.json_fields import (
    describe_type,
    format_text,
    get_fields,
    get_list,
    normalise_arguments,
)
from seawall.audit.recording import BadLine, RecordedCall, RecordedRun

NAME = "recorded calls"


def _recognise(value: Any) -> bool:
    return "calls" in get_fields(value)


class _CallsReader:
    """Reads one run from each value."""

    def __init__(self, file: str) -> None:
        self._file = file

    def read(self, value: Any, line: int) -> Iterator[RecordedRun | BadLine]:
        """Yields the run."""
        yield parse_row(value, self._file, line)

    def finish(self) -> Iterator[RecordedRun]:
        """Yields nothing, because each run ends with its value."""
        return iter(())


FORMAT = Format(NAME, "an object with `calls`, each with `tool`", "each object", _recognise, _CallsReader)


def parse_row(value: Any, file: str, line: int) -> RecordedRun | BadLine:
    """Returns the run of a row, or a `BadLine` that says what is wrong with the row."""
    where = f"{file}:{line}"
    row = get_fields(value)
    calls = row.get("calls")
    if not isinstance(calls, list):
        return BadLine(where, f"'calls' is a list of calls, not {describe_type(calls)}")
    parsed: list[RecordedCall] = []
    for index, call in enumerate(get_list(row, "calls")):
        result = _parse_call(call, line)
        if isinstance(result, str):
            return BadLine(where, f"call {index}: {result}")
        parsed.append(result)
    name = row.get("id")
    rest = {key: value for key, value in row.items() if key != "calls"}
    run_id = name if isinstance(name, str) else str(line) if name is None else format_text(name)
    fields = dict.fromkeys(key for call in get_list(row, "calls") for key in get_fields(call))
    has = {*fields, *("result" for call in parsed if call.result)}  # an error counts as a result
    lacks = tuple(name for name in ("arguments", "result") if parsed and name not in has)
    return RecordedRun(
        id=run_id,
        calls=tuple(parsed),
        line=line,
        file=file,
        format=NAME,
        row=rest,
        lacks=lacks,
        fields=tuple(fields),
    )


def _parse_call(call: Any, line: int) -> RecordedCall | str:
    """Returns the call, or a text on what is wrong with it."""
    if not isinstance(call, dict):
        return f"a call is a JSON object, not {describe_type(call)}"
    fields = get_fields(call)
    tool, agent, turn = fields.get("tool"), fields.get("agent"), fields.get("turn")
    if not isinstance(tool, str):
        return f"'tool' is the name of a tool, not {describe_type(tool)}"
    error = fields.get("error")
    result = format_text(fields.get("result"))
    if isinstance(error, str) and error and error not in result:
        result = f"{error}\n{result}" if result else error
    return RecordedCall(
        tool=tool,
        arguments=normalise_arguments(fields.get("arguments")),
        result=result,
        failed=bool(error),
        agent=agent if isinstance(agent, str) else "",
        turn=None if turn is None else format_text(turn),
        line=line,
    )
