"""What is big is encoded, redacted and hashed in a thread, and recorded as if it had not been."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from guards.verdicts import Says
from seawall import Agent, Hold, Limits, Seawall, Team, Tool, Waiting, tool
from seawall.core.big_values import is_big
from seawall.core.canonical import Ref
from seawall.core.events import StepDone
from seawall.core.redact import Redactor
from seawall.models.protocol import Assistant, ModelReply, ToolCall, Usage
from seawall.run.bodies import Bodies
from seawall.team import context, prepare
from seawall.testing import ScriptedModel, call, say

KEY = "sk-abcdefghij0123456789"
_watching: ContextVar[set[str] | None] = ContextVar("_watching", default=None)
"""Which test a call is made for: threads have the context of whoever waits for them."""
ROWS = [{"n": n, "text": "word " * 5, "key": KEY} for n in range(20_000)]


async def _record(value: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, set[str]]:
    """Runs a tool that returns `value`; returns what its agent got, what was kept, and the threads that encoded it."""

    @tool
    async def fetch() -> Any:
        return value

    threads: set[str] = set()
    encode, prepare = Tool.encode_result, Bodies.prepare
    _watching.set(threads)  # a thread that another test has given up may encode something at this moment

    def watched_encode(self: Tool, value: object) -> str | bytes:
        if _watching.get() is threads:
            threads.add(threading.current_thread().name)
        return encode(self, value)

    def watched_prepare(self: Bodies, content: str | bytes) -> Any:
        if len(content) > 100_000 and _watching.get() is threads:
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


# ---- what follows from big texts is computed in the thread, and looked up on the event loop


class Watched:
    """Notes in which threads long texts were redacted, hashed, decoded, encoded and searched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: set[str] = set()
        for owner, name in (
            *((Redactor, "text"), (Redactor, "json"), (Bodies, "_prepare_text")),
            *((context, "decode_in_pieces"), (prepare, "encode_in_pieces"), (prepare, "make_gist")),
        ):
            monkeypatch.setattr(owner, name, self._watched(getattr(owner, name)))

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **options: Any) -> Any:
            if any(is_big(each) for each in args if isinstance(each, str | dict)):
                self.threads.add(threading.current_thread().name)
            return function(*args, **options)

        return watched


def _ask(name: str, *arguments: dict[str, Any]) -> ModelReply:
    calls = tuple(ToolCall(f"c{n}", name, json.dumps(each)) for n, each in enumerate(arguments))
    return ModelReply(message=Assistant(None, calls), usage=Usage(1, 1), finish="tool_calls")


@tool
async def store(rows: list[dict[str, Any]]) -> str:
    """Stores rows."""
    return f"{len(rows)} rows, key {rows[0]['key']}"


@tool
async def note(text: str) -> str:
    """Notes a text."""
    return f"{len(text)} characters"


LIMITS = Limits(tokens=10**9, tool_calls=100)
LONG = "word 12 " * 50_000


@pytest.mark.parametrize(
    ("used", "arguments", "answer"),
    [
        (store, [{"rows": ROWS}], f"20000 rows, key {KEY}"),
        (note, [{"text": LONG}], "400000 characters"),
        (note, [{"text": f"{LONG[:200_000]}{n:02}"} for n in range(20)], "200002 characters"),
    ],
    ids=["rows with keys", "a text", "many calls"],
)
def test_the_big_arguments_of_calls_are_read_by_another_thread(
    used: Any, arguments: list[dict[str, Any]], answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    model = ScriptedModel([_ask(used.name, *arguments), "Done."])

    async def main() -> None:
        async with Seawall(":memory:") as sea:
            run = await sea.start(Team(Agent("a", model=model, tools=[used]), limits=LIMITS), "go")
            assert (await run.outcome()).status == "completed"
            done = [event async for event in run.events() if isinstance(event, StepDone)]
            results = [await run.body(each.output) for each in done[1:-1]]
            assert results == [answer.replace(KEY, "[redacted]")] * len(arguments)

    asyncio.run(main())
    assert watched.threads == {"seawall-big-1"}


def test_the_big_task_of_a_colleague_and_its_big_answer_are_read_by_another_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched(monkeypatch)
    long = ModelReply(message=Assistant(LONG, ()), usage=Usage(1, 1), finish="stop")
    lead = Agent("lead", model=ScriptedModel([_ask("ask_clerk", {"task": LONG}), "Done."]))
    clerk = Agent("clerk", model=ScriptedModel([long]))

    async def main() -> None:
        async with Seawall(":memory:") as sea:
            run = await sea.start(Team("desk", lead, specialists=[clerk], limits=LIMITS), "go")
            assert (await run.outcome()).status == "completed"

    asyncio.run(main())
    assert watched.threads == {"seawall-big-1"}


def test_a_held_call_with_big_arguments_is_made_ready_by_another_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = ScriptedModel([_ask("store", {"rows": ROWS}), "Done."])
    team = Team(Agent("a", model=model, tools=[store]), limits=LIMITS, guards=[Says(Hold("big"))])

    async def main() -> None:
        async with Seawall(":memory:") as sea:
            run = await sea.start(team, "go")
            waiting = await run.rest()
            assert isinstance(waiting, Waiting)
            watched = Watched(monkeypatch)
            await sea.decide(run.id, waiting.step, approve=True, by="u")
            assert (await run.outcome()).status == "completed"
            assert watched.threads <= {"seawall-big", "seawall-big-1"}
            assert watched.threads

    asyncio.run(main())


def test_replay_and_fork_read_big_texts_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**row, "key": "none"} for row in ROWS]  # arguments with a secret can't be judged again

    def team() -> Team:
        model = ScriptedModel([_ask("store", {"rows": rows}), "Done.", "Done again."])
        return Team(Agent("a", model=model, tools=[store]), limits=LIMITS)

    async def main() -> None:
        async with Seawall(":memory:") as sea:
            run = await sea.start(team(), "go")
            await run.outcome()
            watched = Watched(monkeypatch)
            assert (await sea.replay(run.id, team())).differences == ()
            for at, result in ((1, None), (2, LONG)):
                done = Agent("a", model=ScriptedModel(["Done."]), tools=[store])
                fork = await sea.fork(run.id, Team(done, limits=LIMITS), at=at, result=result)
                assert (await fork.outcome()).status == "completed"
            assert watched.threads <= {"seawall-big", "seawall-big-1"}
            assert watched.threads

    asyncio.run(main())


def test_a_big_structured_answer_is_parsed_by_another_thread() -> None:
    threads: list[str] = []

    class Report(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def note_thread(cls, text: str) -> str:
            threads.append(threading.current_thread().name)
            return text

    reply = ModelReply(message=Assistant(json.dumps({"text": LONG}), ()), usage=Usage(1, 1), finish="stop")

    async def main() -> None:
        team = Team(Agent("a", model=ScriptedModel([reply]), output=Report), limits=LIMITS)
        async with Seawall(":memory:") as sea:
            outcome = await (await sea.start(team, "go")).outcome()
            assert outcome.output is not None
            assert outcome.output.text == LONG

    asyncio.run(main())
    assert set(threads) <= {"seawall-big", "seawall-big-1"}


def test_a_stream_that_has_much_at_once_lets_other_tasks_have_their_turn() -> None:
    async def main() -> None:
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        team = Team(Agent("a", model=ScriptedModel([say("word " * 20_000)])), limits=LIMITS)
        async with Seawall(":memory:") as sea:
            run = await sea.start(team, "go", stream=True)
            counter = asyncio.create_task(count_turns())
            await run.outcome()
            counter.cancel()
        assert turns > 50

    asyncio.run(main())


def test_a_run_that_is_cancelled_while_its_big_result_is_encoded_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, may_end, encode = threading.Event(), threading.Event(), Tool.encode_result

    def slow(self: Tool, value: object) -> str | bytes:
        began.set()
        may_end.wait(30)
        return encode(self, value)

    monkeypatch.setattr(Tool, "encode_result", slow)

    @tool
    async def fetch() -> Any:
        return ROWS

    async def main() -> None:
        async with Seawall(":memory:") as sea:
            run = await sea.start(
                Agent("a", model=ScriptedModel([call("fetch"), "Done."]), tools=[fetch]), "go"
            )
            while not began.is_set():
                await asyncio.sleep(0)
            await run.cancel(by="u")
            assert (await run.outcome()).status == "cancelled"
            may_end.set()

    asyncio.run(main())


def test_a_seawall_that_closes_while_a_big_result_is_encoded_records_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, encode = threading.Event(), Tool.encode_result

    def watched(self: Tool, value: object) -> str | bytes:
        began.set()
        return encode(self, value)

    monkeypatch.setattr(Tool, "encode_result", watched)

    @tool
    async def fetch() -> Any:
        return ROWS[:6_000]

    async def main() -> None:
        path = str(tmp_path / "journal.db")
        team = Team(Agent("a", model=ScriptedModel([call("fetch"), "Done."]), tools=[fetch]))
        async with Seawall(path) as sea:
            run = await sea.start(team, "go")
            while not began.is_set():
                await asyncio.sleep(0)
        async with Seawall(path) as sea:
            assert (await (await sea.resume(run.id, team)).outcome()).status == "completed"

    asyncio.run(main())
