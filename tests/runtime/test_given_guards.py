"""Guards that are given to `Seawall` and `Engine` stand beside the default ones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from seawall import ALLOW, Agent, ContextGuard, Engine, Guard, Misused, Seawall
from seawall.core.events import RunStarted
from seawall.testing import ScriptedModel, say


class Mine(Guard):
    name = "mine"

    def before(self, step: Any, run: Any, memory: Any) -> Any:
        return ALLOW


DEFAULTS = {"loops": "enforce", "context": "observe", "authority": "enforce", "waste": "enforce"}


def list_modes(**options: Any) -> dict[str, str]:
    """The modes of the guards that can be given, as a run has recorded them."""

    async def main() -> dict[str, str]:
        async with Seawall(**options) as sea:
            run = await sea.start(Agent("desk", model=ScriptedModel([say("Done.")])), "Go.")
            await run.outcome()
            (started,) = [each for each in await sea.journal.events(run.id) if isinstance(each, RunStarted)]
            return {name: mode for name, mode in started.guards.items() if name in {*DEFAULTS, "mine"}}

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "modes"),
    [
        ({}, DEFAULTS),
        ({"guards": [Mine()]}, {**DEFAULTS, "mine": "enforce"}),
        ({"guards": [ContextGuard(mode="enforce")]}, {**DEFAULTS, "context": "enforce"}),
        ({"guards": [], "modes": {"waste": "off"}}, {**DEFAULTS, "waste": "off"}),
        ({"guards": [ContextGuard()], "modes": {"context": "off"}}, {**DEFAULTS, "context": "off"}),
    ],
    ids=["none", "added", "in place", "left out", "given and left out"],
)
def test_given_guards_are_added_and_one_of_the_same_name_takes_its_place(
    options: dict[str, Any], modes: dict[str, str]
) -> None:
    assert list_modes(**options) == modes


def test_an_engine_adds_its_guards_too() -> None:
    with Engine(guards=[Mine()]) as engine:
        with engine.begin("Go.", loop="own") as session:
            session.step_sync(session.tool("desk", "look", {}), lambda turn: ("seen", None))
            run = session.run
            session.end_sync("Done.")
        assert run is not None
        state = engine.call(lambda sea: sea.state(run))
    assert {*DEFAULTS, "mine"} <= set(state.modes)


def test_two_given_guards_of_one_name_are_refused_at_once() -> None:
    with pytest.raises(Misused, match="Seawall has two guards of the name 'mine'"):
        Seawall(guards=[Mine(), Mine()])
