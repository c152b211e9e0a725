"""Delegation, parallel specialists, review, nesting: what a team does with one request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from seawall import Agent, Limits, Team, Tool, tool
from seawall.core.events import StepDone, StepIntended
from seawall.models.protocol import ModelRequest, ToolResult
from seawall.models.scripted import calls
from seawall.testing import ScriptedModel, call, say
from team.play import World, play, sent, unanswered


def approve() -> Any:
    return call("review", approved=True)


def reject(why: str) -> Any:
    return call("review", approved=False, feedback=why)


def test_a_team_of_one_answers() -> None:
    model = ScriptedModel(["Hello."])

    run = play(Team(Agent("clerk", role="Helps.", model=model)), "Hi!")

    assert run.outcome.status == "completed"
    assert run.outcome.answer == "Hello."
    assert run.outcome.reviewed is None
    assert sent(model) == ["You are clerk. Helps.", "Hi!"]


def test_await_team_run_is_enough_for_a_script() -> None:
    outcome = asyncio.run(Team(Agent("clerk", model=ScriptedModel(["Hello."]))).run("Hi!"))

    assert outcome.answer == "Hello."


def test_a_task_is_handed_over_and_its_answer_is_the_result_of_the_call() -> None:
    clerk = ScriptedModel(["It is in Oslo."])
    boss = ScriptedModel([call("ask_clerk", task="Where is order 1042?"), say("In Oslo.")])
    team = Team("desk", Agent("boss", model=boss), specialists=[Agent("clerk", role="Finds.", model=clerk)])

    run = play(team, "Where is it?")

    assert sent(clerk) == ["You are clerk. Finds.", "Where is order 1042?"]
    assert boss.requests[1].messages[-1] == ToolResult("call_2_1", "ask_clerk", "It is in Oslo.")
    assert run.outcome.handoffs == 1
    assert [spec.name for spec in boss.requests[0].tools] == ["ask_clerk"]


def test_specialists_work_at_the_same_time() -> None:
    """Each waits for the other to have begun: in turn they would never end."""
    begun = {"a": asyncio.Event(), "b": asyncio.Event()}

    def meets(mine: str, other: str) -> Tool:
        async def meet() -> str:
            begun[mine].set()
            await begun[other].wait()
            return f"{mine} met {other}"

        return Tool(meet, name="meet", description="Meet.")

    def clerk(mine: str, other: str) -> Agent:
        return Agent(mine, model=ScriptedModel([call("meet"), say("Met.")]), tools=[meets(mine, other)])

    boss = ScriptedModel([calls(call("ask_a", task="1"), call("ask_b", task="2")), say("Both met.")])

    run = play(Team("desk", Agent("boss", model=boss), specialists=[clerk("a", "b"), clerk("b", "a")]))

    assert run.outcome.answer == "Both met."
    order = [
        (type(each).__name__, each.step) for each in run.events if isinstance(each, StepIntended | StepDone)
    ]
    first, second = (step.step for step in run.steps("tool"))
    assert order.index(("StepIntended", second)) < order.index(("StepDone", first))


def test_results_stand_in_the_order_of_the_calls_whoever_was_first() -> None:
    gate = asyncio.Event()

    @tool
    async def slow() -> str:
        """Waits for the other."""
        await gate.wait()
        return "slow"

    @tool
    async def quick() -> str:
        """Goes first."""
        gate.set()
        return "quick"

    model = ScriptedModel([calls(call("slow"), call("quick")), say("Done.")])

    play(Team(Agent("clerk", model=model, tools=[slow, quick])))

    assert sent(model)[-2:] == ["slow", "quick"]


def test_reads_of_a_reply_are_made_at_once_and_effects_one_after_another() -> None:
    log: list[str] = []

    def noisy(name: str, effect: bool) -> Tool:
        async def function(what: str) -> str:
            log.append(f"+{what}")
            for _ in range(5):
                await asyncio.sleep(0)
            log.append(f"-{what}")
            return what

        return Tool(function, name=name, description="d", effect=effect)

    order = [
        ("look", "r1"),
        ("look", "r2"),
        ("pay", "e1"),
        ("look", "r3"),
        ("pay", "e2"),
        ("pay", "e3"),
        ("look", "r4"),
    ]
    model = ScriptedModel([calls(*[call(name, what=what) for name, what in order]), say("Done.")])

    run = play(Team(Agent("clerk", model=model, tools=[noisy("look", False), noisy("pay", True)])))

    assert run.outcome.status == "completed"
    assert set(log[:2]) == {"+r1", "+r2"}
    for effect in ("e1", "e2", "e3"):
        at = log.index(f"+{effect}")
        assert log[at + 1] == f"-{effect}", "an effect shares its time with nothing"
    assert sent(model)[-7:] == ["r1", "r2", "e1", "r3", "e2", "e3", "r4"]
    assert [each.state for each in run.outcome.effects] == ["committed"] * 3


# ---- review


def reviewed(boss: list[Any], auditor: list[Any], **options: Any) -> tuple[Any, ScriptedModel, ScriptedModel]:
    first, second = ScriptedModel(boss), ScriptedModel(auditor)
    team = Team("desk", Agent("boss", model=first), reviewer=Agent("auditor", model=second), **options)
    return play(team, "Where is order 1042?"), first, second


def test_an_approved_answer_is_reviewed() -> None:
    run, _, auditor = reviewed(["In Oslo."], [approve()])

    assert run.outcome.status == "completed"
    assert run.outcome.reviewed is True
    assert "In Oslo." in sent(auditor)[-1]
    assert "order 1042" in sent(auditor)[-1]


def test_a_rejected_answer_is_corrected_and_looked_at_again() -> None:
    run, boss, _ = reviewed(["In Oslo.", "In Bergen."], [reject("It is in Bergen."), approve()])

    assert run.outcome.answer == "In Bergen."
    assert run.outcome.reviewed is True
    assert sent(boss)[-1] == "The reviewer rejected your answer: It is in Bergen."


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_rounds_are_bounded_and_a_run_rejected_to_the_end_is_refused(rounds: int) -> None:
    run, boss, auditor = reviewed(["No."] * 9, [reject("no")] * 9, review_rounds=rounds)

    assert run.outcome.status == "refused"
    assert run.outcome.reviewed is False
    assert run.outcome.answer is None
    assert run.outcome.stopped_by.guard == "review"
    assert boss.request_count == auditor.request_count == rounds


def test_a_reviewer_that_gives_no_decision_is_told_and_then_stopped() -> None:
    run, _, auditor = reviewed(["In Oslo."], [say("looks good"), call("review", approved="yes"), approve()])
    assert run.outcome.reviewed is True
    assert auditor.request_count == 3

    run, _, auditor = reviewed(["In Oslo."], [say("looks good")] * 9)
    assert run.outcome.status == "halted"
    assert auditor.request_count == 3


def test_a_reviewer_may_look_for_itself_and_sees_the_evidence() -> None:
    world = World()
    boss = ScriptedModel([call("look", what="1042 is in Oslo"), say("In Oslo.")])
    auditor = ScriptedModel([call("look", what="again"), approve()])
    team = Team(
        "desk",
        Agent("boss", model=boss, tools=[world.reads()]),
        reviewer=Agent("auditor", model=auditor, tools=[world.reads()]),
    )

    run = play(team)

    assert run.outcome.reviewed is True
    assert world.calls == ["1042 is in Oslo", "again"]
    assert "1042 is in Oslo" in sent(auditor, 0)[-1]


def test_a_reviewer_that_fails_does_not_pass_for_an_approval() -> None:
    run, _, _ = reviewed(["In Oslo."], [ValueError("boom")])

    assert run.outcome.status == "failed"
    assert run.outcome.reviewed is None or run.outcome.reviewed is False
    assert run.outcome.answer is None
    assert "boom" in run.outcome.error


# ---- nesting


def test_a_team_is_a_specialist_of_another_team() -> None:
    helper = ScriptedModel(["found"])
    lead = ScriptedModel([call("ask_helper", task="find it"), say("lead says found")])
    boss = ScriptedModel([call("ask_inner", task="have it found"), say("Done.")])
    inner = Team(
        "inner", Agent("lead", model=lead), specialists=[Agent("helper", model=helper)], role="Finds."
    )

    run = play(Team("outer", Agent("boss", model=boss), specialists=[inner]))

    assert run.outcome.answer == "Done."
    assert sent(boss)[-1] == "lead says found"
    assert sent(lead, 0)[-1] == "have it found"
    assert [step.depth for step in run.steps("model")] == [1, 2, 3, 2, 1]


def test_a_nested_team_has_its_own_reviewer_and_a_rejection_is_told_to_its_caller() -> None:
    lead, auditor = ScriptedModel(["bad"] * 9), ScriptedModel([reject("no")] * 9)
    boss = ScriptedModel([call("ask_inner", task="x"), say("Could not.")])
    inner = Team("inner", Agent("lead", model=lead), reviewer=Agent("auditor", model=auditor))

    run = play(Team("outer", Agent("boss", model=boss), specialists=[inner]))

    assert run.outcome.status == "completed"
    assert "rejected the answer 2 times" in sent(boss)[-1]


def test_a_specialist_that_fails_is_told_to_its_caller() -> None:
    boss = ScriptedModel([call("ask_clerk", task="x"), say("Without.")])
    clerk = Agent("clerk", model=ScriptedModel([ValueError("boom")]))

    run = play(Team("desk", Agent("boss", model=boss), specialists=[clerk]))

    assert run.outcome.status == "completed"
    assert sent(boss)[-1] == "Error: ValueError: boom"


def test_a_coordinator_whose_model_fails_fails_the_run_and_says_how() -> None:
    run = play(Team(Agent("boss", model=ScriptedModel([ValueError("boom")]))))

    assert run.outcome.status == "failed"
    assert run.outcome.error == "Error: ValueError: boom"


# ---- the context


def test_no_context_ever_has_a_call_without_its_answer() -> None:
    world = World()
    requests: list[ModelRequest] = []

    def mixed(request: ModelRequest) -> Any:
        requests.append(request)
        script = [
            calls(
                call("look", what="1"),
                call("nothing"),
                call("look", what=3),
                call("look", "no json"),
                text="Let me see.",
            ),
            calls(call("pay", what="1"), call("look", what="2"), call("ask_nobody", task="x")),
            say(""),
            say("Done."),
        ]
        return script[len(requests) - 1]

    team = Team(
        Agent("clerk", model=ScriptedModel(mixed), tools=[world.reads(), world.writes()]), limits=Limits()
    )

    run = play(team)

    assert run.outcome.status == "completed"
    assert [unanswered(request.messages) for request in requests] == [[]] * 4
    assert world.calls == ["1", "1", "2"]


# ---- causes


def test_values_and_exposure_are_told_apart_and_exposure_stays_flat() -> None:
    number = iter(range(100))

    @tool
    async def find(order: str) -> str:
        """Find an order."""
        return f"customer C-{next(number):04}, amount 17.{next(number):02} EUR"

    @tool
    async def refund(customer: str, amount: str) -> str:
        """Refund."""
        return f"refunded {amount}"

    script = [
        *[call("find", order=f"A-10{n}") for n in range(10)],
        call("refund", customer="C-0006", amount="17.07"),
        say("Refunded 17.07 EUR."),
    ]
    run = play(
        Team(Agent("clerk", model=ScriptedModel(script), tools=[find, refund])), "Look at A-100 please"
    )

    first = run.steps("tool")[0]
    assert [(cause.step, cause.tie) for cause in first.causes] == [(0, "value"), (1, "value")]
    paid = run.steps("tool")[-1]
    found = run.steps("tool")[3].step
    asked = run.steps("model")[10].step
    assert [(cause.step, cause.tie) for cause in paid.causes] == [(found, "value"), (asked, "value")]
    exposure = [
        [cause.step for cause in step.causes if cause.tie == "exposure"] for step in run.steps("model")
    ]
    assert max(len(each) for each in exposure) <= 2
    ended = run.events[-1]
    assert [cause.tie for cause in ended.causes] == ["value", "value"]  # pyright: ignore[reportAttributeAccessIssue] -- the last event is the outcome
