"""The guard `waste`, at the gate: agents that do what others have done, and texts that go round."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from seawall import Agent, Guard, Limits, Loops, Misused, Outcome, Seawall, Team, WasteGuard, tool
from seawall.core.events import Event, Judged, StepDone, StepIntended
from seawall.models.protocol import ModelRequest, ToolResult, User
from seawall.testing import ScriptedModel, call, calls, say

NOTES = (
    "The autumn release brings a faster search, a calmer start page and the report that finance has wanted since "
    "spring. Customers with older contracts keep their prices until the end of the year. Support answers on weekdays, "
    "and the status page tells of every outage within minutes."
)
LIMITS = Limits(tool_calls=100, model_calls=100, handoffs=50)
seen: list[str] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    seen.clear()


@tool
def find(order_id: str) -> str:
    """Look up one order."""
    seen.append(order_id)
    return f"order {order_id} was shipped on Monday"


@tool(fresh_s=60)
def find_fresh(order_id: str) -> str:
    """Look up one order; the answer holds for a minute."""
    seen.append(order_id)
    return f"order {order_id} was shipped on Monday"


@tool(poll=True)
def wait_for(order_id: str) -> str:
    """Say whether an order has arrived."""
    return "not yet"


@tool(effect=True)
def cancel(order_id: str) -> str:
    """Cancel an order."""
    return "cancelled"


class Played(BaseModel):
    """A played run: its outcome, its events, and what each agent's model was sent last."""

    model_config = {"arbitrary_types_allowed": True}
    outcome: Outcome
    events: list[Any]
    told: dict[str, list[str]]

    def list_verdicts(self, guard: str = "waste") -> list[Judged]:
        return [event for event in self.events if isinstance(event, Judged) and event.guard == guard]


def play(make: Any, guards: Sequence[Guard] = (), modes: Any = None) -> Played:
    """Runs the team that `make` gives with a way to make agents from scripts."""
    told: dict[str, list[str]] = {}

    def agent(name: str, *entries: Any, **options: Any) -> Agent[Any]:
        def note(entry: Any) -> Any:
            def answer(request: ModelRequest) -> Any:
                kinds = (User, ToolResult)
                told[name] = [each.content for each in request.messages if isinstance(each, kinds)]
                return entry

            return answer

        return Agent(name, model=ScriptedModel([note(entry) for entry in entries]), **options)

    async def main() -> Played:
        async with Seawall(guards=guards) as sea:
            run = await sea.start(make(agent), "Go.", limits=LIMITS, modes=modes)
            outcome = await run.outcome()
            events: list[Event] = list(await sea.journal.events(run.id))
            return Played(outcome=outcome, events=events, told=told)

    return asyncio.run(main())


# ---- duplicate work


def ask_twice(used: Any, *, between: Any = None, second: Any = None) -> Any:
    """Returns a team in which the cashier reads what the clerk has read; the lead does `between` in between."""

    def make(agent: Any) -> Team:
        read = call(used.name, order_id="1042")
        lead = [call("ask_clerk", task="Find order 1042."), call("ask_cashier", task="Quote a refund of it.")]
        return Team(
            "desk",
            agent("lead", lead[0], *([between] if between else []), lead[1], say("Done."), tools=[cancel]),
            specialists=[
                agent("clerk", read, say("It was shipped."), tools=[used]),
                agent("cashier", second or read, say("12 EUR."), tools=[used]),
            ],
        )

    return make


def test_a_read_that_another_agent_has_made_is_advised_with_the_step_that_has_the_answer() -> None:
    played = play(ask_twice(find))

    (verdict,) = played.list_verdicts()
    first, second = (
        each.step for each in played.events if isinstance(each, StepIntended) and each.kind == "tool"
    )
    assert (verdict.step, verdict.verdict, verdict.limit, verdict.value) == (
        second,
        "advise",
        "duplicates",
        str(first),
    )
    assert played.told["cashier"][-1].startswith("order 1042 was shipped on Monday")
    assert f"clerk has asked this in step {first}" in played.told["cashier"][-1]
    assert seen == ["1042", "1042"], "the read is made: equal reads may differ"
    assert played.outcome.wasted["duplicates"].steps == (second,)


def test_it_is_measured_and_not_told_where_the_guard_only_observes_or_is_off() -> None:
    for mode, verdicts in (("observe", 1), ("off", 0)):
        played = play(ask_twice(find), modes={"waste": mode})

        assert len(played.list_verdicts()) == verdicts
        assert "asked this" not in played.told["cashier"][-1]
        assert played.outcome.wasted["duplicates"].calls == 1


def test_after_a_write_the_second_read_is_no_duplicate() -> None:
    played = play(ask_twice(find, between=call("cancel", order_id="1042")))

    assert played.list_verdicts() == [] and played.outcome.wasted == {}


def test_a_poll_and_other_arguments_are_no_duplicates() -> None:
    assert play(ask_twice(wait_for)).list_verdicts() == []
    assert play(ask_twice(find, second=call("find", order_id="1043"))).list_verdicts() == []


def test_a_fresh_answer_is_given_only_with_the_option() -> None:
    assert len(seen) == 0 and len(play(ask_twice(find_fresh)).list_verdicts()) == 1
    assert seen == ["1042"] * 2

    played = play(ask_twice(find_fresh), [WasteGuard(give_known=True)])

    (verdict,) = played.list_verdicts()
    assert (verdict.verdict, verdict.limit) == ("replace", "fresh_s=60")
    assert seen == ["1042"] * 3 and played.outcome.wasted == {}
    assert played.told["cashier"][-1] == "order 1042 was shipped on Monday"


def test_a_tool_that_declares_no_freshness_is_always_called() -> None:
    play(ask_twice(find), [WasteGuard(give_known=True)])

    assert seen == ["1042", "1042"]


def test_two_agents_that_read_at_the_same_time_are_told_too() -> None:
    def make(agent: Any) -> Team:
        read = call("find", order_id="1042")
        both = calls(call("ask_clerk", task="Find it."), call("ask_cashier", task="Quote it."))
        return Team(
            "desk",
            agent("lead", both, say("Done.")),
            specialists=[agent(name, read, say("Yes."), tools=[find]) for name in ("clerk", "cashier")],
        )

    assert len(play(make).list_verdicts()) == 1


# ---- arguing


def argue(*, rounds: int, reviewed: bool = False, output: Any = None, news: bool = False) -> Any:
    """Returns a team whose lead has a text edited by the desk again and again."""

    def make(agent: Any) -> Team:
        versions = [
            f"{NOTES} Thank you{'!' * n}{f' It is number {1000 + n}.' if news else ''}" for n in range(rounds)
        ]
        asked = [call("ask_writer", task=f"Make it better ({n} of many): {NOTES}") for n in range(rounds)]
        answers = [
            say(text) if output is None else call("final_answer", title="Notes", text=text)
            for text in versions
        ]
        options = {} if output is None else {"output": output}
        writer = agent("writer", *answers, **options)
        if reviewed:
            decisions = [call("review", approved=True) for _ in range(rounds)]
            writer = Team("writer", writer, reviewer=agent("auditor", *decisions))
        return Team("desk", agent("lead", *asked, say("The notes are ready.")), specialists=[writer])

    return make


GUARDS: list[Guard] = [WasteGuard()]


def list_limits(played: Played) -> list[tuple[str, str | None]]:
    return [(each.verdict, each.limit) for each in played.list_verdicts()]


def test_a_text_that_goes_round_is_advised_once_at_each_share() -> None:
    played = play(argue(rounds=6), GUARDS)

    assert set(list_limits(played)) <= {("advise", "share=0.25"), ("advise", "bound=0.4")}
    assert len(list_limits(played)) == len(set(list_limits(played))) > 0
    notes = [text for text in played.told["lead"] if text.startswith("[The text of step")]
    assert len(notes) == len(list_limits(played))
    assert "No version of it has passed a check." in notes[-1]
    assert "no version has passed a check" in played.list_verdicts()[-1].reason
    rewrites = played.outcome.wasted["rewrites"]
    assert rewrites.calls == 5 and 0 < rewrites.tokens < played.outcome.tokens


def test_a_writer_and_a_reviewer_who_go_round_are_told() -> None:
    def make(agent: Any) -> Team:
        rejections = [call("review", approved=False, feedback="Friendlier.") for _ in range(5)]
        writer = agent("writer", *[say(f"{NOTES} Thank you{'!' * n}") for n in range(5)])
        return Team("desk", writer, reviewer=agent("auditor", *rejections), review_rounds=5)

    played = play(make, GUARDS)

    assert played.outcome.status == "refused"
    assert ("advise", "bound=0.4") in list_limits(played)
    assert (
        "Change what was asked for and nothing else" in played.told["writer"][-1] + played.told["writer"][-2]
    )
    assert played.outcome.wasted["rewrites"].calls == 4
    first = next(event for event in played.events if isinstance(event, StepDone) and event.version_of)
    spent = first.input_tokens + first.output_tokens
    reviews = [event for event in played.events if isinstance(event, StepDone) and event.approved is not None]
    spent += next(event.input_tokens + event.output_tokens for event in reviews if event.input_tokens)
    assert played.outcome.wasted["rewrites"].tokens == played.outcome.tokens - spent


def test_the_first_rewrite_is_what_an_editor_is_for() -> None:
    played = play(argue(rounds=2), GUARDS)

    assert list_limits(played) == []
    assert played.outcome.wasted["rewrites"].calls == 1


def test_versions_that_each_bring_a_new_number_are_no_waste() -> None:
    played = play(argue(rounds=6, news=True), GUARDS)

    assert list_limits(played) == [] and played.outcome.wasted == {}


def test_at_the_bound_the_newest_version_that_a_review_approved_is_taken() -> None:
    played = play(argue(rounds=6, reviewed=True), GUARDS)

    taken = [each for each in played.list_verdicts() if each.verdict == "replace"]
    assert taken and all(each.limit == "bound=0.4" for each in taken)
    done = {event.step: event for event in played.events if isinstance(event, StepDone)}
    approved = [step for step, each in done.items() if each.answer and each.version_of]
    first = taken[0]
    newest = max(step for step in approved if step < first.step)
    assert f"The version of step {newest} is taken (review step" in first.reason
    assert f"the newest is that of step {newest}" in first.reason
    assert done[first.step].status == "replaced" and done[first.step].output == done[newest].answer
    assert played.outcome.status == "completed"
    assert len(approved) < 6, "a round that would have been made was not"


def test_a_version_that_fits_its_type_has_passed_a_check_too() -> None:
    class Text(BaseModel):
        title: str
        text: str

    played = play(argue(rounds=6, output=Text), GUARDS)

    reasons = [each.reason for each in played.list_verdicts() if each.verdict == "replace"]
    assert reasons and "it fits the type that answers of writer must have" in reasons[0]


def test_where_it_only_observes_every_round_is_made() -> None:
    played = play(argue(rounds=6, reviewed=True), [WasteGuard(mode="observe")])

    answers = [event for event in played.events if isinstance(event, StepDone) and event.version_of]
    assert len(answers) == 6
    assert {each.mode for each in played.list_verdicts()} == {"observe"}


def test_a_task_about_something_else_is_handed_to_the_same_agent() -> None:
    def make(agent: Any) -> Team:
        asked = [call("ask_writer", task=f"Make it better ({n}): {NOTES}") for n in range(4)]
        other = call("ask_writer", task="Write three words about cranes.")
        writer = agent("writer", *[say(f"{NOTES} {'!' * n}") for n in range(4)], say("Cranes fly south."))
        decisions = [call("review", approved=True) for _ in range(5)]
        team = Team("writer", writer, reviewer=agent("auditor", *decisions))
        return Team("desk", agent("lead", *asked, other, say("Done.")), specialists=[team])

    played = play(make, [WasteGuard(share=0.1, bound=0.1)])

    made = [
        each.perform for each in played.events if isinstance(each, StepIntended) and each.kind == "handoff"
    ]
    assert made == [True, True, True, False, True]


def test_a_lead_that_keeps_asking_at_the_bound_is_stopped() -> None:
    def make(agent: Any) -> Team:
        asked = [call("ask_writer", task=f"Make it better ({n}): {NOTES}") for n in range(40)]
        writer = agent("writer", *[say(f"{NOTES} {'!' * n}") for n in range(40)])
        decisions = [call("review", approved=True) for _ in range(40)]
        team = Team("writer", writer, reviewer=agent("auditor", *decisions))
        return Team("desk", agent("lead", *asked), specialists=[team])

    played = play(make, [WasteGuard(), Loops(delegations=100)])

    assert played.outcome.stopped_by is not None and played.outcome.stopped_by.guard == "loops"
    assert played.outcome.model_calls < 40


# ---- options


@pytest.mark.parametrize(
    "options",
    [
        {"rewrites": 0},
        {"rewrites": True},
        {"share": 0},
        {"bound": 1.1},
        {"share": 0.5, "bound": 0.4},
        {"share": "much"},
        {"give_known": 1},
    ],
)
def test_options_out_of_bounds_are_named(options: Any) -> None:
    with pytest.raises(Misused, match=r"WasteGuard: (rewrites|share|bound|give_known) is "):
        WasteGuard(**options)


def test_it_shows_its_bounds() -> None:
    assert repr(WasteGuard(bound=0.5)) == "<WasteGuard enforce, share=0.25, bound=0.5>"
