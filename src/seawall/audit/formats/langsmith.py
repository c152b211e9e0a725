"""LangSmith: exported runs, each a model call, a tool or a chain, one in each value. Those of one trace are one run here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from seawall.audit.formats.format import Format
from seawall.audit.formats.langchain import read_generated
from seawall.audit.formats.openai import find_asked
from seawall.audit.gathering import OpenRuns, SpanCall
from seawall.audit.json_fields import (
    Fields,
    get_count,
    get_fields,
    get_list,
    get_text,
    get_time,
    normalise_arguments,
    open_json,
)
from seawall.audit.messages import read_content, read_message, read_messages, read_usage
from seawall.audit.recording import BadLine, RecordedMessage, RecordedRun
from seawall.audit.spans import RecordedSpan, SpanKind, Trace
from seawall.core.canonical import to_canonical_bytes
from seawall.models.protocol import Usage

NAME = "LangSmith"
MAX_DEPTH = 100
"""Levels of `child_runs` that are read: deeper than any framework nests."""
MAX_LINKS = 100_000
"""Exported runs whose ids are remembered, to find the trace of their children. They take some 20 MB."""
MAX_LITERAL_CHARS = 100_000
"""Characters of a text that is parsed as a Python literal. Parsing takes some ten times the text's size in memory."""
_KINDS: dict[str, SpanKind] = {"llm": "model", "tool": "tool", "retriever": "tool"}


def _recognise(value: Any) -> bool:
    row = get_fields(value)
    named = ("inputs", "outputs", "trace_id", "dotted_order")
    return "run_type" in row and any(name in row for name in named)


class _LangSmithReader:
    """Groups exported runs by their trace."""

    def __init__(self, file: str) -> None:
        self._traces = OpenRuns(lambda key, line: Trace(key, file, NAME, line))
        self._by_run: dict[str, str] = {}
        """The trace of each exported run that does not name its trace, by the run's id."""

    def read(self, value: Any, line: int) -> Iterator[RecordedRun | BadLine]:
        """Reads a value, and yields the runs that are closed to make room for it."""
        row = get_fields(value)
        key = self._find_trace(row, line)
        self._add(row, key, line, 0)
        yield from self._traces.settle(key)

    def _find_trace(self, row: Fields, line: int) -> str:
        named = get_text(row, "trace_id") or get_text(row, "dotted_order").split(".")[0].partition("Z")[2]
        own, parent = get_text(row, "id", "run_id"), get_text(row, "parent_run_id")
        key = named or self._by_run.get(parent, "") or parent or own or str(line)
        if not named and own:
            if len(self._by_run) >= MAX_LINKS:
                self._by_run.clear()
            self._by_run[own] = key
        return key

    def _add(self, row: Fields, key: str, line: int, depth: int) -> None:
        self._traces.get(key, line).add(_read_span(row, line))
        if depth < MAX_DEPTH:
            for child in get_list(row, "child_runs"):
                self._add(get_fields(child), key, line, depth + 1)

    def finish(self) -> Iterator[RecordedRun]:
        """Yields the runs that were still open."""
        self._by_run.clear()
        yield from self._traces.close_all()


def _read_span(row: Fields, line: int) -> RecordedSpan:
    kind = _KINDS.get(get_text(row, "run_type"), "other")
    given, output = open_json(row.get("inputs")), open_json(row.get("outputs"))
    extra = get_fields(open_json(row.get("extra")))
    metadata = get_fields(extra, "metadata")
    order = get_text(row, "dotted_order")
    is_top = not get_text(row, "parent_run_id")
    asked: list[RecordedMessage] = []
    replied: list[RecordedMessage] = []
    if kind == "model" or (kind == "other" and is_top):
        # the wrapped client of a provider writes the request itself
        sent = find_asked(get_fields(given), line) if kind == "model" else []
        asked = sent or read_generated(given, line)
        replied = _read_reply(output, line) if kind == "model" else []
        if kind == "other" and not asked:
            asked = read_generated(output, line)
    return RecordedSpan(
        id=get_text(row, "id", "run_id"),
        parent=get_text(row, "parent_run_id"),
        began=order or get_time(row, "start_time"),
        kind=kind,
        agent=get_text(metadata, "lc_agent_name", "agent_name"),
        asked=asked,
        replied=replied,
        usage=_read_usage(row, get_fields(output), metadata) if kind == "model" else None,
        model=get_text(metadata, "ls_model_name")
        or get_text(extra.get("invocation_params"), "model", "model_name")
        if kind == "model"
        else "",
        call=_read_call(row, given, output, line) if kind == "tool" else None,
        line=line,
    )


def _read_reply(output: Any, line: int) -> list[RecordedMessage]:
    fields = get_fields(output)
    choices = get_list(fields, "choices")
    if choices:
        return read_messages(choices[:1], line)
    found = read_generated(fields, line) or read_messages(get_list(fields, "output"), line)
    found = (
        found or read_messages([fields.get("output")], line) or read_messages([fields.get("message")], line)
    )
    if found:
        return found[-1:] if len(found) > 1 and found[-1].role == "assistant" else found
    generations = get_list(fields, "generations")
    first = generations[0] if generations else None
    text = get_text(get_list(first)[0] if get_list(first) else first, "text") or get_text(
        fields, "output", "text"
    )
    return [RecordedMessage(role="assistant", text=text, line=line)] if text else []


def _read_usage(row: Fields, output: Fields, metadata: Fields) -> Usage | None:
    sent, replied = get_count(row, "prompt_tokens"), get_count(row, "completion_tokens")
    found = read_usage(output) or read_usage(metadata)
    return found or (Usage(sent, replied) if sent or replied else None)


def _read_call(row: Fields, given: Any, output: Any, line: int) -> SpanCall:
    fields = get_fields(given)
    arguments = open_json(fields["input"]) if list(fields) == ["input"] else given
    if isinstance(arguments, str) and arguments[:1] == "{":
        arguments = _read_python(arguments)
    result = get_fields(output)
    inner = result["output"] if list(result) == ["output"] else output
    message = next(read_message(inner), None)
    error = get_text(row, "error")
    return SpanCall(
        tool=get_text(row, "name"),
        call_id="" if message is None else message.call_id,
        arguments=None if given is None else normalise_arguments(arguments),
        result=error if inner is None and error else None if output is None else read_content(inner),
        failed=bool(error) or (message is not None and message.failed),
        line=line,
    )


def _read_python(text: str) -> Any:
    """Returns the value of a Python literal, or the text itself if it is none. Older tracers write a tool's arguments as one."""
    try:
        value = ast.literal_eval(text) if len(text) <= MAX_LITERAL_CHARS else text
        to_canonical_bytes(value)  # raises for a Python literal that JSON can't express
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError):
        return text
    return value


FORMAT = Format(
    NAME,
    "exported runs with `run_type`, `inputs` and `outputs`, in any order",
    "a trace: the exported runs with one `trace_id`, in the order of `dotted_order` or `start_time`",
    _recognise,
    _LangSmithReader,
)
