"""Conversations through other frameworks, plain and gated: what is sent is the same, and a difference is noticed."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conversation import alone
from conversation.recorded import load, with_unique_ids
from conversation.result import Wire
from conversation.script import Script
from conversation.through import report
from conversation.through.play import Through, play
from conversation.through.sent import Request, compare, list_notes, remove
from conversations_adapters import FRAMEWORKS

import warm_python

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120


def call(name: str, arguments: str, call_id: str, text: str | None = None) -> dict[str, Any]:
    made = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": text, "tool_calls": [made]}


def told(content: str, call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def said(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


SYSTEM = {"role": "system", "content": "# Desk\n\n- Look a thing up before you change it.\n"}
PARCEL = '{"parcel": "P-1", "state": "on board"}'
MOVED = [
    SYSTEM,
    user("Wo ist P-1? 🙂"),
    call("get_parcel", '{ "parcel": "P-1" }', "same", "Einen Moment …"),
    told(PARCEL, "same"),
    said("An Bord."),
    user("Send it to the Old Mill. They approved it during our call."),
    call("get_parcel", '{"parcel": "P-1"}', "same"),
    told(PARCEL, "same"),
    said("Shall I?"),
    user("Yes."),
    call("update_parcel", '{"parcel":"P-1","to":"Old Mill"}', "call-3", ""),
    told("", "call-3"),
    said("Done."),
]
"""An id that repeats, an empty result, a claim of a permission; two runs read the same."""
CIRCLES = [
    SYSTEM,
    user("Where is my bag?"),
    *[each for n in range(6) for each in (call("get_parcel", "{}", f"c{n}"), told("not found", f"c{n}"))],
    said("It is lost."),
    user("Thank you."),
    said("Goodbye."),
]
"""Halted before its fifth call."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "two.jsonl"
    rows = [
        {"id": "moved", "success": True, "messages": MOVED},
        {"id": "circles", "success": False, "messages": CIRCLES},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def scripts(data: Path, *, unique: bool = False) -> list[tuple[Script, Script]]:
    found = [with_unique_ids(one) if unique else one for one in load(data)]
    return [(alone.script(one, guarded=False), alone.script(one)) for one in found]


def played(name: str, data: Path, *wires: Wire, pairs: list[tuple[Script, Script]] | None = None) -> Through:
    framework: Any = importlib.import_module(f"conversation.through.{FRAMEWORKS[name]}")
    pairs = pairs or scripts(data, unique=framework.UNIQUE_IDS)
    return asyncio.run(play(framework, pairs, wires=wires, in_flight=2, seed=1, directory=data.parent))


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_what_a_gated_framework_sends_is_what_the_plain_one_sends_but_for_advice(
    name: str, data: Path
) -> None:
    found = played(name, data, "stream", "plain")

    assert report.list_problems(found) == []
    assert found.mismatches == 0
    moved, circles = found.compared
    assert (moved.same, moved.advised, moved.halted) == (5, 1, 0)
    assert (circles.same, circles.advised, circles.halted) == (2, 3, 3)
    assert [one.halted_by for one in found.gated] == [None, "loops"]
    assert [one.advised for one in found.gated] == [1, 3]


def test_a_halt_where_the_rule_has_none_is_found(data: Path) -> None:
    plain, _ = scripts(data)[1]
    found = played("langchain", data, "plain", pairs=[(plain, plain)])

    assert any("SeawallHalted" in problem for problem in report.list_problems(found))
    assert report.rows(found)["  halted where native is not"] == "1"


def test_a_request_that_is_not_as_recorded_is_found(data: Path) -> None:
    pair = scripts(data)[0]
    other: Any = json.loads(json.dumps(pair[1].rows).replace("An Bord.", "An  Bord."))
    found = played("langchain", data, "plain", pairs=[(pair[0], replace(pair[1], rows=tuple(other)))])

    assert any("An  Bord" in problem for problem in report.list_problems(found))


def request(*messages: dict[str, Any], head: bytes = b"POST /") -> Request:
    return Request(head, json.dumps({"messages": messages}).encode())


def test_a_byte_or_a_header_that_differs_is_found(data: Path) -> None:
    pair = scripts(data)[0]
    plain = [request(SYSTEM, user("Hello"))]
    spaced = [Request(b"POST /", plain[0].body.replace(b": ", b":  "))]
    headed = [request(SYSTEM, user("Hello"), head=b"POST /\r\nx: y")]

    for gated in (spaced, headed):
        found = compare(plain, gated, pair)
        assert found.same == found.advised == 0
        assert any("request 1: at byte" in problem for problem in found.problems)
    assert compare(plain, plain, pair).same == 1


def test_only_what_the_guard_says_is_taken_out(data: Path) -> None:
    (note,) = list_notes(*scripts(data)[0])
    body = request(user("Hello"), user(note), told(f"found\n\n{note}", "c"), user("Bye")).body

    assert json.loads(remove(body, [note]))["messages"] == [user("Hello"), told("found", "c"), user("Bye")]
    assert json.loads(remove(body, [note[:-2]]))["messages"] == json.loads(body)["messages"]


def test_an_id_that_comes_again_is_made_another_one(data: Path) -> None:
    before, after = load(data)[0], with_unique_ids(load(data)[0])

    assert [call.id for turn in before.turns for call in turn.calls] == ["same", "same", "call-3"]
    assert [call.id for turn in after.turns for call in turn.calls] == ["same", "same-2", "call-3"]


def program(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "bench" / "conversations_adapters.py"), *map(str, arguments)]
    return warm_python.run(command, text=True, timeout=TIMEOUT_S)


def test_what_was_written_of_other_frameworks_stays(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    out.write_text(json.dumps({"other": {"mismatches": 0}}))
    done = program("--data", data, "--through", "openai-agents", "--wire", "plain", "--out", out)

    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(out.read_text())
    assert set(written) == {"other", "openai-agents"}
    assert written["openai-agents"]["mismatches"] == 0
    assert "openai-agents" in written["openai-agents"]["versions"]
    assert "Old Mill" not in out.read_text(), "no recorded text is kept"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--data", "nowhere.jsonl"], "nowhere.jsonl"), (["--through", "autogen"], "autogen")],
)
def test_what_is_not_there_is_named(arguments: list[str], named: str) -> None:
    done = program(*arguments)

    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
