"""Whole runs with random models and tools, on a manual clock: what must hold whatever happens."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seawall import Agent, Limits, NotDone, Price, Run, Seawall, Team, Tool, Waiting
from seawall.core.events import Judged, RunEnded, RunStarted, StepDone, StepIntended
from seawall.models.protocol import ModelRequest
from seawall.models.scripted import calls
from seawall.run.fold import fold
from seawall.testing import ManualClock, ScriptedModel, call, fail, hang, say, slow
from team.play import unanswered

PRICE = Price(Decimal(1), Decimal(2))


class Chaos:
    """A world of agents and tools that do anything, and a count of what reached it."""

    def __init__(self, rng: random.Random, clock: ManualClock) -> None:
        self.rng = rng
        self.clock = clock
        self.tools = self.models = 0
        self.flying = self.most_flying = 0
        self.effects: list[str] = []
        self.wrong: list[list[str]] = []

    def tool(self, name: str, **options: Any) -> Tool:
        async def function(what: str) -> Any:
            self.tools += 1
            self.flying += 1
            self.most_flying = max(self.most_flying, self.flying)
            try:
                return await self.answer(what)
            finally:
                self.flying -= 1

        return Tool(function, name=name, description="d", **options)

    async def answer(self, what: str) -> Any:
        kind = self.rng.randrange(12)
        if kind < 4:
            await self.clock.sleep(self.rng.choice([0, 0.1, 3, 30]))
        if kind == 4:
            raise ValueError("boom")
        if kind == 5:
            raise NotDone("not done")
        if kind == 6:
            try:
                await self.clock.sleep(50)
            except asyncio.CancelledError:
                self.flying -= 1  # it was given up, so for the run it is not in flight any more
                await self.clock.sleep(1)
                self.flying += 1
        return f"order {self.rng.randrange(20)}" if kind < 11 else {"same": what}

    def model(self, asks: list[str], *, reviews: bool = False) -> ScriptedModel:
        names = ["look", "look", "pay", "book", *asks, *asks, "nothing"]

        def reply(request: ModelRequest) -> Any:
            self.models += 1
            self.wrong.append(unanswered(request.messages))
            kind = self.rng.choice([self.rng.randrange(24), 4, 8, 9, 10, 20])
            if kind == 0:
                return fail(self.rng.choice(["overloaded", "rate_limited", "rejected", "incomplete"]))
            if kind == 1:
                return hang()
            if kind == 2:
                return say("")
            if kind == 3:
                return RuntimeError("model broke")
            if kind < 8:
                return slow(self.rng.choice([0.1, 2, 9]), say("slowly"))
            if kind < 16:
                return calls(
                    *[self.call(self.rng.choice(names)) for _ in range(self.rng.choice([1, 1, 2, 5]))]
                )
            if reviews:
                return call("review", approved=self.rng.random() < 0.6)
            return say(f"answer {self.rng.randrange(9)}")

        return ScriptedModel(reply, clock=self.clock, price=PRICE)

    def call(self, name: str) -> Any:
        argument = "task" if name.startswith("ask_") else "what"
        return call(name, {argument: f"order {self.rng.randrange(9)}"})

    def team(self, limits: Limits) -> Team:
        tools = [
            self.tool("look", retries=1),
            self.tool("pay", effect=True),
            self.tool("book", effect=True, idempotent=True, timeout_s=5),
        ]
        clerks = [
            Agent(name, model=self.model([]), tools=tools, max_output_tokens=300) for name in ("a", "b")
        ]
        inner = Team(
            "inner",
            Agent("lead", model=self.model(["ask_c"]), tools=tools, max_output_tokens=300),
            specialists=[Agent("c", model=self.model([]), tools=tools, max_output_tokens=300)],
        )
        return Team(
            "desk",
            Agent(
                "boss", model=self.model(["ask_a", "ask_b", "ask_inner"]), tools=tools, max_output_tokens=300
            ),
            specialists=[*clerks, inner],
            reviewer=Agent("auditor", model=self.model([], reviews=True), max_output_tokens=300),
            limits=limits,
        )


async def through(sea: Seawall, run: Run, chaos: Chaos) -> Any:
    """Returns the run's outcome; persons decide at random, and may cancel."""
    for _ in range(200):
        rest = await chaos.clock.until(run.rest())
        if not isinstance(rest, Waiting):
            return rest
        if chaos.rng.random() < 0.1:
            await run.cancel(by="u")
            continue
        approve = chaos.rng.random() < 0.7
        if rest.kind != "unknown":
            await sea.decide(run.id, rest.step, approve=approve, by="u")
        elif approve:
            await sea.reconcile(run.id, step=rest.step, committed="it is there", by="u")
        else:
            await sea.reconcile(run.id, step=rest.step, failed="it is not there", by="u")
    raise AssertionError(f"run {run.id} does not end")


def check_record(events: list[Any], limits: Limits) -> None:
    """Checks what holds for every record of a run."""
    intended = [event for event in events if isinstance(event, StepIntended)]
    done = [event.step for event in events if isinstance(event, StepDone)]
    made = [event for event in intended if event.perform]
    assert isinstance(events[0], RunStarted)
    assert sum(isinstance(event, RunEnded) for event in events) == 1
    assert [event.step for event in intended] == list(range(1, len(intended) + 1))
    assert sorted(done) == sorted(event.step for event in intended)
    assert max((event.depth for event in made), default=1) <= limits.depth
    causes = [(event.step, cause.step) for event in intended for cause in event.causes]
    assert all(cause < step for step, cause in causes), "a cause lies before its effect"
    approvals = {event.step for event in intended if event.kind == "approval"}
    assert {event.grant for event in made} - {None} <= approvals
    state = fold(events)
    assert state.ledger.reserved_tokens == 0
    assert state.ledger.reserved_usd == 0
    assert state.open == {}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 2**32),
    st.sampled_from([5, 40]),
    st.sampled_from([2, 64]),
    st.sampled_from([4_000, 50_000]),
)
def test_every_run_ends_on_time_within_its_limits_and_leaves_a_record_that_holds(
    seed: int, tool_calls: int, parallel: int, tokens: int
) -> None:
    async def main() -> None:
        clock = ManualClock()
        chaos = Chaos(random.Random(seed), clock)
        limits = Limits(
            active_s=60,
            tool_calls=tool_calls,
            model_calls=30,
            parallel=parallel,
            tokens=tokens,
            usd=Decimal(1),
            depth=3,
        )
        team = chaos.team(limits)
        async with Seawall(clock=clock, environment={}) as sea:
            for number in range(3):
                tools, models, flying = chaos.tools, chaos.models, chaos.flying
                chaos.most_flying = 0
                run = await sea.start(team, f"order {number}", session="s")
                outcome = await through(sea, run, chaos)
                events = await sea.journal.events(run.id)
                check_record(list(events), limits)
                assert outcome.active_s <= 60
                assert outcome.tokens <= tokens
                assert chaos.tools - tools <= tool_calls
                assert chaos.tools - tools <= outcome.tool_calls
                assert chaos.models - models <= 30
                assert chaos.most_flying - flying <= parallel
                assert (outcome.status == "halted") == any(
                    isinstance(event, Judged) and event.verdict == "halt" for event in events
                ) or outcome.status == "cancelled"
                assert (await sea.journal.row(run.id)).state == "ended"
        assert [each for each in chaos.wrong if each] == []

    asyncio.run(main())
