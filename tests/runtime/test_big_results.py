"""What is big is encoded, redacted and hashed in a thread, and recorded as if it had not been."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from seawall import Agent, Limits, Seawall, Team, Tool, tool
from seawall.core.canonical import Ref
from seawall.core.events import StepDone
from seawall.core.redact import Redactor
from seawall.run.bodies import Bodies
from seawall.testing import ScriptedModel, call, say

KEY = "sk-abcdefghij0123456789"
ROWS = [{"n": n, "text": "word " * 5, "key": KEY} for n in range(20_000)]


async def _record(value: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, set[str]]:
    """Runs a tool that returns `value`; returns what its agent got, what was kept, and the threads that encoded it."""

    @tool
    async def fetch() -> Any:
        return value

    threads: set[str] = set()
    encode, prepare = Tool.encode_result, Bodies.prepare

    def watched_encode(self: Tool, value: object) -> str | bytes:
        threads.add(threading.current_thread().name)
        return encode(self, value)

    def watched_prepare(self: Bodies, content: str | bytes) -> Any:
        if len(content) > 100_000:
            threads.add(threading.current_thread().name)
        return prepare(self, content)

    monkeypatch.setattr(Tool, "encode_result", watched_encode)
    monkeypatch.setattr(Bodies, "prepare", watched_prepare)
    team = Team(Agent("a", model=ScriptedModel([call("fetch"), "Done."]), tools=[fetch]))
    async with Seawall(":memory:") as sea:
        run = await sea.start(team, "go")
        assert (await run.outcome()).status == "completed"
        done = [event async for event in run.events() if isinstance(event, StepDone)]
        shown = await run.body(done[1].output) or ""
        kept = shown.rpartition("whole: ")[2].rpartition("kept as ")[2].rstrip("]")
        return shown, await run.body(Ref(kept)) or "" if len(kept) == 64 else "", threads


@pytest.mark.parametrize(
    "value", [ROWS, {"rows": ROWS}, f"{KEY} " * 20_000, b"x" * 400_000], ids=["list", "dict", "text", "bytes"]
)
def test_a_big_result_is_recorded_by_another_thread(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, kept, threads = asyncio.run(_record(value, monkeypatch))

    assert threads == {"seawall-big-1"}
    assert len(shown) < 3_000
    assert KEY not in kept
    assert kept.count("[redacted]") == (0 if isinstance(value, bytes) else 20_000)


def test_a_small_result_stays_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, _, threads = asyncio.run(_record(ROWS[:2], monkeypatch))

    assert threads == {threading.current_thread().name}
    assert shown.count("[redacted]") == 2


def test_a_big_result_that_can_t_be_encoded_is_an_error_of_its_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, _, _ = asyncio.run(_record([*ROWS, object()], monkeypatch))

    assert "that is not JSON" in shown


def test_a_big_reply_is_read_by_another_thread_and_comes_out_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: set[str] = set()
    text = Redactor.text

    def watched(self: Redactor, content: str) -> str:
        if len(content) > 100_000:
            threads.add(threading.current_thread().name)
        return text(self, content)

    monkeypatch.setattr(Redactor, "text", watched)
    answer = f"{KEY} and more. " * 20_000

    async def main() -> None:
        team = Team(Agent("a", model=ScriptedModel([say(answer)])), limits=Limits(tokens=10**9))
        async with Seawall(":memory:") as sea:
            outcome = await (await sea.start(team, "go")).outcome()
            assert outcome.answer == answer.replace(KEY, "[redacted]")

    asyncio.run(main())
    assert threads == {"seawall-big-1"}
