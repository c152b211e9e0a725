"""A guard looks at the run and its steps. It can't change them: a guard that tries halts the run."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from seawall import ALLOW, Agent, Guard, Loops, Outcome, Seawall, Team, Tool
from seawall.core.frozen import FrozenDict, FrozenList, freeze, thaw
from seawall.testing import ManualClock, ScriptedModel, call, say

PLAIN = {"a": 1, "inner": {"b": [1, {"c": 2}]}, "list": [[1], 2]}

CHANGES: list[Callable[[Any, Any], Any]] = [
    lambda step, run: run.frames.clear(),
    lambda step, run: run.frames.pop(0),
    lambda step, run: run.open.update({9: None}),
    lambda step, run: run.modes.__setitem__("loops", "off"),
    lambda step, run: run.memories.__setitem__("loops", None),
    lambda step, run: run.plan.skipped.setdefault("0:call", "x"),
    lambda step, run: run.plan.cut.__delitem__(0),
    lambda step, run: run.started.guards.update(loops="off"),
    lambda step, run: setattr(run, "modes", {}),
    lambda step, run: setattr(run.ledger, "tool_calls", 0),
    lambda step, run: setattr(step, "name", "other"),
    lambda step, run: step.arguments.__setitem__("amount", 1),
    lambda step, run: step.arguments.clear(),
    lambda step, run: step.arguments["items"].append("more"),
    lambda step, run: step.arguments["items"].sort(),
    lambda step, run: step.arguments["items"][0].update(price=0),
    lambda step, run: step.target[1].clear(),
]


def play(before: Callable[[Any, Any], Any], made: list[Any]) -> Outcome[Any]:
    def keep(amount: int, items: Any) -> str:
        """Pays."""
        made.append((amount, items))
        return "paid"

    class Meddling(Guard):
        name = "meddling"

        def before(self, step: Any, run: Any, memory: Any) -> Any:
            if step.kind == "tool":
                before(step, run)
            return ALLOW

    async def main() -> Outcome[Any]:
        model = ScriptedModel([call("pay", amount=5, items=[{"price": 3}, {"price": 2}]), say("Done.")])
        team = Team(Agent("cashier", model=model, tools=[Tool(keep, name="pay")]), guards=[Meddling()])
        async with Seawall(clock=ManualClock(), environment={}) as sea:
            return await (await sea.start(team, "go")).outcome()

    return asyncio.run(main())


@pytest.mark.parametrize("change", CHANGES)
def test_a_guard_that_changes_what_it_is_shown_halts_the_run(change: Callable[[Any, Any], Any]) -> None:
    made: list[Any] = []

    outcome = play(change, made)

    assert outcome.status == "halted"
    assert outcome.stopped_by is not None
    assert outcome.stopped_by.guard == "meddling"
    assert made == []


def test_a_guard_that_is_made_from_one_of_ours_can_change_nothing_either() -> None:
    made: list[Any] = []

    def pay(items: Any) -> str:
        """Pays."""
        made.append(items)
        return "paid"

    class Meddling(Loops):
        def before(self, step: Any, run: Any, memory: Any) -> Any:
            if step.kind == "tool":
                step.arguments["items"].append("more")
            return ALLOW

    async def main() -> Outcome[Any]:
        model = ScriptedModel([call("pay", items=["one"]), say("Done.")])
        team = Team("desk", Agent("cashier", model=model, tools=[Tool(pay)]), guards=[Meddling()])
        async with Seawall(clock=ManualClock(), environment={}) as sea:
            return await (await sea.start(team, "go")).outcome()

    outcome = asyncio.run(main())

    assert outcome.status == "halted"
    assert made == []


def test_a_guard_may_copy_what_it_is_shown_and_change_the_copy() -> None:
    made: list[Any] = []

    def look(step: Any, run: Any) -> None:
        mine = copy.deepcopy(step.arguments)
        mine["items"][0]["price"] = 0
        mine["items"].append(1)
        dict(run.modes)["loops"] = "off"

    assert play(look, made).status == "completed"
    assert made == [(5, [{"price": 3}, {"price": 2}])]
    made[0][1].append("the tool's own")


def test_a_guard_that_changes_an_event_that_it_folds_halts_the_run_and_the_record_is_as_it_was() -> None:
    class Meddling(Guard):
        name = "meddling"

        def fold(self, memory: Any, event: Any, run: Any) -> Any:
            if getattr(event, "handover", None):
                event.handover.clear()
            return memory

    class Leaving(Guard):
        name = "leaving"

        def carry(self, memory: Any) -> str:
            return "seen"

    async def main() -> tuple[Outcome[Any], list[Any]]:
        def team(*guards: Guard) -> Team:
            return Team("desk", Agent("desk", model=ScriptedModel([say("Done.")])), guards=guards)

        async with Seawall(clock=ManualClock(), environment={}) as sea:
            await (await sea.start(team(Leaving()), "go", session="s")).outcome()
            run = await sea.start(team(Meddling(), Leaving()), "go", session="s")
            outcome = await run.outcome()
            return outcome, await sea.journal.events(run.id)

    outcome, events = asyncio.run(main())

    assert outcome.status == "halted"
    assert outcome.stopped_by is not None
    assert outcome.stopped_by.guard == "meddling"
    assert events[1].handover["leaving"] == "seen"


def test_a_frozen_value_equals_the_plain_one_and_is_encoded_like_it() -> None:
    frozen = freeze(PLAIN)

    assert frozen == PLAIN
    assert json.dumps(frozen) == json.dumps(PLAIN)
    assert msgspec.json.encode(frozen) == msgspec.json.encode(PLAIN)
    for plain in (thaw(frozen), copy.deepcopy(frozen), msgspec.json.decode(msgspec.json.encode(frozen))):
        assert plain == PLAIN
        plain["inner"]["b"][1]["c"] = 3
        plain["list"].append(4)
    assert type(copy.copy(frozen)) is dict
    assert frozen == PLAIN


@pytest.mark.parametrize(("kind", "plain"), [(FrozenDict, dict), (FrozenList, list)])
def test_every_method_that_changes_a_value_is_refused(kind: type, plain: type) -> None:
    reads = {"copy", "get", "items", "keys", "values", "count", "index"}
    for name in [each for each in vars(plain) if not each.startswith("__") and each != "fromkeys"]:
        assert (getattr(kind, name) is getattr(plain, name)) == (name in reads), name
    for name in ("__setitem__", "__delitem__", "__ior__", "__iadd__", "__imul__"):
        if hasattr(plain, name):
            assert getattr(kind, name) is not getattr(plain, name)
