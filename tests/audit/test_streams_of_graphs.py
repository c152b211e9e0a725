"""What a graph of LangGraph streams in each of its modes is one run, however a program dumps the parts of the stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.runs import runs_of, write
from seawall.audit import BadLine, read_runs

MODES = [
    "values",
    "updates",
    "tasks",
    "checkpoints",
    "debug",
    ["updates", "values"],
    ["updates", "messages"],
    ["debug", "updates", "custom"],
]


def stream(mode: Any, **options: Any) -> list[Any]:
    """The parts that a graph streams whose one agent calls three tools in two replies, and answers."""
    pytest.importorskip("langgraph")
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, MessagesState, StateGraph

    def call(number: int) -> Any:
        return {"name": "get_order", "args": {"id": number}, "id": f"c{number}", "type": "tool_call"}

    calls = [[call(1)], [call(2), call(3)], []]

    def ask(state: MessagesState) -> Any:
        replied = sum(message.type == "ai" for message in state["messages"])
        return {
            "messages": [AIMessage("" if calls[replied] else "They are lost.", tool_calls=calls[replied])]
        }

    def look(state: MessagesState) -> Any:
        newest = state["messages"][-1]
        assert isinstance(newest, AIMessage)
        return {
            "messages": [
                ToolMessage(f"order {each['args']['id']}: lost", tool_call_id=each["id"] or "")
                for each in newest.tool_calls
            ]
        }

    graph: Any = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_node("look", look)
    graph.add_edge(START, "ask")
    graph.add_edge("look", "ask")
    graph.add_conditional_edges(
        "ask", lambda state: "look" if state["messages"][-1].tool_calls else "__end__"
    )
    told = {"messages": [HumanMessage("Where are orders 1, 2 and 3?")]}
    settings = {"configurable": {"thread_id": "t"}}
    graph = graph.compile(checkpointer=InMemorySaver())
    return list(graph.stream(told, settings, stream_mode=mode, **options))


def dump(parts: list[Any], path: Path) -> Path:
    def default(value: Any) -> Any:
        return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)

    return write(path, [json.dumps(part, default=default) for part in parts])


@pytest.mark.parametrize("options", [{}, {"version": "v2"}, {"subgraphs": True}], ids=str)
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_stream_is_one_run_in_every_mode(mode: Any, options: dict[str, Any], tmp_path: Path) -> None:
    found = list(read_runs(dump(stream(mode, **options), tmp_path / "a.jsonl")))
    assert [each for each in found if isinstance(each, BadLine)] == []
    (run,) = runs_of(tmp_path / "a.jsonl")
    assert run.format == "LangChain"
    assert [(call.tool, call.arguments, call.result) for call in run.calls] == [
        ("get_order", f'{{"id":{number}}}', f"order {number}: lost") for number in (1, 2, 3)
    ]
    assert sum(message.role == "assistant" for message in run.messages) == 3
    assert run.unanswered == 0


def test_single_tokens_are_no_runs(tmp_path: Path) -> None:
    token: dict[str, Any] = {"type": "AIMessageChunk", "content": "They", "id": "r1"}
    metadata = {"langgraph_step": 1, "langgraph_node": "ask"}
    for part in ([token, metadata], {"type": "messages", "ns": [], "data": [token, metadata]}):
        (bad,) = read_runs(write(tmp_path / "a.jsonl", [part, part]))
        assert isinstance(bad, BadLine) and "it holds no run" in bad.why


def event(kind: str, run: str, name: str, **data: Any) -> dict[str, Any]:
    return {"event": kind, "run_id": run, "name": name, "parent_ids": [], "data": data}


def test_events_whose_version_names_no_run_around_them_are_one_run_each_time(tmp_path: Path) -> None:
    rows: list[Any] = []
    for top in ("t1", "t2"):
        call = {"name": "get_order", "args": {"id": 1}, "id": "c1"}
        asked = {"type": "human", "content": "Where is it?"}
        replies = [{"type": "ai", "content": "", "tool_calls": [call]}, {"type": "ai", "content": "Lost."}]
        told = {"type": "tool", "content": "lost", "tool_call_id": "c1"}
        sent = [[asked], [asked, replies[0], told]]
        rows += [
            event("on_chain_start", top, "LangGraph"),
            event("on_chain_start", f"{top}n", "ask"),
            event("on_chat_model_end", f"{top}a", "model", input={"messages": [sent[0]]}, output=replies[0]),
            event("on_chain_end", f"{top}n", "ask"),
            event("on_tool_end", f"{top}b", "get_order", input={"id": 1}, output=told),
            event("on_chat_model_end", f"{top}c", "model", input={"messages": [sent[1]]}, output=replies[1]),
            event("on_chain_end", top, "LangGraph"),
        ]
    runs = runs_of(write(tmp_path / "a.jsonl", rows))
    assert [(run.id, len(run.calls), run.unanswered) for run in runs] == [("t1", 1, 0), ("t2", 1, 0)]
