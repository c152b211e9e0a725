"""The format of recorded calls: JSON lines, gzipped or not, one run a line.

    {"id": "r-1", "calls": [{"turn": 2, "agent": "main", "tool": "Bash", "arguments": {"command": "ls"},
                             "result": "a.txt", "error": false}, …]}

Only `calls`, and in each call `tool`, are needed. Whatever else a row has is left alone.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from seawall.core.canonical import replace_surrogates, to_canonical_bytes

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A longer line is left out, and said so: one line is one run, and it is held in memory as a whole. The longest of
the recordings that we tuned with has 1.1 MB."""
MAX_BAD_LINES = 20
"""In a row: then the rest of a file is not read. Single bad lines are named; a file of another kind has nothing else."""
GZIP_MAGIC = b"\x1f\x8b"


class RecordedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a recording."""

    tool: str
    arguments: str
    """Canonical JSON where it was JSON."""
    result: str
    failed: bool = False
    agent: str = ""
    turn: str | None = None
    """Calls of one agent in a row with the same turn were asked for by one reply. None: not told."""


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a recording."""

    id: str
    calls: tuple[RecordedCall, ...]
    line: int = 0
    row: dict[str, Any] = {}
    """The row's other fields, as they are."""
    lacks: tuple[str, ...] = ()
    """Of `arguments` and `result`: what none of its calls has. What then is said of the run may be false."""
    fields: tuple[str, ...] = ()
    """Those that its calls have."""


class BadLine(NamedTuple):
    """A line that can't be audited."""

    where: str
    """`file:line`."""
    why: str
    is_json: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


def read(path: Path, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[RecordedRun | BadLine]:
    """The runs of a file, one at a time, and what is wrong with it. Never raises for what the file holds.

    After `MAX_BAD_LINES` in a row the rest is not read, and a file that is no JSON lines from its first line on gives
    one `BadLine`.
    """
    bad: list[BadLine] = []
    told, good = 0, False
    """Of `bad`, and whether a run was read: until then nobody knows what kind of file it is."""
    for item in _lines(path, max_line_bytes):
        if isinstance(item, RecordedRun):
            yield from bad[told:]
            yield item
            bad, told, good = [], 0, True
            continue
        bad.append(item)
        if good or bad[0].is_json:
            yield from bad[told:]
            told = len(bad)
        if len(bad) == MAX_BAD_LINES:
            if told:
                yield BadLine(str(path), f"{len(bad)} bad lines in a row: the rest of it is not read")
            break
    if len(bad) > 1 and not told:
        first = f"line {bad[0].where.rpartition(':')[2]} is {bad[0].why}"
        yield BadLine(str(path), f"not JSON lines: one run a line is expected ({first})", is_json=False)
    else:
        yield from bad[told:]


def _lines(path: Path, max_line_bytes: int) -> Iterator[RecordedRun | BadLine]:
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
                    yield _run(line, where, number)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        where, further = (f"{path}:{number + 1}", " any further") if number else (str(path), "")
        yield BadLine(where, f"can't be read{further}: {reason}")


def _run(line: bytes, where: str, number: int) -> RecordedRun | BadLine:
    try:
        row = _decoded(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return BadLine(where, f"not a JSON value: {error}", is_json=False)
    if not isinstance(row, dict):
        return BadLine(where, f"a run is a JSON object, not {_kind(row)}")
    row = cast("dict[str, Any]", row)
    calls = row.get("calls")
    if not isinstance(calls, list):
        return BadLine(where, f"'calls' is a list of calls, not {_kind(calls)}")
    found: list[RecordedCall] = []
    for index, call in enumerate(cast("list[Any]", calls)):
        made = _call(call)
        if isinstance(made, str):
            return BadLine(where, f"call {index}: {made}")
        found.append(made)
    name = row.get("id")
    rest = {key: value for key, value in row.items() if key != "calls"}
    known = name if isinstance(name, str) else str(number) if name is None else _text(name)
    fields = dict.fromkeys(key for call in cast("list[dict[str, Any]]", calls) for key in call)
    told = {*fields, *("result" for call in found if call.result)}  # an error is a result too
    lacks = tuple(name for name in ("arguments", "result") if found and name not in told)
    return RecordedRun(id=known, calls=tuple(found), line=number, row=rest, lacks=lacks, fields=tuple(fields))


def _decoded(line: bytes) -> Any:
    """JSON; and what Python's `json` writes that is none: NaN, and characters that were cut in two."""
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        try:
            value = json.loads(line, parse_constant=lambda _: None)
        except ValueError:
            raise error from None
        return msgspec.json.decode(replace_surrogates(json.dumps(value, ensure_ascii=False)))


def _call(call: Any) -> RecordedCall | str:
    """One call, or what is wrong with it."""
    if not isinstance(call, dict):
        return f"a call is a JSON object, not {_kind(call)}"
    call = cast("dict[str, Any]", call)
    tool, agent, turn = call.get("tool"), call.get("agent"), call.get("turn")
    if not isinstance(tool, str):
        return f"'tool' is the name of a tool, not {_kind(tool)}"
    error = call.get("error")
    result = _text(call.get("result"))
    if isinstance(error, str) and error and error not in result:
        result = f"{error}\n{result}" if result else error
    return RecordedCall(
        tool=tool,
        arguments=_arguments(call.get("arguments")),
        result=result,
        failed=bool(error),
        agent=agent if isinstance(agent, str) else "",
        turn=None if turn is None else _text(turn),
    )


def _arguments(value: Any) -> str:
    """Arguments in one form: the order of keys and white space say nothing."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return "{}" if value is None else to_canonical_bytes(value).decode()


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else to_canonical_bytes(value).decode()


def _kind(value: object) -> str:
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
