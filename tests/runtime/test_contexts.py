"""What models are sent in whole runs: within a budget, the same after a crash, and as the record says."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from seawall import Agent, Context, Limits, Seawall, Team, tool
from seawall.core.events import ContextFolded, RunTaken, StepIntended
from seawall.core.redact import Redactor
from seawall.core.refs import refs_of
from seawall.events import StepDone
from seawall.history.sent import find_sent
from seawall.models.protocol import Assistant, Message, ModelRequest, ToolResult, User
from seawall.run.bodies import Bodies
from seawall.run.frame import MessageRef
from seawall.runtime.sessions import Sessions
from seawall.team.context import bound_tokens
from seawall.testing import ScriptedModel, call, calls, fail, hang, say
from team.play import NO_GUARDS

SMALL = Context(tokens=2_000)
LIMITS = Limits(tool_calls=200, model_calls=200)
READ = "read_result"


@tool
async def look(what: str) -> str:
    """Look something up."""
    if what.startswith("bad"):
        raise LookupError(f"no such thing: {what}")
    return f"{what} has the number N-{what}: " + f"{what} " * 200


@tool(effect=True)
async def pay(what: str) -> str:
    """Pay."""
    return f"paid {what}, receipt RC-{what}"


class Model:
    """A scripted model that keeps what it was sent."""

    def __init__(self, *entries: Any) -> None:
        self.sent: list[list[Message]] = []
        self.tools: list[list[str]] = []
        self._entries = entries

    def make(self, context: Context = SMALL) -> Agent[None]:
        script = [self._note(entry) for entry in self._entries]
        return Agent("clerk", model=ScriptedModel(script), tools=[look, pay], context=context)

    def _note(self, entry: Any) -> Any:
        def answer(request: ModelRequest) -> Any:
            self.sent.append(list(request.messages))
            self.tools.append([spec.name for spec in request.tools])
            return entry

        return answer

    def results(self, at: int = -1) -> list[str]:
        return [each.content for each in self.sent[at] if isinstance(each, ToolResult)]


LOOKS = [call("look", what=f"thing{number}") for number in range(12)]


async def outcome_of(sea: Seawall, agent: Agent[None], request: str = "Look.", **options: Any) -> Any:
    run = await sea.start(Team(agent), request, limits=LIMITS, **options)
    return run, await run.outcome()


async def check_record(sea: Seawall, run: str, sent: Sequence[Sequence[Message]]) -> list[Any]:
    """Checks that the record says of every model step what it was sent; returns what it says."""
    events = await sea.journal.events(run)
    bodies = Bodies(Redactor(), await sea.journal.bodies("", refs_of(events)))
    taken = next(event for event in events if isinstance(event, RunTaken))
    history: tuple[MessageRef, ...] = await Sessions().load_messages(sea.journal, "", taken.history, bodies)
    steps = [event.step for event in events if isinstance(event, StepIntended) and event.kind == "model"]
    told = [find_sent(events, step, bodies, history) for step in steps]
    assert [[(each.role, each.text, each.calls) for each in one.messages] for one in told] == [
        [_flatten(message) for message in messages] for messages in sent
    ]
    return told


def _flatten(message: Message) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    made = message.calls if isinstance(message, Assistant) else ()
    return message.role, message.content or "", tuple((one.name, one.arguments) for one in made)


def test_a_long_run_stays_within_its_budget_and_the_record_says_what_was_sent() -> None:
    model = Model(call("look", what="bad"), *LOOKS, call(READ, step="4"), say("Done."))

    async def main() -> tuple[Any, list[Any], list[Any]]:
        async with Seawall() as sea:
            run, outcome = await outcome_of(sea, model.make())
            told = await check_record(sea, run.id, model.sent)
            return outcome, await sea.journal.events(run.id), told

    outcome, events, told = asyncio.run(main())

    assert outcome.answer == "Done."
    folds = [event for event in events if isinstance(event, ContextFolded)]
    assert 2 <= len(folds) <= 5 and all(fold.after < fold.before for fold in folds)
    for before, after in zip(model.sent, model.sent[1:], strict=False):
        assert sum(map(bound_tokens, after)) * 0.3 < 2_000
        assert after[1] == User("Look.")
        folded = READ in model.tools[model.sent.index(after)]
        assert folded or after[: len(before)] == before
    # What was out of the context was read again through the gate, whole.
    again = model.results()[-1]
    assert again.startswith('look({"what":"thing0"}) gave:\nthing0 has the number N-thing0: ')
    assert any(one.left_out for one in told)
    read = next(event for event in events if isinstance(event, StepIntended) and event.name == READ)
    assert not read.effect and read.kind == "tool" and read.perform


def test_the_tool_that_reads_again_is_offered_once_something_was_shortened() -> None:
    model = Model(
        call(READ, step="2"), *LOOKS[:6], call(READ, step="no"), call(READ, step="5", page=9), say("Done.")
    )

    async def main() -> None:
        async with Seawall() as sea:
            await outcome_of(sea, model.make())

    asyncio.run(main())

    assert READ not in model.tools[0] and READ in model.tools[-1]
    assert f"there is no tool '{READ}'" in model.results(1)[0]
    assert "this conversation has no result of a step 'no' with a page 1" in model.results(-2)[-1]
    assert "this conversation has no result of a step '5' with a page 9" in model.results()[-1]


def test_a_resumed_run_sends_what_it_would_have_sent(tmp_path: Path) -> None:
    whole = Model(*LOOKS, say("Done."))
    first, second = Model(*LOOKS[:9], hang()), Model(*LOOKS[9:], say("Done."))

    async def main() -> None:
        async with Seawall() as sea:
            await outcome_of(sea, whole.make())
        path = tmp_path / "j.db"
        async with Seawall(path) as sea:
            run = await sea.start(Team(first.make()), "Look.", limits=LIMITS)
            async for event in run.events():
                if isinstance(event, StepIntended) and event.step == 19:
                    break
            while len(first.sent) < 10:
                await asyncio.sleep(0)
        async with Seawall(path) as sea:
            outcome = await (await sea.resume(run.id, second.make())).outcome()
            assert outcome.answer == "Done."
            kinds = [event for event in await sea.journal.events(run.id) if isinstance(event, ContextFolded)]
            assert kinds

    asyncio.run(main())

    def texts(sent: Sequence[Sequence[Message]]) -> list[list[str]]:
        return [[message.content or "" for message in messages] for messages in sent]

    assert texts(second.sent[:1]) == texts(first.sent[9:]) == texts(whole.sent[9:10])
    # Later steps have other numbers, because the call in flight was made again; nothing else differs.
    assert [[each.role for each in one] for one in second.sent] == [
        [each.role for each in one] for one in whole.sent[9:]
    ]


def test_a_model_that_takes_no_more_is_asked_again_with_half_and_not_with_the_same() -> None:
    model = Model(*LOOKS[:8], fail("context_too_long"), *LOOKS[8:], say("Done."))

    async def main() -> tuple[Any, list[Any]]:
        async with Seawall() as sea:
            run, outcome = await outcome_of(sea, model.make(context=Context()))
            await check_record(sea, run.id, model.sent)
            return outcome, await sea.journal.events(run.id)

    outcome, events = asyncio.run(main())

    assert outcome.answer == "Done."
    sizes = [sum(map(bound_tokens, messages)) for messages in model.sent]
    assert sizes[9] < 0.6 * sizes[8]
    assert max(sizes[9:]) < sizes[8]  # it has learned what the model takes
    triggers = [event.trigger for event in events if isinstance(event, ContextFolded)]
    assert triggers[0] == "too_long" and set(triggers[1:]) <= {"budget"}


def test_where_nothing_can_be_shortened_any_further_the_run_fails_and_says_so() -> None:
    model = Model(*[fail("context_too_long")] * 30)

    async def main() -> Any:
        async with Seawall() as sea:
            return (await outcome_of(sea, model.make(context=Context())))[1]

    outcome = asyncio.run(main())

    assert outcome.status == "failed" and len(model.sent) == 1
    assert "the context of 'clerk' (about" in outcome.error
    assert "too long for its model, and nothing in it can be shortened any further" in outcome.error
    assert "scripted failure: context_too_long" in outcome.error


def test_a_specialist_whose_context_is_too_long_tells_its_caller() -> None:
    async def main() -> Any:
        helper = Agent("helper", model=ScriptedModel([fail("context_too_long")]))
        boss = Agent("boss", model=ScriptedModel([call("ask_helper", task="Help."), say("It could not.")]))
        async with Seawall() as sea:
            run = await sea.start(Team("desk", boss, specialists=[helper]), "Go.")
            outcome = await run.outcome()
            events = await sea.journal.events(run.id)
            ended = next(each for each in events if isinstance(each, StepDone) and each.step == 2)
            return outcome, await run.body(ended.output)

    outcome, told = asyncio.run(main())

    assert outcome.answer == "It could not."
    assert "the context of 'helper'" in str(told)


def test_earlier_turns_come_in_as_requests_and_answers_and_the_newest_request_is_whole() -> None:
    turns = [
        [calls(call("look", what=f"item{turn}"), call("look", what=f"part{turn}")), say(f"Answer {turn}.")]
        for turn in range(8)
    ]
    model = Model(*[entry for turn in turns for entry in turn], call(READ, step="s2"), say("Last."))
    agent = model.make(context=Context(tokens=3_000))

    async def main() -> list[Any]:
        async with Seawall() as sea:
            team = Team(agent)
            for turn in range(8):
                await (await sea.start(team, f"Request {turn}?", session="s", limits=LIMITS)).outcome()
            run = await sea.start(team, "Request 8?", session="s", limits=LIMITS)
            await run.outcome()
            events = await sea.journal.events(run.id)
            bodies = Bodies(Redactor(), await sea.journal.bodies("", refs_of(events)))
            taken = next(event for event in events if isinstance(event, RunTaken))
            history = await Sessions().load_messages(sea.journal, "", taken.history, bodies)
            return list(find_sent(events, 1, bodies, history).messages)

    told = asyncio.run(main())

    sent = model.sent[-2]
    assert sent[-1] == User("Request 8?")
    texts = [message.content for message in sent]
    for turn in range(8):
        assert f"Request {turn}?" in texts and f"Answer {turn}." in texts
    (folded, *_) = [each for each in told if each.why == "shortened to a line: earlier calls"]
    assert 'look({"what":"item0"}) → item0 has the number N-item0' in folded.text
    assert model.results()[-1].startswith('look({"what":"item0"}) gave:\nitem0 has the number')


def _session(turns: int, context: Context = SMALL) -> tuple[Model, Agent[None]]:
    """Returns a model of a session, each of whose runs looks twice and answers, and its agent."""
    entries = [
        entry
        for turn in range(turns)
        for entry in (
            call("look", what=f"item{turn}"),
            call("look", what=f"part{turn}"),
            say(f"Answer {turn}. " * 9),
        )
    ]
    model = Model(*entries)
    return model, model.make(context=context)


def test_what_was_shortened_in_a_session_stays_as_it_was_in_its_next_run() -> None:
    model, agent = _session(40, Context(tokens=6_000))

    async def main() -> int:
        folds = 0
        async with Seawall() as sea:
            for turn in range(40):
                run, outcome = await outcome_of(sea, agent, f"Request {turn}?", session="s")
                assert outcome.status == "completed"
                await check_record(sea, run.id, model.sent[3 * turn :])
                folds += sum(isinstance(each, ContextFolded) for each in await sea.journal.events(run.id))
        return folds

    folds = asyncio.run(main())

    kept = [
        sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
        == len(before)
        for before, after in itertools.pairwise(model.sent)
    ]
    changed = kept.count(False)
    assert 3 <= changed <= folds, "the beginning changes only where something is shortened"
    assert folds <= 20, "and not once in every run: it would be 34"
    assert max(sum(map(bound_tokens, messages)) * 0.3 for messages in model.sent) < 6_000


def test_what_was_done_stays_told_when_what_was_read_is_left_out() -> None:
    model = Model(call("pay", what="order7"), *LOOKS, *LOOKS, say("Done."))

    async def main() -> None:
        async with Seawall(modes=NO_GUARDS) as sea:
            await outcome_of(sea, model.make(context=Context(tokens=1_500)))

    asyncio.run(main())

    texts = "\n".join(message.content or "" for message in model.sent[-1])
    assert "paid order7, receipt RC-order7" in texts
    assert "earlier calls are left out here" in texts


@pytest.mark.parametrize("window", [6_000, None])
def test_the_budget_is_the_models_window_less_its_reply(window: int | None) -> None:
    class Windowed(ScriptedModel):
        context_window = window

    async def main() -> list[Any]:
        model = Windowed([*LOOKS, say("Done.")])
        agent = Agent("clerk", model=model, tools=[look], max_output_tokens=4_000)
        async with Seawall() as sea:
            run, _ = await outcome_of(sea, agent)
            return [event for event in await sea.journal.events(run.id) if isinstance(event, ContextFolded)]

    folds = asyncio.run(main())

    assert bool(folds) == (window is not None)
    assert all(1_600 <= fold.before <= 2_600 for fold in folds)


@pytest.mark.parametrize("takes", [2_400, 1_200, 100])
def test_a_review_that_is_too_long_is_met_by_shortening_the_results_in_it(takes: int) -> None:
    sent: list[str] = []

    def review(request: ModelRequest) -> Any:
        task = request.messages[-1].content or ""
        sent.append(task)
        fits = sum(map(bound_tokens, request.messages)) <= takes
        return call("review", approved=True, feedback="") if fits else fail("context_too_long")

    async def main() -> Any:
        model = Model(*LOOKS, say("Done."))
        reviewer = Agent("critic", model=ScriptedModel([review] * 40))
        async with Seawall(modes=NO_GUARDS) as sea:
            team = Team(model.make(), reviewer=reviewer)
            return await (await sea.start(team, "Look.", limits=LIMITS)).outcome()

    outcome = asyncio.run(main())

    sizes = [len(task) for task in sent]
    assert sizes == sorted(set(sizes), reverse=True) and len(sizes) <= 10, "never the same again"
    assert all("Request:\nLook." in task and "Proposed answer:\nDone." in task for task in sent)
    if takes > 1_000:
        assert (outcome.status, outcome.answer) == ("completed", "Done.")
        lines = [line for line in sent[-1].splitlines() if line.startswith("- look: ")]
        assert len(lines) == 12 and all("… [cut, of " in line or len(line) < 100 for line in lines)
    else:
        assert outcome.status == "failed" and "the context of 'critic'" in outcome.error
        assert "nothing in it can be shortened any further" in outcome.error


def test_what_a_specialist_did_stays_told_when_what_was_read_is_left_out() -> None:
    async def main() -> Model:
        payer = Agent(
            "payer", model=ScriptedModel([call("pay", what="order7"), say("Paid, RC-order7.")]), tools=[pay]
        )
        model = Model(call("ask_payer", task="Pay."), *LOOKS, *LOOKS, say("Done."))
        async with Seawall(modes=NO_GUARDS) as sea:
            team = Team(model.make(context=Context(tokens=1_500)), specialists=[payer])
            await (await sea.start(team, "Look.", limits=LIMITS)).outcome()
        return model

    texts = "\n".join(message.content or "" for message in asyncio.run(main()).sent[-1])

    assert "Paid, RC-order7." in texts and "earlier calls are left out here" in texts
