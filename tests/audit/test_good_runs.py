"""Good runs that look like loops, of which none is stopped, and loops that look like work, of which each is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audit.runs import Row, audited
from seawall.audit import ToolNames


def sh(command: str, result: str, error: bool = False) -> Row:
    return "bash", {"command": command}, result, error


def edit(text: str) -> Row:
    return (
        "str_replace_editor",
        {"command": "str_replace", "path": "a.py", "new_str": text},
        "The file was edited.",
    )


FAILED = "FAILED tests/test_a.py::test_it - AssertionError\n1 failed in 0.{n}s"
STATUS = "Airplane Mode: {mode} | Signal: {signal} | Data: Disabled"


def build_polls() -> list[Row]:
    return [
        sh("make all > log 2>&1 &", ""),
        *[sh("sleep 60; tail -3 log", "still running")] * 15,
        sh("tail -3 log", "ok"),
    ]


def reruns() -> list[Row]:
    rows: list[Row] = []
    for n in range(14):
        rows += [edit(f"try {n}"), sh("pytest -q", FAILED.format(n=n + 10), error=True)]
    return rows


def inline_reruns() -> list[Row]:
    """Edits by the shell, in the command itself: the same failure for other reasons, and looks in between."""
    rows: list[Row] = []
    for n in range(10):
        rows += [
            sh(f"sed -i 's/{n}/{n + 1}/' a.py", ""),
            sh("python a.py", "Traceback: line 3\nTypeError", error=True),
        ]
    return rows


def toggles() -> list[Row]:
    rows: list[Row] = []
    for _ in range(2):
        rows += [
            ("toggle_airplane_mode", {}, "Airplane Mode is now ON.", False, "user"),
            ("check_status_bar", {}, STATUS.format(mode="ON", signal="none"), False, "user"),
            ("toggle_airplane_mode", {}, "Airplane Mode is now OFF.", False, "user"),
            ("check_status_bar", {}, STATUS.format(mode="OFF", signal="none"), False, "user"),
            ("run_speed_test", {}, "Speed test failed: no connection.", False, "user"),
        ]
    return rows


def checks_after_each_fix() -> list[Row]:
    rows: list[Row] = []
    for fix in ("toggle_data", "toggle_roaming", "reset_apn_settings", "reseat_sim_card", "reboot_device"):
        rows += [(fix, {}, f"{fix} done", False, "user")]
        rows += [
            (check, {}, "no service", False, "user") for check in ("check_status_bar", "run_speed_test")
        ] * 2
    return rows


def reboots() -> list[Row]:
    """The write has the same result each time; the read after it may have another one."""
    rows: list[Row] = []
    for _ in range(5):
        rows += [("reboot_device", {}, "The device was rebooted.", False, "user")]
        rows += [(check, {}, "no service", False, "user") for check in ("check_status_bar", "run_speed_test")]
    return rows


def looks_between_new_results() -> list[Row]:
    rows: list[Row] = []
    for n in range(12):
        rows += [
            sh("pwd", "/work"),
            sh("git status --short", " M a.py"),
            sh(f"cat src/{n}.py", f"text {n} of it"),
        ]
    return rows


def rereads_after_edits() -> list[Row]:
    rows: list[Row] = []
    for word in ["one", "two", "three", "four", "five", "six", "seven", "eight"]:
        rows += [edit(word), ("view", {"path": "a.py"}, f"1: {word}")]
    return rows


def notes() -> list[Row]:
    done = "Todos have been modified successfully."
    return [("TodoWrite", {"todos": [f"step {n}"]}, done) for n in range(30)]


def silent_commands() -> list[Row]:
    return [sh(f"{verb} dir{n}", "") for n in range(10) for verb in ("mkdir", "cd", "touch")]


def the_user_is_asked_again() -> list[Row]:
    asks = ("Which order?", "Sorry, which order?", "The number of the order, please?", "I need its number.")
    return [("ask_user", {"question": text}, "I don't know.") for text in asks] * 2


def context_was_lost() -> list[Row]:
    files = [("read_file", {"path": f"f{n}"}, f"text of {chr(97 + n)}") for n in range(20)]
    return files * 3


def pages() -> list[Row]:
    return [("scroll_down", {}, f"line {n} of the page: {chr(97 + n)}") for n in range(20)]


def plans() -> list[Row]:
    return [("update_plan", {"plan": f"{n} of 60"}, "Plan updated") for n in range(60)]


def no_new_output() -> list[Row]:
    waits = [("execute_bash", {"command": "", "is_input": "true"}, "[no new output after 10.0 seconds]")] * 12
    return [("execute_bash", {"command": "npm ci"}, "[no new output after 10.0 seconds]"), *waits]


def waits_apart() -> list[Row]:
    """The wait is a call of its own; the read after it does not count as a poll."""
    waited = [sh("sleep 60", ""), sh("cat train.log", "epoch 1"), sh("nvidia-smi -q", "busy")] * 9
    return [sh("python train.py &", ""), *waited, sh("cat train.log", "done")]


def searches_that_find_nothing() -> list[Row]:
    return [
        ("search", {"query": word}, "No matches found.", True)
        for word in ["a", "b", "c", "d", "e", "f", "g", "h"]
    ]


GOOD = [
    build_polls,
    reruns,
    inline_reruns,
    toggles,
    checks_after_each_fix,
    reboots,
    looks_between_new_results,
    rereads_after_edits,
    notes,
    silent_commands,
    the_user_is_asked_again,
    context_was_lost,
    pages,
    plans,
    no_new_output,
    waits_apart,
    searches_that_find_nothing,
]


@pytest.mark.parametrize("rows", GOOD, ids=[each.__name__ for each in GOOD])
def test_a_good_run_that_looks_like_a_loop_is_not_stopped(rows: Any, tmp_path: Path) -> None:
    found = audited(rows(), tmp_path)

    assert found.halted_at is None, found.reason


QUIET = [
    reruns,
    inline_reruns,
    looks_between_new_results,
    rereads_after_edits,
    notes,
    silent_commands,
    pages,
    plans,
]


@pytest.mark.parametrize("rows", QUIET, ids=[each.__name__ for each in QUIET])
def test_work_that_brings_new_information_is_not_even_advised_on(rows: Any, tmp_path: Path) -> None:
    assert audited(rows(), tmp_path).advised_at == ()


def switches(*names: str) -> list[Row]:
    """Turns every switch off and on again, then looks, for ever."""
    flips = [(f"toggle_{name}", {}, f"{name} is {now}") for name in names for now in ("off", "on")]
    return [*flips, ("check_status_bar", {}, "no service")] * 12


def line() -> Row:
    return "get_line", {}, "active"


def rounds(times: int) -> list[Row]:
    flips = [("toggle_data", {}, "off"), ("check_status_bar", {}, "no data")]
    return [*flips, ("toggle_data", {}, "on"), ("run_speed_test", {}, "no connection")] * times


LOOPS: list[tuple[str, list[Row], int, str]] = [
    ("one read", [("read", {}, "same")] * 9, 4, "no_news"),
    (
        "one read whose result has the time",
        [("read", {}, f"10:00:0{n} same") for n in range(9)],
        4,
        "no_news",
    ),
    ("a failing edit", [(*edit("x")[:2], "No match.", True)] * 9, 4, "no_news"),
    (
        "a command that was run too often",
        [sh("pytest -q", FAILED.format(n=n), True) for n in range(9)],
        4,
        "no_news",
    ),
    ("two in turn", [("a", {}, "1"), ("b", {}, "2")] * 9, 9, "no_news"),
    ("on and off", [("toggle", {}, "on"), ("toggle", {}, "off")] * 9, 10, "cycles"),
    ("three switches, off and on in turn", switches("airplane_mode", "data", "roaming"), 23, "cycles"),
    (
        "two switches, now this one first and now that",
        [*switches("data", "roaming")[:5], *switches("roaming", "data")[:5]] * 9,
        21,
        "cycles",
    ),
    (
        "a round with a look at what was known long before",
        [line(), *rounds(4), line(), *rounds(9)],
        22,
        "cycles",
    ),
    ("a wait and a look, without end", [sh("sleep 9", ""), sh("cat out", "nothing yet")] * 60, 44, "polls"),
    ("seven in turn, who may write", [(f"t{n}", {}, "x") for n in range(7)] * 9, 19, "stretch"),
    ("seven reads in turn", [(f"get_t{n}", {}, "x") for n in range(7)] * 9, 13, "stretch"),
    ("one event after the other", [("create_event", {"at": 5}, f"id: {n}") for n in range(9)], 5, "again"),
    ("one mail after the other", [("send_mail", {"text": "Hello, Ann"}, "sent")] * 9, 5, "again"),
    ("one key after the other", [("create_event", {"at": 5}, "made")] * 12, 9, "again"),
    (
        "a date that does not fit",
        [("book", {"at": f"{n}"}, f"'{n}' is no date", True) for n in range(20)],
        9,
        "errors",
    ),
    ("a poll without end", [sh("sleep 5; cat out", "nothing yet")] * 60, 21, "polls"),
]


@pytest.mark.parametrize(("why", "rows", "halted", "rule"), LOOPS, ids=[row[0] for row in LOOPS])
def test_a_loop_is_stopped_at_its_call_and_advised_on_before(
    why: str, rows: list[Row], halted: int, rule: str, tmp_path: Path
) -> None:
    found = audited(rows, tmp_path)

    assert (found.halted_at, found.rule) == (halted, rule)
    assert found.advised_at
    assert max(found.advised_at) < halted


def test_a_run_that_turns_to_something_else_after_its_loop_goes_on(tmp_path: Path) -> None:
    rows: list[Row] = [*[("list_files", {}, "a b c")] * 4, ("delete_file", {"id": 3}, "gone")]

    found = audited(rows, tmp_path)

    assert found.halted_at is None
    assert found.advised_at == (1, 2, 3)


def test_calls_of_one_reply_are_admitted_together(tmp_path: Path) -> None:
    rows: list[Row] = [("read", {}, "same", False, "main", 1)] * 8

    assert audited(rows, tmp_path).halted_at is None
    assert audited([*rows, ("read", {}, "same", False, "main", 2)], tmp_path).halted_at == 8


def test_what_the_user_says_of_the_tools_is_believed(tmp_path: Path) -> None:
    rows: list[Row] = [("job_state", {}, "running")] * 20
    storm: list[Row] = [("put", {"n": n}, f"put {chr(97 + n)}") for n in range(26)] + [
        ("put", {"n": 99}, "put z")
    ]

    assert audited(rows, tmp_path).halted_at == 17, "it says that it is not finished"
    assert audited(rows, tmp_path, ToolNames(polls=["job_*"])).halted_at is None
    assert audited(storm, tmp_path).halted_at is None
    assert audited(storm, tmp_path, ToolNames(effects=["pu?"])).halted_at == 25


def test_the_guard_takes_its_options(tmp_path: Path) -> None:
    rows: list[Row] = [("read", {}, "same")] * 9

    assert audited(rows, tmp_path, no_news=6).halted_at == 7
    assert audited(rows, tmp_path, literal=True).halted_at == 3
