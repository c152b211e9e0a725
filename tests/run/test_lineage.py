"""What a run's memory and answer are made of, and what of a run descends from one of its steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from seawall.core.canonical import Ref
from seawall.core.errors import Misused
from seawall.core.events import (
    Event,
    MemoryRead,
    MemoryWritten,
    RunEnded,
    RunStarted,
    StepDone,
    StepIntended,
    StepKind,
)
from seawall.core.limits import Limits
from seawall.core.redact import Redactor
from seawall.journal.protocol.memory import Lineage
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.fold import apply, begin
from seawall.run.frame import MessageRef
from seawall.run.lineage import MAX_EXPOSURES, find_seeds, trace_ended_answer, trace_write


class Written:
    """A run that is written step by step, with the edges that the gate would find."""

    def __init__(self, request: str = "go on", history: Sequence[MessageRef] = ()) -> None:
        self.bodies = Bodies(Redactor())
        self.causes = Causes()
        started = RunStarted(
            at=0.0,
            run="r-2",
            team="t",
            team_version="1",
            agent="a",
            intent=self.bodies.put(request),
            limits=Limits(),
            guards={},
        )
        self.events: list[Event] = [started]
        self.state = begin(started)
        self.causes.learn(0, request)

    def add(self, event: Event) -> None:
        self.events.append(event)
        self.state = apply(self.state, event)

    def intend(self, number: int, kind: StepKind, name: str, asked: str = "", frame: int = 0) -> None:
        at = self.state.frames[frame]
        if kind == "model":
            edges = self.causes.find_edges("", exposed=at.fresh)
        else:
            edges = self.causes.find_edges(asked, by=at.last_reply)
        intent = StepIntended(
            at=0.0,
            step=number,
            kind=kind,
            name=name,
            agent="a",
            frame=frame,
            input=self.bodies.put(asked),
            causes=edges.causes,
            sources=edges.sources,
        )
        self.causes.note(intent)
        self.add(intent)

    def done(
        self, number: int, output: str = "", frame: int = 0, used: Event | None = None, **more: Any
    ) -> None:
        done = StepDone(at=0.0, step=number, status="ok", output=self.bodies.put(output), **more)
        self.causes.settle(done, self.bodies, [] if used is None else [used])
        self.add(done)
        at = self.state.frames.get(frame)
        if at is not None and number not in at.fresh:  # no call of a reply waits for it here
            frames = {**self.state.frames, frame: _show(at, number)}
            self.state = _replace(self.state, frames)

    def step(self, number: int, kind: StepKind, name: str, asked: str, output: str, frame: int = 0) -> None:
        self.intend(number, kind, name, asked, frame)
        self.done(number, output, frame)

    def think(self, number: int, frame: int = 0, **more: Any) -> None:
        self.intend(number, "model", "m", "", frame)
        self.done(number, "{}", frame, **more)

    def remember(self, number: int, key: str, value: str, frame: int = 0) -> None:
        self.intend(number, "memory", "remember", json.dumps({"key": key, "value": value}), frame)
        self.add(MemoryWritten(at=0.0, step=number, scope="tenant", key=Ref(key)))
        self.done(number, "remembered", frame)

    def recall(self, number: int, hits: dict[int, str], frame: int = 0) -> None:
        self.intend(number, "memory", "recall", "{}", frame)
        read = MemoryRead(at=0.0, step=number, entries=tuple(hits))
        self.add(read)
        shown = [{"key": f"key of {entry}", "value": text, "number": entry} for entry, text in hits.items()]
        self.done(number, json.dumps(shown), frame, read)

    def end(self, answer: str) -> None:
        root = self.state.frames[0]
        edges = self.causes.find_edges(answer, by=root.last_reply)
        ref = self.bodies.put(answer)
        self.add(RunEnded(at=0.0, status="completed", answer=ref, causes=edges.causes, sources=edges.sources))

    def trace(self, step: int | None, text: str) -> set[Lineage]:
        if step is not None:
            return set(trace_write(self.state, step, text, self.causes))
        edges = self.causes.find_edges(text, by=self.state.frames[0].last_reply)
        ended = RunEnded(at=0.0, status="completed", causes=edges.causes, sources=edges.sources)
        return set(trace_ended_answer(ended, text, self.state, self.causes))

    def seeds(self, step: int) -> dict[int | None, str]:
        return {seed.step: seed.tie for seed in find_seeds(self.events, step)}


def _show(frame: Any, step: int) -> Any:
    from msgspec.structs import replace

    return replace(frame, fresh=(*frame.fresh, step))


def _replace(state: Any, frames: Any) -> Any:
    from types import MappingProxyType

    from msgspec.structs import replace

    return replace(state, frames=MappingProxyType(frames))


DOUBLE = "VIPs get double refunds"


def value(entry: int) -> Lineage:
    return Lineage(tie="value", entry=entry)


def exposure(entry: int) -> Lineage:
    return Lineage(tie="exposure", entry=entry)


def test_a_write_takes_a_value_from_the_entry_that_it_repeats_and_is_exposed_to_the_others() -> None:
    run = Written()
    run.think(1)
    run.recall(2, {41: DOUBLE, 42: "answer in short sentences"})
    run.think(3)
    run.remember(4, "policy", "as always, vips get double")
    assert run.trace(4, "as always, vips get double") == {value(41), exposure(42)}


def test_what_came_before_a_recall_is_not_exposed_to_it() -> None:
    run = Written()
    run.think(1)
    run.remember(2, "tone", "be polite")
    run.think(3)
    run.recall(4, {41: DOUBLE})
    assert run.trace(2, "be polite") == set()


def test_a_value_is_followed_through_the_calls_that_were_made_with_it() -> None:
    run = Written()
    run.think(1)
    run.recall(2, {41: "the customer is C-7001"})
    run.think(3)
    run.step(4, "tool", "find", '{"customer": "C-7001"}', "she lives at 99 Wonderland Boulevard North")
    run.think(5)
    run.remember(6, "address", "99 wonderland boulevard north")
    assert run.trace(6, "99 wonderland boulevard north") == {value(41)}


def test_a_sibling_that_was_not_shown_an_entry_has_nothing_to_do_with_it() -> None:
    run = Written()
    run.think(1)
    run.intend(2, "handoff", "b", "look at the policy")
    run.intend(3, "handoff", "c", "look at the tone")
    run.think(4, frame=2)
    run.recall(5, {41: DOUBLE}, frame=2)
    run.think(6, frame=3)
    run.remember(7, "tone", "be polite", frame=3)
    run.think(8, frame=2, answer=run.bodies.put('"all is well"'))
    run.done(2, "all is well")
    run.think(9, frame=3)
    run.done(3, "remembered")
    run.think(10)
    run.remember(11, "done", "both have answered")
    assert run.trace(7, "be polite") == set()
    assert run.trace(11, "both have answered") == {exposure(41)}, (
        "what the hand-off was shown, its caller was"
    )


def test_the_answer_is_made_of_what_it_repeats_and_exposed_to_the_rest() -> None:
    run = Written()
    run.think(1)
    run.recall(2, {41: DOUBLE, 42: "answer in short sentences"})
    run.think(3)
    assert run.trace(None, "VIPs get double.") == {value(41), exposure(42)}


def test_an_entry_with_too_many_exposures_is_exposed_to_its_runs_answer() -> None:
    run = Written()
    run.think(1)
    run.recall(2, {number: f"id-{number}" for number in range(1000, 1002 + MAX_EXPOSURES)})
    run.think(3)
    run.remember(4, "x", "id-1003 it is")
    assert run.trace(4, "id-1003 it is") == {value(1003), Lineage(tie="exposure", run="r-2")}
    assert len(run.trace(None, "done")) == 2 + MAX_EXPOSURES


def test_only_what_descends_from_a_step_is_a_seed_of_its_revert() -> None:
    run = Written()
    run.think(1)
    run.remember(2, "before", "be polite")
    run.think(3)
    run.step(4, "tool", "wiki", "{}", f"policy: {DOUBLE}")
    run.think(5)
    run.remember(6, "policy", "vips get double")
    run.think(7)
    run.remember(8, "other", "she called at noon")
    run.think(9)
    run.end("Done.")
    assert run.seeds(4) == {4: "value", 6: "value", 8: "exposure", None: "exposure"}
    assert run.seeds(6) == {6: "value", 8: "exposure", None: "exposure"}
    assert run.seeds(3) == {4: "value", 6: "value", 8: "exposure", None: "exposure"}
    assert run.seeds(0) == {2: "value", 4: "value", 6: "value", 8: "value", None: "value"}


def test_what_a_model_made_up_is_its_own() -> None:
    run = Written()
    run.think(1)
    run.remember(2, "policy", DOUBLE)
    run.think(3)
    run.end("Noted.")
    assert run.seeds(1) == {2: "value", None: "exposure"}
    assert run.seeds(3) == {None: "value"}


def test_a_hand_off_is_all_that_was_done_in_it() -> None:
    run = Written()
    run.think(1)
    run.intend(2, "handoff", "b", "look around")
    run.think(3, frame=2)
    run.remember(4, "policy", DOUBLE, frame=2)
    run.think(5, frame=2)
    run.done(2, "C-7001 is a VIP")
    run.think(6)
    run.end("C-7001 it is")
    assert run.seeds(2) == {2: "value", 4: "value", None: "value"}
    assert run.seeds(5) == {2: "value", None: "value"}, "its last reply wrote what the hand-off returned"


def test_a_pruned_run_and_a_step_that_is_not_there_are_errors() -> None:
    run = Written()
    run.think(1)
    with pytest.raises(Misused, match="pruned"):
        find_seeds([], 1)
    with pytest.raises(Misused, match="has no step 7; it has 1 steps"):
        find_seeds(run.events, 7)
