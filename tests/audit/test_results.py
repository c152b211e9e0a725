"""What a tool has returned stays apart from what it returned before, whatever it is: pictures, lists of typed objects, logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.runs import runs_of, write
from seawall.audit import AuditResult, RecordedRun, ToolNames, audit, make_guards

PICTURES = [
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO" * 500}},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBP" * 500}},
]


def read_one(path: Path, rows: list[Any]) -> RecordedRun:
    (run,) = runs_of(write(path / "a.jsonl", rows))
    return run


def judge(run: RecordedRun) -> AuditResult:
    names = ToolNames()
    return audit(run, make_guards(names, {}), names)


def span(number: int, given: dict[str, str]) -> dict[str, Any]:
    listed = [{"key": key, "value": {"stringValue": value}} for key, value in given.items()]
    own = {"traceId": "t", "spanId": f"s{number}", "startTimeUnixNano": str(number + 1)}
    return {**own, "name": "tool", "attributes": listed}


def tool_span(number: int, arguments: Any, result: Any) -> dict[str, Any]:
    told = {
        "gen_ai.tool.call.arguments": json.dumps(arguments),
        "gen_ai.tool.call.result": json.dumps(result),
    }
    return span(number, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_screen", **told})


def show_picture(number: int, picture: dict[str, Any]) -> list[dict[str, Any]]:
    used = {"type": "tool_use", "id": f"c{number}", "name": "get_screen", "input": {}}
    result = {"type": "tool_result", "tool_use_id": f"c{number}", "content": [picture]}
    return [{"role": "assistant", "content": [used]}, {"role": "user", "content": [result]}]


def test_pictures_that_differ_are_news_and_equal_ones_are_none(tmp_path: Path) -> None:
    asked = {"role": "user", "content": "Watch the screen."}
    halted: dict[str, int | None] = {}
    source = PICTURES[0]["source"]
    for kind, ends in {"differ": [str(at) for at in range(9)], "equal": [""] * 9}.items():
        pictures = [{"type": "image", "source": {**source, "data": source["data"] + end}} for end in ends]
        turns = [turn for at, each in enumerate(pictures) for turn in show_picture(at, each)]
        run = read_one(tmp_path, [[asked, *turns]])
        assert len(run.calls) == 9
        assert all(len(call.result) < 100 for call in run.calls)  # its digest, not the picture
        halted[kind] = judge(run).halted_at
    assert halted["differ"] is None and halted["equal"] is not None, halted


def test_a_picture_is_the_same_with_the_mark_up_to_which_a_request_is_cached(tmp_path: Path) -> None:
    asked = {"role": "user", "content": "Watch the screen."}
    turns = [show_picture(at, picture) for at, picture in enumerate(PICTURES)]
    marked = show_picture(0, {**PICTURES[0], "cache_control": {"type": "ephemeral"}})
    run = read_one(tmp_path, [{"messages": [asked, *marked]}, {"messages": [asked, *turns[0], *turns[1]]}])
    assert len(run.calls) == 2


@pytest.mark.parametrize(
    "result",
    [
        [{"type": "meeting", "id": 7}],
        [{"type": "text", "id": 7}],
        [{"type": "file", "name": "a.txt"}],
        {"role": "user", "name": "Ann", "id": 7},
        {"role": "user", "content": "post", "id": 7},
        {"type": "system", "content": "disk", "id": 7},
    ],
)
def test_data_that_look_like_a_message_or_its_parts_stay_whole(result: Any, tmp_path: Path) -> None:
    run = read_one(tmp_path, [tool_span(0, {}, result)])
    told = json.loads(run.calls[0].result)
    assert told in (result, result[0] if isinstance(result, list) else None)


def test_the_message_of_a_tool_is_still_its_text(tmp_path: Path) -> None:
    for told in (
        {"type": "tool", "content": "lost", "tool_call_id": "c1"},
        {"role": "tool", "content": [{"type": "text", "text": "lost"}], "tool_call_id": "c1"},
        [{"type": "text", "text": "lost"}],
    ):
        run = read_one(tmp_path, [tool_span(0, {}, told)])
        assert run.calls[0].result == "lost"


def test_items_of_the_providers_tools_keep_their_arguments_and_results(tmp_path: Path) -> None:
    patch = {"type": "update_file", "path": "a.py", "diff": "@@"}
    items: list[dict[str, Any]] = [
        {"role": "user", "content": "Mend it."},
        {
            "type": "code_interpreter_call",
            "id": "i",
            "code": "1+1",
            "outputs": [{"type": "logs", "logs": "2"}],
        },
        {"type": "mcp_approval_request", "id": "m", "name": "ask", "arguments": "{}", "server_label": "s"},
        {"type": "mcp_approval_response", "approval_request_id": "m", "approve": True},
        {"type": "image_generation_call", "id": "g", "status": "completed", "result": "iVBO"},
        {"type": "apply_patch_call", "call_id": "p", "operation": patch, "status": "completed"},
        {"type": "apply_patch_call_output", "call_id": "p", "status": "completed", "output": "done"},
        {"type": "computer_call", "call_id": "k", "id": "k", "action": None, "actions": [{"type": "click"}]},
        {"type": "computer_call_output", "call_id": "k", "output": {"type": "computer_screenshot"}},
    ]
    expected = [
        ("code_interpreter", "1+1", '[{"logs":"2","type":"logs"}]'),
        ("apply_patch", '{"diff":"@@","path":"a.py","type":"update_file"}', "done"),
        ("computer", '[{"type":"click"}]', '{"type":"computer_screenshot"}'),
    ]
    for rows in ([items], items):  # as a list, and an item a line
        run = read_one(tmp_path, rows)
        assert [(call.tool, call.arguments, call.result) for call in run.calls] == expected


def test_the_schema_of_a_tool_is_not_taken_for_the_arguments_of_its_call(tmp_path: Path) -> None:
    schema = json.dumps({"query": {"type": "string", "description": "What to look for."}})
    rows = [
        span(
            at,
            {
                "openinference.span.kind": "TOOL",
                "tool.name": "search",
                "tool.parameters": schema,
                "input.value": json.dumps({"query": f"q{at}"}),
                "output.value": "nothing",
            },
        )
        for at in range(2)
    ]
    assert [call.arguments for call in read_one(tmp_path, rows).calls] == ['{"query":"q0"}', '{"query":"q1"}']


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"input": [{"role": "user", "content": "Hi"}], "instructions": "Be kind."}, ["Be kind.", "Hi"]),
        ({"input": "Hi"}, ["Hi"]),
        ({"messages": [{"role": "user", "content": "Hi"}], "system": "Be kind."}, ["Be kind.", "Hi"]),
    ],
    ids=["responses", "text", "anthropic"],
)
def test_what_the_wrapped_client_of_a_provider_was_sent_is_read_from_langsmith(
    inputs: Any, expected: list[str], tmp_path: Path
) -> None:
    outputs = {"role": "assistant", "content": "Hello."}
    model = {"id": "1", "trace_id": "1", "run_type": "llm", "name": "m", "inputs": inputs, "outputs": outputs}
    assert [each.text for each in read_one(tmp_path, [model]).messages] == [*expected, "Hello."]


def test_a_traced_tool_that_returned_nothing_has_returned(tmp_path: Path) -> None:
    tool = {"id": "1", "trace_id": "1", "run_type": "tool", "name": "send", "inputs": {"to": "a"}}
    run = read_one(tmp_path, [{**tool, "outputs": {"output": None}}, {**tool, "id": "2", "outputs": None}])
    assert ([(call.tool, call.result) for call in run.calls], run.unanswered) == ([("send", "")], 1)


def test_results_of_a_providers_server_tools_are_those_of_their_calls_and_no_text_of_the_reply(
    tmp_path: Path,
) -> None:
    told: dict[str, Any] = {
        "web_search": [{"type": "web_search_result", "title": "News", "url": "https://a.example"}],
        "bash_code_execution": {"type": "bash_code_execution_result", "stdout": "a.txt"},
        "web_fetch": {"type": "web_fetch_tool_result_error", "error_code": "unavailable"},
        "mcp": [{"type": "text", "text": "lost"}],
    }
    content: list[dict[str, Any]] = []
    for name, result in told.items():
        used = {"type": "server_tool_use", "id": f"s-{name}", "name": name, "input": {"of": name}}
        content += [
            used,
            {"type": f"{name}_tool_result", "tool_use_id": f"s-{name}", "content": result},
        ]
    reply = {"role": "assistant", "content": [*content, {"type": "text", "text": "It is lost."}]}
    run = read_one(tmp_path, [[{"role": "user", "content": "Look."}, reply]])
    assert [each.text for each in run.messages if each.role == "assistant"] == ["It is lost."]
    assert [(call.tool, call.failed) for call in run.calls] == [(name, name == "web_fetch") for name in told]
    results = [call.result for call in run.calls]
    assert [json.loads(each) for each in results[:3]] == list(told.values())[:3] and results[3] == "lost"
