"""Makes one run from the spans of a trace, in any order: model calls, tools, and the agents around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from seawall.audit.gathering import MAX_RUN_BYTES, GatheredRun, SpanCall, key_message
from seawall.audit.recording import RecordedMessage, RecordedRun
from seawall.models.protocol import Usage

SpanKind = Literal["model", "tool", "agent", "other"]
MAX_ANCESTORS = 200
"""Parent spans that are searched for an agent's name. No framework nests deeper."""
_SPAN_BYTES = 500
"""Bytes of memory that a span takes beside its texts."""


class RecordedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One span, or one exported run of LangSmith."""

    id: str = ""
    parent: str = ""
    began: Any = 0
    """The time at which the span began, as a number or a text that sorts. Spans without it keep the order in which they came."""
    kind: SpanKind
    agent: str = ""
    """The agent that the span names; "" if it names none."""
    asked: Sequence[RecordedMessage] = ()
    """The messages that a model was sent."""
    replied: Sequence[RecordedMessage] = ()
    usage: Usage | None = None
    model: str = ""
    call: SpanCall | None = None
    line: int = 0
    is_record: bool = False
    """True for a log record, which tells of the span with its id, or of a part of it."""


class Trace:
    """The spans of one trace, until it is closed. Each request repeats the messages before it, so each message is held once."""

    def __init__(self, run_id: str, file: str, name: str, line: int) -> None:
        self._id, self._file, self._format, self._line = run_id, file, name, line
        self._spans: list[RecordedSpan] = []
        self._messages: dict[int, RecordedMessage] = {}
        """The messages by their key."""
        self.size_bytes = 0
        self._left_out = 0

    def __repr__(self) -> str:
        return f"<Trace {self._id} of {len(self._spans)} spans>"

    def add(self, span: RecordedSpan) -> None:
        """Adds a span. A span that would make the trace too large is counted, not read."""
        new = {key_message(message): message for message in [*span.asked, *span.replied]}
        size = _SPAN_BYTES + sum(
            len(message.text) + sum(len(call.arguments) for call in message.calls)
            for key, message in new.items()
            if key not in self._messages
        )
        size += 8 * len(new)
        if span.call is not None:
            size += len(span.call.arguments or "") + len(span.call.result or "")
        if self.size_bytes + size > MAX_RUN_BYTES:
            self._left_out += 1
            return
        self.size_bytes += size
        self._spans.append(
            replace(span, asked=self._hold_once(span.asked), replied=self._hold_once(span.replied))
        )

    def _hold_once(self, messages: Sequence[RecordedMessage]) -> tuple[RecordedMessage, ...]:
        """Returns the messages. For a message that is held already, it returns the held object, unless its calls have other
        ids.
        """
        held: list[RecordedMessage] = []
        for message in messages:
            known = self._messages.setdefault(key_message(message), message)
            same = known.calls == message.calls and known.call_id == message.call_id
            held.append(known if same else message)
        return tuple(held)

    def build(self) -> RecordedRun | None:
        """Returns the run, with its spans in the order in which they began; None if it has no reply of a model and no call of a
        tool.
        """
        spans = _join_spans(sort_spans(self._spans))
        by_id = {span.id: span for span in spans if span.id}
        run = GatheredRun(self._id, self._file, self._format, self._line)
        run.left_out = self._left_out
        has_models = any(span.kind == "model" for span in spans)
        for span in spans:
            above = _list_ancestors(span, by_id)
            agent = next((each.agent for each in [span, *above] if each.agent), "")
            if span.kind == "model":
                # the span of a model client inside of its framework's span
                if not any(each.kind == "model" for each in above):
                    _add_model(run, span, agent)
            elif span.kind == "tool" and span.call is not None:
                if not _is_told_above(span.call, above):
                    run.add_call(replace(span.call, agent=agent))
            elif not has_models and (span.asked or span.replied):
                _add_model(run, span, agent)
        return run.build()


def _join_spans(spans: Sequence[RecordedSpan]) -> list[RecordedSpan]:
    """Returns each span once, together with its log records. What the records tell of its messages counts if the span does not
    hold them itself: some instrumentations write them to both.
    """
    plain: dict[str, RecordedSpan] = {}
    records: dict[str, RecordedSpan] = {}
    for span in spans:
        before = records.get(span.id)
        if not span.is_record:
            plain.setdefault(span.id, span)
        elif before is None:
            records[span.id] = span
        else:
            asked, replied = [*before.asked, *span.asked], [*before.replied, *span.replied]
            records[span.id] = replace(before, asked=asked, replied=replied)
    joined: dict[str, RecordedSpan] = {}
    for number, span in enumerate(spans):
        own, told = plain.get(span.id), records.get(span.id)
        if not span.id:
            joined[f"#{number}"] = span
        elif own is not None and told is not None:
            joined[span.id] = replace(
                own,
                asked=own.asked or told.asked,
                replied=own.replied or told.replied,
            )
        else:
            joined[span.id] = own or span if told is None else told
    return list(joined.values())


def _is_told_above(call: SpanCall, above: Sequence[RecordedSpan]) -> bool:
    """Returns whether the nearest span above that is not a detail reports the same call: the agent's framework, the client of an
    MCP server and that server write a span each. The framework may put the server's name before the tool's.
    """
    outer = next((span for span in above if span.kind != "other"), None)
    if outer is None or outer.call is None or not outer.call.tool.endswith(call.tool):
        return False
    return not outer.call.tool.removesuffix(call.tool)[-1:].isalnum()


def _add_model(run: GatheredRun, span: RecordedSpan, agent: str) -> None:
    replied = list(span.replied)
    counted = span.usage is not None or span.model
    if counted and not any(message.role == "assistant" for message in replied):
        replied.append(RecordedMessage(role="assistant", line=span.line))
    for at, message in enumerate(replied):
        if message.role == "assistant":
            usage, model = message.usage or span.usage, message.model or span.model
            replied[at] = replace(message, usage=usage, model=model, line=span.line)
            break
    if any(message.text or message.calls for message in span.asked):
        run.add_snapshot(span.asked, agent, replied)
    else:
        run.append(replied, agent)


def sort_spans(spans: Iterable[RecordedSpan]) -> list[RecordedSpan]:
    """Returns spans in the order in which they began. A span without a time stays behind the one before it."""
    placed: list[tuple[Any, int, RecordedSpan]] = []
    newest: Any = None
    for number, span in enumerate(spans):
        began = span.began or newest
        newest = began
        placed.append((began, number, span))
    numbers = [began for began, _, _ in placed if isinstance(began, int | float)]
    texts = [began for began, _, _ in placed if isinstance(began, str)]
    if len(numbers) + len(texts) != len(placed) or (numbers and texts):
        placed = [(None, number, span) for _, number, span in placed]
        return [span for _, _, span in placed]
    return [span for _, _, span in sorted(placed, key=lambda each: (each[0], each[1]))]


def _list_ancestors(span: RecordedSpan, by_id: dict[str, RecordedSpan]) -> list[RecordedSpan]:
    above: list[RecordedSpan] = []
    seen = {span.id}
    while span.parent in by_id and span.parent not in seen and len(above) < MAX_ANCESTORS:
        seen.add(span.parent)
        span = by_id[span.parent]
        above.append(span)
    return above
