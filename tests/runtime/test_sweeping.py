"""A worker's sweep asks the other side what became of effects of unknown fate."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest
from pydantic import BaseModel, model_serializer

from runtime.proposing import leave_unknown, opened
from seawall import Agent, Effect, NotDone, Seawall, Team, tool
from seawall.journal.protocol.effects import EffectRecord
from seawall.runtime import reconciling
from seawall.runtime.reconciling import AT_ONCE, Reconciler
from seawall.testing import ManualClock, ScriptedModel


class Bank:
    """Answers each question with the next of these values, or raises it."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def find(self, key: str) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def team(self, name: str = "desk") -> Team:
        @tool(effect=Effect(unique_by=("order_id",), reconcile=self.find))
        async def refund(order_id: str) -> str:
            """Pay back."""
            raise AssertionError(order_id)

        return Team(name, Agent("clerk", model=ScriptedModel([]), tools=[refund]))


async def sweep(sea: Seawall, clock: ManualClock, *teams: Team) -> list[EffectRecord]:
    return await Reconciler(clock, teams, sea.supervisor.make_bodies).sweep(sea.journal)


@pytest.mark.parametrize(
    ("answer", "state"),
    [({"id": 9}, "committed"), (NotDone("no such key"), "failed"), (None, "unknown"), (OSError(), "unknown")],
)
def test_an_effect_is_what_the_other_side_says_of_it(answer: Any, state: str) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opened(clock) as sea:
            effect = await leave_unknown(sea.journal, clock=clock)
            await sweep(sea, clock, Bank(answer).team())
            assert (await sea.journal.effect(effect.id)).state == state

    asyncio.run(main())


def test_another_teams_tool_of_the_same_name_is_not_asked() -> None:
    async def main() -> None:
        clock, other = ManualClock(), Bank(NotDone("this bank has no such key"))
        async with opened(clock) as sea:
            effect = await leave_unknown(sea.journal, clock=clock)
            assert await sweep(sea, clock, other.team("another desk")) == []
            assert (await sea.journal.effect(effect.id)).state == "unknown"
            (settled,) = await sweep(sea, clock, other.team("another desk"), Bank("rc-1").team())
            assert settled.state == "committed"
        assert len(other.answers) == 1

    asyncio.run(main())


def test_an_answer_that_can_not_be_recorded_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opened(clock) as sea:
            first = await leave_unknown(sea.journal, "r-1", clock=clock)
            await leave_unknown(sea.journal, "r-2", clock=clock)
            (settled,) = await sweep(sea, clock, Bank(object(), "rc-1").team())
            assert settled.id == first.id

    with caplog.at_level(logging.WARNING, "seawall"):
        asyncio.run(main())
    assert "can't be recorded" in caplog.text


class Panic(BaseException):
    """As native code raises it."""


SECRET = "ghp_" + "A1b2C3d4" * 4 + "E5f6"


class Unstorable(BaseModel):
    """Its serializer raises."""

    @model_serializer
    def encode(self) -> str:
        raise Panic(SECRET)


@pytest.mark.parametrize("answer", [Unstorable(), OSError(f"401 for {SECRET}")])
def test_what_reconcile_raises_is_logged_without_secrets_and_holds_up_no_other(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opened(clock) as sea:
            first = await leave_unknown(sea.journal, "r-1", clock=clock)
            await leave_unknown(sea.journal, "r-2", clock=clock)
            (settled,) = await sweep(sea, clock, Bank(answer, "rc-1").team())
            assert settled.id == first.id

    with caplog.at_level(logging.WARNING, "seawall"):
        asyncio.run(main())
    assert type(answer).__name__ in caplog.text or "Panic" in caplog.text
    assert SECRET not in caplog.text


class SlowBank:
    """Answers once it is let go, and counts the questions that wait at the same time."""

    def __init__(self) -> None:
        self.waiting = 0
        self.most = 0
        self.go = asyncio.Event()

    async def find(self, key: str) -> str:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await self.go.wait()
        self.waiting -= 1
        return "rc-1"

    def team(self, tools: int) -> Team:
        async def give(order_id: str) -> str:
            raise AssertionError(order_id)

        declared = Effect(unique_by=("order_id",), reconcile=self.find)
        made = [tool(effect=declared, name=f"refund{n}", description="Pay back.")(give) for n in range(tools)]
        return Team("desk", Agent("clerk", model=ScriptedModel([]), tools=made))


def test_several_tools_are_asked_at_the_same_time_and_each_one_question_after_another() -> None:
    async def main() -> None:
        clock, bank = ManualClock(), SlowBank()
        async with opened(clock) as sea:
            for number in range(2 * (AT_ONCE + 2)):
                await leave_unknown(sea.journal, f"r-{number}", clock=clock, tool=f"refund{number // 2}")
            sweeping = asyncio.create_task(sweep(sea, clock, bank.team(AT_ONCE + 2)))
            while bank.waiting < AT_ONCE and not sweeping.done():
                await asyncio.sleep(0)
            bank.go.set()
            assert len(await sweeping) == 2 * (AT_ONCE + 2)
            assert bank.most == AT_ONCE

    asyncio.run(main())


def test_a_tool_that_does_not_answer_is_asked_once_in_a_sweep_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconciling, "ASK_S", 0)

    async def main() -> None:
        clock, bank = ManualClock(), SlowBank()
        async with opened(clock) as sea:
            for number in range(3):
                await leave_unknown(sea.journal, f"r-{number}", clock=clock, tool="refund0")
            reconciler = Reconciler(clock, [bank.team(1)], sea.supervisor.make_bodies)
            for asked in (1, 2, 3, 3):  # each time another one: who did not answer has to wait
                assert await reconciler.sweep(sea.journal) == []
                told = re.findall(r"effect (\S+) did not answer", caplog.text)
                assert len(set(told)) == len(told) == asked

    with caplog.at_level(logging.WARNING, "seawall"):
        asyncio.run(main())
