"""Upper bounds hold where a provider counts nothing, and where the team changed in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

from guards.verdicts import Says
from seawall import Agent, Halt, Limits, Price, Seawall, Team, tool
from seawall.models.protocol import Assistant, ModelReply, ModelRequest, TextDelta, ToolCall, Usage
from seawall.testing import ScriptedModel, call, hang, say
from team.play import play

PRICE = Price(Decimal(1), Decimal(1))


class Silent:
    """A server that reports no usage, and an agent that looks something new up for ever."""

    name = "silent"
    price = PRICE

    def __init__(self) -> None:
        self.bytes = 0

    async def respond(self, request: ModelRequest) -> ModelReply:
        self.bytes += sum(len(str(message)) for message in request.messages)
        number = str(len(request.messages))
        ask = ToolCall(f"c{number}", "look", f'{{"what":"{number}"}}')
        return ModelReply(message=Assistant(None, (ask,)), usage=Usage(), finish="tool_calls")

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        yield await self.respond(request)


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"{what}: {'x' * 200}"


def test_a_server_that_reports_no_usage_is_booked_at_the_bound() -> None:
    model = Silent()
    limits = Limits(tokens=20_000, usd=Decimal(1), model_calls=1000, tool_calls=1000)

    outcome = play(
        Team(Agent("clerk", model=model, tools=[look], max_output_tokens=100), limits=limits)
    ).outcome

    assert outcome.pruned == ("limits", "answer:partial")
    assert all(line.startswith("model 'silent': tokens could reach ") for line in outcome.lacks), (
        outcome.lacks
    )
    assert 0 < outcome.tokens <= 20_000
    assert outcome.usd > 0
    assert model.bytes < 20_000, "what was sent is a lower bound of the text that was booked"


def test_a_longer_prompt_after_a_crash_is_counted_anew(tmp_path: Path) -> None:
    def team(instructions: str, *entries: object) -> Team:
        model = ScriptedModel(list(entries), usage=Usage(50, 5))  # pyright: ignore[reportArgumentType] -- entries of a script
        agent = Agent("clerk", model=model, tools=[look], instructions=instructions, max_output_tokens=100)
        return Team(agent, limits=Limits(tokens=3000))

    async def main() -> None:
        journal = tmp_path / "journal.db"
        async with Seawall(journal) as sea:
            run = await sea.start(team("Short.", call("look", what="1"), hang()), "go")
            async for event in run.events():
                if type(event).__name__ == "StepIntended" and event.step == 3:  # pyright: ignore[reportAttributeAccessIssue] -- a step
                    break
        async with Seawall(journal) as sea:
            outcome = await (await sea.resume(run.id, team("Long. " * 2000, say("Done.")))).outcome()
        assert outcome.pruned == ("limits", "answer:partial")
        assert outcome.tokens <= 3000

    asyncio.run(main())


def test_a_run_that_ends_at_its_first_step_is_recorded_as_ended_in_one_write(tmp_path: Path) -> None:
    class Dies(Exception):
        """Stands for the death of the process."""

    async def main() -> None:
        async with Seawall(tmp_path / "journal.db") as sea:

            def append(*_: object, **__: object) -> None:
                raise Dies

            sea.journal.append = append  # pyright: ignore[reportAttributeAccessIssue] -- nothing may follow
            agent = Agent("clerk", model=ScriptedModel([say("Never said.")], usage=Usage(1, 1)))
            team = Team(agent, guards=[Says(Halt("no"), of="model")])
            run = await sea.start(team, "go")
            assert (await run.outcome()).status == "halted"
            assert (await sea.journal.row(run.id)).state == "ended"
            assert (await sea.journal.verify()).ok

    asyncio.run(main())
