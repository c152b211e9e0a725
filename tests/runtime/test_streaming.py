"""Readers of a run's events: each has its own position in the text, and can read what events refer to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from seawall import Agent, Run, Seawall, Team
from seawall.events import Event, RunEnded, RunStarted, StepDone, TextDelta
from seawall.models.protocol import ModelReply, ModelRequest
from seawall.testing import ScriptedModel, call, calls, say
from team.play import World

WORDS = "one two three four five six seven eight"


class Slow(ScriptedModel):
    """Streams two words, then waits until `on` is set."""

    def __init__(self, script: list[Any]) -> None:
        super().__init__(script)
        self.halfway, self.on = asyncio.Event(), asyncio.Event()

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        told = 0
        async for item in super().stream(request):
            yield item
            told += isinstance(item, TextDelta)
            if told == 2 and isinstance(item, TextDelta):
                self.halfway.set()
                await self.on.wait()


async def read(run: Run, after: int = -1, upto: type[Any] | None = None) -> list[Event | TextDelta]:
    found: list[Event | TextDelta] = []
    async with asyncio.timeout(60):
        async for event in run.events(after=after):
            found.append(event)
            if upto is not None and isinstance(event, upto):
                break
    return found


def text_of(events: list[Event | TextDelta]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_each_reader_of_a_run_gets_all_of_its_text() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            run = await sea.start(Team(Agent("clerk", model=ScriptedModel([WORDS]))), "go", stream=True)
            others = [await sea.attach(run.id) for _ in range(2)]
            read_ = await asyncio.gather(read(run), read(run), *(read(other) for other in others))
        assert [text_of(events) for events in read_] == [WORDS] * 4

    asyncio.run(main())


def test_a_client_that_comes_back_gets_the_text_under_way_from_its_beginning() -> None:
    async def main() -> None:
        model = Slow([call("look", what="x"), WORDS])
        team = Team(Agent("clerk", model=model, tools=[World().reads()]))
        async with Seawall() as sea:
            run = await sea.start(team, "go", stream=True)
            first = asyncio.ensure_future(read(run, upto=TextDelta))
            await model.halfway.wait()
            seen = await first
            after = len([event for event in seen if not isinstance(event, TextDelta)]) - 1
            back = asyncio.ensure_future(read(await sea.attach(run.id), after))
            model.on.set()
            assert text_of(await back) == WORDS

    asyncio.run(main())


def test_the_text_of_a_step_whose_end_was_seen_is_not_sent_again() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            script = [calls(call("look", what="x"), text="A moment. "), say("It is in Oslo.")]
            team = Team(Agent("clerk", model=ScriptedModel(script), tools=[World().reads()]))
            run = await sea.start(team, "go", stream=True)
            seen = await read(run, upto=StepDone)
            after = len([event for event in seen if not isinstance(event, TextDelta)]) - 1
            assert text_of(seen) == "A moment. "
            assert text_of(await read(run, after)) == "It is in Oslo."

    asyncio.run(main())


def test_a_body_that_an_event_refers_to_can_be_read_until_it_is_erased() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            team = Team(Agent("clerk", model=ScriptedModel(["In Oslo."])))
            run = await sea.start(team, "Where?", tenant="acme")
            events = await read(run)
            started, ended = events[0], events[-1]
            assert isinstance(started, RunStarted)
            assert isinstance(ended, RunEnded)
            assert await run.body(started.intent) == "Where?"
            assert await (await sea.attach(run.id)).body(ended.answer) == "In Oslo."
            assert await run.body(None) is None
            await sea.journal.erase("acme")
            assert await run.body(ended.answer) is None

    asyncio.run(main())
