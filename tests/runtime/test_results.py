"""What a call comes to when its result can't be shown, when it is cut off, and when code of the user's own raises."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from seawall import Agent, Guard, Limits, NotDone, Outcome, Refuse, Seawall, Team, Tool, Waiting, tool
from seawall.core.events import Judged, StepDone
from seawall.models.protocol import ModelReply, ModelRequest
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import ALLOW, Verdict
from seawall.testing import ManualClock, ScriptedModel, call, calls, hang, say
from team.play import play, sent

# ---- effects whose result can't be shown


@pytest.mark.parametrize(
    "value",
    [{"id": "x\ud83d"}, object(), "x" * (17 * 2**20), b"x" * (17 * 2**20), {1: object()}, iter([1]), None],
    ids=["surrogate", "object", "long", "long bytes", "deep object", "iterator", "None"],
)
@pytest.mark.parametrize("options", [{}, {"idempotent": True, "retries": 2}], ids=["once", "idempotent"])
def test_an_effect_that_returned_was_made_whatever_its_result_is(value: Any, options: dict[str, Any]) -> None:
    made: list[int] = []

    def pay() -> str:
        """Pay."""
        made.append(1)
        return value

    model = ScriptedModel([call("pay"), say("ok")])
    played = play(Team(Agent("clerk", model=model, tools=[Tool(pay, effect=True, **options)])))

    assert (played.outcome.status, made) == ("completed", [1])
    assert [effect.state for effect in played.outcome.effects] == ["committed"]
    told = sent(model)[-1]
    assert "x\\ud83d" in told or told.startswith("['pay' was done; its result can't be shown: ")


class Unbound:
    """A proxy of something that is not there: whatever it is asked raises."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit("working outside of a request")


@pytest.mark.parametrize("is_async", [False, True])
def test_an_effect_that_returned_a_proxy_which_refuses_to_be_looked_at_was_made(is_async: bool) -> None:
    made: list[int] = []

    def pay() -> Any:
        """Pay."""
        made.append(1)
        return Unbound()

    async def pay_later() -> Any:
        """Pay."""
        return pay()

    paying = Tool(pay_later if is_async else pay, name="pay", effect=True)
    model = ScriptedModel([call("pay"), say("ok")])
    played = play(Team(Agent("clerk", model=model, tools=[paying])))

    assert (played.outcome.status, made) == ("completed", [1])
    assert [effect.state for effect in played.outcome.effects] == ["committed"]
    assert sent(model)[-1].startswith("['pay' was done; its result can't be shown: ")


@pytest.mark.parametrize("value", ["half \ud83d of a pair", {"a": ["half \ud83d of a pair"]}, "zero \0 byte"])
def test_half_a_surrogate_pair_and_a_zero_byte_stay_readable(value: Any) -> None:
    def look() -> Any:
        """Look."""
        return value

    model = ScriptedModel([call("look"), say("ok")])
    play(Team(Agent("clerk", model=model, tools=[look])))

    told = sent(model)[-1]
    assert ("half \\ud83d of a pair" in told) or ("zero \\u0000 byte" in told)


# ---- calls that are cut off


@tool
async def read() -> str:
    """Read."""
    await asyncio.Event().wait()
    return "late"


@tool
async def look() -> str:
    """Look."""
    return "an old price"


@tool(effect=True)
async def buy() -> str:
    """Buy."""
    return "receipt 7"


@tool(effect=True)
async def pay() -> str:
    """Pay."""
    raise ConnectionError("the bank hung up")


@tool(effect=True)
async def send() -> str:
    """Send."""
    await asyncio.Event().wait()
    return "late"


@pytest.mark.parametrize("how", ["cancelled", "out of time"])
@pytest.mark.parametrize(
    ("script", "told"),
    [
        ([call("read")], "It has changed nothing."),
        ([call("look"), call("read")], "It has changed nothing."),
        ([calls(call("read"), call("pay"))], "It has changed nothing."),
        ([call("pay")], "pay({}) may have been done or not: that is not known"),
        ([call("send")], "send({}) may have been done or not: that is not known"),
        ([call("buy"), call("read")], 'buy({}) was done: "receipt 7"'),
        ([call("ask_helper", task="Find it.")], "It has changed nothing."),
    ],
    ids=["read", "after a result", "two", "unknown", "effect in flight", "committed", "hand-off"],
)
def test_the_next_run_of_a_session_is_told_only_what_one_that_was_cut_off_has_changed(
    script: list[Any], told: str, how: str
) -> None:
    async def main() -> list[tuple[str, str]]:
        clock = ManualClock()

        def team(model: ScriptedModel) -> Team:
            helper = Agent("helper", model=ScriptedModel([hang()]))
            tools = [look, read, pay, send, buy]
            return Team(Agent("clerk", model=model, tools=tools), specialists=[helper])

        async with Seawall(clock=clock) as sea:
            limits = Limits(active_s=5)
            run = await sea.start(team(ScriptedModel([*script, hang()])), "go", session="s", limits=limits)
            waits_for_a_person = script == [call("pay")]  # and that takes no active time
            if how == "cancelled" or waits_for_a_person:
                await clock.advance(1)
                await run.cancel(by="ann")
            await clock.until(run.outcome())
            model = ScriptedModel([say("ok")])
            await clock.until((await sea.start(team(model), "on", session="s")).outcome())
            return [(each.role, each.content or "") for each in model.requests[0].messages[1:]]

    found = asyncio.run(main())
    assert [role for role, _ in found] == ["user", "user", "user"]
    assert (found[0][1], found[2][1]) == ("go", "on")
    assert found[1][1].startswith("[Not from the user: the request above ended as ")
    assert told in found[1][1]
    assert "an old price" not in found[1][1]


# ---- what is delivered unchecked


def test_a_streamed_run_that_delivered_nothing_is_not_marked() -> None:
    async def main(script: list[Any]) -> Outcome:
        clock = ManualClock()
        agent = Agent("clerk", model=ScriptedModel(script), retries=0)
        async with Seawall(clock=clock) as sea:
            run = await sea.start(agent, "go", stream=True, limits=Limits(active_s=5))
            return await clock.until(run.outcome())

    assert asyncio.run(main([hang()])).unchecked_delivery is False
    assert asyncio.run(main([])).unchecked_delivery is False
    assert asyncio.run(main([say("Here.")])).unchecked_delivery is True


# ---- tracebacks


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def outer(key: str) -> str:
    return middle(key)


def middle(key: str) -> str:
    return {"known": "x"}[key]


class FailingModel:
    name = "failing"
    price = None

    async def respond(self, request: ModelRequest) -> ModelReply:
        raise KeyError(outer("missing"))


class FailingGuard(Guard):
    name = "failing"

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        if self._where == "before":
            outer("missing")
        return ALLOW

    def fold(self, memory: Any, event: Any, run: RunState) -> Any:
        if self._where == "fold" and isinstance(event, StepDone):
            outer("missing")
        return memory


def play_and_show(team: Team, path: Path, guards: Sequence[Guard] = ()) -> tuple[list[str], str]:
    """Returns the tracebacks in the journal, and what `seawall show --full` prints."""
    from typer.testing import CliRunner

    from seawall.cli.app import app

    async def main() -> list[str]:
        async with Seawall(path, guards=guards, secrets=["s3cr3t-s3cr3t"], environment={}) as sea:
            run = await sea.start(team, "go")
            await run.outcome()
            events = await sea.journal.events(run.id)
            refs = [each.trace for each in events if isinstance(each, StepDone | Judged) and each.trace]
            return [data.decode() for data in (await sea.journal.bodies("", refs)).values()]

    traces = asyncio.run(main())
    shown = CliRunner().invoke(
        app, ["show", "last", "--full", "--journal", str(path)], env={"COLUMNS": "300"}
    )
    assert shown.exit_code == 0, shown.output
    return traces, shown.output


@pytest.mark.parametrize("kind", ["sync tool", "async tool", "model", "guard before", "guard fold"])
def test_a_traceback_goes_to_the_log_and_the_journal(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seawall.calls")

    def sync_tool() -> str:
        """Look."""
        return outer("missing")

    async def async_tool() -> str:
        """Look."""
        return outer("missing")

    tools = {"sync tool": [Tool(sync_tool, name="look")], "async tool": [Tool(async_tool, name="look")]}.get(
        kind, []
    )
    script = [call("look"), say("done")] if tools else [say("done")]
    model: Any = FailingModel() if kind == "model" else ScriptedModel(script)
    guards: list[Guard] = [FailingGuard(kind.split()[1])] if kind.startswith("guard") else []
    team = Team(Agent("clerk", model=model, tools=tools, retries=0))

    traces, shown = play_and_show(team, tmp_path / "desk.db", guards)

    assert len(traces) == 1
    for text in (traces[0], caplog.text, shown):
        assert "in middle" in text
        assert "in outer" in text
        assert "KeyError: 'missing'" in text
    assert "raised at step" in caplog.text


def test_a_traceback_holds_no_secret_and_has_a_bound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seawall.calls")

    def fail_with(error: Callable[[], BaseException]) -> Tool:
        def look() -> str:
            """Look."""
            raise error()

        return Tool(look, name="look")

    def play_it(error: Callable[[], BaseException], number: int) -> str:
        team = Team(Agent("clerk", model=ScriptedModel([call("look"), say("ok")]), tools=[fail_with(error)]))
        traces, _ = play_and_show(team, tmp_path / f"{number}.db")
        return traces[0]

    assert "[redacted]" in play_it(lambda: ValueError("key s3cr3t-s3cr3t is wrong"), 1)
    assert len(play_it(lambda: ValueError("x" * 10**6 + " s3cr3t-s3cr3t"), 2)) < 17_000
    assert "Unreadable" in play_it(Unreadable, 3)
    assert "2 sub-exceptions" in play_it(lambda: ExceptionGroup("two", [ValueError("a"), OSError("b")]), 4)
    assert "s3cr3t" not in caplog.text


def test_what_a_tool_says_on_purpose_leaves_no_traceback(tmp_path: Path) -> None:

    def look() -> str:
        """Look."""
        raise NotDone("closed on Sundays")

    team = Team(
        Agent("clerk", model=ScriptedModel([call("look"), say("ok")]), tools=[Tool(look, effect=True)])
    )

    assert play_and_show(team, tmp_path / "desk.db")[0] == []


# ---- an effect that is attempted again


@pytest.mark.parametrize(
    ("attempts", "state"),
    [
        ([ConnectionError("gone"), NotDone("declined")], "unknown"),
        ([NotDone("busy"), ConnectionError("gone"), NotDone("declined")], "unknown"),
        ([NotDone("busy"), NotDone("declined")], "failed"),
        ([ConnectionError("gone"), "receipt"], "committed"),
    ],
    ids=["lost, declined", "busy, lost, declined", "busy, declined", "lost, made"],
)
def test_an_attempt_speaks_for_itself_and_not_for_the_attempts_before_it(
    attempts: list[Any], state: str
) -> None:
    async def main() -> tuple[Any, Outcome]:
        left = list(attempts)

        async def pay() -> str:
            """Pay."""
            now = left.pop(0)
            if isinstance(now, Exception):
                raise now
            return now

        tools = [Tool(pay, effect=True, idempotent=True, retries=len(attempts) - 1)]
        agent = Agent("clerk", model=ScriptedModel([call("pay"), say("ok")]), tools=tools)
        clock = ManualClock()
        async with Seawall(clock=clock) as sea:
            run = await sea.start(agent, "go")
            rest = await clock.until(run.rest())
            if not isinstance(rest, Outcome):
                await sea.reconcile(run.id, step=rest.step, committed="receipt 7", by="ann")
                return rest, await clock.until(run.outcome())
            return rest, rest

    rest, outcome = asyncio.run(main())
    assert isinstance(rest, Outcome) is (state != "unknown")
    assert [effect.state for effect in outcome.effects] == ["committed" if state == "unknown" else state]


@pytest.mark.parametrize("approve", [True, False], ids=["it happened", "it did not"])
def test_a_guard_that_refuses_another_attempt_leaves_the_fate_of_the_first_to_a_person(approve: bool) -> None:
    made: list[str] = []

    class OncePerDay(Guard):
        name = "once"

        def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
            return Refuse("no more payments today") if made and step.name == "pay" else ALLOW

    def pay() -> str:
        """Pay."""
        made.append("")
        raise ConnectionError("gone")

    model = ScriptedModel([call("pay"), say("ok")])
    agent = Agent("clerk", model=model, tools=[Tool(pay, effect=True, idempotent=True, retries=1)])

    async def main() -> Outcome:
        clock = ManualClock()
        async with Seawall(clock=clock) as sea:
            run = await sea.start(Team(agent, guards=[OncePerDay()]), "go")
            rest = await clock.until(run.rest())
            assert isinstance(rest, Waiting) and rest.kind == "unknown"
            assert len(model.requests) == 1  # the agent is told nothing before
            if approve:
                await sea.reconcile(run.id, step=rest.step, committed="receipt 7", by="ann")
            else:
                await sea.reconcile(run.id, step=rest.step, failed="the bank has none", by="ann")
            return await clock.until(run.outcome())

    outcome = asyncio.run(main())

    assert [effect.state for effect in outcome.effects] == ["committed" if approve else "failed"]
    refused = "The fate of this effect was not known. ann checked: it did not happen. the bank has none"
    assert sent(model)[-1] == ("receipt 7" if approve else refused)
    assert len(made) == 1
