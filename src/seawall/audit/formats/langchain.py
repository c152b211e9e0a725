"""LangChain and LangGraph: dumped messages, states and checkpoints of a graph, and streamed events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from seawall.audit.formats.conversations import (
    OWN_IDS,
    ConversationsReader,
    HeldConversation,
    find_conversation_id,
)
from seawall.audit.formats.format import Format
from seawall.audit.gathering import OpenRuns, SpanCall
from seawall.audit.json_fields import (
    Fields,
    get_fields,
    get_list,
    get_text,
    normalise_arguments,
)
from seawall.audit.messages import (
    LANGCHAIN_TYPES,
    is_message,
    read_content,
    read_message,
    read_messages,
    unwrap_message,
)
from seawall.audit.recording import BadLine, RecordedMessage, RecordedRun
from seawall.audit.spans import RecordedSpan, Trace

NAME = "LangChain"
_STATES = ("values", "channel_values", "state", "output", "outputs")
_MODES = frozenset({"values", "updates", "messages", "custom", "tasks", "checkpoints", "debug"})
"""The modes in which a graph is streamed."""
_WHOLE_MODES = ("values", "checkpoints")
"""The modes whose parts hold the whole state each time."""


class _Part(NamedTuple):
    """A part of a stream which says its mode."""

    mode: str
    inside: bool
    """True if a sub-graph has streamed it."""
    data: Any


def _find_part(value: Any) -> _Part | None:
    """Returns the part of a graph's stream in `{"type": "values", "ns": [], "data": {…}}`, in `["values", {…}]`, in these with the
    path of a sub-graph before, in a task, or in a token with its metadata; None if it is not such a part.
    """
    row, listed = get_fields(value), get_list(value)
    kind = get_text(row, "type")
    if kind in _MODES and isinstance(row.get("ns"), list) and "data" in row:
        told = _find_part(row["data"]) if kind in ("tasks", "debug") else None
        return (told or _Part(kind, False, row["data"]))._replace(inside=bool(row["ns"]))
    if "payload" in row and kind in ("task", "task_result", "checkpoint"):  # the mode `debug`
        payload = row["payload"]
        return _Part("checkpoints", False, payload) if kind == "checkpoint" else _find_part(payload)
    if "name" in row and "result" in row and "interrupts" in row:  # the mode `tasks`: what a node has added
        return _Part("updates", False, {get_text(row, "name"): row["result"]})
    if "name" in row and "input" in row and "triggers" in row:
        return _Part("tasks", False, row)
    if len(listed) not in (2, 3):
        return None
    if isinstance(listed[-2], str) and listed[-2] in _MODES:
        return _Part(listed[-2], len(listed) == 3 and bool(listed[0]), listed[-1])
    if len(listed) == 2 and isinstance(listed[0], list) and isinstance(listed[1], dict):
        if not all(isinstance(each, str) for each in get_list(listed[0])) or not _recognise(listed[1]):
            return None
        inner = get_fields(listed[1])
        mode = "values" if _is_state(inner) or _find_listed(inner) else "updates"
        return (_find_part(inner) or _Part(mode, False, inner))._replace(inside=bool(get_list(listed[0])))
    is_token = "langgraph_step" in get_fields(listed[1]) and _is_langchain(listed[0])
    return _Part("messages", False, value) if is_token else None


def _is_langchain(value: Any) -> bool:
    fields = get_fields(value)
    return get_text(unwrap_message(value), "type") in LANGCHAIN_TYPES and (
        is_message(value) or fields.get("lc") is not None
    )


def _list_states(row: Fields) -> Iterator[Fields]:
    """Yields the objects that may be the state of a graph."""
    checkpoint = get_fields(row, "checkpoint")
    for box in (row, checkpoint):
        yield box
        for name in _STATES:
            yield get_fields(box, name)


def _find_listed(row: Fields) -> list[Any]:
    """Returns the messages of a state: those in `messages`, or else those in the first channel that has some."""
    states = [state for state in _list_states(row) if state]
    for state in states:
        if any(map(_is_langchain, get_list(state, "messages"))):
            return get_list(state, "messages")
    for state in states:
        for channel in state.values():
            if any(map(_is_langchain, get_list(channel))):
                return get_list(channel)
    return []


def _list_updates(row: Fields) -> list[Any]:
    """Returns the messages of an update, which each node of a graph has added."""
    if any(isinstance(node, str) for node in row.values()):
        return []  # no update: its fields are nodes, and no node is a text
    nodes = [get_fields(node) for node in row.values()]
    found = [get_list(node, "messages") or [node.get("messages")] for node in nodes if "messages" in node]
    return [message for messages in found for message in messages if _is_langchain(message)]


def find_state(value: Any, line: int) -> HeldConversation | None:
    """Returns the conversation in a list of messages, a state, a checkpoint or an update."""
    if isinstance(value, list):
        return HeldConversation(messages=read_messages(get_list(value), line))
    row = get_fields(value)
    listed = _find_listed(row)
    adds = not listed
    messages = read_messages(listed or _list_updates(row), line)
    if not messages:
        return None
    checkpoint = "checkpoint" in row or "channel_values" in row or "values" in row
    return HeldConversation(
        messages=messages,
        conversation=find_conversation_id(row),
        own="" if adds or checkpoint else get_text(row, *OWN_IDS),
        adds=adds,
    )


def _is_event(row: Fields) -> bool:
    return get_text(row, "event").startswith("on_") and isinstance(row.get("data"), dict)


def _is_state(row: Fields) -> bool:
    """Returns whether this is a state or a checkpoint, which may have no messages yet, or an interrupt between updates."""
    checkpoint = get_fields(row, "checkpoint") or row
    return (
        ("values" in row and "next" in row)
        or ("channel_values" in checkpoint and "channel_versions" in checkpoint)
        or "__interrupt__" in row
    )


def _recognise(value: Any) -> bool:
    if _find_part(value) is not None:
        return True
    if isinstance(value, list):
        return any(map(_is_langchain, get_list(value)))
    row = get_fields(value)
    return (
        _is_langchain(row)
        or _is_event(row)
        or _is_state(row)
        or bool(_find_listed(row) or _list_updates(row))
    )


class _LangChainReader:
    """Reads states as conversations, and events as the spans of a trace."""

    def __init__(self, file: str) -> None:
        self._states = ConversationsReader(file, NAME, find_state)
        self._traces = OpenRuns(lambda key, line: Trace(key, file, NAME, line))
        self._began: dict[str, int] = {}
        """The line in which each event's run began, by the run's id."""
        self._has_states = False
        """Whether a part of a stream held a whole state, which the updates beside it only repeat."""
        self._top = ""
        """The id of the run that is open at the top, in events that do not name the runs around them (version 1)."""
        self._is_nested = False
        """Whether events name the runs around them (version 2)."""

    def read(self, value: Any, line: int) -> Iterator[RecordedRun | BadLine]:
        """Reads a value, and yields the runs that are closed to make room for it."""
        row = get_fields(value)
        if not _is_event(row):
            yield from self._read_state(value, line)
            return
        own, kind = get_text(row, "run_id"), get_text(row, "event")
        key = self._find_top(row, own, kind)
        if kind.endswith("_start"):
            self._began[own] = line
        span = self._read_event(row, kind, line)
        if span is not None:
            self._traces.get(key, line).add(span)
            yield from self._traces.settle(key)
        if kind == "on_chain_end" and key == own and key in self._traces:
            self._began.clear()
            yield from self._traces.close(key)
        if kind == "on_chain_end" and own == self._top:
            self._top = ""

    def _read_state(self, value: Any, line: int) -> Iterator[RecordedRun | BadLine]:
        """Reads a state, or a part of a stream. Of a stream in several modes only one is read, because they tell of the same."""
        part = _find_part(value)
        if part is None:
            yield from self._states.read(value, line)
        elif part.mode in _WHOLE_MODES or (
            part.mode == "updates" and not part.inside and not self._has_states
        ):
            self._has_states = self._has_states or part.mode in _WHOLE_MODES
            yield from self._states.read(part.data, line)

    def _find_top(self, row: Fields, own: str, kind: str) -> str:
        """Returns the id of an event's top run."""
        above = get_list(row, "parent_ids")
        if above:
            self._is_nested = True
            return str(above[0])
        if "parent_ids" not in row:
            return find_conversation_id(row) or "events"
        if self._is_nested:
            return own
        if kind == "on_chain_start":
            self._top = self._top or own
        return self._top or own

    def _read_event(self, row: Fields, kind: str, line: int) -> RecordedSpan | None:
        data, own = get_fields(row, "data"), get_text(row, "run_id")
        above = get_list(row, "parent_ids")
        parent = str(above[-1]) if above else ""
        began = self._began.get(own, line)
        if kind in ("on_chat_model_end", "on_llm_end"):
            replied = read_messages([_unwrap_output(data.get("output"))], line)
            asked = _read_input(data.get("input"), line)
            return RecordedSpan(
                kind="model", began=began, asked=asked, replied=replied, id=own, parent=parent, line=line
            )
        if kind in ("on_tool_end", "on_tool_error"):
            output = data.get("output")
            message = next(read_message(output), None)
            failed = kind == "on_tool_error" or (message is not None and message.failed)
            call = SpanCall(
                tool=get_text(row, "name"),
                call_id="" if message is None else message.call_id,
                arguments=normalise_arguments(data["input"]) if "input" in data else None,
                result=read_content(data.get("error") if output is None else output),
                failed=failed,
                line=line,
            )
            return RecordedSpan(kind="tool", began=began, call=call, id=own, parent=parent, line=line)
        return None

    def finish(self) -> Iterator[RecordedRun]:
        """Yields the runs that were still open."""
        yield from self._states.finish()
        yield from self._traces.close_all()


def _unwrap_output(output: Any) -> Any:
    """Returns the message of a model's output, which older versions put into `generations`."""
    found: Any = get_list(output, "generations")
    while isinstance(found, list):
        found = get_list(found)[0] if found else None
    return output if found is None else get_fields(found).get("message", found)


def _read_input(given: Any, line: int) -> list[RecordedMessage]:
    """Returns the messages that a model was sent, from a list of messages or a batch with one list."""
    listed = get_list(given, "messages") or get_list(given)
    if listed and isinstance(listed[0], list):
        listed = get_list(listed[0])
    return read_messages(listed, line)


def read_generated(given: Any, line: int) -> list[RecordedMessage]:
    """Returns the messages of a model's input or output, as LangChain's tracers write them."""
    found = _read_input(given, line)
    return found or read_messages([_unwrap_output(given)], line)


FORMAT = Format(
    NAME,
    "messages with `type` human, ai or tool, or with `lc`: a list, a state or checkpoint of a graph, parts of its stream (without single tokens), or events",
    "a list or state; states with one `thread_id`, or each of which goes on from the one before; events with one top run",
    _recognise,
    _LangChainReader,
)
