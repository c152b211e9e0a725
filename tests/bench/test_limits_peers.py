"""The limits program without the systems that it compares: cases, recordings, the world's counts, tables."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import limits_peers
import pytest
from limits import recorded, report
from limits.asked import ANSWERED, Asked, AskedRun, Ended, Reported, asked, reported
from limits.cases import CASES, FAN_OUT, RECORDED, SERVED, Called, Case, Seen
from limits.cell import SYSTEMS
from limits.world import CAPPED, Stage, asked_of, see
from rich.console import Console

import warm_python
from seawall.models.protocol import ModelReply
from seawall.testing.faults import Answer, ErrorStatus
from seawall.testing.wire import ChatRequest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120


def seen(results: int, agent: str = "desk", **more: Any) -> Seen:
    return Seen(**({"agent": agent, "run": "r1", "turn": 0, "task": 0, "results": results} | more))


def called(nth: int, name: str = "find_order", **more: Any) -> Called:
    given = {"run": "r1", "turn": 0, "name": name, "arguments": "{}", "nth": nth, "at_ms": 0}
    return Called(**(given | more))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.endless])
def test_an_endless_case_never_says_its_answer(name: str) -> None:
    case = CASES[name]

    assert all(case.say(seen(results)).text == "" for results in range(1000))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.endless])
def test_every_other_case_ends_with_its_answer(name: str) -> None:
    case = CASES[name]
    results, told = 0, case.say(seen(0))
    while not told.text and results < 100:
        results += len(told.calls) + len(told.tasks)
        told = case.say(seen(results))

    assert told.text == SERVED


def test_what_is_left_of_a_fan_out_is_handed_out_again() -> None:
    case = CASES["spend-fan-out"]

    assert [number for number, _ in case.say(seen(0)).tasks] == list(range(1, FAN_OUT + 1))
    assert [number for number, _ in case.say(seen(FAN_OUT - 1)).tasks] == [FAN_OUT]


def test_the_clock_in_a_result_is_all_that_differs() -> None:
    result = CASES["loop-clock"].result
    first, second = result(called(1, at_ms=1_000)), result(called(2, at_ms=62_345))

    assert first != second
    assert first.split("served_at")[0] == second.split("served_at")[0]


def test_a_failing_test_run_passes_at_the_fourth_time() -> None:
    result = CASES["good-tests"].result
    tests = [result(called(nth, "run_tests")) for nth in (1, 2, 3, 4)]

    assert len(set(tests[:3])) == 1
    assert tests[3] == "12 passed"


def test_a_cell_and_its_report_come_through_as_they_were() -> None:
    cell = asked_of(CASES["spend-fan-out"], "docs", "http://127.0.0.1:1/c0", 70)
    ended = Ended(key="r1", seconds=1.5, answered=False, how="MaxTurnsExceeded: 10")
    said = Reported(ended=(ended,), configured="max_turns 10", version="agents 1")

    assert asked(cell.to_json()) == cell
    assert reported(said.to_json()) == said


def recording(directory: Path, *rows: dict[str, Any], source: str = "tau_airline") -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (directory / f"{source}.jsonl.gz").write_bytes(gzip.compress(lines))
    return directory


def call(turn: int, tool: str, arguments: str, result: str) -> dict[str, Any]:
    return {"turn": turn, "tool": tool, "arguments": arguments, "result": result}


GOOD = {
    "success": True,
    "runaway": False,
    "calls": [
        call(2, "get_user", '{"id": 1}', "Ada"),
        call(2, "get_user", '{"id": 2}', "Bob"),
        call(4, "get_user", '{"id": 1}', "Ada L."),
        call(10, "cancel_reservation", "{}", "cancelled"),
    ],
}


def test_a_recorded_run_is_cut_where_the_user_spoke_and_its_results_come_in_order(tmp_path: Path) -> None:
    bad = GOOD | {"success": False}
    found = recorded.load(recording(tmp_path, GOOD, bad), ["tau_airline"])
    (one,) = found["tau_airline"]
    case = recorded.case([one])

    assert [[len(batch) for batch in batches] for batches in one.turns] == [[2, 1], [1]]
    assert one.longest == 3
    assert case.runs == (AskedRun(key=one.key, turns=2),)
    assert {tool.name: tool.effect for tool in case.tools} == {"get_user": False, "cancel_reservation": True}
    mark = {"run": one.key}
    assert case.say(seen(0, **mark)).calls == (("get_user", '{"id": 1}'), ("get_user", '{"id": 2}'))
    assert case.say(seen(1, **mark)).calls == (("get_user", '{"id": 2}'),)
    assert case.say(seen(2, **mark)).calls == (("get_user", '{"id": 1}'),)
    assert case.say(seen(3, **mark)).text == SERVED
    assert case.say(seen(0, turn=1, **mark)).calls == (("cancel_reservation", "{}"),)
    again = [case.result(called(nth, "get_user", arguments='{"id": 1}', **mark)) for nth in (1, 2, 3)]
    assert again == ["Ada", "Ada L.", "Ada L."]


def test_a_sample_takes_as_many_of_each_recording_and_repeats_with_its_seed(tmp_path: Path) -> None:
    rows = [GOOD] * 9
    for source in ("tau_airline", "claude_code"):
        recording(tmp_path, *rows, source=source)
    good = recorded.load(tmp_path, ["tau_airline", "claude_code"])
    first = recorded.sample(good, 6, seed=7)

    assert [one.source for one in first] == ["tau_airline"] * 3 + ["claude_code"] * 3
    assert recorded.sample(good, 6, seed=7) == first


def test_a_recording_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(recorded.NoRecording, match=r"tau_airline\.jsonl\.gz"):
        recorded.load(tmp_path)


def messages(results: int, run: str = "r1/0") -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {"role": "system", "content": "You are the desk. [agent:desk]"},
        {"role": "user", "content": [{"type": "text", "text": f"Please see to this. [run:{run}]"}]},
    ]
    for n in range(results):
        function = {"name": "find_order", "arguments": "{}"}
        made.append(
            {"role": "assistant", "content": None, "tool_calls": [{"id": f"{n}", "function": function}]}
        )
        made.append({"role": "tool", "tool_call_id": f"{n}", "content": "found"})
    return made


def test_the_model_goes_by_what_stands_after_the_users_last_message() -> None:
    history = [*messages(3), {"role": "assistant", "content": "Done."}, *messages(2, "r1/1")[1:]]

    assert see(messages(3)) == seen(3)
    assert see(history) == seen(2, turn=1)


def ask(stage: Stage, results: int, *tools: str, parameter: str = "arguments") -> Answer:
    schema = {"properties": {parameter: {"type": "string"}}}
    offered = [{"type": "function", "function": {"name": name, "parameters": schema}} for name in tools]
    body = {"model": "gpt-4o", "messages": messages(results), "tools": offered}
    return asyncio.run(stage.model(ChatRequest(number=1, path="/", headers={}, body=body)))


def said(answer: Answer) -> ModelReply:
    assert isinstance(answer, ModelReply)
    return answer


def test_the_world_counts_calls_and_what_they_cost() -> None:
    stage = Stage(CASES["spend-alone"], cap=10)
    reply = said(ask(stage, 0, "find_order"))
    answered = asyncio.run(stage.tool("find_order", {"run": "r1/0", "arguments": "{}"}))

    assert answered.status == 200
    assert (stage.counts.model, stage.counts.tool, stage.counts.capped) == (1, 1, False)
    expected = reply.usage.input_tokens * 2.5e-6 + reply.usage.output_tokens * 10e-6
    assert float(stage.counts.usd) == pytest.approx(expected)


def test_an_endless_case_is_told_that_it_is_enough_once_the_cap_is_reached() -> None:
    stage = Stage(CASES["loop-same"], cap=1)
    said(ask(stage, 0, "find_order"))
    asyncio.run(stage.tool("find_order", {"run": "r1/0", "arguments": "{}"}))

    assert said(ask(stage, 1, "find_order")).message.content == CAPPED
    assert stage.counts.capped


def test_an_outage_answers_503_and_costs_nothing() -> None:
    stage = Stage(replace(CASES["storm"], outage_s=3600.0), cap=10)
    answer = ask(stage, 0, "find_order")

    assert isinstance(answer, ErrorStatus)
    assert answer.status == 503
    assert (stage.counts.failed, stage.counts.usd) == (1, 0)


def test_tools_and_tasks_are_called_by_the_names_that_a_system_gives_them() -> None:
    renamed = said(ask(Stage(CASES["loop-same"], cap=10), 0, "FindOrder"))
    handed = said(ask(Stage(CASES["loop-tasks"], cap=10), 0, "ask_clerk", parameter="input"))

    assert [one.name for one in renamed.message.calls] == ["FindOrder"]
    (task,) = handed.message.calls
    assert task.name == "ask_clerk"
    assert "[run:r1/0] [task:1]" in json.loads(task.arguments)["input"]


def test_a_model_that_is_offered_no_tool_says_so() -> None:
    assert "no tool" in str(said(ask(Stage(CASES["loop-same"], cap=10), 0)).message.content)


def counted(**more: Any) -> report.World:
    return report.World(
        **({"model": 5, "failed": 0, "tool": 4, "late": 0, "usd": 0.5, "capped": False} | more)
    )


def rows(case: Case, *ends: bool, **more: Any) -> report.Row:
    ended = tuple(
        Ended(
            key=f"r{n}", seconds=n, answered=answered, how=ANSWERED if answered else "Stopped: by [bold] it"
        )
        for n, answered in enumerate(ends, start=1)
    )
    said = Reported(ended=ended, configured="nothing", version="x 1") if ends else None
    return report.row("crewai", "docs", case, counted(**more), said, cap_s=30.0)


def printed(*made: report.Row, cases: list[Case]) -> str:
    console = Console(file=io.StringIO(), width=240)
    report.Report(made, cases, ["crewai"]).print(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_loops_and_the_good_runs_that_the_same_limits_stop_stand_in_one_line() -> None:
    loop, paging = CASES["loop-same"], CASES["good-paging"]
    old = replace(
        paging, name=RECORDED, runs=(AskedRun(key="r1"), AskedRun(key="r2")), sources=("tau", "tau")
    )
    text = printed(rows(loop, False), rows(paging, False), rows(old, True, False), cases=[loop, paging, old])
    (line,) = [
        line for line in text.splitlines() if "crewai" in line and "1/2, 50%" in line and "0.50" in line
    ]

    assert [cell.strip() for cell in line.split("│")[1:-1]] == [
        *("crewai", "docs", "4", "0.50", "1.0", "stopped", "1/2, 50%")
    ]


def test_what_only_the_benchmark_ended_is_marked() -> None:
    loop, spend = CASES["loop-same"], CASES["spend-alone"]
    text = printed(rows(loop, False, capped=True), rows(spend, False, capped=True), cases=[loop, spend])

    assert ">=4 (cap)" in text
    assert ">=0.50" in text
    assert "this benchmark's cap" in text


def test_a_cell_that_had_to_be_killed_says_after_how_long() -> None:
    made = rows(CASES["slow-model"])

    assert (made.capped, made.seconds, made.answered) == ("seconds", 30.0, 0)
    assert "killed after 30 s" in printed(made, cases=[CASES["slow-model"]])


def test_words_of_an_error_are_printed_as_they_are() -> None:
    case = CASES["spend-alone"]

    assert "Stopped: by [bold] it" in printed(rows(case, False), cases=[case])


def test_a_storm_is_compared_with_the_calls_that_were_needed() -> None:
    case = CASES["storm"]

    assert "1.50x" in printed(rows(case, True, model=300), cases=[case])


def program(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "bench" / "limits_peers.py"), *map(str, arguments)]
    return warm_python.run(command, text=True, timeout=TIMEOUT_S)


def test_seawall_is_played_alone_and_what_was_counted_is_written(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out.json"
    data.mkdir()
    for source in recorded.SOURCES:
        recording(data, GOOD, source=source)
    chosen = (
        "--systems",
        "seawall",
        "--only",
        f"loop-same,good-tests,{RECORDED}",
        "--configs",
        "default,fitted",
    )
    done = program(*chosen, "--data", data, "--runs", "3", "--out", out)

    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(out.read_text())
    found = {(row["case"], row["config"]): row for row in written["rows"]}
    assert found["loop-same", "default"]["tool_calls"] == 4
    assert "loops" in found["loop-same", "default"]["how"][0][0]
    assert found["good-tests", "fitted"]["answered"] == 0  # fitted to four calls, and it needs eight
    assert found["good-tests", "default"]["answered"] == 1
    assert found[RECORDED, "default"]["answered"] == 3
    assert written["fitted_calls"] == 4
    assert "recorded good runs" in done.stdout


@pytest.mark.parametrize("system", [name for name in SYSTEMS if name.endswith("-seawall")])
def test_a_framework_behind_the_gate_ends_a_loop_after_as_many_calls_as_seawall(
    system: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    done = program("--systems", system, "--only", "loop-same", "--configs", "docs", "--out", out)

    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(out.read_text())["rows"]
    assert (row["model_calls"], row["tool_calls"]) == (5, 4)
    assert "returned nothing new 3 times" in row["how"][0][0]


def test_a_system_that_is_not_installed_is_named_and_the_others_are_played(tmp_path: Path) -> None:
    systems = ("--systems", "crewai,seawall", "--crewai-python", tmp_path / "no-env" / "bin" / "python")
    done = program(*systems, "--only", "loop-same", "--configs", "default", "--out", tmp_path / "out.json")

    assert done.returncode == 1
    assert "not installed: there is no no-env" in done.stdout
    assert [row["system"] for row in json.loads((tmp_path / "out.json").read_text())["rows"]] == ["seawall"]


def test_rows_that_are_not_played_again_are_kept() -> None:
    def cell(system: str, **more: Any) -> dict[str, Any]:
        return {"system": system, "config": "docs", "case": "storm", **more}

    old = {
        "command": "first",
        "versions": {"a": "a 1", "b": "b 1"},
        "rows": [cell("a", calls=1)],
        "failures": [cell("b")],
    }
    new = {"command": "second", "versions": {"b": "b 2"}, "rows": [cell("b", calls=2)], "failures": []}
    kept = limits_peers.keep(old, new)

    assert kept["rows"] == [cell("a", calls=1), cell("b", calls=2)]
    assert kept["failures"] == []
    assert (kept["command"], kept["commands_before"]) == ("second", ["first"])
    assert kept["versions"] == {"a": "a 1", "b": "b 2"}


class Broken:
    """A process that says something and has called nobody."""

    def __init__(self, *_: object) -> None: ...

    async def play(self, asked: Asked, cap_s: float) -> Reported:
        how = "AttributeError: no such thing"
        return Reported(
            ended=(Ended(key="r1", seconds=0.1, answered=False, how=how),), configured="", version=""
        )

    async def stop(self) -> None: ...


def test_a_system_that_is_set_up_wrongly_does_not_pass_for_a_strict_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(limits_peers, "Child", Broken)
    given = limits_peers.parse(["--systems", "seawall", "--only", "loop-same", "--configs", "docs"])
    options, _ = limits_peers.options_of(given)
    played, failures = asyncio.run(limits_peers.play(options, Console(file=io.StringIO()), tmp_path))

    assert played == []
    assert [one["error"] for one in failures] == ["nothing reached the world: AttributeError: no such thing"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--systems", "autogen"], "autogen"),
        (["--only", "loop-nothing"], "loop-nothing"),
        (["--data", "nowhere"], "tau_airline.jsonl.gz"),
    ],
)
def test_what_is_not_known_is_named(arguments: list[str], named: str) -> None:
    done = program(*arguments)

    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
