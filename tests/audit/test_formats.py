"""Recordings of other systems: each shape is found, and one conversation has one finding in all of them."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded import SHAPES, Conversation, Turn, make_loop, make_work

from audit.runs import runs_of, write
from seawall.audit import (
    BadLine,
    RecordedPrices,
    RecordedRun,
    RunAuditor,
    RunFindings,
    ToolNames,
    make_guards,
    read_runs,
)
from seawall.core.redact import Redactor
from seawall.models.protocol import Price

SHUFFLED = ("langsmith", "otlp", "otlp_events", "openinference", "openllmetry")
"""Shapes whose rows say when they were, so that their order in a file does not matter."""
MIXED = (*SHUFFLED, "chat_log", "responses", "checkpoints", "events", "claude_code", "pydantic_ai_messages")
"""Shapes whose rows say of which run they are, or repeat it."""


def find(path: Path, price: Price | None = None) -> list[RunFindings]:
    names = ToolNames()
    prices = RecordedPrices(0.0, lambda model, at: price if model == "openai:gpt-5.2" else None)
    auditor = RunAuditor(make_guards(names), names, prices, Redactor())
    found = [auditor.audit(run) for run in runs_of(path)]
    return [each for each in found if isinstance(each, RunFindings)]


def check_read(path: Path) -> None:
    """Checks that a file is read to its end: what can't be read is named with its line, and each run is judged."""
    lines = path.read_bytes().count(b"\n") + 1
    for each in read_runs(path):
        if isinstance(each, BadLine):
            file, _, number = each.where.rpartition(":")
            assert each.why and (
                each.where == str(path) or (file == str(path) and 1 <= int(number) <= lines)
            ), each
    for found in find(path):
        assert found.halted_at is None or 0 <= found.halted_at < found.calls, found


def summarise(found: RunFindings) -> dict[str, Any]:
    return {
        "calls": found.calls,
        "replies": found.replies,
        "halted_at": found.halted_at,
        "advised_at": found.advised_at,
        "reason": found.reason,
        "repeats": found.repeats.calls,
        "duplicates": found.duplicates.calls,
        "unsourced": found.unsourced,
        "unanswered": found.unanswered,
        "tools": {name: (each.calls, each.useless) for name, each in found.tools.items()},
    }


@pytest.mark.parametrize("with_ids", [True, False], ids=["ids", "no ids"])
@pytest.mark.parametrize("shape", SHAPES)
def test_one_conversation_has_one_finding_in_every_shape(shape: str, with_ids: bool, tmp_path: Path) -> None:
    for each in (make_loop(), make_work()):
        conversation = replace(each, with_ids=with_ids)
        (expected,) = find(write(tmp_path / "chat.jsonl", SHAPES["chat"](conversation)))
        (found,) = find(write(tmp_path / "a.jsonl", SHAPES[shape](conversation)))

        assert summarise(found) == summarise(expected)
        assert found.junk == pytest.approx(expected.junk, abs=0.05)


def test_what_is_expected_of_the_conversations_themselves(tmp_path: Path) -> None:
    (loop,) = find(write(tmp_path / "a.jsonl", SHAPES["chat"](make_loop())))
    (work,) = find(write(tmp_path / "a.jsonl", SHAPES["chat"](make_work())))

    assert (loop.halted_at, loop.advised_at, loop.repeats.calls, loop.unsourced) == (
        4,
        (1, 2, 3),
        8,
        ("2031-04-17",),
    )
    assert loop.excerpt.startswith('get_order({"id":1042}) → {"id": 1042, "state": "lost"')
    assert (work.halted_at, work.advised_at, work.repeats.calls, work.unsourced) == (None, (), 0, ())


@pytest.mark.parametrize("shape", SHUFFLED)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(random=st.randoms(use_true_random=False))
def test_the_order_of_spans_in_a_file_does_not_matter(shape: str, random: Random, tmp_path: Path) -> None:
    rows = SHAPES[shape](make_loop())
    (expected,) = find(write(tmp_path / "a.jsonl", rows))
    random.shuffle(rows)
    (found,) = find(write(tmp_path / "a.jsonl", rows))

    assert summarise(found) == summarise(expected)


@pytest.mark.parametrize("shape", MIXED)
def test_runs_whose_rows_are_mixed_are_told_apart(shape: str, tmp_path: Path) -> None:
    first = replace(make_loop("c-1"), system="You are a clerk.")
    second = Conversation("c-2", (replace(first.turns[0], user="And where is order 7?"), *first.turns[1:]))
    one, other = SHAPES[shape](first), SHAPES[shape](second)
    mixed = [row for pair in zip(one, other, strict=True) for row in pair]
    found = find(write(tmp_path / "a.jsonl", mixed))

    assert [(each.calls, each.halted_at) for each in found] == [(9, 4), (9, 4)]


@pytest.mark.parametrize("shape", ["chat", "langsmith", "otlp", "langchain", "claude_code"])
def test_a_list_with_line_breaks_is_read_like_lines(shape: str, tmp_path: Path) -> None:
    rows = SHAPES[shape](make_loop())
    (expected,) = find(write(tmp_path / "a.jsonl", rows))
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=2))
    (found,) = find(tmp_path / "a.json")

    assert summarise(found) == summarise(expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_torn_line_is_told_and_the_rest_goes_on(shape: str, tmp_path: Path) -> None:
    rows: list[Any] = SHAPES[shape](make_work())
    torn = json.dumps(rows[-1])[:-7]
    path = write(tmp_path / "a.jsonl", [*rows, torn, *SHAPES[shape](make_loop("c-3"))])
    found = list(read_runs(path))
    (bad,) = [each for each in found if isinstance(each, BadLine)]

    assert bad.where == f"{path}:{len(rows) + 1}"
    assert sum(len(each.calls) for each in found if isinstance(each, RecordedRun)) == 12


@pytest.mark.parametrize("name", ["data", "runs", "traces"])
@pytest.mark.parametrize("shape", ["chat", "chat_log", "langsmith", "otlp"])
def test_an_object_around_a_list_of_recordings_is_gone_into(shape: str, name: str, tmp_path: Path) -> None:
    rows = SHAPES[shape](make_loop())
    (expected,) = find(write(tmp_path / "a.jsonl", rows))
    (found,) = find(write(tmp_path / "b.jsonl", [{"object": "list", name: rows, "has_more": False}]))

    assert summarise(found) == summarise(expected)


# ---- whatever a file holds

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def damage(draw: st.DrawFn) -> list[Any]:
    """The rows of a shape, of which some parts are gone or are something else."""
    rows = json.loads(json.dumps(SHAPES[draw(st.sampled_from(sorted(SHAPES)))](make_work())))
    for _ in range(draw(st.integers(1, 6))):
        parent: Any = rows
        for _ in range(draw(st.integers(1, 12))):
            keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if not isinstance(parent[key], dict | list) or draw(st.booleans()):
                parent[key] = draw(JSON)
                break
            parent = parent[key]
    return rows


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(rows=damage())
def test_damaged_recordings_are_judged_or_named(rows: list[Any], tmp_path: Path) -> None:
    check_read(write(tmp_path / "a.jsonl", [json.dumps(row) for row in rows]))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=st.lists(JSON, max_size=4), noise=st.binary(max_size=30))
def test_any_json_and_any_bytes_are_judged_or_named(values: list[Any], noise: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        noise + b"\n" + "\n".join(json.dumps(value) for value in values).encode() + b"\n" + noise
    )
    check_read(path)


# ---- what only some formats have


def test_a_history_of_states_that_begins_with_the_newest_is_one_run(tmp_path: Path) -> None:
    rows = SHAPES["checkpoints"](make_loop())
    states = [
        {
            "values": row["checkpoint"]["channel_values"],
            "next": [],
            "config": row["config"],
            "created_at": "now",
        }
        for row in reversed(rows)
    ]
    found = [*find(write(tmp_path / "a.jsonl", states)), *find(write(tmp_path / "b.jsonl", rows[::-1]))]

    assert [(each.id, each.calls, each.halted_at) for each in found] == [("c-1", 9, 4)] * 2


def test_model_spans_that_do_not_say_what_was_sent_are_joined_with_the_spans_of_their_tools(
    tmp_path: Path,
) -> None:
    rows = SHAPES["langsmith"](make_loop())
    for row in rows:
        if row["run_type"] == "llm":
            row["inputs"] = {"prompts": [f"Human: Where is order 1042? ({len(str(row))} …)"]}
    (found,) = find(write(tmp_path / "a.jsonl", rows))

    assert (found.calls, found.replies, found.halted_at, found.repeats.tokens) == (9, 10, 4, 880)


def test_events_that_do_not_name_the_run_around_them_are_one_run(tmp_path: Path) -> None:
    rows = [
        {key: each for key, each in row.items() if key != "parent_ids"}
        for row in SHAPES["events"](make_loop())
    ]
    (found,) = find(write(tmp_path / "a.jsonl", rows))

    assert (found.calls, found.halted_at) == (9, 4)


def test_requests_that_repeat_a_conversation_are_one_run_and_equal_prompts_are_not(tmp_path: Path) -> None:
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]
    alone = {"messages": prompt}
    first = {"messages": [*prompt, {"role": "assistant", "content": "hello"}]}
    other = {"messages": [*prompt, {"role": "assistant", "content": "good day"}]}
    longer = {
        "messages": [
            *first["messages"],
            {"role": "user", "content": "and?"},
            {"role": "assistant", "content": "no"},
        ]
    }
    runs = runs_of(write(tmp_path / "a.jsonl", [alone, first, other, longer]))

    assert sorted(
        [message.text for message in run.messages if message.role == "assistant"] for run in runs
    ) == [
        ["good day"],
        ["hello", "no"],
    ]


@pytest.mark.parametrize("shape", ["chat_list", "langchain_data", "response_items"])
def test_a_message_a_line_is_one_conversation_until_the_next_system_message(
    shape: str, tmp_path: Path
) -> None:
    (loop,), (work,) = SHAPES[shape](make_loop()), SHAPES[shape](make_work())
    found = find(write(tmp_path / "a.jsonl", [*loop, *work] if shape != "response_items" else loop))

    assert [(each.calls, each.halted_at) for each in found] == [(9, 4), (3, None)][: len(found)]
    assert len(found) == (1 if shape == "response_items" else 2)


def test_messages_of_several_conversations_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    one, other = (SHAPES["chat"](each)[0]["messages"] for each in (make_loop(), make_loop()))
    mixed = [
        {**message, "session_id": name}
        for pair in zip(one, other, strict=True)
        for name, message in zip("ab", pair, strict=True)
    ]
    found = find(write(tmp_path / "a.jsonl", mixed))

    assert sorted((each.id, each.calls, each.halted_at) for each in found) == [("a", 9, 4), ("b", 9, 4)]


def test_a_call_id_that_a_model_gives_twice_is_two_calls(tmp_path: Path) -> None:
    def ask(tool: str) -> dict[str, Any]:
        return {
            "role": "assistant",
            "tool_calls": [{"id": "c", "function": {"name": tool, "arguments": "{}"}}],
        }

    def tell(result: str) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": "c", "content": result}

    rows = [{"messages": [ask("a"), tell("1"), ask("b"), tell("2"), ask("a"), tell("3")]}]
    (run,) = runs_of(write(tmp_path / "a.jsonl", rows))

    assert [(call.tool, call.result) for call in run.calls] == [("a", "1"), ("b", "2"), ("a", "3")]


def test_tokens_and_money_of_a_loop_are_added_up_where_the_price_is_known(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", SHAPES["chat_log"](make_loop()))
    (priced,) = find(path, Price(1_000, 10_000))
    (unpriced,) = find(path)

    assert priced.after_halt is not None and unpriced.after_halt is not None
    assert (priced.tokens, priced.usd) == (1100, 2)  # of each reply 100 tokens at $0.001 and 10 at $0.01
    assert (priced.after_halt.calls, priced.after_halt.tokens, priced.after_halt.usd) == (
        5,
        660,
        Decimal("1.2"),
    )
    assert (priced.repeats.tokens, priced.repeats.usd) == (880, Decimal("1.6"))
    assert (unpriced.usd, unpriced.after_halt.usd) == (None, None)


def test_a_reply_of_claude_code_that_stands_in_several_lines_is_counted_once(tmp_path: Path) -> None:
    calls = tuple((tool, {"path": tool}, f"content of {tool}", False) for tool in ("read_a", "read_b"))
    rows = SHAPES["claude_code"](Conversation("s", (Turn(user="go", calls=calls), Turn(text="done"))))
    blocks = [row for row in rows if row["type"] == "assistant"]
    resumed = [*rows, *[{**row} for row in rows]]
    (run,) = runs_of(write(tmp_path / "a.jsonl", resumed))

    assert len(blocks) == 5  # two of them think
    replies = [message for message in run.messages if message.role == "assistant"]
    assert [(len(each.calls), each.usage and each.usage.output_tokens) for each in replies] == [
        (2, 10),
        (0, 10),
    ]
    assert [(call.tool, call.turn) for call in run.calls] == [("read_a", "1"), ("read_b", "1")]


def test_sidechains_of_claude_code_are_agents_of_their_own(tmp_path: Path) -> None:
    def line(
        uuid: str, parent: str | None, content: Any, kind: str = "assistant", **more: Any
    ) -> dict[str, Any]:
        message = {"role": kind, "content": content, **({"id": uuid} if kind == "assistant" else {})}
        return {
            "type": kind,
            "uuid": uuid,
            "parentUuid": parent,
            "sessionId": "s",
            "message": message,
            **more,
        }

    use = [{"type": "tool_use", "id": "t1", "name": "Read", "input": {"path": "a"}}]
    told = [
        {"type": "tool_result", "tool_use_id": "t1", "content": "a long text that both of them read in full"}
    ]
    again = [{**use[0], "id": "t2"}]
    told_again = [{**told[0], "tool_use_id": "t2"}]
    aside: dict[str, Any] = {"isSidechain": True}
    rows = [
        line("1", None, "look", "user"),
        line("2", "1", use),
        line("3", "2", told, "user"),
        line("4", None, "look there", "user", **aside),
        line("5", "4", again, **aside),
        line("6", "5", told_again, "user", **aside),
        line("7", None, "by name", "user", **aside, agentId="a9f"),
    ]
    path = write(tmp_path / "a.jsonl", rows)
    (run,) = runs_of(path)

    assert [call.agent for call in run.calls] == ["", "sidechain #1"]
    assert {message.agent for message in run.messages} == {"", "sidechain #1", "a9f"}
    assert find(path)[0].duplicates.calls == 1


def test_lines_of_claude_code_of_further_types_are_no_recordings_and_not_bad(tmp_path: Path) -> None:
    beside = [
        {"type": "permission-mode", "permissionMode": "plan", "sessionId": "s"},
        {"type": "pr-link", "prNumber": 7, "sessionId": "s"},
        {"type": "worktree-state", "sessionId": "s", "worktreeSession": {"name": "w"}},
        {"type": "content-replacement", "sessionId": "s", "replacements": [{"uuid": "u"}]},
    ]
    said = {"role": "assistant", "content": "Done.", "id": "m"}
    rows = [*beside, {"type": "assistant", "uuid": "u", "sessionId": "s", "message": said}]
    (run,) = read_runs(write(tmp_path / "a.jsonl", rows))
    assert isinstance(run, RecordedRun) and run.id == "s"
    chat = [
        {"type": "message", "sessionId": "s", "role": role, "content": role} for role in ("user", "assistant")
    ]
    whole = [{"type": "chat", "sessionId": "s", "messages": chat}]
    for rows in (chat, whole):
        (run,) = read_runs(write(tmp_path / "a.jsonl", rows))
        assert isinstance(run, RecordedRun) and run.format == "OpenAI chat"


def test_the_agents_of_spans_are_told_apart_and_what_two_have_read_is_a_duplicate(tmp_path: Path) -> None:
    text = "the whole of the file, as both of them have read it"
    rows = SHAPES["otlp"](
        Conversation("x", (Turn(user="go", calls=(("read_file", {"p": 1}, text, False),)), Turn(text="ok")))
    )
    other = json.loads(json.dumps(rows).replace('"clerk"', '"cashier"').replace("call_x", "call_y"))
    for number, row in enumerate(other):
        span = row["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        span["spanId"] = f"b{number:015x}"
        span["parentSpanId"] = f"b{0:015x}" if number else ""
        span["startTimeUnixNano"] = str(int(span["startTimeUnixNano"]) + 10**9)
    path = write(tmp_path / "a.jsonl", [*rows, *other])
    (run,) = runs_of(path)

    assert [call.agent for call in run.calls] == ["clerk", "cashier"]
    assert find(path)[0].duplicates.calls == 1


def test_spans_without_content_are_judged_with_a_warning(tmp_path: Path) -> None:
    rows = SHAPES["otlp"](make_loop())
    for row in rows:
        span = row["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        hidden = ("messages", "instructions", "arguments", "result")
        span["attributes"] = [each for each in span["attributes"] if not each["key"].endswith(hidden)]
    (found,) = find(write(tmp_path / "a.jsonl", rows))

    assert (found.calls, found.replies, found.tokens) == (9, 10, 1100)
    assert found.lacks == ("arguments", "result")


def test_a_log_record_tells_of_the_call_in_whose_span_it_was_written(tmp_path: Path) -> None:
    rows = SHAPES["otlp_events"](make_work())
    records: list[Any] = []
    for row in rows:
        span = row["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        for event in span.pop("events"):
            record = {
                "traceId": span["traceId"],
                "spanId": span["spanId"],
                "timeUnixNano": span["startTimeUnixNano"],
            }
            record |= {"eventName": event["name"], "attributes": event["attributes"], "body": {}}
            records.append({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    (found,) = find(write(tmp_path / "a.jsonl", [*records, *rows]))
    (expected,) = find(write(tmp_path / "b.jsonl", SHAPES["chat"](make_work())))

    assert summarise(found) == summarise(expected)


def test_events_in_an_attribute_of_the_span_are_read(tmp_path: Path) -> None:
    rows = SHAPES["otlp_events"](make_loop())
    for row in rows:
        span = row["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        events: list[Any] = []
        for event in span.pop("events"):
            given = {each["key"]: each["value"].get("stringValue", 0) for each in event["attributes"]}
            events.append({"event.name": event["name"], **given})
        if events:
            span["attributes"].append({"key": "events", "value": {"stringValue": json.dumps(events)}})
    (found,) = find(write(tmp_path / "a.jsonl", rows))

    assert (found.calls, found.halted_at, found.unsourced) == (9, 4, ("2031-04-17",))


@pytest.mark.parametrize("with_ids", [True, False], ids=["ids", "no ids"])
def test_a_tool_span_that_writes_its_arguments_otherwise_is_still_the_call_that_was_asked_for(
    with_ids: bool, tmp_path: Path
) -> None:
    turn = Turn(user="go", calls=(("search", {"input": "a phrase"}, "found", False),))
    rows = SHAPES["langsmith"](Conversation("x", (turn, Turn(text="ok")), with_ids=with_ids))
    for row in rows:
        if row["run_type"] == "tool":
            row["inputs"] = {"input": "a phrase"}
    (run,) = runs_of(write(tmp_path / "a.jsonl", rows))

    assert [(call.tool, call.arguments, call.result) for call in run.calls] == [
        ("search", '{"input":"a phrase"}', "found")
    ]


def test_arguments_that_are_called_inputs_are_arguments(tmp_path: Path) -> None:
    turn = Turn(
        user="go", calls=(("search", {"inputs": {"a": 1}, "n": 2}, '{"output": 3, "kwargs": 4}', False),)
    )
    rows = [row for row in SHAPES["otlp"](Conversation("x", (turn,))) if '"chat' not in json.dumps(row)]
    (run,) = runs_of(write(tmp_path / "a.jsonl", rows))

    assert [(call.arguments, call.result) for call in run.calls] == [
        ('{"inputs":{"a":1},"n":2}', '{"kwargs":4,"output":3}')
    ]


def test_a_span_as_an_sdk_prints_it_is_read(tmp_path: Path) -> None:
    rows: list[Any] = []
    for row in SHAPES["otlp"](make_loop()):
        span = row["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        given = {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}
        context = {"trace_id": f"0x{span['traceId']}", "span_id": f"0x{span['spanId']}", "trace_state": "[]"}
        parent = f"0x{span['parentSpanId']}" if span["parentSpanId"] else None
        began = f"2026-01-01T00:00:00.{len(rows):06d}Z"
        rows.append(
            {
                "name": span["name"],
                "context": context,
                "parent_id": parent,
                "start_time": began,
                "attributes": given,
                "events": [],
            }
        )
    text = "\n".join(json.dumps(row, indent=4) for row in rows)
    (tmp_path / "a.json").write_text(text)
    (found,) = find(tmp_path / "a.json")

    assert (found.format, found.calls, found.halted_at, found.tokens) == ("OpenTelemetry", 9, 4, 1100)
