"""The record of a run: what it knows of each step without looking at all others."""

from __future__ import annotations

from typing import NoReturn

from seawall.core.canonical import ref_of
from seawall.core.events import RunEnded, RunStarted, StepDone, StepIntended, StepKind
from seawall.core.limits import Limits
from seawall.history.record import RunRecord, StepRecord


def begin() -> RunRecord:
    """Returns the record of a run that has just begun."""
    return RunRecord(
        RunStarted(
            at=1.0,
            run="r-1",
            team="desk",
            team_version="1",
            agent="desk",
            intent=ref_of(b"go"),
            limits=Limits(),
            guards={},
        )
    )


def intend(step: int, frame: int = 0, call: str | None = None, kind: StepKind = "tool") -> StepIntended:
    """Returns the intent of a step."""
    return StepIntended(
        at=2.0, step=step, kind=kind, name="look", agent="a", frame=frame, input=ref_of(b"{}"), call=call
    )


class Unwalked(dict[int, StepRecord]):
    """Steps that nobody may go through: a run has thousands, and each is drawn."""

    def values(self) -> NoReturn:
        raise AssertionError("all steps were gone through")


def test_the_steps_of_a_frame_its_calls_and_the_open_steps_are_known_without_a_walk_over_all() -> None:
    record = begin()
    record.steps = Unwalked()
    record.add(intend(1, kind="handoff", call="c-1"))
    record.add(intend(2, frame=1, call="c-2"))
    record.add(intend(3, frame=1))
    record.add(StepDone(at=3.0, step=2, status="ok"))

    assert [step.number for step in record.list_steps(0)] == [1]
    assert [step.number for step in record.list_steps(1)] == [2, 3]
    assert record.list_steps(7) == []
    assert (record.has_made(1, "c-2"), record.has_made(0, "c-2")) == (True, False)
    assert [step.number for step in record.list_open_steps()] == [1, 3]
    record.add(RunEnded(at=4.0, status="cancelled"))
    assert record.list_open_steps() == []
