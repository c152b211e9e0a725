"""The guard `context`, at the gate: a scripted model is sent junk, and called or not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from seawall import Agent, Context, ContextGuard, Guard, Limits, Misused, Seawall, Team, tool
from seawall.core.events import Judged, StepIntended
from seawall.testing import ScriptedModel, call, say

CALLS = 12
LIMITS = Limits(tool_calls=100, model_calls=100)


@tool
async def look(path: str) -> str:
    """Always says the same."""
    return "the very same line of text, and nothing new in it\n" * 20


def play(guards: list[Guard], options: Context, *, modes: Any = None) -> tuple[Any, list[Any], int]:
    """Returns the outcome, the run's events, and how often the model was called."""
    entries = [call("look", path=f"/{number}") for number in range(CALLS)]

    async def main() -> tuple[Any, list[Any]]:
        model = ScriptedModel([*entries, say("done")])
        team = Team(Agent("clerk", model=model, tools=[look], context=options))
        async with Seawall(guards=guards) as sea:
            run = await sea.start(team, "Look.", limits=LIMITS, modes=modes)
            return await run.outcome(), await sea.journal.events(run.id)

    outcome, events = asyncio.run(main())
    models = [event for event in events if isinstance(event, StepIntended) and event.kind == "model"]
    return outcome, events, len(models)


NEVER = Context(junk_at=1)


def test_by_default_it_only_observes() -> None:
    outcome, events, models = play([ContextGuard()], NEVER)

    assert (outcome.status, models) == ("completed", CALLS + 1)
    verdicts = [event for event in events if isinstance(event, Judged)]
    assert {(each.guard, each.verdict, each.mode) for each in verdicts} == {("context", "halt", "observe")}


def test_enforced_it_halts_before_a_model_reads_mostly_junk() -> None:
    outcome, events, models = play([ContextGuard()], NEVER, modes={"context": "enforce"})

    assert outcome.status == "halted"
    assert outcome.stopped_by.guard == "context"
    assert "of what 'clerk' would be sent are failures, repeats and results out of date (limit 50%)" in (
        outcome.stopped_by.reason
    )
    shares = [event.junk for event in events if isinstance(event, StepIntended) and event.kind == "model"]
    assert 3 <= models <= CALLS and max(shares) <= float(outcome.stopped_by.value)


def test_a_short_context_is_not_judged() -> None:
    outcome, events, _ = play([ContextGuard(mode="enforce", least_tokens=100_000)], NEVER)

    assert outcome.status == "completed"
    assert not [event for event in events if isinstance(event, Judged)]


def test_where_junk_is_folded_the_guard_finds_none() -> None:
    outcome, events, _ = play([ContextGuard(mode="enforce")], Context())

    assert outcome.status == "completed"
    assert not [event for event in events if isinstance(event, Judged)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"junk_share": 0}, "junk_share is 0; it must be a share above 0, up to 1"),
        ({"junk_share": True}, "junk_share is True"),
        ({"junk_share": float("nan")}, "junk_share is nan"),
        ({"least_tokens": -1}, "least_tokens is -1; it must be a whole number, zero or more"),
        ({"least_tokens": 1.5}, "least_tokens is 1.5"),
    ],
)
def test_an_option_that_can_not_be_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(Misused, match=message):
        ContextGuard(**given)


def test_it_shows_its_mode_and_its_limit() -> None:
    assert repr(ContextGuard()) == "<ContextGuard observe, junk_share=0.5>"
