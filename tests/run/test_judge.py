"""Which guards the judge asks: all that may say something, in whatever modes a run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seawall import Guard, Halt
from seawall.core.events import RunStarted
from seawall.core.frozen import EMPTY
from seawall.core.limits import Limits
from seawall.core.redact import Redactor
from seawall.engine.judging import GuardTable, Judge
from seawall.run.bodies import Bodies
from seawall.run.fold import begin
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import Verdict


@dataclass
class Stops(Guard):
    """Halts before every step. It has no hash, as a dataclass with fields that may change has none."""

    name: str = "stops"

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        return Halt("no")


def ask(modes: Any, table: GuardTable | None = None) -> list[str]:
    """Returns the guards that say something of a model step, in a run with these modes."""
    judge = Judge(table or [Stops()], Bodies(Redactor()), now=lambda: 0.0)
    started = RunStarted(
        at=0.0,
        run="r",
        tenant="t",
        team="desk",
        team_version="1",
        agent="desk",
        intent=Bodies(Redactor()).put("go"),
        limits=Limits(),
        guards=modes,
    )
    state = begin(started)
    if not modes:
        state = RunState(started=started, modes=EMPTY, frames=state.frames)
    step = Step(number=1, kind="model", name="m", agent="desk", frame=0, depth=1)
    return [each.guard for each in judge.judge(step, None, state)]


def test_a_guard_is_asked_in_a_run_that_records_no_modes() -> None:
    assert ask({}) == ["stops"]


def test_a_guard_that_is_off_is_not_asked_and_one_that_observes_is() -> None:
    assert ask({"stops": "off"}) == []
    assert ask({"stops": "observe"}) == ["stops"]


def test_runs_that_share_their_guards_have_their_own_modes() -> None:
    table = GuardTable([Stops()])
    assert ask({"stops": "enforce"}, table) == ["stops"]
    assert ask({"stops": "off"}, table) == []
    assert ask({"stops": "enforce"}, table) == ["stops"]


def test_a_table_is_not_current_any_more_once_a_guard_is_given_a_method() -> None:
    guard = Guard()
    table = GuardTable([guard])
    assert ask({}, table) == []
    assert table.is_current
    vars(guard)["before"] = Stops().before
    assert not table.is_current
    assert ask({}, GuardTable([guard])) == ["guard"]
