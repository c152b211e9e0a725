"""OpenTelemetry: spans and log records of GenAI, as OTLP JSON or as an SDK prints them. Those of one trace are one run.

`otlp_attributes.py` finds the content of a model call in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seawall.audit.formats import otlp_attributes as attributes
from seawall.audit.formats.format import Format
from seawall.audit.gathering import OpenRuns
from seawall.audit.json_fields import Fields, get_fields, get_list, get_text, get_time
from seawall.audit.recording import BadLine, RecordedRun
from seawall.audit.spans import RecordedSpan, Trace

NAME = "OpenTelemetry"
_FAILED = ("2", "STATUS_CODE_ERROR", "ERROR")
_NANOSECONDS = 1e9


def _list_spans(value: Any) -> Iterator[Fields]:
    """Yields the spans of an export, or of a value that is one."""
    row = get_fields(value)
    exports = [*get_list(row, "resourceSpans", "resource_spans"), row]
    for export in exports:
        for scope in get_list(export, "scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
            yield from map(get_fields, get_list(scope, "spans"))
    if _is_span(row):
        yield row


def _list_records(value: Any) -> Iterator[Fields]:
    """Yields the log records of an export, or of a value that is one."""
    row = get_fields(value)
    for export in [*get_list(row, "resourceLogs", "resource_logs"), row]:
        for scope in get_list(export, "scopeLogs", "scope_logs"):
            yield from map(get_fields, get_list(scope, "logRecords", "log_records"))
    if _is_record(row):
        yield row


def _is_span(row: Fields) -> bool:
    if not isinstance(row.get("attributes"), dict | list):
        return False
    named = "spanId" in row or "span_id" in row or "span_id" in get_fields(row, "context")
    return named and ("name" in row or "startTimeUnixNano" in row or "start_time" in row)


def _is_record(row: Fields) -> bool:
    name = get_text(row, "eventName", "event_name") or attributes.read_all(row).get("event.name", "")
    return isinstance(name, str) and name.startswith("gen_ai.")


def _recognise(value: Any) -> bool:
    row = get_fields(value)
    exported = ("resourceSpans", "resource_spans", "scopeSpans", "resourceLogs", "resource_logs", "scopeLogs")
    return any(isinstance(row.get(name), list) for name in exported) or _is_span(row) or _is_record(row)


def _find_ids(row: Fields) -> tuple[str, str, str]:
    """Returns the ids of the trace, of the span, and of its parent."""
    context = get_fields(row, "context", "spanContext", "span_context")
    trace = get_text(row, "traceId", "trace_id") or get_text(context, "trace_id", "traceId")
    own = get_text(row, "spanId", "span_id") or get_text(context, "span_id", "spanId")
    parent = get_text(row, "parentSpanId", "parent_id", "parent_span_id")
    return trace, own, parent or get_text(get_fields(row, "parent"), "span_id")


def _find_time(row: Fields) -> float:
    nanoseconds = ("startTimeUnixNano", "start_time_unix_nano", "timeUnixNano", "observedTimeUnixNano")
    text = get_text(row, *nanoseconds)
    if text.isdecimal():
        return int(text) / _NANOSECONDS
    return get_time(row, "start_time", "startTime", "timestamp")


class _SpansReader:
    """Groups spans by their trace."""

    def __init__(self, file: str) -> None:
        self._traces = OpenRuns(lambda key, line: Trace(key, file, NAME, line))

    def read(self, value: Any, line: int) -> Iterator[RecordedRun | BadLine]:
        """Reads spans and log records, and yields the traces that are closed to make room for them."""
        for row in _list_spans(value):
            yield from self._add(_read_span(row, line), row, line)
        for row in _list_records(value):
            yield from self._add(_read_record(row, line), row, line)

    def _add(self, span: RecordedSpan | None, row: Fields, line: int) -> Iterator[RecordedRun]:
        if span is None:
            return
        key = _find_ids(row)[0] or "trace"
        self._traces.get(key, line).add(span)
        yield from self._traces.settle(key)

    def finish(self) -> Iterator[RecordedRun]:
        """Yields the traces that were still open."""
        yield from self._traces.close_all()


def _read_span(row: Fields, line: int) -> RecordedSpan:
    given = attributes.read_all(row)
    _, own, parent = _find_ids(row)
    name = get_text(row, "name")
    kind = attributes.find_kind(given)
    agent = attributes.find_agent(given, name, kind)
    events = get_list(row, "events")
    if kind == "tool":
        status = get_fields(row, "status")
        failed = get_text(status, "code", "status_code") in _FAILED or bool(given.get("error.type"))
        message = get_text(status, "message", "description") or attributes.find_exception(events)
        call = attributes.read_call(given, name, message if failed else "", failed, line)
        return RecordedSpan(
            id=own, parent=parent, began=_find_time(row), kind=kind, agent=agent, call=call, line=line
        )
    asked, replied = attributes.read_conversation(given, line)
    if not asked and not replied:
        asked, replied = attributes.read_events(events, line)
    return RecordedSpan(
        id=own,
        parent=parent,
        began=_find_time(row),
        kind=kind,
        agent=agent,
        asked=asked,
        replied=replied,
        usage=attributes.read_tokens(given) if kind == "model" else None,
        model=attributes.find_model(given) if kind == "model" else "",
        line=line,
    )


def _read_record(row: Fields, line: int) -> RecordedSpan | None:
    """Returns the part of a model call that a log record holds, as a span with the id of the call's span; None for another
    record.
    """
    given = attributes.read_all(row)
    asked, replied = attributes.read_conversation(given, line)
    if not asked and not replied:
        named = {**row, "name": get_text(row, "eventName", "event_name") or given.get("event.name", "")}
        asked, replied = attributes.read_events([named], line)
    if not asked and not replied:
        return None
    _, own, _ = _find_ids(row)
    return RecordedSpan(
        id=own, began=_find_time(row), kind="model", asked=asked, replied=replied, line=line, is_record=True
    )


FORMAT = Format(
    NAME,
    "spans or log records of GenAI (`gen_ai.*`, OpenInference, OpenLLMetry): `resourceSpans`, `resourceLogs`, or spans one by one",
    "a trace: the spans with one trace id, in the order in which they began",
    _recognise,
    _SpansReader,
)
