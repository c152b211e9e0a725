"""The shapes of LangChain, LangGraph and LangSmith."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from recorded.conversation import MODEL, Conversation, Row, Turn


def _langchain(conversation: Conversation) -> Iterator[tuple[list[Row], Row, list[Row], Turn]]:
    for at, turn in enumerate(conversation.turns):
        before = [{"type": "human", "content": turn.user}] if turn.user else []
        if not at:
            before = [{"type": "system", "content": conversation.system}, *before]
        calls = [
            {
                "name": tool,
                "args": arguments,
                "id": conversation.name_call(at, place) or None,
                "type": "tool_call",
            }
            for place, (tool, arguments, _, _) in enumerate(turn.calls)
        ]
        usage = {
            "input_tokens": turn.tokens[0],
            "output_tokens": turn.tokens[1],
            "total_tokens": sum(turn.tokens),
        }
        reply = {
            "type": "ai",
            "content": turn.text,
            "id": f"run-{conversation.id}-{at}",
            "tool_calls": calls,
            "invalid_tool_calls": [],
            "usage_metadata": usage,
            "response_metadata": {"model_name": MODEL},
        }
        results = [
            {
                "type": "tool",
                "content": result,
                "name": tool,
                "tool_call_id": conversation.name_call(at, place),
                "status": "error" if failed else "success",
            }
            for place, (tool, _, result, failed) in enumerate(turn.calls)
        ]
        yield before, reply, results, turn


_CLASSES = {"human": "HumanMessage", "ai": "AIMessage", "system": "SystemMessage", "tool": "ToolMessage"}


def _construct(message: Row) -> Row:
    return {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", _CLASSES[message["type"]]],
        "kwargs": message,
    }


def write_langchain(conversation: Conversation) -> list[Row]:
    return [
        {
            "messages": [
                each
                for before, reply, results, _ in _langchain(conversation)
                for each in (*before, reply, *results)
            ]
        }
    ]


def write_langchain_constructors(conversation: Conversation) -> list[Row]:
    return [{"messages": [_construct(each) for each in write_langchain(conversation)[0]["messages"]]}]


def write_langchain_data(conversation: Conversation) -> list[Row]:
    messages = write_langchain(conversation)[0]["messages"]
    return [[{"type": each["type"], "data": each} for each in messages]]


def write_checkpoints(conversation: Conversation) -> list[Row]:
    begun = {"v": 4, "channel_values": {"__start__": {}}, "channel_versions": {}}
    place = {"configurable": {"thread_id": conversation.id}}
    rows: list[Row] = [{"config": place, "checkpoint": begun, "metadata": {"source": "input", "step": -1}}]
    messages: list[Row] = []
    for before, reply, results, _ in _langchain(conversation):
        for new in (before, [reply], results):
            messages += new
            rows.append(
                {
                    "config": {
                        "configurable": {"thread_id": conversation.id, "checkpoint_id": f"{len(rows)}"}
                    },
                    "checkpoint": {
                        "v": 4,
                        "channel_values": {"messages": [_construct(each) for each in messages]},
                    },
                    "metadata": {"source": "loop", "step": len(rows)},
                }
            )
    return rows


def write_updates(conversation: Conversation) -> list[Row]:
    rows: list[Row] = []
    for before, reply, results, _ in _langchain(conversation):
        rows += [{"input": {"messages": before}}] if before else []
        rows += [{"agent": {"messages": [reply]}}]
        rows += [{"tools": {"messages": results}}] if results else []
    return rows


def write_events(conversation: Conversation) -> list[Row]:
    top = f"top-{conversation.id}"
    rows: list[Row] = [
        {
            "event": "on_chain_start",
            "run_id": top,
            "name": "LangGraph",
            "parent_ids": [],
            "data": {"input": {}},
        }
    ]
    messages: list[Row] = []
    for at, (before, reply, results, turn) in enumerate(_langchain(conversation)):
        messages += before
        place = {"parent_ids": [top], "metadata": {"langgraph_node": "agent"}}
        data = {"input": {"messages": [list(messages)]}, "output": reply}
        rows.append(
            {"event": "on_chat_model_start", "run_id": f"m{at}", "name": "ChatOpenAI", "data": {}, **place}
        )
        rows.append(
            {
                "event": "on_chat_model_stream",
                "run_id": f"m{at}",
                "name": "ChatOpenAI",
                "data": {"chunk": {}},
                **place,
            }
        )
        rows.append(
            {"event": "on_chat_model_end", "run_id": f"m{at}", "name": "ChatOpenAI", "data": data, **place}
        )
        for number, ((tool, arguments, _, _), result) in enumerate(zip(turn.calls, results, strict=True)):
            name = f"t{at}.{number}"
            rows.append(
                {
                    "event": "on_tool_start",
                    "run_id": name,
                    "name": tool,
                    "data": {"input": arguments},
                    **place,
                }
            )
            rows.append(
                {
                    "event": "on_tool_end",
                    "run_id": name,
                    "name": tool,
                    "data": {"input": arguments, "output": result},
                    **place,
                }
            )
        messages += [reply, *results]
    rows.append(
        {
            "event": "on_chain_end",
            "run_id": top,
            "name": "LangGraph",
            "parent_ids": [],
            "data": {"output": {}},
        }
    )
    return rows


def write_langsmith(conversation: Conversation) -> list[Row]:
    trace = f"t-{conversation.id}"
    top = f"20260101T000000000000Z{trace}"
    rows: list[Row] = [
        {
            "id": trace,
            "trace_id": trace,
            "dotted_order": top,
            "name": "agent",
            "run_type": "chain",
            "inputs": {},
            "outputs": {},
            "parent_run_id": None,
        }
    ]
    messages: list[Row] = []

    def add(kind: str, name: str, **more: Any) -> None:
        own = f"{trace}-{len(rows)}"
        order = f"{top}.20260101T0000{len(rows):08d}Z{own}"
        rows.append(
            {
                "id": own,
                "trace_id": trace,
                "parent_run_id": trace,
                "dotted_order": order,
                "run_type": kind,
                "name": name,
                "error": None,
                **more,
            }
        )

    for before, reply, results, turn in _langchain(conversation):
        messages += before
        output = {"generations": [[{"text": turn.text, "message": _construct(reply)}]], "llm_output": None}
        metadata = {"ls_model_name": MODEL, "ls_provider": "openai"}
        add(
            "llm",
            "ChatOpenAI",
            inputs={"messages": [[_construct(each) for each in messages]]},
            outputs=output,
            extra={"metadata": metadata},
        )
        for (tool, arguments, _, failed), result in zip(turn.calls, results, strict=True):
            error = {"error": result["content"]} if failed else {}
            add(
                "tool",
                tool,
                inputs={"input": json.dumps(arguments)},
                outputs={"output": _construct(result)},
                **error,
            )
        messages += [reply, *results]
    return rows
