"""One run from outside: its structured answer, its ids, how it is cancelled, and its events."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from guards.verdicts import Says
from seawall import Admission, Agent, Hold, Misused, Outcome, Run, Seawall, Team, Tool, Waiting
from seawall.core.events import Event, RunEnded, RunStarted, StepDone, StepIntended
from seawall.models.protocol import TextDelta
from seawall.testing import ScriptedModel, call, calls, fail, hang, say
from team.play import World, play, sent


def clerk(script: Any, world: World | None = None, **options: Any) -> Team:
    tools = [] if world is None else [world.reads(), world.writes()]
    return Team(Agent("clerk", model=ScriptedModel(script), tools=tools, **options))


async def over(run: Run) -> Outcome:
    async with asyncio.timeout(60):
        return await run.outcome()


# ---- structured answers


class Parcel(BaseModel):
    order: str
    days: int


@dataclass
class Point:
    x: int


RIGHT = call("final_answer", order="A-1", days=3)
WRONG = call("final_answer", order="A-1", days="soon")


@pytest.mark.parametrize(
    ("output", "script", "value"),
    [
        (Parcel, [RIGHT], Parcel(order="A-1", days=3)),
        (Parcel, [WRONG, RIGHT], Parcel(order="A-1", days=3)),
        (Parcel, [say('{"order": "A-1", "days": 3}')], Parcel(order="A-1", days=3)),
        (Parcel, [say("It takes three days."), RIGHT], Parcel(order="A-1", days=3)),
        (list[int], [call("final_answer", value=[1, 2])], [1, 2]),
        (int, [call("final_answer", value=7)], 7),
        (Point, [call("final_answer", x=1)], Point(1)),
        (dict[str, int], [call("final_answer", a=1)], {"a": 1}),
        (str, [say("plain")], None),
    ],
)
def test_a_structured_answer_is_checked_and_returned_as_its_type(
    output: Any, script: list[Any], value: Any
) -> None:
    run = play(clerk(script, output=output))

    assert run.outcome.status == "completed"
    assert run.outcome.output == value


def test_a_model_is_told_what_is_wrong_with_its_answer() -> None:
    model = ScriptedModel([WRONG, RIGHT])

    play(Team(Agent("clerk", model=model, output=Parcel)))

    assert "days: Input should be a valid integer" in sent(model)[-1]
    assert "'soon'" in sent(model)[-1]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (call("final_answer", result=7), "the argument 'value' is missing (got result)"),
        (call("final_answer"), "the argument 'value' is missing (got none)"),
        (call("final_answer", "7"), "the argument 'value' is missing (got 7)"),
    ],
)
def test_a_model_is_told_which_argument_its_answer_lacks(wrong: Any, told: str) -> None:
    model = ScriptedModel([wrong, call("final_answer", value=7)])

    run = play(Team(Agent("clerk", model=model, output=int)))

    assert run.outcome.output == 7
    assert f"the answer does not fit: {told}. Call 'final_answer'" in sent(model)[-1]


def test_an_answer_beside_other_calls_is_asked_for_again_alone() -> None:
    from seawall.models.scripted import calls

    world = World()
    model = ScriptedModel([calls(call("look", what="x"), RIGHT), RIGHT])

    run = play(Team(Agent("clerk", model=model, output=Parcel, tools=[world.reads()])))

    assert run.outcome.output == Parcel(order="A-1", days=3)
    assert "alone" in sent(model)[-1]


def test_an_answer_that_never_fits_is_stopped_by_loops() -> None:
    run = play(clerk([WRONG] * 9, output=Parcel))

    assert run.outcome.status == "halted"
    assert run.outcome.stopped_by is not None
    assert run.outcome.stopped_by.guard == "loops"
    assert run.outcome.model_calls == 3


# ---- identity


def test_the_same_request_id_is_the_same_run() -> None:
    async def main() -> None:
        world = World()
        team = clerk([call("look", what="1"), say("Done."), say("never")], world)
        async with Seawall() as sea:
            runs = await asyncio.gather(
                *(sea.start(team, "go", request_id="req-9", tenant="acme") for _ in range(5))
            )
            outcomes = [await over(run) for run in runs]
            later = await sea.start(team, "go", request_id="req-9", tenant="acme")
            assert (await over(later)).answer == "Done."
            assert len(await sea.journal.runs()) == 1
        assert {run.id for run in [*runs, later]} == {runs[0].id}
        assert {outcome.answer for outcome in outcomes} == {"Done."}
        assert world.calls == ["1"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"request": "pay order 8"}, "request is 'pay order 7', not 'pay order 8'"),
        ({"request": "pay order 7 " + "x" * 5_000}, "request is 'pay order 7', not 'pay order 7 xxx"),
        ({"session": "s-2"}, "session is 's-1', not 's-2'"),
        ({"session": None}, "session is 's-1', not None"),
        ({"principal": "mallory"}, "principal is 'ann', not 'mallory'"),
    ],
)
@pytest.mark.parametrize("known", ["in flight", "ended", "in line", "of another process"])
def test_a_request_id_of_another_request_is_refused_and_both_are_named(
    tmp_path: Path, given: dict[str, Any], says: str, known: str
) -> None:
    path = tmp_path / "desk.db"
    options: dict[str, Any] = {"request": "pay order 7", "session": "s-1", "principal": "ann"}

    def start(sea: Seawall, script: list[Any], options: dict[str, Any]) -> Any:
        request = options["request"]
        rest = {name: value for name, value in options.items() if name != "request"}
        return sea.start(clerk(script), request, request_id="r-1", tenant="acme", **rest)

    async def main() -> None:
        admission = Admission(in_flight=1)
        async with Seawall(path, admission=admission) as sea:
            if known == "in line":
                await sea.start(clerk([hang()]), "first")
            run = await start(sea, [say("Done.") if known == "ended" else hang()], options)
            if known == "ended":
                await over(run)
            if known != "of another process":
                with pytest.raises(Misused, match=re.escape(says)) as raised:
                    await start(sea, [say("Wrong.")], {**options, **given})
                assert run.id in str(raised.value) and len(str(raised.value)) < 700
                assert (await start(sea, [say("Wrong.")], options)).id == run.id
        async with Seawall(path) as sea:
            with pytest.raises(Misused, match=re.escape(says)):
                await start(sea, [say("Wrong.")], {**options, **given})

    asyncio.run(main())


def test_a_request_id_is_known_by_its_redacted_text() -> None:
    async def main() -> None:
        key = "s3cr3t-value-of-a-key"
        async with Seawall(secrets=[key], environment={}) as sea:
            run = await sea.start(clerk(["hi"]), f"use {key}", request_id="r")
            await over(run)
            assert (await sea.start(clerk(["hi"]), f"use {key}", request_id="r")).id == run.id
            with pytest.raises(Misused) as raised:
                await sea.start(clerk(["hi"]), f"misuse {key}", request_id="r")
        assert key not in str(raised.value)

    asyncio.run(main())


def test_request_ids_are_each_tenants_own() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            runs = [
                await sea.start(clerk(["hi"]), "go", request_id="r", tenant=tenant)
                for tenant in ("a", "b", "")
            ]
            assert len({run.id for run in runs}) == 3
            for run in runs:
                await over(run)

    asyncio.run(main())


def test_a_run_that_does_not_exist_is_misuse() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            with pytest.raises(Misused, match="r-nothing"):
                await sea.attach("r-nothing")
            with pytest.raises(Misused, match="r-nothing"):
                await sea.resume("r-nothing", clerk([]))

    asyncio.run(main())


@pytest.mark.parametrize("request_text", ["", "  \n"])
def test_an_empty_request_is_misuse(request_text: str) -> None:
    with pytest.raises(Misused, match="the request is empty"):
        play(clerk([]), request_text)


# ---- cancelling


def test_a_run_in_flight_is_cancelled_at_once() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            run = await sea.start(clerk([hang()]), "go")
            await run.cancel(by="user:7", reason="Never mind.")
            outcome = await over(run)
            await run.cancel()
            assert await over(run) == outcome
        assert outcome.status == "cancelled"
        assert outcome.stopped_by is not None
        assert outcome.stopped_by.reason == "Never mind."

    asyncio.run(main())


def test_an_effect_in_flight_is_unknown_when_its_run_is_cancelled() -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def pay() -> str:
            """Pay."""
            begun.set()
            await asyncio.Event().wait()
            return "never"

        team = Team(Agent("clerk", model=ScriptedModel([call("pay")]), tools=[Tool(pay, effect=True)]))
        async with Seawall() as sea:
            run = await sea.start(team, "go")
            await begun.wait()
            await run.cancel()
            outcome = await over(run)
        assert [(each.tool, each.state) for each in outcome.effects] == [("pay", "unknown")]

    asyncio.run(main())


def test_a_run_that_waits_in_line_is_cancelled_and_does_nothing() -> None:
    async def main() -> None:
        model = ScriptedModel([hang()])
        team = Team(Agent("clerk", model=model))
        async with Seawall() as sea:
            first = await sea.start(team, "go", session="s")
            queued = await sea.start(team, "more", session="s")
            await queued.cancel()
            assert (await over(queued)).status == "cancelled"
            await first.cancel()
            await over(first)
        assert model.request_count == 1

    asyncio.run(main())


def test_a_run_that_waits_for_a_person_is_cancelled() -> None:
    async def main() -> None:
        world = World()
        async with Seawall(guards=[Says(Hold("ask"))]) as sea:
            run = await sea.start(clerk([call("pay", what="1")], world), "go")
            assert isinstance(await run.rest(), Waiting)
            await run.cancel()
            assert (await over(run)).status == "cancelled"
        assert world.calls == []

    asyncio.run(main())


def test_another_process_cancels_a_run(tmp_path: Path) -> None:
    async def main() -> None:
        async with Seawall(tmp_path / "desk.db") as here, Seawall(tmp_path / "desk.db") as there:
            run = await here.start(clerk([hang()]), "go")
            await (await there.attach(run.id)).cancel(by="there")
            assert (await over(run)).status == "cancelled"
            assert (await over(await there.attach(run.id))).status == "cancelled"

    asyncio.run(main())


# ---- watching


async def watched(run: Run, **options: Any) -> list[Any]:
    async with asyncio.timeout(60):
        return [event async for event in run.events(**options)]


def test_events_come_as_they_happen_and_end_with_the_outcome() -> None:
    async def main() -> None:
        world = World()
        async with Seawall() as sea:
            run = await sea.start(clerk([call("look", what="1"), say("Done.")], world), "go")
            events = await watched(run)
            assert events == await sea.journal.events(run.id)
            assert await watched(await sea.attach(run.id)) == events
            assert await watched(run, after=3) == events[4:]
        assert isinstance(events[0], RunStarted)
        assert isinstance(events[-1], RunEnded)

    asyncio.run(main())


def test_events_of_a_run_in_another_process_come_too(tmp_path: Path) -> None:
    async def main() -> None:
        gate, world = asyncio.Event(), World()

        async def wait() -> str:
            """Wait."""
            await gate.wait()
            return "x"

        team = Team(
            Agent(
                "clerk", model=ScriptedModel([call("wait"), say("Done.")]), tools=[Tool(wait), world.reads()]
            )
        )
        async with Seawall(tmp_path / "desk.db") as here, Seawall(tmp_path / "desk.db") as there:
            run = await here.start(team, "go")
            seen: list[Any] = []
            async with asyncio.timeout(60):
                async for event in (await there.attach(run.id)).events():
                    seen.append(event)
                    if isinstance(event, StepIntended) and event.kind == "tool":
                        gate.set()
            assert seen == await here.journal.events(run.id)

    asyncio.run(main())


def test_text_is_streamed_and_the_outcome_says_that_nobody_checked_it() -> None:
    async def main() -> None:
        world = World()
        team = clerk([call("look", what="1"), say("It is in Oslo.")], world)
        async with Seawall() as sea:
            run = await sea.start(team, "go", stream=True)
            events = await watched(run)
            outcome = await over(run)
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "It is in Oslo."
        assert isinstance(events[-1], RunEnded)
        assert outcome.unchecked_delivery is True
        assert outcome.answer == "It is in Oslo."

    asyncio.run(main())


def test_text_that_comes_while_the_journal_is_read_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        team = clerk([calls(call("look", what="1"), text="A moment. "), say("It is in Oslo.")], World())
        async with Seawall() as sea:
            run = await sea.start(team, "go", stream=True)
            read = sea.journal.events

            async def slow(run_id: str, *, after: int = -1) -> list[Event]:
                await over(run)
                return await read(run_id, after=after)

            monkeypatch.setattr(sea.journal, "events", slow)
            events = await watched(run)
        seen = [event.text if isinstance(event, TextDelta) else "|" for event in events]
        replies = [event for event in events if isinstance(event, StepDone) and event.answer]
        before, _, after = "".join(seen).strip("|").partition("|")
        assert before == "A moment. "
        assert after.strip("|") == "It is in Oslo."
        assert isinstance(events[events.index(replies[0]) - 1], TextDelta)

    asyncio.run(main())


def test_text_is_streamed_only_on_request_and_never_that_of_specialists() -> None:
    async def main() -> None:
        boss = Agent("boss", model=ScriptedModel([call("ask_c", task="x"), say("Done.")]))
        team = Team("desk", boss, specialists=[Agent("c", model=ScriptedModel(["secret thoughts"]))])
        async with Seawall() as sea:
            events = await watched(await sea.start(team, "go", stream=True))
            assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Done."
            run = await sea.start(clerk(["hi"]), "go")
            assert not any(isinstance(event, TextDelta) for event in await watched(run))
            assert (await over(run)).unchecked_delivery is False

    asyncio.run(main())


def test_a_stream_that_breaks_off_is_not_a_reply() -> None:
    run = play(
        clerk([fail("incomplete", after="It is in"), say("It is in Oslo.")], retries=0),
        options={"stream": True},
    )

    assert run.outcome.status == "failed"
    assert run.outcome.answer is None


def test_a_run_that_has_not_ended_has_no_outcome_in_the_journal_and_says_how_to_wait_for_it() -> None:
    async def main() -> None:
        team = Team(Agent("clerk", model=ScriptedModel([hang()])))
        async with Seawall() as sea:
            run = await sea.start(team, "go")
            with pytest.raises(Misused, match="has not ended"):
                await sea.outcome(run.id)
            await run.cancel(by="ann")
            await over(run)
            assert (await sea.outcome(run.id)).status == "cancelled"

    asyncio.run(main())
