"""The format of recorded calls: JSON lines, gzipped or not, one run a line.

    {"id": "r-1", "calls": [{"turn": 2, "agent": "main", "tool": "Bash", "arguments": {"command": "ls"},
                             "result": "a.txt", "error": false}, …]}

Only `calls`, and in each call `tool`, are needed. Other fields of a row are kept as they are.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from seawall.core.canonical import escape_surrogates_in_json, to_canonical_bytes

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A longer line is left out and reported as a bad line. One line is one run, and the reader holds it in memory as a
whole. The longest line of the recordings with which we tuned the guard has 1.1 MB."""
MAX_BAD_LINES = 20
"""After so many bad lines in a row the rest of a file is not read. A file of another kind has nothing but bad lines."""
GZIP_MAGIC = b"\x1f\x8b"


class RecordedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a recording."""

    tool: str
    arguments: str
    """Canonical JSON if it was JSON, otherwise the text as it is."""
    result: str
    failed: bool = False
    agent: str = ""
    turn: str | None = None
    """Calls of one agent in a row with the same turn come from one reply. None: the recording does not say."""


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a recording."""

    id: str
    calls: tuple[RecordedCall, ...]
    line: int = 0
    row: dict[str, Any] = {}
    """The row's other fields, as they are."""
    lacks: tuple[str, ...] = ()
    """`arguments` or `result`, if none of its calls has this field. Then the audit of the run may be wrong."""
    fields: tuple[str, ...] = ()
    """The fields that its calls have."""


class BadLine(NamedTuple):
    """A line that can't be audited."""

    where: str
    """`file:line`."""
    why: str
    is_json: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


def read_runs(path: Path, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[RecordedRun | BadLine]:
    """Yields the runs of a file, one at a time, and its bad lines. Never raises because of what the file holds.

    After `MAX_BAD_LINES` bad lines in a row it stops. A file that is not JSON lines from its first line on yields one
    `BadLine`.
    """
    bad: list[BadLine] = []
    """The newest bad lines in a row."""
    yielded, good = 0, False
    """How many of `bad` were yielded, and whether a run was read: before that, the kind of the file is not known."""
    for item in _read_lines(path, max_line_bytes):
        if isinstance(item, RecordedRun):
            yield from bad[yielded:]
            yield item
            bad, yielded, good = [], 0, True
            continue
        bad.append(item)
        if good or bad[0].is_json:
            yield from bad[yielded:]
            yielded = len(bad)
        if len(bad) == MAX_BAD_LINES:
            if yielded:
                yield BadLine(str(path), f"{len(bad)} bad lines in a row: the rest of it is not read")
            break
    if len(bad) > 1 and not yielded:
        first = f"line {bad[0].where.rpartition(':')[2]} is {bad[0].why}"
        yield BadLine(str(path), f"not JSON lines: one run a line is expected ({first})", is_json=False)
    else:
        yield from bad[yielded:]


def _read_lines(path: Path, max_line_bytes: int) -> Iterator[RecordedRun | BadLine]:
    number = 0
    try:
        with path.open("rb") as plain:
            zipped = plain.peek(2)[:2] == GZIP_MAGIC  # a pipe can't be read from its beginning again
            file = cast("IO[bytes]", gzip.GzipFile(fileobj=plain)) if zipped else plain
            while line := file.readline(max_line_bytes + 1):
                number += 1
                where = f"{path}:{number}"
                if len(line) > max_line_bytes:
                    while line and not line.endswith(b"\n"):
                        line = file.readline(max_line_bytes)
                    yield BadLine(where, f"the line has more than {max_line_bytes:,} bytes; it is left out")
                elif line.strip():
                    yield parse_run(line, where, number)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        where, further = (f"{path}:{number + 1}", " any further") if number else (str(path), "")
        yield BadLine(where, f"can't be read{further}: {reason}")


def parse_run(line: bytes, where: str, number: int) -> RecordedRun | BadLine:
    """Returns the run in a line, or what is wrong with it. `where` names the line, `number` counts it from 1."""
    try:
        row = _decode_json(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return BadLine(where, f"not a JSON value: {error}", is_json=False)
    if not isinstance(row, dict):
        return BadLine(where, f"a run is a JSON object, not {_describe_type(row)}")
    row = cast("dict[str, Any]", row)
    calls = row.get("calls")
    if not isinstance(calls, list):
        return BadLine(where, f"'calls' is a list of calls, not {_describe_type(calls)}")
    parsed: list[RecordedCall] = []
    for index, call in enumerate(cast("list[Any]", calls)):
        result = _parse_call(call)
        if isinstance(result, str):
            return BadLine(where, f"call {index}: {result}")
        parsed.append(result)
    name = row.get("id")
    rest = {key: value for key, value in row.items() if key != "calls"}
    run_id = name if isinstance(name, str) else str(number) if name is None else _format_text(name)
    fields = dict.fromkeys(key for call in cast("list[dict[str, Any]]", calls) for key in call)
    has = {*fields, *("result" for call in parsed if call.result)}  # an error is a result, too
    lacks = tuple(name for name in ("arguments", "result") if parsed and name not in has)
    return RecordedRun(
        id=run_id, calls=tuple(parsed), line=number, row=rest, lacks=lacks, fields=tuple(fields)
    )


def _decode_json(line: bytes) -> Any:
    """Decodes JSON, and also what only Python's `json` writes: NaN, and characters that were cut in two."""
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        try:
            value = json.loads(line, parse_constant=lambda _: None)
        except ValueError:
            raise error from None
        return msgspec.json.decode(escape_surrogates_in_json(json.dumps(value, ensure_ascii=False)))


def _parse_call(call: Any) -> RecordedCall | str:
    """Returns the call, or what is wrong with it."""
    if not isinstance(call, dict):
        return f"a call is a JSON object, not {_describe_type(call)}"
    call = cast("dict[str, Any]", call)
    tool, agent, turn = call.get("tool"), call.get("agent"), call.get("turn")
    if not isinstance(tool, str):
        return f"'tool' is the name of a tool, not {_describe_type(tool)}"
    error = call.get("error")
    result = _format_text(call.get("result"))
    if isinstance(error, str) and error and error not in result:
        result = f"{error}\n{result}" if result else error
    return RecordedCall(
        tool=tool,
        arguments=_normalise_arguments(call.get("arguments")),
        result=result,
        failed=bool(error),
        agent=agent if isinstance(agent, str) else "",
        turn=None if turn is None else _format_text(turn),
    )


def _normalise_arguments(value: Any) -> str:
    """Returns arguments in one form: the order of keys and white space do not matter."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return "{}" if value is None else to_canonical_bytes(value).decode()


def _format_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else to_canonical_bytes(value).decode()


def _describe_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a number"
