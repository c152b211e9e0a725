"""A deadline that is only observed binds nobody: neither the run, nor a client's time-out, nor a retry."""

from __future__ import annotations

import asyncio

import pytest

from seawall import Agent, Limits, Outcome, Seawall, Team, ToolContext, tool
from seawall.core.events import Mode
from seawall.models.scripted import Entry, ScriptedModel, call, fail, slow
from seawall.testing import ManualClock

NOT_ENFORCED: tuple[Mode, ...] = ("off", "observe")
ACTIVE_S = 1.0


async def _run(clock: ManualClock, team: Team, mode: Mode) -> Outcome:
    async with Seawall(clock=clock, modes={"deadline": mode}) as sea:
        run = await sea.start(team, "Where is order 1042?")
        return await clock.until(run.outcome())


def _answered(mode: Mode, *script: Entry) -> tuple[Outcome, ScriptedModel]:
    clock = ManualClock()
    model = ScriptedModel(script, clock=clock)
    team = Team(Agent("desk", model=model), limits=Limits(active_s=ACTIVE_S))
    return asyncio.run(_run(clock, team, mode)), model


@pytest.mark.parametrize("mode", NOT_ENFORCED)
def test_a_model_is_given_more_time_than_the_run_has(mode: Mode) -> None:
    outcome, model = _answered(mode, slow(2 * ACTIVE_S, "It was sent."))

    assert outcome.status == "completed"
    assert (model.requests[0].timeout_s or 0) > 2 * ACTIVE_S


@pytest.mark.parametrize("mode", NOT_ENFORCED)
def test_a_run_that_went_on_after_its_time_says_how_long_it_took(mode: Mode) -> None:
    outcome, _ = _answered(mode, slow(2 * ACTIVE_S, "It was sent."))

    assert outcome.active_s == 2 * ACTIVE_S


def test_an_enforced_deadline_is_the_models_time_out_too() -> None:
    outcome, model = _answered("enforce", slow(2 * ACTIVE_S, "It was sent."))

    assert outcome.status == "halted"
    assert model.requests[0].timeout_s == ACTIVE_S


@pytest.mark.parametrize("mode", NOT_ENFORCED)
def test_a_retry_that_the_provider_asks_for_may_come_after_the_time(mode: Mode) -> None:
    outcome, model = _answered(mode, fail("rate_limited", retry_after_s=2 * ACTIVE_S), "It was sent.")

    assert outcome.answer == "It was sent."
    assert model.request_count == 2


def test_an_enforced_deadline_lets_no_retry_come_after_it() -> None:
    outcome, model = _answered("enforce", fail("rate_limited", retry_after_s=2 * ACTIVE_S), "It was sent.")

    assert outcome.status == "failed"
    assert model.request_count == 1


@pytest.mark.parametrize("mode", NOT_ENFORCED)
def test_a_tool_is_told_that_it_has_time(mode: Mode) -> None:
    told: list[float] = []

    @tool
    async def track(context: ToolContext) -> str:
        """Look."""
        told.append(context.remaining_s)
        return "sent"

    clock = ManualClock()
    model = ScriptedModel([slow(2 * ACTIVE_S, call("track")), "It was sent."], clock=clock)
    team = Team(Agent("desk", model=model, tools=[track]), limits=Limits(active_s=ACTIVE_S))

    assert asyncio.run(_run(clock, team, mode)).status == "completed"
    assert told[0] > ACTIVE_S
