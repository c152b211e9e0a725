"""A framework's loop that can is asked for a last answer when a limit is used up, and not halted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.scripted_loop import USAGE, ScriptedLoop
from seawall import Limits, Misused, Outcome, Price, Refused
from seawall.core.events import Planned
from seawall.runtime.foreign.asks import Halted, Settled, Turn
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.results import ModelResult, make_tool_result
from seawall.runtime.foreign.session import Session

LAST = "Pages 0 and 1 are about owls; page 2 is missing."


class Shelf:
    """The outside world: counts what was looked at."""

    def __init__(self) -> None:
        self.looked: list[int] = []

    def look(self, page: int) -> str:
        self.looked.append(page)
        return f"page {page} is about owls"


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    prices = {"test:m": Price(Decimal(1), Decimal(1))}
    with Engine(tmp_path / "desk.db", prices=prices, effects=["send"]) as engine:
        yield engine


def make_reader(shelf: Shelf, *, last: Any = LAST) -> ScriptedLoop:
    """An agent that looks at one page after another, and never has enough."""
    return ScriptedLoop(
        lambda messages: [(f"c{len(messages)}", "look", {"page": len(messages) // 2})],
        {"look": shelf.look},
        last=last,
    )


def ask(
    engine: Engine, loop: ScriptedLoop, limits: Limits, *, answers: bool = True, **options: Any
) -> Outcome[Any]:
    with engine.begin("Read", loop="own", limits=limits, answers=answers, **options) as session:
        return session.end_sync(loop.run_sync(session, "Read"))


LIMITS: Mapping[str, Limits] = {
    "model_calls": Limits(model_calls=3),
    "tool_calls": Limits(tool_calls=2),
    "tokens": Limits(tokens=10_400),
    "usd": Limits(usd=Decimal("0.0104")),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_is_used_up_ends_with_an_answer(engine: Engine, shelf: Shelf, name: str) -> None:
    reader = make_reader(shelf)
    outcome = ask(engine, reader, LIMITS[name])

    assert (outcome.status, outcome.answer) == ("completed", LAST)
    assert outcome.pruned == ("limits",)
    assert [name in each for each in outcome.lacks] == [True]
    assert [turn.last for turn in reader.turns][-1:] == [True]
    assert not any(turn.last for turn in reader.turns[:-1])
    assert f"limit of this run on {name} is used up" in reader.turns[-1].notes[-1]
    assert shelf.looked


def test_it_makes_no_call_beyond_the_limit(engine: Engine, shelf: Shelf) -> None:
    reader = make_reader(shelf)
    outcome = ask(engine, reader, Limits(tool_calls=2))

    assert (outcome.tool_calls, outcome.model_calls) == (2, 4)
    assert shelf.looked == [0, 1]
    refused = reader.settled[-2]
    assert refused.status == "refused"
    assert "Not done: tool 'look': tool_calls would be 3 (limit 2)" in refused.text


def test_of_model_calls_the_last_is_kept(engine: Engine, shelf: Shelf) -> None:
    reader = make_reader(shelf)
    outcome = ask(engine, reader, Limits(model_calls=3))

    assert (outcome.model_calls, shelf.looked) == (3, [0, 1])


def test_at_80_percent_the_agent_is_told_what_is_left(engine: Engine, shelf: Shelf) -> None:
    reader = make_reader(shelf)
    ask(engine, reader, Limits(tool_calls=5))

    told = [turn.notes for turn in reader.turns]
    assert told[:4] == [()] * 4
    assert "1 of 5 are left" in told[4][0]


@pytest.mark.parametrize("how", ["halt", "cannot"])
def test_a_loop_that_can_not_or_should_not_is_halted(engine: Engine, shelf: Shelf, how: str) -> None:
    limits = Limits(tool_calls=2, at_limit="halt" if how == "halt" else "answer")
    with pytest.raises(Halted) as halted:
        ask(engine, make_reader(shelf), limits, answers=how == "halt")

    assert halted.value.outcome.status == "halted"
    assert halted.value.outcome.pruned == ()
    assert shelf.looked == [0, 1]


def test_a_model_that_calls_tools_all_the_same_is_refused_and_halted(engine: Engine, shelf: Shelf) -> None:
    reader = make_reader(shelf, last=[("x", "look", {"page": 9})])
    with pytest.raises(Halted) as halted:
        ask(engine, reader, Limits(tool_calls=2, model_calls=8))

    assert shelf.looked == [0, 1]
    assert halted.value.outcome.model_calls <= 8
    assert halted.value.outcome.status == "halted"


def test_an_answer_without_tools_needs_nothing_kept(engine: Engine, shelf: Shelf) -> None:
    outcome = ask(engine, ScriptedLoop(["Done."], {}), Limits(model_calls=1))

    assert (outcome.status, outcome.pruned, outcome.lacks) == ("completed", (), ())


def test_thirty_calls_at_once_make_twelve_and_an_answer(engine: Engine) -> None:
    made: list[int] = []

    def look(session: Session, page: int) -> Settled:
        def perform(turn: Turn) -> tuple[Any, None]:
            made.append(page)
            return make_tool_result(f"page {page}"), None

        return session.step_sync(session.tool("reader", "look", {"page": page}), perform).settled

    limits = Limits(tool_calls=12, parallel=30)
    with (
        engine.begin("Read", loop="own", limits=limits, answers=True) as session,
        ThreadPoolExecutor(30) as pool,
    ):
        done = list(pool.map(lambda page: look(session, page), range(30)))
        asked = session.model("reader", "test:m", [{"role": "user", "content": "read"}], tools=["look"])
        turns: list[Turn] = []

        def answer(turn: Turn) -> tuple[ModelResult, None]:
            turns.append(turn)
            return ModelResult("twelve", usage=USAGE), None

        session.step_sync(asked, answer)
        outcome = session.end_sync("twelve")

    assert len(made) == 12
    assert [each.status for each in done].count("refused") == 18
    assert [turn.last for turn in turns] == [True]
    assert (outcome.status, outcome.pruned) == ("completed", ("limits",))


def read_planned(engine: Engine, run: str) -> list[str]:
    events = engine.call(lambda sea: sea.journal.events(run))
    return [each.action for each in events if isinstance(each, Planned)]


def test_an_agent_below_answers_and_its_caller_too(engine: Engine, shelf: Shelf) -> None:
    lead = ScriptedLoop([[("h", "ask", {})], "never"], {"ask": lambda: ""}, agent="lead", last="I know some.")
    reader = make_reader(shelf)
    with engine.begin(
        "Read", loop="own", agent="lead", limits=Limits(model_calls=4), answers=True
    ) as session:
        asked = session.model("lead", "test:m", [{"role": "user", "content": "Read"}], tools=["ask"])
        session.step_sync(asked, lead.call_model)
        frame = session.open_frame_sync(session.handoff("lead", "clerk", "Read", call_id="h"))
        session.close_frame_sync(frame, reader.run_sync(session, "Read", frame=frame))
        asked = session.model("lead", "test:m", [{"role": "user", "content": LAST}], tools=["ask"])
        session.step_sync(asked, lead.call_model)
        outcome = session.end_sync("I know some.")

    assert outcome.model_calls == 4
    assert [turn.last for turn in reader.turns] == [False, True]
    assert [turn.last for turn in lead.turns] == [False, True]
    assert (outcome.status, outcome.pruned) == ("completed", ("limits",))


def test_agents_beside_each_other_without_a_last_call_are_answered_in_their_models_place(
    engine: Engine, shelf: Shelf
) -> None:
    """What is kept is the last reply of the agent at work and of its callers: not of its neighbours."""
    with engine.begin(
        "Read", loop="own", agent="lead", limits=Limits(model_calls=4), answers=True
    ) as session:
        asked = session.model("lead", "test:m", [{"role": "user", "content": "Read"}], tools=["ask"])
        calls = [(name, "ask", "{}") for name in ("a", "b")]
        session.step_sync(asked, lambda turn: (ModelResult("", calls, usage=USAGE), None))
        readers = {name: make_reader(shelf) for name in ("a", "b")}
        frames = [
            session.open_frame_sync(session.handoff("lead", name, "Read", call_id=name)) for name in readers
        ]
        answers: list[str] = []
        for frame, reader in zip(frames, readers.values(), strict=True):
            answers.append(reader.run_sync(session, "Read", frame=frame))
            session.close_frame_sync(frame, answers[-1])
        turns: list[Turn] = []

        def answer(turn: Turn) -> tuple[ModelResult, None]:
            turns.append(turn)
            return ModelResult("All that we know.", usage=USAGE), None

        session.step_sync(
            session.model("lead", "test:m", [{"role": "user", "content": "x"}], tools=["ask"]), answer
        )
        outcome = session.end_sync("All that we know.")

    assert answers[0] == LAST
    assert answers[1].startswith("Not finished: this run used up model_calls=4 before 'b' had an answer.")
    assert readers["b"].model_calls == 0
    assert [turn.last for turn in turns] == [True]
    assert (outcome.status, outcome.model_calls) == ("completed", 4)
    assert read_planned(engine, outcome.run) == ["close", "cut"]


def test_an_agent_that_has_handed_over_needs_no_last_reply(engine: Engine, shelf: Shelf) -> None:
    with engine.begin(
        "Read", loop="own", agent="lead", limits=Limits(model_calls=2), answers=True
    ) as session:
        asked = session.model("lead", "test:m", [{"role": "user", "content": "Read"}], tools=["transfer"])
        session.step_sync(asked, lambda turn: (ModelResult("", [("t", "transfer", "{}")], usage=USAGE), None))
        handoff = session.handoff("lead", "clerk", "Read", call_id="t", transfers=True)
        frame = session.open_frame_sync(handoff)
        reader = make_reader(shelf)
        outcome = session.end_sync(reader.run_sync(session, "Read", frame=frame))

    assert (outcome.status, outcome.answer, outcome.model_calls) == ("completed", LAST, 2)
    assert [turn.last for turn in reader.turns] == [True]


def test_a_handoff_above_its_limit_is_refused_and_the_agent_goes_on(engine: Engine, shelf: Shelf) -> None:
    with engine.begin("Read", loop="own", limits=Limits(handoffs=1), answers=True) as session:
        frame = session.open_frame_sync(session.handoff("clerk", "shop", "Read", call_id="g"))
        session.close_frame_sync(frame, "Seen.")
        with pytest.raises(Refused, match=r"Go on without it") as refused:
            session.open_frame_sync(session.handoff("clerk", "bank", "Read", call_id="h"))
        session.step_sync(
            session.tool("clerk", "look", {"page": 1}), lambda turn: (make_tool_result(shelf.look(1)), None)
        )
        outcome = session.end_sync("Seen.")

    assert not isinstance(refused.value, Halted)
    assert (outcome.status, outcome.pruned, shelf.looked) == ("completed", ("limits",), [1])


def test_the_same_request_again_is_answered_from_the_record(engine: Engine, shelf: Shelf) -> None:
    limits = Limits(tool_calls=2)
    first = ask(engine, make_reader(shelf), limits, request_id="q-1")
    again = make_reader(shelf)
    second = ask(engine, again, limits, request_id="q-1")

    assert (second.run, second.answer) == (first.run, first.answer)
    assert (again.model_calls, shelf.looked) == (0, [0, 1])


def test_a_crash_before_the_end_asks_for_no_second_last_reply(tmp_path: Path, shelf: Shelf) -> None:
    limits, first = Limits(tool_calls=2), make_reader(shelf)
    with Engine(tmp_path / "desk.db") as engine:
        session = engine.begin("Read", loop="own", limits=limits, answers=True, request_id="q-1")
        first.run_sync(session, "Read")
    with Engine(tmp_path / "desk.db") as engine:
        again = make_reader(shelf)
        outcome = ask(engine, again, limits, request_id="q-1")

    assert (outcome.status, outcome.answer, outcome.pruned) == ("completed", LAST, ("limits",))
    assert (again.model_calls, shelf.looked) == (0, [0, 1])


def test_a_crash_in_the_last_request_makes_it_again_without_tools(
    tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(turn: Turn) -> Any:
        if turn.last:
            raise Killed
        return call(turn)

    limits, first = Limits(tool_calls=2), make_reader(shelf)
    call = first.call_model
    monkeypatch.setattr(first, "call_model", die)
    with Engine(tmp_path / "desk.db") as engine, pytest.raises(Killed):
        ask(engine, first, limits, request_id="q-1")
    with Engine(tmp_path / "desk.db") as engine:
        again = make_reader(shelf)
        outcome = ask(engine, again, limits, request_id="q-1")

    assert (outcome.status, outcome.answer, outcome.pruned) == ("completed", LAST, ("limits",))
    assert [turn.last for turn in again.turns] == [True]
    assert shelf.looked == [0, 1]


@pytest.mark.parametrize("name", LIMITS)
def test_its_replay_differs_in_nothing(engine: Engine, shelf: Shelf, name: str) -> None:
    outcome = ask(engine, make_reader(shelf), LIMITS[name])
    assert engine.call(lambda sea: sea.replay(outcome.run)).differences == ()


def raise_limits(engine: Engine, run: str, limits: Limits) -> None:
    team = engine.make_team("own")
    engine.call(lambda sea: sea.resume(run, team, limits=limits, by="ann", reason="more pages"))


def read_two_more(shelf: Shelf) -> ScriptedLoop:
    """An agent that has enough after four pages."""
    return ScriptedLoop(
        [*([(f"c{page}", "look", {"page": page})] for page in range(4)), "All four are about owls."],
        {"look": shelf.look},
        last=LAST,
    )


@pytest.mark.parametrize(
    ("small", "raised"),
    [
        (Limits(tool_calls=2), Limits(tool_calls=4)),
        (Limits(model_calls=3), Limits(model_calls=7)),
    ],
    ids=["tool_calls", "model_calls"],
)
def test_a_raised_limit_takes_up_what_was_left_out(
    engine: Engine, shelf: Shelf, small: Limits, raised: Limits
) -> None:
    first = ask(engine, read_two_more(shelf), small, request_id="q-1")
    raise_limits(engine, first.run, raised)
    again = read_two_more(shelf)
    outcome = ask(engine, again, small, request_id="q-1")

    assert (first.answer, outcome.answer) == (LAST, "All four are about owls.")
    assert (outcome.run, outcome.status, outcome.pruned) == (first.run, "completed", ())
    assert shelf.looked == [0, 1, 2, 3]
    assert not any(turn.last for turn in again.turns)
    assert engine.call(lambda sea: sea.replay(outcome.run)).differences == ()


def test_a_raised_limit_that_is_used_up_again_ends_with_another_answer(engine: Engine, shelf: Shelf) -> None:
    first = ask(engine, make_reader(shelf), Limits(tool_calls=2), request_id="q-1")
    raise_limits(engine, first.run, Limits(tool_calls=3))
    again = make_reader(shelf, last="Three pages.")
    outcome = ask(engine, again, Limits(tool_calls=2), request_id="q-1")

    assert (outcome.run, outcome.answer, outcome.pruned) == (first.run, "Three pages.", ("limits",))
    assert shelf.looked == [0, 1, 2]


def test_a_limit_that_was_not_used_up_is_not_raised_alone(engine: Engine, shelf: Shelf) -> None:
    first = ask(engine, make_reader(shelf), Limits(model_calls=3), request_id="q-1")
    with pytest.raises(Misused, match=r"model_calls is 3, and the next step of run .* needs 4"):
        raise_limits(engine, first.run, Limits(model_calls=3, tool_calls=50))
