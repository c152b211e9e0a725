"""The gate: every step of every agent passes it, and the severest word counts."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from guards.verdicts import Says
from seawall import Advise, Agent, Halt, Hold, Refuse, Replace, Seawall, Team
from seawall.core.events import Judged, StepDone
from seawall.models.scripted import calls
from seawall.testing import ScriptedModel, call, say
from team.play import World, play, played, sent

VERDICTS: dict[str, Any] = {
    "advise": Advise("r", "take care"),
    "replace": Replace("r", "as you know"),
    "hold": Hold("r"),
    "refuse": Refuse("r"),
    "halt": Halt("r"),
}
SEVERITY = list(VERDICTS)


def asks_once(world: World, *tools: Any) -> tuple[Team, ScriptedModel]:
    model = ScriptedModel([call("look", what="order 1042"), say("Done.")])
    return Team(Agent("clerk", model=model, tools=[world.reads(), *tools])), model


@pytest.mark.parametrize(("mild", "severe"), list(itertools.combinations(SEVERITY, 2)))
@pytest.mark.parametrize("turned", [False, True])
def test_the_severest_of_two_verdicts_wins(mild: str, severe: str, turned: bool) -> None:
    world = World()
    team, model = asks_once(world)
    guards = [Says(VERDICTS[mild], name="mild"), Says(VERDICTS[severe], name="severe")]

    async def main() -> Any:
        async with Seawall(guards=guards[::-1] if turned else guards) as sea:
            return await (await sea.start(team, "go")).rest()

    rest = asyncio.run(main())

    assert world.calls == []
    match severe:
        case "replace":
            assert sent(model)[-1].startswith("as you know")
        case "hold":
            assert rest.what == "look"
        case "refuse":
            assert sent(model)[-1].startswith("r")
        case _:
            assert rest.status == "halted"
            assert rest.stopped_by.guard == "severe"


@pytest.mark.parametrize("of", ["model", "tool", "handoff", "review"])
def test_halt_ends_the_run_before_the_step_is_made(of: str) -> None:
    world = World()
    clerk = Agent(
        "clerk", model=ScriptedModel([call("look", what="x"), say("Found.")]), tools=[world.reads()]
    )
    boss = Agent("boss", model=ScriptedModel([call("ask_clerk", task="find x"), say("Done.")]))
    auditor = Agent("auditor", model=ScriptedModel([call("review", approved=True)]))
    team = Team("desk", boss, specialists=[clerk], reviewer=auditor)

    run = play(team, guards=[Says(Halt("no", "none", 1), of=of)])

    assert run.outcome.status == "halted"
    assert run.outcome.stopped_by is not None
    assert run.outcome.stopped_by.reason == "no"
    assert run.steps(of) == []
    assert len(world.calls) == (1 if of == "review" else 0)


@pytest.mark.parametrize(
    ("stage", "error"),
    [
        *itertools.product(["before", "after"], [ValueError("broken"), SystemExit(1), None, "allow"]),
        ("fold", ValueError("broken")),
        ("fold", SystemExit(1)),
    ],
)
def test_a_guard_that_can_not_judge_halts(stage: str, error: Any) -> None:
    world = World()
    team, _ = asks_once(world)

    run = play(team, guards=[Says(error, stage=stage)])

    assert run.outcome.status == "halted"
    assert run.outcome.stopped_by is not None
    assert run.outcome.stopped_by.guard == "says"
    assert "says" in run.outcome.stopped_by.reason
    assert len(world.calls) == (1 if stage == "after" else 0)


def test_a_guard_whose_fold_breaks_is_recorded_and_the_run_folds_on_without_it() -> None:
    team, _ = asks_once(World())

    run = play(team, guards=[Says(ValueError("broken"), stage="fold")], modes={"says": "observe"})

    assert run.outcome.status == "completed"
    assert ("says", "halt", "observe") in run.judged


def test_an_answer_that_a_guard_could_not_take_in_is_not_released() -> None:
    class Late(Says):
        def fold(self, memory: Any, event: Any, run: Any) -> int:
            if isinstance(event, StepDone) and event.answer is not None:
                raise ValueError("broken")
            return 0

    team, _ = asks_once(World())

    run = play(team, guards=[Late(None, of="nothing")])

    assert run.outcome.status == "halted"
    assert run.outcome.answer is None
    assert run.judged == [("says", "halt", "enforce")]


def test_a_guard_that_is_off_is_not_asked() -> None:
    team, _ = asks_once(World())

    run = play(team, guards=[Says(ValueError("broken"))], modes={"says": "off"})

    assert run.outcome.status == "completed"
    assert run.judged == []


@pytest.mark.parametrize("verdict", SEVERITY)
@pytest.mark.parametrize("stage", ["before", "after"])
def test_what_is_observed_is_recorded_and_let_pass(verdict: str, stage: str) -> None:
    world = World()
    team, model = asks_once(world)

    run = play(team, guards=[Says(VERDICTS[verdict], stage=stage)], modes={"says": "observe"})

    assert run.outcome.status == "completed"
    assert world.calls == ["order 1042"]
    assert sent(model)[-1] == "order 1042"
    assert run.judged == [("says", verdict, "observe")]


def test_halt_is_sticky_for_everything_that_is_still_in_flight() -> None:
    world = World()
    model = ScriptedModel([calls(call("look", what="1"), call("stop"), call("look", what="2")), say("Done.")])
    team = Team(Agent("clerk", model=model, tools=[world.reads(), world.reads("stop")]))

    class Stop(Says):
        def before(self, step: Any, run: Any, memory: Any) -> Any:
            return Halt("stop") if step.name == "stop" else super().before(step, run, memory)

    run = play(team, guards=[Stop(None, of="nothing")])

    assert run.outcome.status == "halted"
    assert "2" not in world.calls
    assert model.request_count == 1


def test_advice_reaches_the_agent_with_the_result_of_its_call() -> None:
    for stage in ("before", "after"):
        team, model = asks_once(World())

        play(team, guards=[Says(VERDICTS["advise"], stage=stage)])

        assert sent(model)[-1] == "order 1042\n\ntake care"


def test_advice_on_a_model_step_is_in_what_that_model_is_sent() -> None:
    team, model = asks_once(World())

    play(team, guards=[Says(VERDICTS["advise"], of="model", times=1)])

    assert sent(model, 0)[-1] == "take care"
    assert sent(model, 1).count("take care") == 1


def test_advice_on_a_reply_is_in_what_the_model_is_sent_next() -> None:
    team, model = asks_once(World())

    play(team, guards=[Says(VERDICTS["advise"], of="model", stage="after", times=1)])

    assert "take care" in sent(model, 1)


def test_a_refused_model_step_refuses_the_run_and_names_the_guard() -> None:
    team, model = asks_once(World())

    run = play(team, guards=[Says(Refuse("not today", "day", "Sunday"), of="model")])

    assert run.outcome.status == "refused"
    assert run.outcome.stopped_by is not None
    assert (run.outcome.stopped_by.guard, run.outcome.stopped_by.value) == ("says", "Sunday")
    assert model.request_count == 0


def test_a_specialist_whose_model_is_refused_fails_and_its_caller_goes_on() -> None:
    clerk = Agent("clerk", model=ScriptedModel([]))
    model = ScriptedModel([call("ask_clerk", task="find x"), say("Without him.")])
    team = Team("desk", Agent("boss", model=model), specialists=[clerk])

    class NoClerk(Says):
        def before(self, step: Any, run: Any, memory: Any) -> Any:
            return super().before(step, run, memory) if step.agent == "clerk" else Advise("ok", "go on")

    run = play(team, guards=[NoClerk(Refuse("not him"), of="model")])

    assert run.outcome.answer == "Without him."
    assert "not him" in sent(model)[-2] + sent(model)[-1]


def test_a_reply_refused_afterwards_is_withheld_and_the_model_told() -> None:
    model = ScriptedModel([call("look", what="x"), say("Other.")])
    world = World()
    team = Team(Agent("clerk", model=model, tools=[world.reads()]))

    run = play(team, guards=[Says(Refuse("say it otherwise"), of="model", stage="after", times=1)])

    assert run.outcome.answer == "Other."
    assert world.calls == []
    assert sent(model)[-1] == "say it otherwise"
    assert all(text for text in sent(model))


def test_a_refused_reply_does_not_colour_a_later_failure() -> None:
    model = ScriptedModel([say("x"), ValueError("boom")])

    run = play(
        Team(Agent("clerk", model=model)),
        guards=[Says(Refuse("say it otherwise"), of="model", stage="after", times=1)],
    )

    assert run.outcome.status == "failed"
    assert run.outcome.stopped_by is None
    assert run.outcome.error == "Error: ValueError: boom"


@pytest.mark.parametrize("of", ["tool", "model", "handoff", "review"])
@pytest.mark.parametrize("stage", ["before", "after"])
def test_replace_puts_another_answer_in_the_place_of_any_step(of: str, stage: str) -> None:
    world = World()
    clerk = Agent(
        "clerk", model=ScriptedModel([call("look", what="x"), say("Found.")]), tools=[world.reads()]
    )
    boss = Agent("boss", model=ScriptedModel([call("ask_clerk", task="find x"), *[say("Done.")] * 3]))
    auditor = Agent("auditor", model=ScriptedModel([call("review", approved=True)] * 2))
    team = Team("desk", boss, specialists=[clerk], reviewer=auditor)

    run = play(team, guards=[Says(Replace("known", "as you know"), of=of, stage=stage, times=1)])

    assert run.outcome.status == "completed"
    assert run.outcome.answer == ("as you know" if of == "model" else "Done.")
    judged = next(event for event in run.events if isinstance(event, Judged))
    assert run.done(judged.step).status == ("ok" if stage == "after" else "replaced")


def test_a_guard_s_word_in_place_of_a_review_is_no_approval() -> None:
    boss = Agent("boss", model=ScriptedModel([say("Done.")] * 3))
    auditor = Agent("auditor", model=ScriptedModel([]))
    team = Team("desk", boss, reviewer=auditor)

    run = play(team, guards=[Says(Replace("known", "approved"), of="review")])

    assert run.outcome.status == "refused"
    assert run.outcome.reviewed is False


def test_an_effect_whose_receipt_is_withheld_stays_committed() -> None:
    world = World()
    model = ScriptedModel([call("pay", what="5 EUR"), say("Paid?")])
    team = Team(Agent("cashier", model=model, tools=[world.writes()]))

    run = play(team, guards=[Says(Refuse("secret"), stage="after")])

    assert [effect.state for effect in run.outcome.effects] == ["committed"]
    assert sent(model)[-1] == "secret"


def test_verdicts_and_their_limits_are_recorded_as_text() -> None:
    team, _ = asks_once(World())

    run = play(team, guards=[Says(Refuse("no \ud800", limit=object, value=b"\xff"))])

    judged = next(event for event in run.events if isinstance(event, Judged))
    assert judged.reason == "no \\ud800"
    assert judged.value == r"b'\xff'"
    assert not any(
        isinstance(event, StepDone) and event.status == "ok" and event.step == judged.step
        for event in run.events
    )


def test_a_built_in_name_can_not_be_taken_by_a_guard() -> None:
    from seawall import Misused

    team, _ = asks_once(World())
    with pytest.raises(Misused, match="'limits'"):
        asyncio.run(played(team, guards=[Says(None, name="limits")]))
    with pytest.raises(Misused, match="'shout'"):
        asyncio.run(played(team, guards=[Says(None)], modes={"says": "shout"}))
    with pytest.raises(Misused, match="'nobody'"):
        asyncio.run(played(team, modes={"nobody": "off"}))
