"""The guard's counters are folds: they survive a crash, in any pieces, and a step costs what a step costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall import Agent, Loops, Team, Tool
from seawall.core.events import Event, RunTaken, decode_event, encode_event
from seawall.core.persistent import Latest
from seawall.guards.loops.findings import Notice
from seawall.guards.loops.rules import is_new_in_every_way, learn
from seawall.guards.loops.state import (
    LoopState,
    Scope,
    observe_result,
    pack_handover,
    unpack_handover,
)
from seawall.run.fold import apply, begin, fold
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import Verdict
from seawall.testing import ScriptedModel, call, say
from team.play import Played, play


class Watched(Loops):
    """Keeps what it was asked with, as the live run had it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[tuple[int, LoopState]] = []

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        self.asked.append((run.seq, memory))
        return super().before(step, run, memory)


def played(answers: Sequence[str], guard: Loops) -> Played:
    """One agent asks `what`, and the world answers; `!` before an answer is an error."""
    remaining = iter(answers)

    async def look(what: str) -> str:
        answer = next(remaining)
        if answer.startswith("!"):
            raise ValueError(answer)
        return answer

    async def write(what: str) -> str:
        return f"written {what}"

    tools = [Tool(look, description="d"), Tool(write, description="d", effect=True)]
    script = [call("write" if answer == "w" else "look", what=answer[-1:]) for answer in answers]
    remaining = iter([answer for answer in answers if answer != "w"])
    model = ScriptedModel([*script, say("Done.")])
    return play(Team(Agent("clerk", model=model, tools=tools)), guards=[guard])


ANSWERS = ["a", "a", "b", "!x", "a", "!x", "w", "a", "b", "!x", "a", "a"]


def test_what_the_live_run_counted_is_what_the_journal_folds_to() -> None:
    guard = Watched()
    run = played(ANSWERS, guard)

    assert len(guard.asked) > len(ANSWERS)
    for seq, memory in guard.asked:
        assert fold(run.events[:seq], [guard]).memories["loops"] == memory


@pytest.mark.parametrize("cut", range(2, 40, 3))
def test_a_run_that_goes_on_from_its_journal_counts_on(cut: int) -> None:
    guard = Loops()
    events = played(ANSWERS, guard).events
    whole: LoopState = fold(events, [guard]).memories["loops"]
    state = fold([decode_event(encode_event(event)) for event in events[:cut]], [guard])
    taken = RunTaken(at=0.0, owner="other", epoch=2, left_s=state.left_s)
    for event in [taken, *events[cut:]]:
        state = apply(state, event, [guard])
    again: LoopState = state.memories["loops"]

    def counters(state: LoopState) -> list[Any]:
        return [
            (question, answer.fingerprint, answer.repeats, answer.streak, answer.write_repeats)
            for scope in state.scopes.values()
            for question, answer in scope.answers.items().items()
        ]

    assert counters(again) == counters(whole)
    assert again.segment == whole.segment + 1


@given(st.lists(st.sampled_from(["a", "b", "ab", "!x", "!y", "w"]), max_size=25), st.data())
def test_folding_in_pieces_is_folding_at_once(answers: list[str], data: st.DataObject) -> None:
    guard = Loops(no_news=50, cycles=50, errors=50)
    events = played(answers, guard).events
    cut = data.draw(st.integers(1, len(events)))
    first: RunState = fold(events[:cut], [guard])
    older = first
    for event in events[cut:]:
        older = apply(older, event, [guard])

    assert older.memories == fold(events, [guard]).memories
    assert first.memories == fold(events[:cut], [guard]).memories  # an older value stays as it was


class Thorough(Loops):
    """Goes through the rules even for results that are new in every way, and keeps what the rules say of them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.said: list[Notice] = []
        self.new = 0

    def after(self, step: Step, result: Result, run: RunState, memory: Any) -> Verdict:
        state: LoopState = memory or LoopState()
        observation = observe_result(step, result, run.open[step.number].at)
        scope = state.scopes.get(step.frame, Scope())
        if observation is not None and is_new_in_every_way(state, scope, observation):
            self.new += 1
            self.said += learn(state, scope, observation, self.options).notices
        return super().after(step, result, run, memory)


READS = [f"{word} {what}" for word in ("yes", "no", "pending", "Error: no", "at 10:11:12,") for what in "abc"]


@given(st.lists(st.sampled_from([*READS, "!x", "!y", "w"]), max_size=25))
def test_the_rules_say_nothing_of_a_result_that_is_new_in_every_way(answers: list[str]) -> None:
    often: dict[str, Any] = dict.fromkeys(
        ("no_news", "stretch", "cycles", "rounds", "errors", "fruitless"), 50
    )
    guard = Thorough(**often, reworded=1, same_answer=1, alike=1, again=50, writes=50)
    played(["yes z", *answers], guard)

    assert guard.new
    assert not guard.said


def test_a_step_adds_to_what_is_remembered_and_copies_none_of_it() -> None:
    """Judging a result before it is folded must not part the versions: each step would copy all that came before."""
    guard = Watched(no_news=500, cycles=500)
    played([chr(97 + number % 20) for number in range(30)], guard)
    tables = [memory.scopes[0].answers for _, memory in guard.asked if memory.scopes]

    assert len({id(table._puts) for table in tables}) == 1
    assert len(tables) > 25


def test_a_mapping_of_latest_values_keeps_older_versions_apart() -> None:
    empty: Latest[str, int] = Latest()
    one = empty.put("a", 1)
    two = one.put("a", 2)
    other = one.put("b", 3)

    assert (one.get("a"), two.get("a"), other.get("a"), other.get("b"), two.get("b")) == (1, 2, 1, 3, None)
    assert one.items() == {"a": 1}
    assert two == empty.put("a", 2)
    assert "b" in other and "b" not in two
    assert repr(other) == "Latest({'a': 1, 'b': 3})"


def test_a_guard_that_knows_nothing_yet_folds_anything() -> None:
    guard = Loops()
    events: list[Event] = played(["a"], guard).events
    started: Any = events[0]

    assert begin(started, [guard]).memories["loops"] == LoopState()
    assert guard.fold(None, events[1], begin(started)) == LoopState(segment=1)


def test_what_a_run_hands_over_is_stored_as_it_always_was() -> None:
    stored = r'[["look\u0000r-1","d-1",true,2,null,0],["pay\u0000r-2","d-2",false,0,"d-3",1]]'
    scope = unpack_handover(stored)

    assert pack_handover(scope, 0) == stored
    answer = scope.answers.get("pay\0r-2")
    assert answer is not None
    assert (answer.fingerprint, answer.loose_fingerprint, answer.write_repeats) == ("d-2", "d-3", 1)
    assert "d-2" in scope.errors
    with pytest.raises(ValueError, match="Expected"):
        unpack_handover('{"another": "version"}')
