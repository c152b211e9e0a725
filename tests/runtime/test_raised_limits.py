"""A run that a limit has halted goes on with raised limits; who raised them is recorded, and nothing is made again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from seawall import (
    Agent,
    Limits,
    Loops,
    Misused,
    Outcome,
    Price,
    Principal,
    Refused,
    Seawall,
    Team,
    ToolContext,
    Waiting,
    tool,
)
from seawall.core.canonical import ref_of
from seawall.core.events import LimitsRaised, RunEnded, StepDone
from seawall.history.record import build_record
from seawall.journal.protocol import RunFilter
from seawall.models.scripted import Reply, calls
from seawall.run.fold import fold
from seawall.run.step import Propose
from seawall.runtime.raising import GO_ON, raise_limits
from seawall.team.decide import decide
from seawall.testing import ManualClock, ScriptedModel, call, say

HALT: dict[str, Any] = {"at_limit": "halt"} if "at_limit" in Limits.__struct_fields__ else {}


def bound(**given: Any) -> Limits:
    """Returns limits at which a run is halted."""
    return Limits(**given, **HALT)


PRICE = Price("1000", "1000")
"""US dollars for a million tokens: a thousandth of a dollar for each."""


class World:
    """A model server and a tool's table, which count what is asked of them."""

    def __init__(self, looks: int = 6, answer: str = "All were found.") -> None:
        self.table: list[str] = []
        script = [call("look", what=f"item-{number}") for number in range(looks)]
        self.model = ScriptedModel([*script, say(answer)], by="position", price=PRICE)

        @tool
        def look(what: str) -> str:
            """Look something up."""
            self.table.append(what)
            return f"{what} lies in room {len(self.table)}"

        self.look = look

    @property
    def asked(self) -> int:
        """How often the model was asked."""
        return len(self.model.requests)

    def team(self, limits: Limits = bound()) -> Team:  # noqa: B008 -- limits are frozen
        agent = Agent("clerk", model=self.model, tools=[self.look], max_output_tokens=20)
        return Team("desk", agent, limits=limits)


async def halt(sea: Seawall, team: Team, **options: Any) -> Outcome:
    outcome = await (await sea.start(team, "Look up all items.", **options)).outcome()
    assert outcome.status == "halted", outcome
    return outcome


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (bound(tool_calls=3), bound(tool_calls=6)),
        (bound(model_calls=3), bound(model_calls=7)),
        (bound(tokens=400), bound(tokens=6_000)),
        (bound(tokens=400), bound()),
        (bound(usd=Decimal("0.4")), bound(usd=Decimal(6))),
        (bound(tool_calls=3, tokens=6_000), bound(tool_calls=10, tokens=5_000)),
    ],
)
def test_a_run_goes_on_with_a_raised_limit_and_nothing_is_made_again(low: Limits, high: Limits) -> None:
    async def main() -> None:
        world = World()
        team = world.team(low)
        async with Seawall() as sea:
            halted = await halt(sea, team)
            made = len(world.table)
            assert 0 < made < 6
            run = await sea.resume(halted.run, team, limits=high, by="ann", reason="there is more to do")
            outcome = await run.outcome()
            assert (outcome.run, outcome.status, outcome.answer) == (
                halted.run,
                "completed",
                "All were found.",
            )
            assert world.table == [f"item-{number}" for number in range(6)]
            assert (world.asked, outcome.model_calls, outcome.tool_calls) == (7, 7, 6)
            state = await sea.state(halted.run)
            (raised,) = state.raised
            assert (raised.limits, raised.by, raised.reason) == (high, "ann", "there is more to do")
            assert state.started.limits == high
            assert (await sea.outcome(halted.run)).status == "completed"
            assert (await sea.journal.row(halted.run)).state == "ended"
            assert (await sea.journal.verify()).ok
            assert (await sea.replay(halted.run, team)).differences == ()

    asyncio.run(main())


def test_a_run_whose_request_was_erased_does_not_go_on() -> None:
    async def main() -> None:
        world = World()
        team = world.team(bound(tool_calls=3))
        async with Seawall() as sea:
            halted = await halt(sea, team, tenant="acme")
            await sea.journal.erase("acme")
            asked = world.asked
            with pytest.raises(Misused, match="its request was erased, so nothing can go on with it"):
                await sea.resume(halted.run, team, limits=bound(tool_calls=6), by="ann")
            assert (await sea.outcome(halted.run)).status == "halted"
            assert world.asked == asked

    asyncio.run(main())


def test_a_deadline_is_raised_and_what_it_cut_off_is_made_again() -> None:
    async def main() -> None:
        clock, table = ManualClock(), list[str]()

        @tool
        async def look(what: str) -> str:
            """Look something up."""
            table.append(what)
            await clock.sleep(8.0)
            return f"{what} is here"

        script = [call("look", what="a"), call("look", what="b"), say("Both are here.")]
        model = ScriptedModel(script, by="position")
        team = Team(Agent("clerk", model=model, tools=[look]), limits=bound(active_s=10.0))
        async with Seawall(clock=clock) as sea:
            run = await sea.start(team, "Look up both.")
            halted = await clock.until(run.outcome())
            assert halted.stopped_by is not None
            assert halted.stopped_by.guard == "deadline"
            with pytest.raises(Misused, match=r"active_s is 10, and run .* has used 10.000 s"):
                await sea.resume(run.id, team, limits=bound(active_s=10.0), by="ann")
            run = await sea.resume(run.id, team, limits=bound(active_s=19.0), by="ann")
            outcome = await clock.until(run.outcome())
            assert outcome.answer == "Both are here."
            assert table == ["a", "b", "b"], "the read in flight is made again, as after a crash"
            assert outcome.active_s == pytest.approx(18.0)
            assert outcome.tool_calls == 3

    asyncio.run(main())


def test_a_hand_off_that_was_open_goes_on() -> None:
    async def main() -> None:
        world = World()
        boss = ScriptedModel(
            [call("ask_clerk", task="Look up all."), say("The clerk found all.")], by="position"
        )
        clerk = world.team().coordinator
        team = Team("desk", Agent("boss", model=boss), specialists=[clerk], limits=bound(tool_calls=2))
        async with Seawall() as sea:
            halted = await halt(sea, team)
            outcome = await (
                await sea.resume(halted.run, team, limits=bound(tool_calls=9), by="ann")
            ).outcome()
            assert outcome.answer == "The clerk found all."
            assert (outcome.handoffs, len(boss.requests), world.asked, len(world.table)) == (1, 2, 7, 6)
            record = build_record(await sea.journal.events(halted.run))
            handoff = next(step for step in record.steps.values() if step.intent.kind == "handoff")
            assert handoff.done is not None
            assert handoff.done.status == "ok", "its end counts, and not that it was cut off"

    asyncio.run(main())


def test_handoffs_are_raised() -> None:
    async def main() -> None:
        tasks = [call("ask_clerk", task=f"Look up {name}.") for name in ("apples", "pears", "plums")]
        boss = ScriptedModel([*tasks, say("Three.")], by="position")
        clerk = Agent("clerk", model=ScriptedModel(lambda request: say(str(request.messages[-1].content))))
        team = Team("desk", Agent("boss", model=boss), specialists=[clerk], limits=bound(handoffs=2))
        async with Seawall() as sea:
            halted = await halt(sea, team)
            run = await sea.resume(halted.run, team, limits=bound(handoffs=3), by="ann")
            outcome = await run.outcome()
            assert (outcome.answer, outcome.handoffs, len(boss.requests)) == ("Three.", 3, 4)

    asyncio.run(main())


@settings(max_examples=25, deadline=None)
@given(looks=st.integers(2, 7), raises=st.lists(st.integers(1, 3), max_size=8))
def test_however_often_a_run_is_halted_and_raised_it_does_what_it_had_done_at_once(
    looks: int, raises: list[int]
) -> None:
    async def main() -> None:
        world, limit = World(looks), 1
        async with Seawall() as sea:
            run = await sea.start(world.team(bound(tool_calls=limit)), "Look up all items.")
            outcome = await run.outcome()
            times = 0
            for more in [*raises, looks]:
                if outcome.status == "completed":
                    break
                limit += more
                before = await sea.state(run.id)
                assert before.before_halt is not None
                run = await sea.resume(run.id, world.team(), limits=bound(tool_calls=limit), by=f"p-{times}")
                outcome = await run.outcome()
                times += 1
            state = await sea.state(run.id)
            assert outcome.answer == "All were found."
            assert (len(world.table), world.asked) == (looks, looks + 1)
            assert (state.ledger.tool_calls, state.ledger.model_calls) == (looks, looks + 1)
            assert [each.by for each in state.raised] == [f"p-{n}" for n in range(times)]
            assert (await sea.journal.verify()).ok

    asyncio.run(main())


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (bound(tool_calls=2), r"tool_calls is 2, and run .* has spent 3: it must be at least that"),
        (
            bound(tool_calls=3, model_calls=99),
            r"tool_calls is 3, and the next step of run .* needs 4 \(it was halted at tool_calls=3",
        ),
        (bound(tool_calls=9, model_calls=3), r"model_calls is 3, and run .* has spent 4"),
        (bound(tool_calls=9, tokens=100), r"tokens is 100, and run .* has spent"),
    ],
)
def test_limits_with_which_it_cannot_go_on_are_refused(limits: Limits, message: str) -> None:
    async def main() -> None:
        world = World()
        team = world.team(bound(tool_calls=3))
        async with Seawall() as sea:
            halted = await halt(sea, team)
            events = await sea.journal.events(halted.run)
            with pytest.raises(Misused, match=message):
                await sea.resume(halted.run, team, limits=limits, by="ann")
            with pytest.raises(Misused, match="who gives the run other limits"):
                await sea.resume(halted.run, team, limits=bound(tool_calls=9))
            other = Team("other", Agent("other", model=world.model))
            with pytest.raises(Misused, match="has no agent 'clerk'"):
                await sea.resume(halted.run, other, limits=bound(tool_calls=9), by="ann")
            assert await sea.journal.events(halted.run) == events
            assert (await sea.journal.row(halted.run)).state == "ended"

    asyncio.run(main())


def test_only_a_run_that_a_limit_halted_is_taken_up_so() -> None:
    async def main() -> None:
        world = World(looks=1)
        async with Seawall() as sea:
            done = await (await sea.start(world.team(), "Look.")).outcome()
            with pytest.raises(
                Misused, match=f"run {done.run} is completed: only a run that was halted by one of"
            ):
                await sea.resume(done.run, world.team(), limits=bound(tool_calls=99), by="ann")
            looping = ScriptedModel([call("look", what="same")] * 9 + [say("x")])

            @tool
            def look(what: str) -> str:
                """Look."""
                return "the same"

            team = Team(Agent("clerk", model=looping, tools=[look]), guards=[Loops()])
            halted = await halt(sea, team)
            with pytest.raises(Misused, match="is halted by 'loops': only"):
                await sea.resume(halted.run, team, limits=bound(tool_calls=99), by="ann")
            with pytest.raises(Misused, match="r-none"):
                await sea.resume("r-none", team, limits=bound(), by="ann")

    asyncio.run(main())


def test_somebody_who_may_not_decide_raises_no_limit() -> None:
    people = {"ann": Principal("ann"), "bot": Principal("bot", agent=True)}

    async def main() -> None:
        world = World()
        team = world.team(bound(tool_calls=3))
        async with Seawall(authenticate=people.get) as sea:
            halted = await halt(sea, team)
            with pytest.raises(Refused, match="agents decide nothing"):
                await sea.resume(halted.run, team, limits=bound(tool_calls=9), credential="bot")
            with pytest.raises(Misused, match="give the credential of the person"):
                await sea.resume(halted.run, team, limits=bound(tool_calls=9), by="ann")
            run = await sea.resume(halted.run, team, limits=bound(tool_calls=9), credential="ann")
            await run.outcome()
            assert [each.by for each in (await sea.state(run.id)).raised] == ["ann"]

    asyncio.run(main())


def test_the_same_request_id_with_raised_limits_is_answered() -> None:
    async def main() -> None:
        world = World()
        team = world.team(bound(tool_calls=3))
        async with Seawall() as sea:
            halted = await halt(sea, team, request_id="q-1", principal="user:7")

            async def ask(limits: Limits | None = None) -> Outcome:
                run = await sea.start(
                    team, "Look up all items.", request_id="q-1", principal="user:7", limits=limits
                )
                assert run.id == halted.run
                return await run.outcome()

            for same in (None, bound(tool_calls=3), bound(tool_calls=1)):
                assert (await ask(same)).status == "halted"
            assert (await ask(bound(tool_calls=9))).answer == "All were found."
            assert (await ask()).answer == "All were found."
            assert (len(world.table), world.asked) == (6, 7)
            assert [each.by for each in (await sea.state(halted.run)).raised] == ["user:7"]

    asyncio.run(main())


def test_a_process_that_dies_after_the_raise_leaves_a_run_to_resume(tmp_path: Path) -> None:
    async def main() -> None:
        world, file = World(), tmp_path / "desk.db"
        team = world.team(bound(tool_calls=3))
        raised = LimitsRaised(at=1.0, limits=bound(tool_calls=9), by="ann")
        async with Seawall(file) as sea:
            halted = await halt(sea, team)
            await raise_limits(sea.supervisor, halted.run, team, raised)
        async with Seawall(file) as sea:
            (row,) = await sea.journal.runs(RunFilter(state="interrupted"))
            assert (row.run, row.ended_at, row.summary) == (halted.run, None, None)
            assert (await sea.journal.verify()).ok
            # the command, once more
            again = await sea.resume(halted.run, team, limits=raised.limits, by="bob")
            assert (await again.outcome()).answer == "All were found."
            assert (len(world.table), world.asked) == (6, 7)
            assert [each.by for each in (await sea.state(halted.run)).raised] == ["ann"]
            events = [event async for event in again.events()]
            assert isinstance(events[-1], RunEnded)
            assert sum(isinstance(event, RunEnded) for event in events) == 2
            assert (await sea.journal.verify()).ok

    asyncio.run(main())


class Bank:
    """The other side of a payment, which answers late."""

    def __init__(self, clock: ManualClock, idempotent: bool) -> None:
        self.keys: list[str] = []

        async def pay(to: str, ctx: ToolContext) -> str:
            """Pay somebody."""
            self.keys.append(ctx.key)
            if len(self.keys) == 1:
                await clock.sleep(60.0)
            return f"paid {to}"

        self.pay = tool(effect=True, idempotent=idempotent)(pay)

    def team(self) -> Team:
        model = ScriptedModel([call("pay", to="ann"), say("Paid.")], by="position")
        return Team(Agent("cashier", model=model, tools=[self.pay]), limits=bound(active_s=10.0))


async def _halt_payment(clock: ManualClock, sea: Seawall, bank: Bank) -> Outcome:
    run = await sea.start(bank.team(), "Pay Ann.")
    outcome = await clock.until(run.outcome())
    assert (outcome.status, [each.state for each in outcome.effects]) == ("halted", ["unknown"])
    return outcome


def test_an_effect_in_flight_at_the_halt_is_made_again_only_under_its_key() -> None:
    async def main() -> None:
        clock = ManualClock()
        bank = Bank(clock, idempotent=True)
        async with Seawall(clock=clock) as sea:
            halted = await _halt_payment(clock, sea, bank)
            run = await sea.resume(halted.run, bank.team(), limits=bound(active_s=20.0), by="ann")
            outcome = await clock.until(run.outcome())
            assert outcome.answer == "Paid."
            assert len(bank.keys) == 2
            assert len({*bank.keys}) == 1
            assert [each.state for each in outcome.effects] == ["committed"]
            assert (await sea.journal.verify()).ok

    asyncio.run(main())


def test_an_effect_of_unknown_fate_at_the_halt_waits_for_a_person() -> None:
    async def main() -> None:
        clock = ManualClock()
        bank = Bank(clock, idempotent=False)
        async with Seawall(clock=clock) as sea:
            halted = await _halt_payment(clock, sea, bank)
            run = await sea.resume(halted.run, bank.team(), limits=bound(active_s=20.0), by="ann")
            rest = await clock.until(run.rest())
            assert isinstance(rest, Waiting)
            assert rest.kind == "unknown"
            (effect,) = await sea.effects(run=halted.run)
            await sea.reconcile(effect.id, committed="paid ann", by="ann")
            outcome = await clock.until(run.outcome())
            assert (outcome.answer, len(bank.keys)) == ("Paid.", 1)
            assert [each.state for each in outcome.effects] == ["committed"]

    asyncio.run(main())


@pytest.mark.parametrize("committed", [True, False])
def test_what_has_become_known_since_the_halt_is_not_asked_again(committed: bool) -> None:
    async def main() -> None:
        clock = ManualClock()
        bank = Bank(clock, idempotent=True)
        async with Seawall(clock=clock) as sea:
            halted = await _halt_payment(clock, sea, bank)
            (effect,) = await sea.effects(run=halted.run)
            if committed:
                await sea.reconcile(effect.id, committed="paid ann", by="ann")
            else:
                await sea.reconcile(effect.id, failed="the bank has no such payment", by="ann")
            run = await sea.resume(halted.run, bank.team(), limits=bound(active_s=20.0), by="ann")
            outcome = await clock.until(run.outcome())
            assert (outcome.answer, len(bank.keys)) == ("Paid.", 1)
            assert [each.state for each in outcome.effects] == ["committed" if committed else "failed"]

    asyncio.run(main())


def test_a_receipt_that_came_after_the_halt_is_honoured() -> None:
    async def main() -> None:
        clock = ManualClock()
        paid = asyncio.Event()

        @tool(effect=True)
        async def pay(to: str) -> str:
            """Pay somebody, and do not let that be stopped."""
            while not paid.is_set():
                try:
                    await paid.wait()
                except asyncio.CancelledError:
                    continue
            return f"paid {to}"

        model = ScriptedModel([call("pay", to="ann"), say("Paid.")], by="position")
        team = Team(Agent("cashier", model=model, tools=[pay]), limits=bound(active_s=10.0))
        async with Seawall(clock=clock) as sea:
            run = await sea.start(team, "Pay Ann.")
            assert (await clock.until(run.outcome())).status == "halted"
            paid.set()
            while (await sea.effects(run=run.id))[0].state != "committed":
                await asyncio.sleep(0)
            run = await sea.resume(run.id, team, limits=bound(active_s=20.0), by="ann")
            outcome = await clock.until(run.outcome())
            assert outcome.answer == "Paid."
            done = [event for event in await sea.journal.events(run.id) if isinstance(event, StepDone)]
            assert sum(event.status == "unknown" for event in done) == 1
            assert model.requests[-1].messages[-1].content == "paid ann"

    asyncio.run(main())


def test_a_run_after_which_its_session_went_on_stays_ended() -> None:
    async def main() -> None:
        world = World()
        team = world.team(bound(tool_calls=3))
        async with Seawall() as sea:
            halted = await halt(sea, team, session="s-1")
            later = await sea.start(
                Team("desk", Agent("clerk", model=ScriptedModel([say("Hello.")]))), "And now?", session="s-1"
            )
            await later.outcome()
            with pytest.raises(Refused, match=f"run {later.id} was started after run {halted.run} had ended"):
                await sea.resume(halted.run, team, limits=bound(tool_calls=9), by="ann")

    asyncio.run(main())


def test_the_session_goes_on_from_how_the_run_ended_at_last() -> None:
    async def main() -> None:
        world = World()
        team = world.team(bound(tool_calls=3))
        async with Seawall() as sea:
            halted = await halt(sea, team, session="s-1")
            await (await sea.resume(halted.run, team, limits=bound(tool_calls=9), by="ann")).outcome()
            model = ScriptedModel([say("Yes.")])
            next_run = await sea.start(Team("desk", Agent("clerk", model=model)), "Sure?", session="s-1")
            await next_run.outcome()
            shown = [str(message.content) for message in model.requests[0].messages]
            assert "All were found." in shown
            assert sum("item-5" in text for text in shown) == 1

    asyncio.run(main())


def test_a_fork_goes_on_with_limits_of_its_own() -> None:
    async def main() -> None:
        world = World()
        team = world.team(bound(tool_calls=3))
        async with Seawall() as sea:
            halted = await halt(sea, team)
            assert (await (await sea.fork(halted.run, team)).outcome()).status == "halted"
            fork = await sea.fork(halted.run, team, limits=bound(tool_calls=9), by="ann", reason="try")
            assert (await fork.outcome()).answer == "All were found."
            assert fork.id != halted.run
            assert (len(world.table), world.asked) == (6, 7)
            (raised,) = (await sea.state(fork.id)).raised
            assert (raised.by, raised.reason) == ("ann", "try")
            assert (await sea.outcome(halted.run)).status == "halted"
            with pytest.raises(Misused, match=r"tool_calls is 1, and run .* has spent 3"):
                await sea.fork(halted.run, team, limits=bound(tool_calls=1), by="ann")
            went_on = await sea.resume(halted.run, team, limits=bound(tool_calls=9), by="ann")
            assert (await went_on.outcome()).status == "completed"
            late = await sea.fork(halted.run, team, at=9)
            assert (await late.outcome()).answer == "All were found."

    asyncio.run(main())


def test_calls_that_were_let_pass_with_the_one_that_was_halted_are_made_once() -> None:
    async def main() -> None:
        table: list[str] = []

        @tool
        def look(what: str) -> str:
            """Look something up."""
            table.append(what)
            return f"{what} is here"

        def fan_out(names: Sequence[str]) -> Reply:
            return calls(*(call("look", what=name) for name in names))

        model = ScriptedModel([fan_out("abcde"), say("All five.")], by="position")
        team = Team(Agent("clerk", model=model, tools=[look]), limits=bound(tool_calls=3))
        async with Seawall() as sea:
            halted = await halt(sea, team)
            made = [*table]
            run = await sea.resume(halted.run, team, limits=bound(tool_calls=5), by="ann")
            outcome = await run.outcome()
            assert (outcome.answer, outcome.tool_calls, len(model.requests)) == ("All five.", 5, 2)
            assert sorted(table) == [*"abcde"], made

    asyncio.run(main())


def test_a_run_that_answered_at_its_limit_goes_on_after_its_answer() -> None:
    async def main() -> None:
        world = World(looks=2, answer="Two were found; the limit is used up.")
        async with Seawall() as sea:
            run = await sea.start(world.team(), "Look up all items.")
            first = await run.outcome()
            events = await sea.journal.events(run.id)
            ended = events[-1]
            assert isinstance(ended, RunEnded)
            answered = [*events[:-1], replace(ended, pruned=("limits",))]
            note = ref_of(GO_ON.encode())
            state = fold([*answered, LimitsRaised(at=1.0, limits=bound(tool_calls=99), by="ann", note=note)])
            assert (state.ended, state.pruned, state.started.limits) == (None, (), bound(tool_calls=99))
            assert state.frames[0].messages[-1].ref == note
            (action,) = decide(world.team(), state)
            assert isinstance(action, Propose)
            assert (action.kind, state.ledger.model_calls) == ("model", first.model_calls)

    asyncio.run(main())
