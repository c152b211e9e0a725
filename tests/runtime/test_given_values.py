"""What a program gives that a journal can't hold is refused or left out, and damages nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from seawall import Agent, Engine, Guard, Misused, Seawall, StoppedBy, Team, tool
from seawall.events import RunTaken
from seawall.journal.protocol import Command
from seawall.models.protocol import Assistant, ModelReply, ModelRequest, ToolCall, Usage
from seawall.run.outcome import Waiting
from seawall.run.step import Result
from seawall.testing import ManualClock, ScriptedModel, call, say
from team.play import play


def make_team(*script: Any) -> Team[Any]:
    @tool(effect=True)
    def pay() -> str:
        """Pay."""
        raise ConnectionError("the bank hung up")

    return Team(Agent("clerk", model=ScriptedModel(script), tools=[pay]))


VALUES: list[Any] = [5, None, b"x", ["a"], object()]
CHANGES: dict[str, Callable[[Seawall, str, Any], Awaitable[object]]] = {
    "guard": lambda sea, run, value: sea.set_guard(value, "off", by="ann"),
    "why of a guard": lambda sea, run, value: sea.set_guard("loops", "off", by="ann", why=value),
    "by of a guard": lambda sea, run, value: sea.set_guard("loops", "off", by=value),
    "pause": lambda sea, run, value: sea.pause(value, by="ann"),
    "by of a pause": lambda sea, run, value: sea.pause("tool:pay", by=value),
    "cancel": lambda sea, run, value: sea.cancel(run, Command(kind="cancel", by="ann", reason=value)),
    "step of a command": lambda sea, run, value: sea.send(
        run, Command(kind="late", step=cast("Any", str(value)))
    ),
    "kind of a command": lambda sea, run, value: sea.send(run, Command(kind=value)),
    "by of a decision": lambda sea, run, value: sea.reconcile(run, step=1, committed="x", by=value),
    "proposal": lambda sea, run, value: sea.approve(value, hash="0", by="ann"),
    "app of a fork": lambda sea, run, value: sea.fork(run, make_team(), app=cast("Any", value or 5)),
    "backup": lambda sea, run, value: sea.backup(value),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_could_not_be_read_again_is_refused_and_the_journal_stays_sound(what: str) -> None:
    async def main() -> None:
        async with Seawall(clock=ManualClock()) as sea:
            run = await sea.start(make_team(call("pay"), say("ok")), "go")
            assert isinstance(await run.rest(), Waiting)
            for value in VALUES:
                if what == "kind of a command" and value == b"x":
                    continue  # is recorded as the text of the bytes
                with pytest.raises(Misused):
                    await CHANGES[what](sea, run.id, value)
            assert await sea.journal.settings() == {}
            assert (await sea.journal.verify()).ok
            await run.cancel(by="ann")
            assert (await run.outcome()).status == "cancelled"

    asyncio.run(main())


@pytest.mark.parametrize("committed", [object(), {"a": object()}], ids=["object", "deep"])
def test_a_receipt_without_json_is_the_callers_mistake(committed: object) -> None:
    async def main() -> None:
        async with Seawall(clock=ManualClock()) as sea:
            run = await sea.start(make_team(call("pay"), say("ok")), "go")
            waiting = await run.rest()
            assert isinstance(waiting, Waiting)
            with pytest.raises(Misused, match=r"committed is a .* that has no JSON form"):
                await sea.reconcile(run.id, step=waiting.step, committed=committed, by="ann")
            await sea.reconcile(run.id, step=waiting.step, committed="receipt 7", by="ann")
            assert (await run.outcome()).status == "completed"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("left", "carried"),
    [({"seen": 3}, {}), (3, {}), (object(), {}), ("half \ud83d", {"notes": r"half \ud83d"})],
    ids=["dict", "int", "object", "surrogate"],
)
def test_what_a_guard_leaves_that_is_no_text_is_left_out(left: Any, carried: dict[str, str]) -> None:
    class Notes(Guard):
        name = "notes"

        def carry(self, memory: Any) -> Any:
            return left

    async def main() -> None:
        async with Seawall(clock=ManualClock(), guards=[Notes()]) as sea:
            first = await sea.start(make_team(say("ok")), "go", session="s")
            assert (await first.outcome()).status == "completed"
            run = await sea.start(make_team(say("ok")), "go", session="s")
            assert (await run.outcome()).status == "completed"
            taken = [event async for event in run.events() if isinstance(event, RunTaken)]
            assert [event.handover for event in taken] == [carried]
            assert (await sea.journal.verify()).ok

    asyncio.run(main())


class Text(str):
    """A text as a library of the user's own may have it."""

    __slots__ = ()


def test_arguments_of_a_class_of_texts_are_text() -> None:
    class Model(ScriptedModel):
        async def respond(self, request: ModelRequest) -> ModelReply:
            if len(request.messages) > 2:
                return ModelReply(message=Assistant(content=Text("ok")), usage=Usage(1, 1), finish="stop")
            made = ToolCall(Text("c1"), Text("look"), Text('{"what":"lamp"}'))
            return ModelReply(message=Assistant(calls=(made,)), usage=Usage(1, 1), finish="tool_calls")

    seen: list[str] = []

    @tool
    def look(what: str) -> str:
        """Look."""
        seen.append(what)
        return "here"

    played = play(Team(Agent("clerk", model=Model([]), tools=[look])))

    assert (played.outcome.status, played.outcome.answer, seen) == ("completed", "ok", ["lamp"])


@pytest.mark.parametrize("given", [{"role": "half \ud83d"}, {"instructions": "half \ud83d"}])
def test_half_a_character_in_an_agents_instructions_is_refused_where_they_are_given(
    given: dict[str, Any],
) -> None:
    with pytest.raises(Misused, match="which has no UTF-8"):
        Agent("clerk", model=ScriptedModel([]), **given)


@pytest.mark.parametrize("what", ["tenant", "principal"])
@pytest.mark.parametrize("value", [None, 5, b"x"])
def test_a_run_that_is_begun_for_nobody_by_mistake_is_refused_and_not_recorded(what: str, value: Any) -> None:
    async def main() -> None:
        async with Seawall(clock=ManualClock()) as sea:
            with pytest.raises(Misused, match=f"{what} is .*; it must be text"):
                await sea.start(make_team(say("ok")), "go", **{what: value})
            assert await sea.journal.runs() == []

    asyncio.run(main())
    engine = Engine(":memory:")
    with pytest.raises(Misused, match=f"{what} is .*; it must be text"):
        engine.begin("go", loop="desk", **{what: value})
    engine.close()


@pytest.mark.parametrize("given", [{"guard": 5}, {"reason": None}, {"limit": 3}, {"value": 4.5}])
def test_a_loop_of_others_may_not_say_in_numbers_what_has_stopped_it(given: dict[str, Any]) -> None:
    stopped = StoppedBy(**cast("dict[str, Any]", {"guard": "mine", "reason": "too many"} | given))
    with Engine(":memory:") as engine, engine.begin("go", loop="desk") as session:
        with pytest.raises(Misused, match=f"{next(iter(given))} is .*; it must be text"):
            session.end_sync(stopped_by=stopped)
        outcome = session.end_sync(stopped_by=StoppedBy(guard="mine", reason="half \ud83d", limit="3"))
        assert (outcome.status, outcome.stopped_by and outcome.stopped_by.reason) == (
            "refused",
            r"half \ud83d",
        )
        assert engine.call(lambda sea: sea.journal.verify()).ok


@pytest.mark.parametrize(
    "given",
    [
        *({"status": "fine"}, {"status": ["ok"]}, {"error": 5}, {"retry_after_s": "5"}, {"retryable": 1}),
        *({"input_tokens": None}, {"usd": "0.1"}, {"usage_problem": None}, {"approved": "yes"}),
    ],
)
def test_a_loops_result_that_nobody_could_read_again_is_its_steps_failure(given: dict[str, Any]) -> None:
    brought = Result(**cast("dict[str, Any]", {"status": "ok", "output": "here"} | given))
    with Engine(":memory:") as engine, engine.begin("go", loop="desk") as session:
        asked = session.tool("clerk", "look", {"what": "lamp"}, call_id="c1")
        with pytest.raises(Misused, match=next(iter(given))):
            session.step_sync(asked, lambda turn: (brought, None))
        assert session.end_sync("done").status == "completed"
        assert engine.call(lambda sea: sea.journal.verify()).ok
        assert len(engine.call(lambda sea: sea.journal.runs())) == 1
